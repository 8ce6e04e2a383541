"""Edits of signs, roles, labels, regularizers and domains: the likeliest first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from halo.compiler.graph import Part
from halo.lint.rewriting import negated, parts_of, reads, rewritten
from halo.lint.trial import ALWAYS, HOLDS, Case, Edit
from halo.objective.document import Path
from halo.objective.formula import Call, Formula, Name, parse, to_text
from halo.objective.propositions import DOMAIN
from halo.objective.schema import Interval

# -- signs and roles -----------------------------------------------------------------------------------------------------


def wrong(case: Case, part: Part) -> bool:
    """Whether the completions of a term's items are pulled the wrong way."""
    own = case.levels.get(part.role)
    if own is not None and case.subject.feedback.labels:
        return own < 0
    return wrong_direction(case)


def wrong_direction(case: Case) -> bool:
    """Whether a completion is pulled the wrong way where training starts, not only far out or for some parameters."""
    return min(case.levels.values(), default=3) < 0


def flipped_signs(case: Case) -> Iterator[Edit]:
    """Each key `sign` with wrong items alone, then all together."""
    by_key: dict[Path, dict[str, str]] = {}
    for part in case.subject.terms:
        sign = -part.sign if wrong(case, part) else part.sign
        by_key.setdefault(case.path(part, "sign"), {})[part.role] = f"{sign:+d}"
    changes: list[tuple[Path, Any]] = []
    for path, signs in by_key.items():
        value: Any = signs
        if len(set(signs.values())) == 1:
            value = next(iter(signs.values()))
        if str(case.at(path)) not in (value, str(value).lstrip("+")):
            changes.append((path, value))
    yield from (Edit.of(path, value) for path, value in changes)
    if len(changes) > 1:
        yield Edit(tuple(changes), changes[0][0])


def negated_values(case: Case) -> Iterator[Edit]:
    """v is raised by sign -1, so what falls in z there is a loss already."""
    paths = dict.fromkeys(case.path(part, "value") for part in case.subject.terms if part.sign < 0 and wrong(case, part))
    yield from (Edit.of(path, to_text(negated(parse(case.at(path))))) for path in paths if not isinstance(case.at(path), dict))


def turned_arguments(case: Case) -> Iterator[Edit]:
    """Every -z as z, in values that hold no other z."""
    if not wrong_direction(case):
        return
    minus = Call("neg", (Name("z"),))
    for path, formula in case.formulas("value"):
        inside = list(parts_of(formula))
        if inside.count(minus) and inside.count(minus) == inside.count(Name("z")):
            yield Edit.of(path, to_text(rewritten(formula, lambda f: Name("z") if f == minus else None)))


def swapped_labels(case: Case) -> Iterator[Edit]:
    if not wrong_direction(case):
        return
    for key in ("sign", "value", "margin", "constant", "weight"):
        value = case.at((key,))
        if not isinstance(value, dict) or set(value) != {"desirable", "undesirable"}:
            continue
        worse, better = value["desirable"], value["undesirable"]
        if key == "sign":
            worse, better = (f"{int(sign):+d}" for sign in (worse, better))
        yield Edit.of((key,), {"desirable": better, "undesirable": worse})


def swapped_roles(case: Case) -> Iterator[Edit]:
    other = {"chosen": "rejected", "rejected": "chosen"}
    bases: list[Path] = [(), *(("terms", name) for name in case.declaration.terms)]
    for base in bases:
        role, point = case.at((*base, "role")), case.at((*base, "reference_point"))
        if role == "rejected" and point in other:
            yield Edit((((*base, "role"), "chosen"), ((*base, "reference_point"), "rejected")), (*base, "role"))
    if case.subject.terms and not wrong_direction(case):
        return
    for path, formula in case.formulas("value", "margin", "let", "regularizers"):
        if {f.role for f in parts_of(formula) if isinstance(f, Name)} >= set(other):
            yield Edit.of(path, to_text(rewritten(formula, _of_the_other)))


def _of_the_other(formula: Formula) -> Formula | None:
    other = {"chosen": "rejected", "rejected": "chosen"}
    if isinstance(formula, Name) and formula.role in other:
        return Name(formula.name, other[formula.role])
    return None


def likelihoods(case: Case) -> Iterator[tuple[str, str | list[str], Formula]]:
    """Regularizers that read the policy alone (a penalty on a log-ratio may pull either way), with role and formula."""
    for name, regularizer in case.declaration.regularizers.items():
        if not isinstance(regularizer.expression, dict):
            formula = parse(regularizer.expression)
            if not reads(formula, "ref_logp"):
                yield name, regularizer.role, formula


def turned_regularizers(case: Case) -> Iterator[Edit]:
    for name, _, formula in likelihoods(case):
        yield Edit.of(("regularizers", name, "expression"), to_text(negated(formula)))


def moved_regularizers(case: Case) -> Iterator[Edit]:
    better = {"rejected": "chosen", "undesirable": "desirable", "worst": "best"}
    for name, role, _ in likelihoods(case):
        if isinstance(role, str) and role in better:
            yield Edit.of(("regularizers", name, "role"), better[role])


# -- domains -------------------------------------------------------------------------------------------------------------


def domain(case: Case, group: str, name: str, text: str) -> Edit:
    path: Path = (group, name, "domain")
    if case.at(path) is None:
        return Edit.of(path, text, anchor=(group, name))
    return Edit.of(path, text)


def positive(case: Case) -> Iterator[Edit]:
    """Parameters that may be 0 or negative, each positive; then all of them. No pull turns round at 0, only below it."""
    found = []
    with_zero = max(case.levels.values(), default=ALWAYS) == ALWAYS or case.rank(DOMAIN) < HOLDS
    for name, parameter in case.declaration.parameters.items():
        interval = Interval.parse(parameter.domain)
        if parameter.default > 0 and _reaches_zero(interval, with_zero):
            found.append(domain(case, "parameters", name, f"(0, {_upper_end(interval)}"))
    yield from found
    if len(found) > 1:
        yield Edit(tuple(change for edit in found for change in edit.changes), found[0].anchor)


def _reaches_zero(interval: Interval, with_zero: bool) -> bool:
    """Whether there are numbers below 0 in it; or 0 itself, where that counts."""
    if interval.low is None or interval.low < 0:
        return True
    return with_zero and interval.low == 0 and interval.low_closed


def _upper_end(interval: Interval) -> str:
    if interval.high is None:
        return "inf)"
    return f"{interval.high}]" if interval.high_closed else f"{interval.high})"


def columns(case: Case) -> Iterator[Edit]:
    for name, column in case.declaration.columns.items():
        if Interval.parse(column.domain).low is None:
            yield domain(case, "columns", name, "[0, inf)")


def below_half(case: Case) -> Iterator[Edit]:
    for name, parameter in case.declaration.parameters.items():
        interval = Interval.parse(parameter.domain)
        high = interval.high
        if parameter.default < 0.5 and high is not None and high <= 1 and (high > 0.5 or interval.high_closed):
            domain_text = "[0, 1/2)" if 0 in interval else "(0, 1/2)"
            yield domain(case, "parameters", name, domain_text)
