"""Edits of signs, roles, labels, regularizers and domains: the likeliest first."""

from __future__ import annotations

from collections.abc import Iterator

from halo.compiler.graph import Part
from halo.lint.rewriting import negated, parts_of, reads, rewritten
from halo.lint.trial import Case, Edit
from halo.objective.document import Path
from halo.objective.formula import Call, Formula, Name, parse, to_text
from halo.objective.schema import Interval

# -- signs and roles -----------------------------------------------------------------------------------------------------


def wrong(case: Case, part: Part) -> bool:
    """Whether the completions of a term's items are pulled the wrong way."""
    own = case.levels.get(part.role)
    return own < 0 if own is not None and case.subject.feedback.labels else astray(case)


def astray(case: Case) -> bool:
    """Whether a completion is pulled the wrong way where training starts, not only far out or for some parameters."""
    return min(case.levels.values(), default=3) < 0


def flipped_signs(case: Case) -> Iterator[Edit]:
    """Each key `sign` with wrong items alone, then all together."""
    by_key: dict[Path, dict[str, int]] = {}
    for part in case.subject.terms:
        path = case.path(part, "sign")
        by_key.setdefault(path, {})[part.role] = -part.sign if wrong(case, part) else part.sign
    changes = []
    for path, signs in by_key.items():
        texts = {role: f"{sign:+d}" for role, sign in signs.items()}
        changes.append((path, texts if len(set(texts.values())) > 1 else next(iter(texts.values()))))
    changes = [(path, value) for path, value in changes if str(case.at(path)) not in (value, str(value).lstrip("+"))]
    yield from (Edit.of(path, value) for path, value in changes)
    if len(changes) > 1:
        yield Edit(tuple(changes), changes[0][0])


def negated_values(case: Case) -> Iterator[Edit]:
    """v is raised by sign -1, so what falls in z there is a loss already."""
    paths = dict.fromkeys(case.path(part, "value") for part in case.subject.terms if part.sign < 0 and wrong(case, part))
    yield from (Edit.of(path, to_text(negated(parse(case.at(path))))) for path in paths if not isinstance(case.at(path), dict))


def turned_arguments(case: Case) -> Iterator[Edit]:
    """Every -z as z, in values that hold no other z."""
    minus = Call("neg", (Name("z"),))
    for path, formula in case.formulas("value") if astray(case) else ():
        inside = list(parts_of(formula))
        if inside.count(minus) and inside.count(minus) == inside.count(Name("z")):
            yield Edit.of(path, to_text(rewritten(formula, lambda f: Name("z") if f == minus else None)))


def swapped_labels(case: Case) -> Iterator[Edit]:
    for path in [(key,) for key in ("sign", "value", "margin", "constant", "weight")] if astray(case) else ():
        value = case.at(path)
        if isinstance(value, dict) and set(value) == {"desirable", "undesirable"}:
            worse, better = (f"{int(one):+d}" if path == ("sign",) else one for one in (value["desirable"], value["undesirable"]))
            yield Edit.of(path, {"desirable": better, "undesirable": worse})


def swapped_roles(case: Case) -> Iterator[Edit]:
    other = {"chosen": "rejected", "rejected": "chosen"}
    bases: list[Path] = [(), *(("terms", name) for name in case.declaration.terms)]
    for base in bases:
        role, point = case.at((*base, "role")), case.at((*base, "reference_point"))
        if role == "rejected" and point in other:
            yield Edit((((*base, "role"), "chosen"), ((*base, "reference_point"), "rejected")), (*base, "role"))
    for path, formula in case.formulas("value", "margin", "let", "regularizers") if astray(case) or not case.subject.terms else ():
        if {f.role for f in parts_of(formula) if isinstance(f, Name)} >= set(other):
            yield Edit.of(
                path,
                to_text(rewritten(formula, lambda f: Name(f.name, other[f.role]) if isinstance(f, Name) and f.role in other else None)),
            )


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
    return Edit.of(path, text, path if case.at(path) is not None else (group, name))


def positive(case: Case) -> Iterator[Edit]:
    """Parameters that may be 0 or negative, each positive; then all of them. No pull turns round at 0, only below it."""
    found, with_zero = [], max(case.levels.values(), default=3) == 3 or case.rank("domain") < 2
    for name, parameter in case.declaration.parameters.items():
        interval = Interval.parse(parameter.domain)
        if parameter.default > 0 and (
            interval.low is None or interval.low < 0 or (interval.low == 0 and interval.low_closed and with_zero)
        ):
            closing = "]" if interval.high_closed else ")"
            end = "inf)" if interval.high is None else f"{interval.high}{closing}"
            found.append(domain(case, "parameters", name, f"(0, {end}"))
    yield from found
    if len(found) > 1:
        yield Edit(tuple(change for edit in found for change in edit.changes), found[0].anchor)


def columns(case: Case) -> Iterator[Edit]:
    for name, column in case.declaration.columns.items():
        if Interval.parse(column.domain).low is None:
            yield domain(case, "columns", name, "[0, inf)")


def below_half(case: Case) -> Iterator[Edit]:
    for name, parameter in case.declaration.parameters.items():
        interval = Interval.parse(parameter.domain)
        high = interval.high
        if parameter.default < 0.5 and high is not None and high <= 1 and (high > 0.5 or interval.high_closed):
            start = "[0" if 0 in interval else "(0"
            yield domain(case, "parameters", name, f"{start}, 1/2)")
