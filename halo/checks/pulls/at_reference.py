"""Whether the loss of an example, with policy = reference, is a number made of parameters alone; and which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import sympy

from halo.analysis.algebra.factors import OutOfReach
from halo.analysis.algebra.normal_form import Algebra
from halo.analysis.identity import is_zero, named, number
from halo.analysis.points import points
from halo.analysis.scalar import Scalars, variables
from halo.analysis.values import sure_value
from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding
from halo.checks.check import Check
from halo.checks.pulls.total import total_pull
from halo.checks.pulls.ways import roles
from halo.checks.results import Expectation
from halo.checks.scalars.equal import depends_on_data, where_equal
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
        gap = view.s.call("sub", view.unstopped(view.alone_loss(label)), expected)
        same = is_zero(view.s, gap, view.box)
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
        return Finding(check, UNDECIDED, "the loss at the reference is too large to simplify")
    if form.has(sympy.zoo, sympy.nan, sympy.oo, -sympy.oo):
        return Finding(check, REFUTED, "with policy = reference the loss has no value")
    pretty = algebra.pretty(form)
    if of_data:
        names = ", ".join(sorted({str(symbol) for symbol in pretty.free_symbols} - set(subject.view.graph.parameters)))
        witness = _two_values(tied, loss)
        verdict = REFUTED if witness else UNDECIDED
        return Finding(check, verdict, f"with policy = reference the loss still depends on the data ({names})", witness=witness)
    value = str(_neat(pretty))
    of_two = " of a list of two" * tied.is_list
    reason = f"with policy = reference the loss{of_two} is {value}"
    slopes = ", ".join(_slopes(subject, tied, label))
    if slopes:
        reason += f"; d loss/d log π: {slopes}"
    return Finding(check, PROVED, reason, value)


def _neat(expression: sympy.Expr) -> sympy.Expr:
    return min((expression, sympy.factor(expression), sympy.logcombine(expression)), key=lambda e: len(str(e)))


def _two_values(view: View, loss: Node) -> dict[str, str]:
    """Two inputs with the same parameters and different losses."""
    seen: dict[tuple[Fraction, ...], tuple[Mapping[Node, Fraction], Any]] = {}
    for point in points(view.box, variables(loss), POINTS, view.first):
        value = sure_value(loss, point)
        if value is None:
            continue
        parameters = tuple(x for v, x in point.items() if v.op == "parameter")
        first, first_value = seen.setdefault(parameters, (point, value))
        if abs(first_value - value) > APART:
            both = {f"{name} (first)": entry for name, entry in named(first).items()}
            both |= {f"{name} (second)": entry for name, entry in named(point).items()}
            return both | {"first loss": number(first_value), "second loss": number(value)}
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
