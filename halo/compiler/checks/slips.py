"""The table of known slips: for which symptoms each is suspected, and which edits would undo it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from halo.compiler.checks.cures import Case, Edit, parts_of, rewritten
from halo.compiler.checks.symptoms import attached_points, easing_margins, repeated
from halo.compiler.graph import Part
from halo.objective.document import Path
from halo.objective.formula import Call, Formula, Name, Number, parse, to_text
from halo.objective.schema import Interval

KTO_POINT = "stop(max(0, batch_mean(mismatched.reward)))"
SUM_OF = {way: Call(way, (Name("logp"),)) for way in ("sum", "mean")}
BOUND, ZERO = Number(Fraction(20)), Number(Fraction(0))


@dataclass(frozen=True)
class Slip:
    """One kind of mistake. `edits` yields the likeliest cure first; `why` says in one clause what was done."""

    name: str
    symptoms: tuple[str, ...]
    edits: Callable[[Case], Iterator[Edit]]
    why: str


# -- signs and roles -----------------------------------------------------------------------------------------------------


def _wrong(case: Case, part: Part) -> bool:
    """Whether the completions of a term's items are pulled the wrong way."""
    own = case.levels.get(part.role)
    return own < 0 if own is not None and case.subject.feedback == "labelled" else _astray(case)


def _astray(case: Case) -> bool:
    """Whether a completion is pulled the wrong way where training starts, not only far out or for some parameters."""
    return min(case.levels.values(), default=3) < 0


def _flipped_signs(case: Case) -> Iterator[Edit]:
    """Each key `sign` with wrong items alone, then all together."""
    by_key: dict[Path, dict[str, int]] = {}
    for part in case.subject.terms:
        path = case.path(part, "sign")
        by_key.setdefault(path, {})[part.role] = -part.sign if _wrong(case, part) else part.sign
    changes = []
    for path, signs in by_key.items():
        texts = {role: f"{sign:+d}" for role, sign in signs.items()}
        changes.append((path, texts if len(set(texts.values())) > 1 else next(iter(texts.values()))))
    changes = [(path, value) for path, value in changes if str(case.at(path)) not in (value, str(value).lstrip("+"))]
    yield from (Edit.of(path, value) for path, value in changes)
    if len(changes) > 1:
        yield Edit(tuple(changes), changes[0][0])


def _negated(formula: Formula) -> Formula:
    """Minus the formula; a minus in front is taken away."""
    if isinstance(formula, Call) and formula.function == "neg":
        return formula.arguments[0]
    if isinstance(formula, Number) and formula.value < 0:
        return Number(-formula.value)
    if isinstance(formula, Call) and formula.function in ("mul", "div"):
        left, right = formula.arguments
        turned = _negated(left)
        if not _called(turned, "neg"):
            return Call(formula.function, (turned, right))
    return Call("neg", (formula,))


def _negated_values(case: Case) -> Iterator[Edit]:
    """v is raised by sign -1, so what falls in z there is a loss already."""
    paths = dict.fromkeys(case.path(part, "value") for part in case.subject.terms if part.sign < 0 and _wrong(case, part))
    yield from (Edit.of(path, to_text(_negated(parse(case.at(path))))) for path in paths if not isinstance(case.at(path), dict))


def _turned_arguments(case: Case) -> Iterator[Edit]:
    """Every -z as z, in values that hold no other z."""
    minus = Call("neg", (Name("z"),))
    for path, formula in case.formulas("value") if _astray(case) else ():
        inside = list(parts_of(formula))
        if inside.count(minus) and inside.count(minus) == inside.count(Name("z")):
            yield Edit.of(path, to_text(rewritten(formula, lambda f: Name("z") if f == minus else None)))


def _swapped_labels(case: Case) -> Iterator[Edit]:
    for path in [(key,) for key in ("sign", "value", "margin", "constant", "weight")] if _astray(case) else ():
        value = case.at(path)
        if isinstance(value, dict) and set(value) == {"desirable", "undesirable"}:
            worse, better = (f"{int(one):+d}" if path == ("sign",) else one for one in (value["desirable"], value["undesirable"]))
            yield Edit.of(path, {"desirable": better, "undesirable": worse})


def _swapped_roles(case: Case) -> Iterator[Edit]:
    other = {"chosen": "rejected", "rejected": "chosen"}
    bases: list[Path] = [(), *(("terms", name) for name in case.declaration.terms)]
    for base in bases:
        role, point = case.at((*base, "role")), case.at((*base, "reference_point"))
        if role == "rejected" and point in other:
            yield Edit((((*base, "role"), "chosen"), ((*base, "reference_point"), "rejected")), (*base, "role"))
    for path, formula in case.formulas("value", "margin", "let", "regularizers") if _astray(case) or not case.subject.terms else ():
        if {f.role for f in parts_of(formula) if isinstance(f, Name)} >= set(other):
            yield Edit.of(path, to_text(rewritten(formula, lambda f: Name(f.name, other[f.role]) if isinstance(f, Name) and f.role in other else None)))


def _likelihoods(case: Case) -> Iterator[tuple[str, str | list[str], Formula]]:
    """Regularizers that read the policy alone (a penalty on a log-ratio may pull either way), with role and formula."""
    for name, regularizer in case.declaration.regularizers.items():
        if not isinstance(regularizer.expression, dict):
            formula = parse(regularizer.expression)
            if not _reads(formula, "ref_logp"):
                yield name, regularizer.role, formula


def _turned_regularizers(case: Case) -> Iterator[Edit]:
    for name, _, formula in _likelihoods(case):
        yield Edit.of(("regularizers", name, "expression"), to_text(_negated(formula)))


def _moved_regularizers(case: Case) -> Iterator[Edit]:
    better = {"rejected": "chosen", "undesirable": "desirable", "worst": "best"}
    for name, role, _ in _likelihoods(case):
        if isinstance(role, str) and role in better:
            yield Edit.of(("regularizers", name, "role"), better[role])


# -- domains -------------------------------------------------------------------------------------------------------------


def _domain(case: Case, group: str, name: str, text: str) -> Edit:
    path: Path = (group, name, "domain")
    return Edit.of(path, text, path if case.at(path) is not None else (group, name))


def _positive(case: Case) -> Iterator[Edit]:
    """Parameters that may be 0 or negative, each positive; then all of them. No pull turns round at 0, only below it."""
    found, with_zero = [], max(case.levels.values(), default=3) == 3 or case.rank("domain") < 2
    for name, parameter in case.declaration.parameters.items():
        interval = Interval.parse(parameter.domain)
        if parameter.default > 0 and (interval.low is None or interval.low < 0 or (interval.low == 0 and interval.low_closed and with_zero)):
            end = "inf)" if interval.high is None else f"{interval.high}{']' if interval.high_closed else ')'}"
            found.append(_domain(case, "parameters", name, f"(0, {end}"))
    yield from found
    if len(found) > 1:
        yield Edit(tuple(change for edit in found for change in edit.changes), found[0].anchor)


def _columns(case: Case) -> Iterator[Edit]:
    for name, column in case.declaration.columns.items():
        if Interval.parse(column.domain).low is None:
            yield _domain(case, "columns", name, "[0, inf)")


def _below_half(case: Case) -> Iterator[Edit]:
    for name, parameter in case.declaration.parameters.items():
        interval = Interval.parse(parameter.domain)
        high = interval.high
        if parameter.default < 0.5 and high is not None and high <= 1 and (high > 0.5 or interval.high_closed):
            start = "[0" if 0 in interval else "(0"
            yield _domain(case, "parameters", name, f"{start}, 1/2)")


# -- rewards and reference points ----------------------------------------------------------------------------------------


def _called(formula: Formula, function: str) -> tuple[Formula, ...]:
    return formula.arguments if isinstance(formula, Call) and formula.function == function else ()


def _reads(formula: Formula, name: str) -> bool:
    return any(isinstance(f, Name) and f.name == name for f in parts_of(formula))


def _rewards(case: Case, rule: Callable[[Formula], Formula | None]) -> Iterator[Edit]:
    for path, formula in case.formulas("reward", "let"):
        new = rewritten(formula, rule)
        if new != formula:
            yield Edit.of(path, to_text(new))


def _turned_ratio(formula: Formula) -> Formula | None:
    left, right = _called(formula, "sub") or (ZERO, ZERO)
    return Call("sub", (right, left)) if _reads(left, "ref_logp") and _reads(right, "logp") else None


def _difference(formula: Formula) -> Formula | None:
    left, right = _called(formula, "add") or (ZERO, ZERO)
    return Call("sub", (left, right)) if _reads(left, "logp") and _reads(right, "ref_logp") else None


def _log_of_ratio(formula: Formula) -> Formula | None:
    """sum(logp) / sum(ref_logp) is a ratio of logarithms."""
    left, right = _called(formula, "div") or (ZERO, ZERO)
    return Call("sub", (left, right)) if _reads(left, "logp") and _reads(right, "ref_logp") else None


def _with_reference(case: Case) -> Iterator[Edit]:
    """A sum over tokens alone grows with the length: a reference, or a mean. A beta of 1 or more is SimPO's, for means.

    Beside a likelihood it is CPO's or SLiC's, who mean it.
    """
    if case.declaration.regularizers or any(_reads(f, "ref_logp") for _, f in case.formulas("reward", "let", "value", "regularizers")):
        return
    ratio = Call("sum", (Call("sub", (Name("logp"), Name("ref_logp"))),))
    large = any(p.default >= 1 for name, p in case.declaration.parameters.items() if _reads(parse(str(case.at(("normalizer",)) or 1)), name))
    for way in (SUM_OF["mean"], ratio) if large else (ratio, SUM_OF["mean"]):
        yield from _rewards(case, lambda f, way=way: way if f == SUM_OF["sum"] else None)  # type: ignore[misc]


def _other_points(case: Case, absent: bool) -> Iterator[Edit]:
    """The reference point that the kind of feedback usually has, instead of none (`absent`) or of another."""
    for part in case.subject.terms:
        path = case.path(part, "reference_point")
        usual = KTO_POINT if case.subject.feedback == "labelled" else {"chosen": "rejected", "rejected": "chosen"}.get(part.role)
        if usual and case.at(path) != usual and (case.at(path) == "none") == absent:
            yield Edit.of(path, usual)


def _stopped_points(case: Case) -> Iterator[Edit]:
    for part in dict.fromkeys([*attached_points(case), *(case.subject.terms if case.subject.feedback == "labelled" else [])]):
        path = case.path(part, "reference_point")
        text = case.at(path)
        if text is not None and text != "none" and not str(text).startswith("stop("):
            yield Edit.of(path, f"stop({text}.reward)" if text in ("mismatched", "completion") else f"stop({text})")


def _stopped_weights(case: Case) -> Iterator[Edit]:
    for path, formula in case.formulas("weight"):
        if isinstance(formula, Call) and formula.function != "stop":
            yield Edit.of(path, to_text(Call("stop", (formula,))))


def _raised_clamps(case: Case) -> Iterator[Edit]:
    for path, formula in case.formulas("reference_point"):
        yield Edit.of(path, to_text(rewritten(formula, lambda f: Call("max", f.arguments) if isinstance(f, Call) and f.function == "min" else None)))


# -- margins and values --------------------------------------------------------------------------------------------------


def _turned_margins(case: Case) -> Iterator[Edit]:
    """Margins that ease, and any, if something is not pulled as it should be where training starts."""
    amiss = any(case.start(role) != case.wanted[role] for role in case.levels)
    parts = [*easing_margins(case), *(case.subject.terms if amiss else [])]
    for path in dict.fromkeys(case.path(part, "margin") for part in parts if part.margin is not None):
        yield Edit.of(path, to_text(_negated(parse(case.at(path)))))


def _with_margin(case: Case) -> Iterator[Edit]:
    for part in case.subject.terms:
        if part.margin is None:
            base: Path = ("terms", part.name) if case.declaration.terms else ()
            yield Edit.of((*base, "margin"), 1, anchor=case.path(part, "value"))


def _unscaled(case: Case) -> Iterator[Edit]:
    """The repeated parameter taken out of the value, else of the reward."""
    for part, name in repeated(case):
        for path in (case.path(part, "value"), case.path(part, "reward")):
            formula = parse(case.at(path))
            new = rewritten(formula, lambda f, name=name: _without(f, Name(name)))  # type: ignore[misc]
            if new != formula:
                yield Edit.of(path, to_text(new))


def _without(formula: Formula, factor: Name) -> Formula | None:
    product = _called(formula, "mul")
    return next((other for one, other in (product, product[::-1]) if one == factor), None) if product else None


def _renamed(case: Case, old: str, new: str) -> Iterator[Edit]:
    for path, formula in case.formulas("value"):
        changed = rewritten(formula, lambda f: Call(new, f.arguments) if isinstance(f, Call) and f.function == old else None)
        if changed != formula:
            yield Edit.of(path, to_text(changed))


def _links(case: Case) -> Iterator[Edit]:
    yield from _renamed(case, "sigmoid", "logsigmoid")
    yield from _renamed(case, "logsigmoid", "sigmoid")


def _lower_hinges(case: Case) -> Iterator[Edit]:
    """max(0, z) gains without end and lets losers lie: min(0, z), or min(0, z - 1) where training starts at z = 0."""
    at_start = "z - 1" if case.compiled.declared.needs.reference and not any(p.margin for p in case.subject.terms) else "z"
    for path, formula in case.formulas("value"):
        if formula in (Call("relu", (Name("z"),)), Call("max", (ZERO, Name("z"))), Call("max", (Name("z"), ZERO))):
            yield Edit.of(path, f"min(0, {at_start})")


def _bounded_exponents(case: Case) -> Iterator[Edit]:
    for path, formula in case.formulas("reward", "value", "weight", "let"):
        new = rewritten(formula, lambda f: Call("exp", (Call("min", (f.arguments[0], BOUND)),)) if isinstance(f, Call) and f.function == "exp" else None)
        if new != formula:
            yield Edit.of(path, to_text(new))


def _probabilities(case: Case) -> Iterator[Edit]:
    """Log-probabilities under a logarithm, exponentiated."""
    for path, formula in case.formulas("let", "reward", "value"):
        if path[0] == "let" or any(_called(f, "log") for f in parts_of(formula)):
            new = rewritten(formula, lambda f: Call("exp", (f,)) if f in SUM_OF.values() else None)
            if new != formula:
                yield Edit.of(path, to_text(new))


def _values_of_z(case: Case) -> Iterator[Edit]:
    for path, formula in case.formulas("value"):
        if not _reads(formula, "z") and _reads(formula, "reward"):
            yield Edit.of(path, to_text(rewritten(formula, lambda f: Name("z") if f == Name("reward") else None)))


def _divided(case: Case) -> Iterator[Edit]:
    """1 / 2 * x as 1 / (2 * x)."""

    def rule(formula: Formula) -> Formula | None:
        quotient, factor = _called(formula, "mul") or (None, None)
        if factor is None or not isinstance(quotient, Number) or quotient.value.denominator == 1:
            return None
        above, below = (Number(Fraction(part)) for part in quotient.value.as_integer_ratio())
        return Call("div", (above, Call("mul", (below, factor))))

    for path, formula in case.formulas("margin", "value", "normalizer", "weight", "let"):
        new = rewritten(formula, rule)
        if new != formula:
            yield Edit.of(path, to_text(new))


def _averaged(case: Case) -> Iterator[Edit]:
    bases: list[Path] = [("reduce",)]
    bases += [(group, name, "reduce") for group in ("terms", "regularizers") for name in case.values.get(group, {})]
    for base in bases:
        if (case.at(base) or {}).get("examples") == "sum":
            yield Edit.of((*base, "examples"), "mean")


SLIPS = (
    Slip("own-reward", ("reach",), lambda case: _other_points(case, False), "the reward is compared with itself"),
    Slip("no-reference-point", ("reach",), lambda case: _other_points(case, True), "the reward is compared with nothing"),
    Slip("value-without-z", ("reach",), _values_of_z, "the value reads the reward, not z = reward - reference_point - margin"),
    Slip("reference-negated", ("pulls",), lambda case: _rewards(case, _turned_ratio), "the log-ratio is taken the wrong way round"),
    Slip("ratio-of-logs", ("pulls", "halo"), lambda case: _rewards(case, _log_of_ratio), "a ratio of logarithms is no logarithm of a ratio"),
    Slip("labels-swapped", ("pulls",), _swapped_labels, "the entries of desirable and undesirable are exchanged"),
    Slip("roles-swapped", ("pulls",), _swapped_roles, "chosen and rejected are exchanged"),
    Slip("regularizer-on-wrong-role", ("pulls",), _moved_regularizers, "the likelihood of the worse answer is raised"),
    Slip("regularizer-turned", ("pulls",), _turned_regularizers, "the regularizer is added, so that it pushes down what it measures"),
    Slip("loss-as-value", ("pulls",), _negated_values, "the value is a loss already, and sign -1 turns it round"),
    Slip("argument-negated", ("pulls",), _turned_arguments, "the value falls in z"),
    Slip("wrong-sign", ("pulls",), _flipped_signs, "the sign in front of v is the wrong one (-1 raises v, +1 lowers it)"),
    Slip("weight-attached", ("pulls",), _stopped_weights, "the weight is made of the policy and has a gradient of its own"),
    Slip("reference-point-attached", ("attached", "pulls"), _stopped_points, "the reference point has a gradient of its own"),
    Slip("column-may-be-negative", ("pulls",), _columns, "a negative number in the data turns the loss round"),
    Slip("parameter-not-positive", ("pulls", "domain", "halo"), _positive, "as declared, the parameter may be 0 or negative"),
    Slip("smoothing-beyond-half", ("pulls", "domain"), _below_half, "label smoothing past 1/2 believes the other label"),
    Slip("log-probability-as-probability", ("domain",), _probabilities, "a log-probability stands where a probability is meant"),
    Slip("log-of-negative", ("domain",), lambda case: _renamed(case, "log", "logsigmoid"), "z may be negative, and has no logarithm then"),
    Slip("hinge-turned", ("bounded",), _lower_hinges, "this hinge pulls those that have won, for ever, and leaves the losers alone"),
    Slip("precedence", ("belief",), _divided, "1 / 2 * x is half of x"),
    Slip("link-mistaken", ("flat", "belief"), _links, "sigmoid and log sigmoid are different value functions"),
    Slip("reference-added", ("halo",), lambda case: _rewards(case, _difference), "log π + log ref is no log-ratio"),
    Slip("reference-missing", ("halo",), _with_reference, "the sum over tokens grows with the length, and nothing is subtracted from it"),
    Slip("margin-turned", ("eased", "start", "pulls", "belief"), _turned_margins, "the margin stands on the wrong side"),
    Slip("dead-at-reference", ("start",), _with_margin, "v has no slope at z = 0"),
    Slip("unbounded-exponential", ("overflow",), _bounded_exponents, "an exponential of a sum over tokens has no bound"),
    Slip("parameter-twice", ("repeated",), _unscaled, "normalizer * reward and v(z) both scale"),
    Slip("summed-over-examples", ("summed",), _averaged, "the loss is a sum over the batch"),
    Slip("clamp-turned", ("clamped",), _raised_clamps, "the reference point is clamped on the wrong side"),
)  # fmt: skip
"""Where several cures are equally good the earlier slip is named."""
