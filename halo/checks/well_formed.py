"""The loss as a whole: where it is defined, its units, what it is at the reference, and whether it fits in floats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

import sympy
from mpmath import mp

from halo.analysis.algebra.factors import OutOfReach
from halo.analysis.algebra.normal_form import Algebra
from halo.analysis.curvature import Calculus
from halo.analysis.decide import PROVED, REFUTED, UNDECIDED
from halo.analysis.identity import named, number, shown
from halo.analysis.numbers.digits import Digits
from halo.analysis.numbers.rationals import ending
from halo.analysis.points import points
from halo.analysis.ranges import REALS, Span
from halo.analysis.scalar import COMPARE, Scalars, topological_scalar, variables
from halo.analysis.values import sure_value, values
from halo.checks.gradients import total_pull
from halo.checks.pulls import roles
from halo.checks.scalars.inputs import SUM_OF, TIED
from halo.checks.scalars.view import View
from halo.checks.subject import Finding, Subject
from halo.compiler.graph import Node
from halo.objective.formula import Call, Formula, Name, Number
from halo.objective.vocabulary import FUNCTIONS


def domain(subject: Subject) -> Iterator[Finding]:
    """Defined for every declared parameter value and every reachable input."""
    view, doubtful = subject.view, []
    for part in subject.parts:
        item = view.unstopped(view.whole(part))
        for scalar in [item, *(inner for v in variables(item) if v.op == "reduce" for inner in v.args)]:
            calculus = Calculus(view.box)
            if not calculus.shape(scalar).defined:
                doubtful += [(part.name, scalar, bad) for bad in calculus.undefined if not _settled(view, bad)]
    if not doubtful:
        yield Finding("domain", PROVED, "defined for every declared parameter value and every reachable input")
        return
    name, scalar, bad = doubtful[0]
    for point in points(view.box, variables(scalar), 200, view.first):
        if _undefined(scalar, point):
            what = f"{shown(bad)} has no value at {', '.join(f'{k} = {v}' for k, v in named(point).items())}"
            yield Finding("domain", REFUTED, what, scope=name, witness=named(point))
            return
    yield Finding("domain", UNDECIDED, f"{shown(bad)} is not shown to have a value everywhere", scope=name)


def _settled(view: View, node: Node) -> bool:
    """Whether algebra shows that a quotient's denominator is never 0, or a logarithm's argument positive."""
    room = _room(view.s, node)
    if room is None:
        return False
    algebra = Algebra(view.box)
    try:
        sign = algebra.sign(algebra.normal(room), strict=True)
    except OutOfReach:
        return False
    return sign == 1 or (sign == -1 and node.data == "div")


def _room(s: Scalars, node: Node) -> Node | None:
    """What must not be 0 (a denominator), or must be positive (the distance of an argument from the end of a domain)."""
    if node.data == "div":
        return node.args[1]
    low, high = map(ending, FUNCTIONS[node.data].domain)
    if isinstance(low, Fraction):
        return s.call("sub", node.args[0], s.number(low))
    return s.call("sub", s.number(high), node.args[0]) if isinstance(high, Fraction) else None


def _undefined(node: Node, point: Mapping[Node, Fraction]) -> bool:
    with mp.workdps(60):
        value = values([node], point, Digits())[node]
        return not bool(mp.isfinite(value))


def units(subject: Subject) -> Iterator[Finding]:
    """Sums over tokens and averages per token are never mixed; what each parameter counts in."""
    found = subject.compiled.units
    said = {name: "any" if power is None else _UNITS.get(power, f"tokens**{power}") for name, power in found.items()}
    value = ", ".join(f"{name}: {unit}" for name, unit in said.items())
    yield Finding("units", PROVED, "sums over tokens and averages per token are never mixed", value or None)


_UNITS = {Fraction(0): "1", Fraction(1): "tokens", Fraction(-1): "1/tokens"}


# -- at the reference ------------------------------------------------------------------------------------------------------


def at_reference(subject: Subject) -> Iterator[Finding]:
    """With policy = reference the loss of an example is a number made of parameters alone."""
    needs, expect = subject.compiled.declared.needs, subject.compiled.objective.declaration.expect
    if not (needs.reference or needs.sampler or (expect and expect.at_reference is not None)):
        return
    for label in subject.labels:
        yield _at_reference(subject, label)


def _at_reference(subject: Subject, label: str) -> Finding:
    check = f"at_reference.{label}" if label else "at_reference"
    tied = subject.view.variant(tied=True)
    loss = tied.unstopped(tied.alone_loss(label))
    algebra = Algebra(tied.box)
    try:
        form = sympy.cancel(sympy.together(algebra.normal(loss)))
        inputs = depends_on_data(algebra, form)
    except OutOfReach:
        return Finding(check, UNDECIDED, "the loss at the reference is too large to simplify")
    if form.has(sympy.zoo, sympy.nan, sympy.oo, -sympy.oo):
        return Finding(check, REFUTED, "with policy = reference the loss has no value")
    if inputs:
        difference = _two_values(tied, loss)
        outcome = REFUTED if difference else UNDECIDED
        names = ", ".join(sorted({str(s) for s in algebra.pretty(form).free_symbols} - set(subject.view.graph.parameters)))
        return Finding(check, outcome, f"with policy = reference the loss still depends on the data ({names})", witness=difference)
    value = str(_neat(algebra.pretty(form)))
    of_two = " of a list of two" if tied.is_list else ""
    return Finding(check, PROVED, f"with policy = reference the loss{of_two} is {value}{_gradient_there(subject, tied, label)}", value)


def _neat(expression: sympy.Expr) -> sympy.Expr:
    return min((expression, sympy.factor(expression), sympy.logcombine(expression)), key=lambda e: len(str(e)))


def depends_on_data(algebra: Algebra, form: sympy.Expr) -> bool:
    """Whether anything but parameters is left in the form."""
    return any(v.op != "parameter" for v in algebra.variables_in(form))


def _two_values(view: View, loss: Node) -> dict[str, str]:
    """Two inputs with the same parameters and different losses."""
    seen: dict[tuple[Fraction, ...], tuple[Mapping[Node, Fraction], object]] = {}
    for point in points(view.box, variables(loss), 64, view.first):
        value = sure_value(loss, point)
        key = tuple(x for v, x in point.items() if v.op == "parameter")
        if value is None:
            continue
        first = seen.setdefault(key, (point, value))
        if abs(first[1] - value) > 1e-12:
            both = {f"{k} (first)": v for k, v in named(first[0]).items()} | {f"{k} (second)": v for k, v in named(point).items()}
            return both | {"first loss": number(first[1]), "second loss": number(value)}
    return {}


def _gradient_there(subject: Subject, tied: View, label: str) -> str:
    """The pull on each role at the reference, where it is made of parameters alone."""
    said = []
    for role, slot, parts in roles(subject):
        if label and role != label:
            continue
        pull = total_pull(subject, slot, [p for p in parts if not label or p.role in (label, "completion")], role)
        if pull is None:
            continue
        there = where_equal(subject.view.s, subject.view.unstopped(pull))
        algebra = Algebra(tied.box)
        try:
            form = sympy.cancel(sympy.together(algebra.normal(there)))
        except OutOfReach:
            continue
        if not depends_on_data(algebra, form):
            said.append(f"{role} {_neat(algebra.pretty(form))}")
    return f"; d loss/d log π: {', '.join(said)}" if said else ""


def where_equal(s: Scalars, node: Node) -> Node:
    """Reference and sampler replaced by the policy; a batch mean of what is then 0 is 0."""
    policy = {"log ref": "log π", "log old": "log π"} | TIED
    policy |= {f"{SUM_OF}{word}": name and f"{SUM_OF}{name}" for word, name in TIED.items()}
    inputs = [v for v in variables(node) if v.op == "input" and v.data in policy]
    swap = {v: s.variable(policy[v.data], v.slot, v.axes) if policy[v.data] else s.number(0) for v in inputs}
    for v in variables(node):
        if v.op == "reduce":
            swap[v] = where_equal(s, v.args[0]) if v.batch else s.make(op="reduce", args=(where_equal(s, v.args[0]),), data=v.data, slot=v.slot)
    return s.substitute(node, swap)


# -- floating point ------------------------------------------------------------------------------------------------------------

FLOAT32 = Fraction(2) ** 128
REACH = 2_000
"""No sum of log-ratios met in practice is larger than this, in nats."""


def no_overflow(subject: Subject) -> Iterator[Finding]:
    """No intermediate of the generated loss leaves float32 for sums of log-probabilities down to -2000."""
    view = View(subject.compiled.graph, subject.view.columns)
    box: dict[Node, Span] = {}
    for key, item in subject.compiled.graph.items.items():
        part = next(p for p in subject.parts if key in (p.name, f"{p.name}/{p.role}"))
        scalar = view.unstopped(view.scalar(item, view.generic(part)))
        box |= _practical(view, scalar)
        calculus = Calculus(box)
        wide = [n for n in topological_scalar(scalar) if n.op == "apply" and n.data not in COMPARE and not _inside(calculus.span(n))]
        if not wide:
            continue
        for point in _corners(box, variables(scalar)):
            for node in wide:
                value = sure_value(node, point)
                if value is not None and abs(value) >= int(FLOAT32):
                    reason = f"{shown(node)} is {number(value)}, past float32, at {', '.join(f'{k} = {v}' for k, v in named(point).items())}"
                    yield Finding("no_overflow", REFUTED, reason, scope=part.name, witness=named(point) | {"value": number(value)})
                    return
        yield Finding("no_overflow", UNDECIDED, f"{shown(wide[0])} may leave float32, and no point was found where it does", scope=part.name)
        return
    yield Finding("no_overflow", PROVED, f"at the default and search values every intermediate fits float32 for sums of log-probabilities down to -{REACH}")


def _practical(view: View, scalar: Node) -> dict[Node, Span]:
    """The box of inputs and parameters met in practice."""
    box: dict[Node, Span] = {}
    for v in variables(scalar):
        span = view.box.get(v, REALS)
        if v.op == "parameter":
            tried = view.first[v]
            limit = Span(min(tried), max(tried))
        elif v.data == "length":
            limit = Span(Fraction(1), Fraction(2**17))
        else:
            limit = Span(Fraction(-REACH), Fraction(REACH) if not span.nonpositive else -(Fraction(2) ** -126))
        box[v] = span.within(limit) or limit
    return box


def _inside(span: Span) -> bool:
    return span.low > -FLOAT32 and span.high < FLOAT32


def _corners(box: Mapping[Node, Span], names: list[Node]) -> Iterator[dict[Node, Fraction]]:
    from itertools import islice, product

    ends = [[Fraction(box[v].low), Fraction(box[v].high)] for v in names]
    for combination in islice(product(*ends), 256):
        yield {v: x if x in box[v] else x / 2 if x else Fraction(-1, 10**6) for v, x in zip(names, combination, strict=True)}


def read(s: Scalars, view: View, formula: Formula) -> Node:
    """A formula over parameters and columns, as `expect: at_reference` writes it."""
    if isinstance(formula, Number):
        return s.number(formula.value)
    if isinstance(formula, Name):
        if formula.name in view.graph.parameters:
            return view.parameter(formula.name)
        return s.variable(formula.name)
    assert isinstance(formula, Call)
    return s.call(formula.function, *(read(s, view, a) for a in formula.arguments))
