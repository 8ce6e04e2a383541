"""The loss as a whole: where it is defined, what it is at the reference, what it does not depend on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

import sympy

from halo.compiler import units as unit_inference
from halo.compiler.checks.algebra import Algebra, OutOfReach
from halo.compiler.checks.calculus import Calculus
from halo.compiler.checks.decide import PROVED, REFUTED, UNDECIDED, is_free_of, is_zero, named, nonzero_point, number, shown
from halo.compiler.checks.findings import Finding, Subject
from halo.compiler.checks.gradients import roles, total_pull
from halo.compiler.checks.points import points, sure_value, values
from halo.compiler.checks.scalar import COMPARE, Scalars, topological_scalar, variables
from halo.compiler.checks.span import NEGATIVE, REALS, Span
from halo.compiler.checks.view import SUM_OF, SUMMED, TIED, View
from halo.compiler.graph import Node, Part, topological
from halo.objective.formula import Call, Formula, Name, Number


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
    argument = node.args[1] if node.data == "div" else node.args[0]
    if node.data not in ("div", "log", "log1p", "sqrt"):
        return False
    algebra = Algebra(view.box)
    try:
        form = algebra.normal(argument) + (1 if node.data == "log1p" else 0)
        _, factors = algebra.factored(form)
        signs = [algebra.span_of_factor(base) for base, count in factors]
    except OutOfReach:
        return False
    if node.data == "div":
        return all(s.positive or s.negative for s in signs)
    return all(s.positive for s in signs) and algebra.factored(form)[0] > 0


def _undefined(node: Node, point: Mapping[Node, Fraction]) -> bool:
    from mpmath import mp

    with mp.workdps(60):
        value = values([node], point, mp)[node]
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
        inputs = [g for g in form.free_symbols if _data(algebra, g)]
    except OutOfReach:
        return Finding(check, UNDECIDED, "the loss at the reference is too large to simplify")
    if form.has(sympy.zoo, sympy.nan, sympy.oo, -sympy.oo):
        return Finding(check, REFUTED, "with policy = reference the loss has no value")
    if inputs:
        difference = _two_values(tied, loss)
        outcome = REFUTED if difference else UNDECIDED
        names = ", ".join(sorted({str(s) for s in algebra.pretty(form).free_symbols if "." in str(s)}))
        return Finding(check, outcome, f"with policy = reference the loss still depends on the data ({names})", witness=difference)
    value = str(_neat(algebra.pretty(form)))
    return Finding(check, PROVED, f"with policy = reference the loss is {value}{_gradient_there(subject, tied, label)}", value)


def _neat(expression: sympy.Expr) -> sympy.Expr:
    return min((expression, sympy.factor(expression), sympy.logcombine(expression)), key=lambda e: len(str(e)))


def _data(algebra: Algebra, symbol: sympy.Symbol) -> bool:
    """Whether the generator depends on anything but parameters."""
    generator = algebra.by_symbol[symbol]
    if generator.kind == "v":
        return bool(generator.key.op != "parameter")
    keys = generator.key if isinstance(generator.key, tuple) else (generator.key,)
    return any(_data(algebra, s) for key in keys if isinstance(key, sympy.Expr) for s in key.free_symbols)


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
        if not any(_data(algebra, s) for s in form.free_symbols):
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


# -- what the loss does not depend on ----------------------------------------------------------------------------------------


def log_partition_cancels(subject: Subject) -> Iterator[Finding]:
    """Adding a constant c(x) of the prompt to every score, as log Z(x) does, changes nothing."""
    graph, view = subject.compiled.declared, subject.view
    if not graph.needs.reference or not graph.factors:
        return
    powers = {reward: unit_inference.power_of(graph, core) for reward, (_, core) in graph.factors.items()}
    if any("token" in core.axes for _, core in graph.factors.values()):
        return
    shifted, c = view.variant(shifts=powers), view.s.variable("c")
    for part in subject.parts:
        before = view.unstopped(view.whole(part))
        after = shifted.unstopped(shifted.whole(part))
        gap = view.s.call("sub", after, before)
        verdict = is_zero(view.s, gap, view.box)
        if verdict is True:
            continue
        moved = {v for v in variables(after) if v.op == "reduce"} - {v for v in variables(before) if v.op == "reduce"}
        point = nonzero_point(gap, {**view.box, c: Span(Fraction(1), Fraction(1))})
        hidden = any(c in topological([v]) for v in variables(gap) if v.op == "reduce")
        if verdict is False and point and not moved and not hidden:  # a reduction that moves with c is no free number
            reason = f"adding c = 1 to the scores of one prompt changes the loss by {number(point[1])}"
            yield Finding("log_partition_cancels", REFUTED, reason, scope=part.name, witness=named(point[0]) | {"change": number(point[1])})
        else:
            yield Finding("log_partition_cancels", UNDECIDED, "no proof that c(x) cancels, and no point where it does not", scope=part.name)
        return
    yield Finding("log_partition_cancels", PROVED, "adding c(x) to every score leaves the loss as it is: log Z(x) cancels")


def length_neutral(subject: Subject) -> Iterator[Finding]:
    """At fixed log-probability per token the loss does not depend on how long a completion is."""
    view, s = subject.view, subject.view.s
    for label in subject.labels:
        loss = view.unstopped(view.alone_loss(label))
        swap = {}
        for v in variables(loss):
            if v.op == "input" and (v.data in ("log π", "log ref", "log old") or v.data.startswith(SUM_OF)):
                mean = s.variable(f"mean {v.data}", v.slot)
                view.box[mean] = view.box.get(v, REALS) if v.data.startswith(SUM_OF) else NEGATIVE
                swap[v] = s.call("mul", view.length(v.slot), mean)
            elif v.op == "reduce" and v.data == "total" and v.slot:
                mean = s.variable(f"mean of {shown(v.args[0])}", v.slot)
                view.box[mean] = Calculus(view.box).span(v.args[0])
                swap[v] = s.call("mul", view.length(v.slot), mean)
        by_length = s.substitute(loss, swap)
        scope = label or "loss"
        for v in variables(by_length):
            if v.op != "input" or v.data != "length":
                continue
            slope = s.derivative(by_length, v)
            verdict = is_free_of(s, by_length, v, view.box)
            point = nonzero_point(slope, view.box, off_kinks_of=by_length) if verdict is False else None
            if verdict is False and point is None:  # the slope is 0 almost everywhere: the length moves a step
                yield Finding("length_neutral", REFUTED, f"at fixed mean log-probability the length of {v.slot} moves a step of the loss", scope=scope)
                break
            if point is not None:
                way = "raises" if point[1] > 0 else "lowers"
                reason = f"at fixed mean log-probability the length of {v.slot} matters: here it {way} the loss, {number(point[1])} per token"
                yield Finding("length_neutral", REFUTED, reason, scope=scope, witness=named(point[0]) | {"slope": number(point[1])})
                break
            if verdict is None:
                yield Finding("length_neutral", UNDECIDED, f"the effect of the length of {v.slot} was not decided", scope=scope)
                break
        else:
            yield Finding("length_neutral", PROVED, "at fixed mean log-probability the loss does not depend on any length", scope=scope)


def symmetry(subject: Subject) -> Iterator[Finding]:
    """exp(-loss) is a Bradley-Terry likelihood: it and that of the swapped pair add up to 1."""
    pair = {"paired": ("chosen", "rejected"), "ranked": ("best", "worst")}.get(subject.feedback)
    if pair is None:
        return
    view, s = subject.view, subject.view.s
    loss = view.unstopped(view.alone_loss())
    other = dict(zip(pair, pair[::-1], strict=True))
    swap = {v: s.variable(v.data, other[v.slot], v.axes) for v in variables(loss) if v.op == "input" and v.slot in other}
    if any(v.op == "reduce" for v in variables(loss)) or not swap:
        yield Finding("symmetry", UNDECIDED, "the loss holds a reduction that the swap does not reach")
        return
    view.box.update({new: view.box[old] for old, new in swap.items() if new not in view.box})
    swapped = s.substitute(loss, swap)
    likelihoods = [s.call("exp", s.call("neg", side)) for side in (loss, swapped)]
    gap = s.call("sub", s.call("add", *likelihoods), s.number(1))
    verdict = is_zero(s, gap, view.box)
    if verdict is True:
        yield Finding("symmetry", PROVED, "exp(-loss) and that of the swapped pair add up to 1: a Bradley-Terry likelihood")
        return
    point = nonzero_point(gap, view.box)
    if verdict is False and point:
        total = number(point[1] + 1)
        reason = f"exp(-loss) and that of the swapped pair add up to {total}, not 1{_kinship(s, view, loss, swapped)}"
        yield Finding("symmetry", REFUTED, reason, witness=named(point[0]) | {"sum": total})
    else:
        yield Finding("symmetry", UNDECIDED, "no proof that the likelihoods add up to 1, and no point where they do not")


def _kinship(s: Scalars, view: View, loss: Node, swapped: Node) -> str:
    """What else the swap leaves alone: a constant sum of the losses."""
    algebra = Algebra(view.box)
    try:
        total = sympy.cancel(sympy.together(algebra.normal(s.call("add", loss, swapped))))
    except OutOfReach:
        return ""
    constant = not any(_data(algebra, g) for g in total.free_symbols)
    return f"; the two losses add up to {algebra.pretty(total)}" if constant else ""


# -- what reaches the loss ---------------------------------------------------------------------------------------------------


def reach(subject: Subject) -> Iterator[Finding]:
    """Every declared role, parameter, column and term influences the loss."""
    items = {part: subject.view.unstopped(subject.view.whole(part)) for part in subject.parts}
    idle, doubtful = [], []
    for what, kind, names in _declared(subject):
        verdicts = [_reaches(subject, items[part], part, names) for part in items]
        if not any(v is not False for v in verdicts) and _outside(subject, what, list(subject.parts)):
            doubtful.append(f"{kind} {what} (outside the items)")
        elif not any(v is not False for v in verdicts):
            idle.append(f"{kind} {what}")
        elif True not in verdicts:
            doubtful.append(f"{kind} {what}")
    idle += [f"term {part.name}" for part, item in items.items() if not _inner(item)]
    idle = list(dict.fromkeys(idle))
    if idle:
        yield Finding("reach", REFUTED, f"nothing reaches the loss from {', '.join(idle)}", ", ".join(idle))
    elif doubtful:
        yield Finding("reach", UNDECIDED, f"no point was found where {', '.join(doubtful)} matters")
    else:
        yield Finding("reach", PROVED, "every declared role, parameter and term influences the loss")


def _outside(subject: Subject, name: str, parts: list[Part]) -> bool:
    """Whether a parameter stands in what is done with the items, such as an outer function over the batch."""
    inner = set(topological([part.item for part in parts]))
    return any(n.op == "parameter" and n.data == name and n not in inner for n in topological([subject.compiled.declared.loss]))


def _declared(subject: Subject) -> Iterator[tuple[str, str, set[str]]]:
    declaration = subject.compiled.objective.declaration
    for name in declaration.parameters:
        yield name, "the parameter", {name}
    for name in declaration.columns:
        yield name, "the column", {name}
    if subject.feedback == "paired":
        for role in ("chosen", "rejected"):
            yield role, "the role", {f"{role}."}
    for role in declaration.roles:
        yield role, "the role", {f"{role}."}


def _inner(node: Node) -> list[Node]:
    """The variables of a scalar, also inside opaque reductions."""
    found = []
    for v in variables(node):
        found += [v, *_inner(v.args[0])] if v.op == "reduce" else [v]
    return found


def _reaches(subject: Subject, item: Node, part: Part, names: set[str]) -> bool | None:
    """As `_depends`; what reductions hide is asked of a batch of one example whose completions have one token each.

    So is what a batch shares: the mean of a batch is no free number beside the example it is compared with.
    """
    s, view = subject.view.s, subject.view
    found = _depends(s, view, item, names)
    hidden = [v for v in variables(item) if v.op == "reduce"]
    if (found is None and hidden) or (found and any(v.batch for v in hidden)):
        alone = view.variant(alone=True)
        return True if _depends(s, view, _one_token(s, alone.unstopped(alone.whole(part))), names) else None
    return found


def _one_token(s: Scalars, item: Node) -> Node:
    """The item where every completion has one token: a sum over tokens is its only summand."""
    summed = {name: word for word, name in SUMMED.items()}
    swap: dict[Node, Node] = {}
    for v in variables(item):
        if v.op == "reduce" and v.slot and v.data in ("total", "mean", "largest", "smallest"):
            swap[v] = _one_token(s, v.args[0])
        elif v.op == "input" and v.data == "length":
            swap[v] = s.number(1)
        elif v.op == "input" and (v.data in summed or v.data.startswith(SUM_OF)):
            swap[v] = s.variable(summed.get(v.data, v.data.removeprefix(SUM_OF)), v.slot, ("token",))
    return s.substitute(item, swap)


def _depends(s: Scalars, view: View, item: Node, names: set[str]) -> bool | None:
    """True: a point where it matters; False: it provably does not; None: neither."""
    result: bool | None = False
    for v in variables(item):
        if v.op == "reduce":
            result = _through(s, view, item, v, names, result)
            if result:
                return True
            continue
        if not _named(v, names):
            continue
        verdict = is_free_of(s, item, v, view.box)
        if verdict is False:
            return True
        result = None if verdict is None else result
    return result


def _through(s: Scalars, view: View, item: Node, reduction: Node, names: set[str], so_far: bool | None) -> bool | None:
    """As `_depends`, through an opaque reduction alone: what stands elsewhere too may cancel, as in the sign of beta (r - mean)."""
    if not any(_named(w, names) for w in _inner(reduction)):
        return so_far
    alone = not any(_named(w, names) for v in variables(item) if v is not reduction for w in [*_inner(v), v])
    return True if alone and is_free_of(s, item, reduction, view.box) is False else None


def _named(variable: Node, names: set[str]) -> bool:
    return variable.data in names or f"{variable.slot}." in names


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
