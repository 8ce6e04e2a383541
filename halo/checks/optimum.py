"""Where the loss would settle: under a sure preference, and as a function of the preference probability.

With h the difference of scores (before normalizer and margin) and L(h) the loss of a pair, the optimum of a preference of
probability p is Psi(p) = argmin p L(h) + (1 - p) L(-h). An objective whose Psi is bounded does not overfit sure preferences
(IPO, 2310.12036, section 4). For labelled feedback p is the share of `desirable` labels of a completion.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, partial

import sympy
from mpmath import mp, mpf
from sympy import Expr

from halo.analysis.algebra.factors import OutOfReach
from halo.analysis.algebra.normal_form import Algebra
from halo.analysis.curvature import Calculus
from halo.analysis.decide import PROVED, REFUTED, UNDECIDED, Question
from halo.analysis.identity import is_zero, shown
from halo.analysis.kinks import jumps, settled, switching_at
from halo.analysis.points import points
from halo.analysis.ranges import REALS, Span
from halo.analysis.scalar import Scalars, variables
from halo.analysis.sign import sign_in_cases
from halo.analysis.values import sure_value
from halo.checks.subject import Finding, Subject
from halo.compiler.graph import Node, Part

UNIT = Span(Fraction(0), Fraction(1), True, True)


@dataclass(frozen=True)
class Root:
    """A stationary point: over the algebra's generators, and in the names of the file."""

    algebra: Algebra
    form: Expr

    @cached_property
    def pretty(self) -> Expr:
        """In the names of the file."""
        named = self.algebra.pretty(self.form)
        return named.replace(sympy.log, lambda x: sympy.log(_upright(x))) if self.form.has(sympy.log) else sympy.factor(named)


def _upright(ratio: Expr) -> Expr:
    """p / (1 - p) rather than -p / (p - 1)."""
    above, below = sympy.fraction(ratio)
    return sympy.Mul(sympy.expand(-above), 1 / sympy.expand(-below), evaluate=False) if above.could_extract_minus_sign() else ratio


@dataclass
class Curves:
    """The loss of a preferred and of a dispreferred outcome as functions of h."""

    h: Node
    good: Node
    bad: Node
    box: dict[Node, Span]


def curves(subject: Subject) -> Curves | None:
    """The two curves, or None where the loss is not a function of one difference of scores."""
    terms = subject.terms
    if subject.compiled.objective.declaration.control:  # the labels are said to the model: each has an optimum of its own
        return None
    if any(part.regularizer for part in subject.parts) or not terms or not all(subject.single(part) for part in terms):
        return None
    s, view = subject.view.s, subject.view
    if any(v.data == "batch sort" for part in terms for v in variables(view.unstopped(view.whole(part)))):  # no two stay beside each other
        return None
    h = s.variable("h")
    found = {part.role: _curve(subject, part, h) for part in terms}
    box = {**view.box, h: REALS}
    if len(found) != len(terms) or any(curve is None for curve in found.values()):
        return None
    if subject.feedback.labels and set(found) == {"desirable", "undesirable"}:
        return Curves(h, found["desirable"], found["undesirable"], box)  # type: ignore[arg-type]
    if subject.feedback.swap and set(found) == {"chosen"} and _is_difference(subject, terms[0]):
        good = found["chosen"]
        assert good is not None
        return Curves(h, good, s.substitute(good, {h: s.call("neg", h)}), box)
    return None


def _is_difference(subject: Subject, part: Part) -> bool:
    """Whether what stands against the reward is a reward, the other completion's."""
    node = part.reference_point
    while node is not None and node.op in ("stop", "view", "select"):
        node = node.args[0]
    return node is not None and node in subject.compiled.declared.factors


def _same_for_both(subject: Subject, part: Part) -> bool:
    """Whether swapping the pair turns z + margin into its negative: both completions are scored alike."""
    s, view = subject.view.s, subject.view
    z = s.call("add", view.unstopped(view.argument(part)), _margin(subject, part))
    own, other = part.role, view.generic(part).other
    swap = {v: _of_the_other(s, v, {own: other, other: own}) for v in variables(z)}
    return is_zero(s, s.call("add", z, s.substitute(z, swap)), view.box) is True


def _of_the_other(s: Scalars, node: Node, roles: dict[str, str]) -> Node:
    slot = roles.get(node.slot, node.slot)
    if node.op != "reduce":
        return s.variable(node.data, slot, node.axes) if node.op == "input" else node
    inner = s.substitute(node.args[0], {v: _of_the_other(s, v, roles) for v in variables(node.args[0])})
    return s.make(op="reduce", args=(inner,), data=node.data, slot=slot, batch=node.batch)


def _normalizer(subject: Subject, part: Part) -> Node:
    assert part.normalizer is not None
    return subject.view.scalar(part.normalizer, subject.view.generic(part))


def _margin(subject: Subject, part: Part) -> Node:
    """What is subtracted beside the reference point; of a point made of parameters alone, also that."""
    s, view = subject.view.s, subject.view
    where = view.generic(part)
    margin = view.scalar(part.margin, where) if part.margin is not None else s.number(0)
    point = view.unstopped(view.scalar(part.reference_point, where)) if part.reference_point is not None else s.number(0)
    return s.call("add", margin, point) if all(v.op == "parameter" for v in variables(point)) else margin


def _curve(subject: Subject, part: Part, h: Node) -> Node | None:
    s, view = subject.view.s, subject.view
    normalizer, margin = _normalizer(subject, part), _margin(subject, part)
    if any(v.op != "parameter" for scalar in (normalizer, margin) for v in variables(scalar)):
        return None
    item = view.unstopped(view.item(part))
    if any(v.slot for v in variables(item)) or any(v.op == "reduce" for v in variables(item)):  # h alone does not say what they are
        return None
    return s.substitute(item, {view.z: s.call("sub", s.call("mul", normalizer, h), margin)})


def finite_optimum(subject: Subject) -> Iterator[Finding]:
    """A sure preference has a finite optimum h*: the objective itself stops the policy."""
    found = curves(subject)
    if found is None:
        return
    yield _optimum(subject, found, found.good, "finite_optimum", None)


def preference_link(subject: Subject) -> Iterator[Finding]:
    """Psi(p), the optimum for preference probability p, stays bounded: sure preferences are not overfitted."""
    found = curves(subject)
    if found is None or (not subject.feedback.labels and not _same_for_both(subject, subject.terms[0])):
        return
    s = subject.view.s
    p = s.variable("p")
    mixed = s.call("add", s.call("mul", p, found.good), s.call("mul", s.call("sub", s.number(1), p), found.bad))
    yield _optimum(subject, Curves(found.h, found.good, found.bad, {**found.box, p: UNIT}), mixed, "preference_link", p)


def _optimum(subject: Subject, found: Curves, loss: Node, check: str, p: Node | None) -> Finding:
    s, h, box = subject.view.s, found.h, found.box
    if jumps(s, loss, lambda v: v is h, box):
        return Finding(check, UNDECIDED, "the loss may jump, and no gradient says which side of a jump is lower")
    slope = s.derivative(loss, h)
    way = sign_in_cases(s, slope, box)
    algebra = Algebra(box)
    try:
        form = algebra.normal(slope)
        if p is None and way in (-1, 1):
            return _monotone_loss(subject, loss, slope, algebra, form, h, box, check, way)
        roots = _roots(algebra, form, h)
    except OutOfReach:
        roots = []
    convex = Question(s, s.call("neg", loss), h, box, REALS, subject.view.first).concave()
    good = [root for root in roots if _is_root(subject, slope, h, root, box)]
    if len(good) == 1 and convex.proved:
        if p is None and not _finite(good[0], box):
            return _somewhere_infinite(subject, loss, h, check, box, good[0])
        if p is None:
            return Finding(check, PROVED, f"the loss of a sure preference is least at h* = {good[0].pretty}, where h is the difference of scores", str(good[0].pretty), steps=convex.steps)
        return _link(subject, good[0], check, box, p)
    if p is not None and not roots and _constant_sum(subject, found):
        return Finding(check, REFUTED, "up to positive factors the losses of the two outcomes add up to a constant: for all p but one the optimum is infinite", "none")
    return Finding(check, UNDECIDED, "the stationary points were not found in closed form, or the loss is not convex")


def _monotone_loss(subject: Subject, loss: Node, slope: Node, algebra: Algebra, form: Expr, h: Node, box: dict[Node, Span], check: str, way: int) -> Finding:
    strict = Calculus(box).span(slope).sign(strict=True) or algebra.sign(form, strict=True)
    where = "+oo" if way < 0 else "-oo"
    if strict:
        return Finding(check, REFUTED, f"the loss of a sure preference keeps falling: its optimum is h = {where}, and nothing but the data stops it", where)
    flat = _flat(subject, slope, h, box, way)
    if flat is not None:
        return Finding(check, PROVED, f"the loss of a sure preference is least, and flat, once h is {'large' if way < 0 else 'low'} enough", flat)
    return Finding(check, UNDECIDED, f"the loss never rises towards h = {where}, and whether it becomes flat was not decided")


def _flat(subject: Subject, slope: Node, h: Node, box: dict[Node, Span], way: int) -> str | None:
    far = settled(subject.view.s, slope, h, box, 1 if way < 0 else -1)
    if far.op == "number" and far.data == 0:
        at = switching_at(subject.view.s, slope, h, box)
        if way > 0:
            return "flat towards -oo"
        return f"h >= {shown(at)}" if at is not None else "flat"
    return None


def _roots(algebra: Algebra, form: Expr, h: Node) -> list[Root]:
    """Closed-form solutions h of form = 0, in names."""
    _, factors = algebra.factored(form)
    found: list[Expr] = []
    for base, count in factors:
        own = [g for g in base.free_symbols if h in algebra.variables_in(g)]
        if count < 0 or not own:
            continue
        if len(own) != 1:
            raise OutOfReach("h both bare and in an exponential")
        generator = algebra.by_symbol[own[0]]
        if sympy.degree(base, own[0]) > 2:
            raise OutOfReach("a polynomial of high degree")
        for solution in sympy.roots(sympy.Poly(base, own[0])):
            if generator.kind == "v":
                found.append(solution)
            elif generator.kind == "w":
                monomial, d = generator.key
                symbol = algebra.generators["v", h].symbol
                factor = sympy.cancel(monomial / symbol)
                if symbol in factor.free_symbols or (solution.is_Rational and solution <= 0):
                    continue
                found.append(d * sympy.log(solution) / factor)
            else:
                raise OutOfReach("h inside a logarithm")
    return [Root(algebra, root) for root in found]


def _is_root(subject: Subject, slope: Node, h: Node, root: Root, box: dict[Node, Span]) -> bool:
    """The root is real and a zero of the slope at every point tried; the slope's algebra found it, this keeps to the real branch."""
    root_named, others, tried = root.pretty, [v for v in variables(slope) if v is not h], 0
    for point in points(box, others, 16, subject.view.first):
        names = {str(v.data): x for v, x in point.items()}
        value = root_named.subs({g: sympy.Rational(names[str(g)].numerator, names[str(g)].denominator) for g in root_named.free_symbols if str(g) in names})
        number = sympy.N(value, 50)
        if not number.is_finite:  # `_finite` asks about that
            continue
        if not number.is_real:
            return False
        near = Fraction(str(number)) if "e" not in str(number) else Fraction(mp.nstr(mpf(str(number)), 45))
        slopes = [sure_value(slope, {**point, h: near + side}) for side in (-Fraction(1, 10**20), Fraction(1, 10**20))]
        if None in slopes or slopes[0] * slopes[1] > 0:  # type: ignore[operator]
            return False
        tried += 1
    return tried > 0


def _somewhere_infinite(subject: Subject, loss: Node, h: Node, check: str, box: dict[Node, Span], root: Root) -> Finding:
    """A closed form that may divide by 0 is no finite optimum: at a closed end of a parameter the loss may fall for ever."""
    s = subject.view.s
    for v in variables(loss):
        span = box.get(v, REALS)
        for end in [x for x in (span.low, span.high) if v.op == "parameter" and not isinstance(x, float) and x in span]:
            slope = Calculus({**box, v: Span.point(end)}).span(s.substitute(s.derivative(loss, h), {v: s.number(end)}))
            if slope.positive or slope.negative:
                way = "+oo" if slope.negative else "-oo"
                reason = f"at {shown(v)} = {end} the loss of a sure preference keeps falling: its optimum is h = {way} (elsewhere {root.pretty})"
                return Finding(check, REFUTED, reason, way, witness={shown(v): str(end)})
    return Finding(check, UNDECIDED, f"the optimum h = {root.pretty} is not shown to be finite for every declared parameter value")


def _link(subject: Subject, root: Root, check: str, box: dict[Node, Span], p: Node) -> Finding:
    """Whether Psi stays finite at p = 0 and 1: proved where it is continuous on [0, 1], refuted by its value at an end."""
    value = str(root.pretty)
    if "p" not in {str(g) for g in root.pretty.free_symbols} and _finite(root, box):
        return Finding(check, PROVED, f"Psi(p) = {value} does not depend on p", value)
    if _finite(root, {**box, p: Span(Fraction(0), Fraction(1))}):
        return Finding(check, PROVED, f"Psi(p) = {value} is continuous on [0, 1] and so bounded: sure preferences are not overfitted", value)
    named = {str(g): g for g in root.pretty.free_symbols}
    for point in points(box, [v for v in box if shown(v) in named and shown(v) != "p"], 16, subject.view.first):
        fixed = {named[shown(v)]: sympy.Rational(x.numerator, x.denominator) for v, x in point.items()}
        for end in (0, 1):
            symbol = sympy.Symbol("p", real=True)
            there = root.pretty.subs(fixed).subs(symbol, end)
            near = [sympy.N(root.pretty.subs(fixed).subs(symbol, abs(end - sympy.Rational(1, 10**k))), 30) for k in (20, 40)]
            if there.has(sympy.oo, -sympy.oo, sympy.zoo) and abs(near[1]) > abs(near[0]) * sympy.Rational(3, 2):
                at = ", ".join(f"{g} = {x}" for g, x in sorted(fixed.items(), key=str))
                reason = f"Psi(p) = {value} is unbounded as p tends to 0 or 1 ({at}): sure preferences are overfitted"
                return Finding(check, REFUTED, reason, value, witness={str(g): str(x) for g, x in fixed.items()} | {"p": str(end)})
    return Finding(check, UNDECIDED, f"Psi(p) = {value}; whether it stays bounded was not decided", value)


def _finite(root: Root, box: dict[Node, Span]) -> bool:
    """Whether the form has a value on the whole box: every division and logarithm in it is proved to be harmless there."""
    algebra = root.algebra
    for generator in algebra.by_symbol.values():  # those of an exponential or logarithm keep the range of the box they were made on
        if generator.kind == "v" and generator.key in box and generator.symbol in root.form.free_symbols:
            generator.span = box[generator.key]
    bare = all(algebra.by_symbol[g].kind == "v" for g in root.form.free_symbols)
    return bare and all(map(partial(_harmless, algebra), sympy.preorder_traversal(root.form)))


def _harmless(algebra: Algebra, inner: Expr) -> bool:
    if not isinstance(inner, sympy.log | sympy.Pow) or (inner.is_Pow and inner.exp.is_Integer and inner.exp > 0):
        return True
    argument = inner.args[0]
    if not argument.is_rational_function():
        return False
    sign = algebra.sign(argument, strict=True)
    return sign == 1 or (sign == -1 and inner.is_Pow and inner.exp.is_Integer)


def _constant_sum(subject: Subject, found: Curves) -> bool:
    """Whether a good + b bad is constant in h for positive a, b free of h: then every mixture but one is monotone."""
    s, algebra = subject.view.s, Algebra(found.box)
    try:
        slopes = algebra.normals([s.derivative(found.good, found.h), s.derivative(found.bad, found.h)])
    except OutOfReach:
        return False
    ratio = sympy.cancel(slopes[0] / slopes[1]) if slopes[1] != 0 else None
    return ratio is not None and found.h not in algebra.variables_in(ratio) and algebra.span(ratio).negative
