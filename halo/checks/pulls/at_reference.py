"""Whether the loss of an example, with policy = reference, is a number made of parameters alone; and which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import sympy

from halo.analysis.algebra.factors import OutOfReach
from halo.analysis.algebra.normal_form import Algebra
from halo.analysis.identity import is_zero, named, nonzero_point, number
from halo.analysis.points import points
from halo.analysis.scalar import Scalars, variables
from halo.analysis.values import sure_value
from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding
from halo.checks.check import Check
from halo.checks.pulls.total import total_pull
from halo.checks.pulls.ways import roles
from halo.checks.results import Expectation
from halo.checks.scalars.batch.inside import batches
from halo.checks.scalars.batch_form import crossings, form_of, is_a_sum
from halo.checks.scalars.equal import depends_on_data, where_equal
from halo.checks.scalars.occurring import can_occur
from halo.checks.scalars.view import View
from halo.checks.subject import Subject
from halo.compiler.graph import Node
from halo.objective.document import Path
from halo.objective.formula import Call, Formula, Name, Number
from halo.objective.propositions import AT_REFERENCE

POINTS = 64
"""Tried for two with different losses. Where the loss depends on the data, almost any two will do."""
APART = 1e-12
"""Two losses, of values known to 60 digits, that differ by more than this differ."""

_Valued = tuple[Mapping[Node, Fraction], Any]


def asked(subject: Subject) -> bool:
    """Where something is to be equal to the policy, or the file says what the loss is."""
    needs = subject.compiled.declared.needs
    return bool(needs.reference or needs.sampler or AT_REFERENCE.name in subject.expected)


def ask(subject: Subject) -> Iterator[Finding]:
    """Of each label: the loss of an example that has it."""
    for label in subject.labels:
        yield _of_label(subject, label)


def held(subject: Subject, wanted: Any, found: Sequence[Finding]) -> Iterator[Expectation]:
    """The formula that is expected, of each label where the file says so, against the loss there."""
    path: Path = ("expect", AT_REFERENCE.name)
    by_label = dict.fromkeys(subject.labels, (path, wanted))
    if isinstance(wanted, dict):
        by_label = {label: ((*path, label), formula) for label, formula in wanted.items()}
    view = subject.view.variant(tied=True)
    values = {finding.check: finding.value for finding in found}
    for label, (place, text) in by_label.items():
        expected = _read(view.s, view, subject.compiled.objective.formula(place, text))
        loss = view.unstopped(view.alone_loss(label))
        same = is_zero(view.s, view.s.call("sub", loss, expected), view.box)
        if same and _of_parameters(view, expected) and not _in_any_batch(view, label, loss):
            same = None
        verdict = {True: PROVED, False: REFUTED, None: UNDECIDED}[same]
        yield Expectation(_name(label), str(text), values.get(_name(label)) or verdict, same is True)


def _name(label: str) -> str:
    return f"{AT_REFERENCE.name}.{label}".rstrip(".")


def _read(s: Scalars, view: View, formula: Formula) -> Node:
    """A formula over parameters and columns."""
    if isinstance(formula, Number):
        return s.number(formula.value)
    if isinstance(formula, Name):
        if formula.name in view.graph.parameters:
            return view.parameter(formula.name)
        return s.variable(formula.name)
    assert isinstance(formula, Call)
    return s.call(formula.function, *(_read(s, view, a) for a in formula.arguments))


def _of_label(subject: Subject, label: str) -> Finding:
    check = _name(label)
    tied = subject.view.variant(tied=True)
    loss = tied.unstopped(tied.alone_loss(label))
    algebra = Algebra(tied.box)
    try:
        form = sympy.cancel(sympy.together(algebra.normal(loss)))
        of_data = depends_on_data(algebra, form)
    except OutOfReach:
        witness = _two_values(tied, label, loss)
        if witness:
            return Finding(check, REFUTED, "with policy = reference the loss still depends on the data", witness=witness)
        return Finding(check, UNDECIDED, "the loss at the reference is too large to simplify")
    if form.has(sympy.zoo, sympy.nan, sympy.oo, -sympy.oo):
        return Finding(check, REFUTED, "with policy = reference the loss has no value")
    pretty = algebra.pretty(form)
    if of_data:
        names = ", ".join(sorted({str(symbol) for symbol in pretty.free_symbols} - set(subject.view.graph.parameters)))
        witness = _two_values(tied, label, loss)
        verdict = REFUTED if witness else UNDECIDED
        return Finding(check, verdict, f"with policy = reference the loss still depends on the data ({names})", witness=witness)
    value = str(_neat(pretty))
    if not _in_any_batch(tied, label, loss):
        witness = _another_value(tied, label, loss)
        verdict = REFUTED if witness else UNDECIDED
        return Finding(
            check, verdict, f"with policy = reference one example has the loss {value}, a batch of several another", witness=witness
        )
    of_two = " of a list of two" * tied.is_list
    reason = f"with policy = reference the loss{of_two} is {value}"
    slopes = ", ".join(_slopes(subject, tied, label))
    if slopes:
        reason += f"; d loss/d log π: {slopes}"
    return Finding(check, PROVED, reason, value)


def _neat(expression: sympy.Expr) -> sympy.Expr:
    return min((expression, sympy.factor(expression), sympy.logcombine(expression)), key=lambda e: len(str(e)))


def _two_values(view: View, label: str, loss: Node) -> dict[str, str]:
    """Two inputs with the same parameters and different losses: of one example, or of a batch that is written out."""
    apart = _apart(loss, [p for p in points(view.box, variables(loss), POINTS, view.first) if can_occur(p, view.box)])
    if apart is not None:
        (first, first_value), (second, second_value) = apart
        return _both(named(first), named(second)) | {"first loss": number(first_value), "second loss": number(second_value)}
    for batch in batches(view, label=label, lists_of=2, tied=True):
        loss = view.unstopped(batch.loss)
        apart = _apart(loss, points(batch.box, variables(loss), POINTS, view.first))
        if apart is not None:
            (first, first_value), (second, second_value) = apart
            return _both(batch.told(first), batch.told(second)) | {"first loss": number(first_value), "second loss": number(second_value)}
    return {}


def _apart(loss: Node, tried: Iterable[Mapping[Node, Fraction]]) -> tuple[_Valued, _Valued] | None:
    """Two points with the same parameters and different losses."""
    seen: dict[tuple[Fraction, ...], _Valued] = {}
    for point in tried:
        value = sure_value(loss, point)
        if value is None:
            continue
        parameters = tuple(x for v, x in point.items() if v.op == "parameter")
        first = seen.setdefault(parameters, (point, value))
        if abs(first[1] - value) > APART:
            return first, (point, value)
    return None


def _both(first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, str]:
    return {f"{name} (first)": x for name, x in first.items()} | {f"{name} (second)": x for name, x in second.items()}


# -- of one example, and of every batch ------------------------------------------------------------------------------------


def _in_any_batch(tied: View, label: str, loss: Node) -> bool:
    """Whether the loss of one example, which is made of parameters, is that of every batch of such examples."""
    graph, where, alone = tied.graph, tied.alone_where(label), tied.variant(alone=True)
    is_nothing = is_zero(tied.s, loss, tied.box) is True
    if is_a_sum(graph.loss) and not is_nothing:
        return False
    match form_of(graph.loss):
        case "examples":
            return True
        case "items":  # each a mean, whose weights say how many items an example has
            return all(_of_parameters(tied, alone.scalar(term, where)) for term in graph.terms.values())
        case _:
            steps = [step.args[0] for step in crossings([graph.loss]) if not step.batch and step.data not in ("count", "any")]
            if not all(_of_parameters(tied, _settled(tied, tied.scalar(step, where))) for step in steps):
                return False
            several = _settled(tied, tied.scalar(graph.loss, where))
            return _of_parameters(tied, several) and is_zero(tied.s, tied.s.call("sub", several, loss), tied.box) is True


def _settled(tied: View, node: Node) -> Node:
    """The scalar with every reduction over the batch that is the same in any batch as what it is then."""
    node, swap = tied.unstopped(node), dict[Node, Node]()
    for v in variables(node):
        if v.op == "reduce" and v.batch:
            inner = _settled(tied, v.args[0])
            nothing = is_zero(tied.s, inner, tied.box) is True
            if nothing or (v.data == "batch std" and _of_parameters(tied, inner)):
                swap[v] = tied.s.number(0)
            elif v.data != "batch total" and _of_parameters(tied, inner):
                swap[v] = inner
    return tied.s.substitute(node, swap)


def _of_parameters(view: View, node: Node) -> bool:
    algebra = Algebra(view.box)
    try:
        return not depends_on_data(algebra, sympy.cancel(sympy.together(algebra.normal(view.unstopped(node)))))
    except OutOfReach:
        return False


def _another_value(tied: View, label: str, loss: Node) -> dict[str, str]:
    """A batch of several such examples whose loss is another than that of one."""
    for batch in batches(tied, sizes=(2,), label=label, lists_of=2, tied=True):
        if any(outline.label != label for outline in batch.outlines):
            continue
        found = nonzero_point(tied.s.call("sub", tied.unstopped(batch.loss), loss), {**tied.box, **batch.box})
        if found is not None:
            return batch.told(found[0]) | {"more than that of one example": number(found[1])}
    return {}


def _slopes(subject: Subject, tied: View, label: str) -> Iterator[str]:
    """The pull on each role at the reference, where it is made of parameters alone."""
    for role, slot, parts in roles(subject):
        if label and role != label:
            continue
        own = [p for p in parts if not label or p.role in (label, "completion")]
        pull = total_pull(subject, slot, own, role)
        if pull is None:
            continue
        there = where_equal(subject.view.s, subject.view.unstopped(pull))
        algebra = Algebra(tied.box)
        try:
            form = sympy.cancel(sympy.together(algebra.normal(there)))
        except OutOfReach:
            continue
        if not depends_on_data(algebra, form):
            yield f"{role} {_neat(algebra.pretty(form))}"


CHECK = Check(AT_REFERENCE, ask, asked, held)
