"""Edits of formulas: rewards, reference points, weights, margins and values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from functools import partial

from halo.lint.diagnoses import attached_points, negative_margins, repeated
from halo.lint.rewriting import called, negated, parts_of, reads, rewritten
from halo.lint.trial import Case, Edit
from halo.objective.document import Path
from halo.objective.formula import Call, Formula, Name, Number, parse, to_text

KTO_POINT = "stop(max(0, batch_mean(mismatched.reward)))"
SUM_OF = {way: Call(way, (Name("logp"),)) for way in ("sum", "mean")}
BOUND, ZERO = Number(Fraction(20)), Number(Fraction(0))

# -- rewards and reference points ----------------------------------------------------------------------------------------


def rewards(case: Case, rule: Callable[[Formula], Formula | None]) -> Iterator[Edit]:
    for path, formula in case.formulas("reward", "let"):
        new = rewritten(formula, rule)
        if new != formula:
            yield Edit.of(path, to_text(new))


def turned_ratio(formula: Formula) -> Formula | None:
    left, right = called(formula, "sub") or (ZERO, ZERO)
    if reads(left, "ref_logp") and reads(right, "logp"):
        return Call("sub", (right, left))
    return None


def difference(formula: Formula) -> Formula | None:
    return _difference(called(formula, "add"))


def log_of_ratio(formula: Formula) -> Formula | None:
    """sum(logp) / sum(ref_logp) is a ratio of logarithms."""
    return _difference(called(formula, "div"))


def _difference(operands: tuple[Formula, ...]) -> Formula | None:
    """Of the policy's log-probability and the reference's, whatever stood between them."""
    left, right = operands or (ZERO, ZERO)
    if reads(left, "logp") and reads(right, "ref_logp"):
        return Call("sub", (left, right))
    return None


def with_reference(case: Case) -> Iterator[Edit]:
    """A sum over tokens alone grows with the length: a reference, or a mean. A beta of 1 or more is SimPO's, for means.

    Beside a likelihood it is CPO's or SLiC's, who mean it.
    """
    if case.declaration.regularizers or any(reads(f, "ref_logp") for _, f in case.formulas("reward", "let", "value", "regularizers")):
        return
    ratio = Call("sum", (Call("sub", (Name("logp"), Name("ref_logp"))),))
    large = any(p.default >= 1 for name, p in case.declaration.parameters.items() if reads(parse(str(case.at(("normalizer",)) or 1)), name))
    likelier = [SUM_OF["mean"], ratio]
    for way in likelier if large else likelier[::-1]:
        yield from rewards(case, partial(_replaced, {SUM_OF["sum"]: way}))


def _replaced(by: Mapping[Formula, Formula], formula: Formula) -> Formula | None:
    return by.get(formula)


def _renamed(old: str, new: str, formula: Formula) -> Formula | None:
    """A call of one function as that of another."""
    if isinstance(formula, Call) and formula.function == old:
        return Call(new, formula.arguments)
    return None


def other_points(case: Case, absent: bool) -> Iterator[Edit]:
    """The reference point that the kind of feedback usually has, instead of none (`absent`) or of another."""
    for part in case.subject.terms:
        path = case.path(part, "reference_point")
        usual = {"chosen": "rejected", "rejected": "chosen"}.get(part.role)
        if case.subject.feedback.labels:
            usual = KTO_POINT
        if usual and case.at(path) != usual and (case.at(path) == "none") == absent:
            yield Edit.of(path, usual)


def stopped_points(case: Case) -> Iterator[Edit]:
    if not case.subject.feedback.labels:
        return
    for part in dict.fromkeys([*attached_points(case), *case.subject.terms]):
        path = case.path(part, "reference_point")
        text = case.at(path)
        if text is None or text == "none" or str(text).startswith("stop("):
            continue
        if text in ("mismatched", "completion"):
            text = f"{text}.reward"
        yield Edit.of(path, f"stop({text})")


def stopped_weights(case: Case) -> Iterator[Edit]:
    for path, formula in case.formulas("weight"):
        if isinstance(formula, Call) and formula.function != "stop":
            yield Edit.of(path, to_text(Call("stop", (formula,))))


def raised_clamps(case: Case) -> Iterator[Edit]:
    for path, formula in case.formulas("reference_point"):
        yield Edit.of(path, to_text(rewritten(formula, partial(_renamed, "min", "max"))))


# -- margins and values --------------------------------------------------------------------------------------------------


def turned_margins(case: Case) -> Iterator[Edit]:
    """Negative margins; and any, if something is not pulled as it should be where training starts."""
    parts = list(negative_margins(case))
    if any(case.start(role) != case.wanted[role] for role in case.levels):
        parts += case.subject.terms
    for path in dict.fromkeys(case.path(part, "margin") for part in parts if part.margin is not None):
        yield Edit.of(path, to_text(negated(parse(case.at(path)))))


def with_margin(case: Case) -> Iterator[Edit]:
    for part in case.subject.terms:
        if part.margin is None:
            path: Path = ("margin",)
            if case.declaration.terms:
                path = ("terms", part.name, "margin")
            yield Edit.of(path, 1, anchor=case.path(part, "value"))


def unscaled(case: Case) -> Iterator[Edit]:
    """The repeated parameter taken out of the value, else of the reward."""
    for part, name in repeated(case):
        for path in (case.path(part, "value"), case.path(part, "reward")):
            formula = parse(case.at(path))
            new = rewritten(formula, partial(_without, Name(name)))
            if new != formula:
                yield Edit.of(path, to_text(new))


def _without(factor: Name, formula: Formula) -> Formula | None:
    """The other factor of a product with this one."""
    product = called(formula, "mul")
    if factor not in product:
        return None
    left, right = product
    return right if left == factor else left


def renamed(case: Case, old: str, new: str) -> Iterator[Edit]:
    for path, formula in case.formulas("value"):
        changed = rewritten(formula, partial(_renamed, old, new))
        if changed != formula:
            yield Edit.of(path, to_text(changed))


def links(case: Case) -> Iterator[Edit]:
    yield from renamed(case, "sigmoid", "logsigmoid")
    yield from renamed(case, "logsigmoid", "sigmoid")


def lower_hinges(case: Case) -> Iterator[Edit]:
    """max(0, z) gains without end and lets losers lie: min(0, z), or min(0, z - 1) where training starts at z = 0."""
    new = "min(0, z)"
    if case.compiled.declared.needs.reference and not any(part.margin for part in case.subject.terms):
        new = "min(0, z - 1)"
    for path, formula in case.formulas("value"):
        if formula in (Call("relu", (Name("z"),)), Call("max", (ZERO, Name("z"))), Call("max", (Name("z"), ZERO))):
            yield Edit.of(path, new)


def bounded_exponents(case: Case) -> Iterator[Edit]:
    for path, formula in case.formulas("reward", "value", "weight", "let"):
        new = rewritten(formula, _bounded_exponent)
        if new != formula:
            yield Edit.of(path, to_text(new))


def _bounded_exponent(formula: Formula) -> Formula | None:
    inside = called(formula, "exp")
    if not inside:
        return None
    return Call("exp", (Call("min", (inside[0], BOUND)),))


def probabilities(case: Case) -> Iterator[Edit]:
    """Log-probabilities under a logarithm, exponentiated."""
    for path, formula in case.formulas("let", "reward", "value"):
        if path[0] == "let" or any(called(f, "log") for f in parts_of(formula)):
            new = rewritten(formula, partial(_replaced, {summed: Call("exp", (summed,)) for summed in SUM_OF.values()}))
            if new != formula:
                yield Edit.of(path, to_text(new))


def values_of_z(case: Case) -> Iterator[Edit]:
    for path, formula in case.formulas("value"):
        if not reads(formula, "z") and reads(formula, "reward"):
            yield Edit.of(path, to_text(rewritten(formula, partial(_replaced, {Name("reward"): Name("z")}))))


def divided(case: Case) -> Iterator[Edit]:
    """1 / 2 * x as 1 / (2 * x)."""

    def rule(formula: Formula) -> Formula | None:
        quotient, factor = called(formula, "mul") or (None, None)
        if factor is None or not isinstance(quotient, Number) or quotient.value.denominator == 1:
            return None
        above, below = (Number(Fraction(part)) for part in quotient.value.as_integer_ratio())
        return Call("div", (above, Call("mul", (below, factor))))

    for path, formula in case.formulas("margin", "value", "normalizer", "weight", "let"):
        new = rewritten(formula, rule)
        if new != formula:
            yield Edit.of(path, to_text(new))


def averaged(case: Case) -> Iterator[Edit]:
    bases: list[Path] = [("reduce",)]
    bases += [(group, name, "reduce") for group in ("terms", "regularizers") for name in case.values.get(group, {})]
    for base in bases:
        if (case.at(base) or {}).get("examples") == "sum":
            yield Edit.of((*base, "examples"), "mean")
