"""Whether an evaluator keeps its contract: measures of one prompt at a time, and statistics that a bootstrap can weigh."""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from halo.completions.evaluating import Answer, Asked, EvaluationContext, Evaluator, Measure, Values
from halo.completions.scoring import Completed
from halo.errors import HaloError
from halo.evaluation.numbers import numbers
from halo.statistics.combining import mean
from halo.testing.parts import Given, options_of, require

NEAR = 1e-9
"""Of a number, or of 1 where it is smaller: float64 operations in another order."""
FITTED = 1e-6
"""The same of a statistic, which may be fitted by steps."""
PROMPTS, ANSWERS, CONTESTANTS = 12, 4, 3
SCORE = "reward"
WORDS = ("the", "sum", "of", "two", "odd", "numbers", "is", "even", "since", "each", "leaves", "one")
Change = Callable[[tuple[Answer, ...]], tuple[Answer, ...]]
"""Of a contestant's answers to a prompt."""
Table = list[list[Values | None]]
"""Of every prompt, the values of every contestant."""


def check_evaluator(evaluator: Evaluator, options: Given = "", asked: Sequence[Asked] | None = None) -> None:
    """Raises AssertionError unless the evaluator keeps its contract, with a baseline and scores and without what it does not need.

    options  as typed after the evaluator's name in `halo eval`, or by name
    asked    prompts with the answers of two or more contestants each, of which every measure has a number; if left out, a dozen
             prompts with four answers of three contestants, which have scores, log-probs, and parts `logp`, `tokens` and `flips`
    """
    require(isinstance(evaluator, Evaluator), f"{evaluator!r} is no Evaluator")
    unknown = set(evaluator.needs) - {"scores", "baseline"}
    require(not unknown, f"the evaluator {evaluator.name}: needs {', '.join(sorted(unknown))}; it may need scores and a baseline")
    prompts = list(asked or _made())
    least = min(len(one.answers) for one in prompts)
    require(least > 1, f"the evaluator {evaluator.name}: each sample prompt has the answers of two or more contestants")
    for context in _contexts(evaluator, options, prompts):
        case = _Case(evaluator, context)
        own = prompts if context.score else [_changed(one, _without_scores) for one in prompts]
        _check_measures(case)
        for measure in case.measures():
            _check_measure(case, measure, own)
        _check_permuted(case, own)
        _check_missing(case, own)
        _check_numbers(case, own)


@dataclass(frozen=True)
class _Case:
    """An evaluator and what it is told."""

    evaluator: Evaluator
    context: EvaluationContext

    def unless(self, condition: object, message: str) -> None:
        require(condition, f"the evaluator {self.evaluator.name}: {message}")

    def wrong(self, message: str) -> AssertionError:
        return AssertionError(f"the evaluator {self.evaluator.name}: {message}")

    def measures(self) -> list[Measure]:
        """Made anew."""
        found = self.evaluator.measures(self.context)
        sound = isinstance(found, Sequence) and all(isinstance(one, Measure) for one in found)
        self.unless(sound and found, f"measures(context) gives {found!r}; a list of halo.plugin.Measure, of one at least")
        return list(found)

    def values(self, measure: Measure, asked: Asked) -> list[Values | None]:
        """What a measure gives of a prompt, if it is sound. Raises HaloError where it does."""
        try:
            found = measure.of(asked)
        except HaloError:
            raise
        except Exception as problem:  # anything at all: a report has many measures, and one must not end it
            given = [[(one.text[:20], one.score) for one in answers] for answers in asked.answers]
            hint = "a contestant has None where a prompt says nothing of it; a HaloError where nothing it is given can be measured"
            raise self.wrong(f"{measure.name!r} raised {problem!r} for the answers {given}; {hint}") from problem
        counted = isinstance(found, Sequence) and len(found) == len(asked.answers)
        self.unless(counted, f"{measure.name!r} gives {found!r} for {len(asked.answers)} contestants; a list with one entry for each")
        for one in found:
            self.unless(_sound(one), f"{measure.name!r} gives {one!r}; a tuple of finite float, or None")
            alone = measure.statistic in (None, mean) and one is not None and len(one) != 1
            self.unless(not alone, f"{measure.name!r} gives {one!r} and is a mean of one number; more need a `statistic` of their own")
            outside = measure.share and measure.statistic in (None, mean) and one is not None and not 0 <= one[0] <= 1
            self.unless(not outside, f"{measure.name!r} is a share and gives {one!r}; between 0 and 1, or share=False")
        return list(found)

    def told(self, measure: Measure, asked: Asked) -> list[Values | None]:
        """The same of what it must have a number of."""
        try:
            return self.values(measure, asked)
        except HaloError as problem:
            raise self.wrong(f"{measure.name!r} refuses the sample: {problem}; give check_evaluator `asked`") from problem


def _sound(value: Any) -> bool:
    if value is None:
        return True
    numbers = isinstance(value, tuple) and bool(value)
    return numbers and all(isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) for one in value)


def _contexts(evaluator: Evaluator, options: Given, prompts: Sequence[Asked]) -> Iterator[EvaluationContext]:
    """With everything, of absolute scores and of relative ones; and without what it does not need."""
    count = max(len(answers) for asked in prompts for answers in asked.answers)
    names = tuple(f"model {k}" for k in range(len(prompts[0].answers)))
    whole = EvaluationContext(names, True, count, SCORE, False, options_of(evaluator, options))
    yield whole
    yield replace(whole, relative=True)
    if "baseline" not in evaluator.needs:
        yield replace(whole, baseline=False)
    if "scores" not in evaluator.needs:
        yield replace(whole, score="")


# -- measures ----------------------------------------------------------------------------------------------------------


def _check_measures(case: _Case) -> None:
    measures = case.measures()
    names = [one.name for one in measures]
    twice = sorted({name for name in names if names.count(name) > 1})
    case.unless(not twice, f"two measures are called {', '.join(twice)}; a report tells them apart by their names")
    for one in measures:
        for what in (one.name, one.meaning):
            line = isinstance(what, str) and what.strip() and len(what.splitlines()) == 1
            case.unless(line, f"the measure {one.name!r} has the meaning {one.meaning!r}; name and meaning are a line each, for people")
        curve = one.curve is None or (isinstance(one.curve, tuple) and len(one.curve) == 2 and isinstance(one.curve[0], str))
        case.unless(curve, f"{one.name!r} has the curve {one.curve!r}; (name, where), such as ('best of n', 4), or None")
    case.unless([one.name for one in case.measures()] == names, "measures(context) gives other measures when it is called again")


def _check_measure(case: _Case, measure: Measure, prompts: Sequence[Asked]) -> None:
    before = copy.deepcopy(prompts)
    table = [case.told(measure, asked) for asked in prompts]
    case.unless(before == prompts, f"{measure.name!r} changed the prompt that it was given")
    anew = {one.name: one for one in case.measures()}[measure.name]
    other = [case.told(anew, asked) for asked in prompts[::-1]][::-1]
    again = [case.told(measure, asked) for asked in prompts]
    hint = "what a prompt gives depends on that prompt alone; what several make together is the `statistic`'s"
    for way, found in (("again", again), ("anew and in reverse order", other)):
        case.unless(_same(table, found), f"{measure.name!r} gives other values when prompts are asked {way}; {hint}")
    several = [column for column in zip(*table, strict=True) if any(one is not None for one in column)]
    case.unless(
        several or not case.context.score,
        f"{measure.name!r} has no value of any sample prompt; give check_evaluator `asked` of which it has",
    )
    for column in several:
        _check_statistic(case, measure, [one for one in column if one is not None])


def _same(one: Table, other: Table) -> bool:
    return all(_near(a, b) for row, values in zip(one, other, strict=True) for a, b in zip(row, values, strict=True))


def _near(one: Values | None, other: Values | None) -> bool:
    if one is None or other is None:
        return one is other
    return len(one) == len(other) and all(abs(a - b) <= NEAR * max(1.0, abs(a)) for a, b in zip(one, other, strict=True))


# -- statistics --------------------------------------------------------------------------------------------------------


def _check_statistic(case: _Case, measure: Measure, rows: Sequence[Values]) -> None:
    """Of the values of one contestant, NaN behind the last of a shorter row."""
    table = np.full((len(rows), max(map(len, rows))), np.nan)
    for place, row in enumerate(rows):
        table[place, : len(row)] = row
    size = len(rows)
    drawn = np.random.default_rng(0).multinomial(size, np.full(size, 1 / size), size=4).astype(np.float64)
    weights = np.concatenate([np.ones((1, size)), drawn])
    statistic = measure.statistic or mean
    try:
        found = np.asarray(statistic(weights, table))
    except Exception as problem:
        what = f"statistic raised {problem!r} for weights {weights.shape} and values {table.shape}"
        raise case.wrong(f"{measure.name!r}: its {what}; weights (B, n) of prompts and values (n, k) -> B numbers") from problem
    count = len(weights)
    wanted = f"{count} rows of weights; ({count},)"
    case.unless(found.shape == (count,), f"{measure.name!r}: its statistic gives the shape {found.shape} for {wanted}")
    case.unless(math.isfinite(found[0]), f"{measure.name!r}: its statistic is {found[0]} where each prompt counts once; a finite number")
    order = np.arange(size)[::-1]
    ways = {
        "one row of weights at a time": np.concatenate([statistic(row[None], table) for row in weights]),
        "with all weights doubled": statistic(2 * weights, table),
        "of the prompts in another order": statistic(weights[:, order], table[order]),
    }
    for way, other in ways.items():
        near = np.allclose(other, found, rtol=FITTED, atol=FITTED, equal_nan=True)
        hint = "a weight says how often a prompt counts"
        case.unless(near, f"{measure.name!r}: its statistic gives {other} {way}, and {found} of all; {hint}")
    _check_heeds(case, measure, table)
    inside = not measure.share or bool(np.all((found >= -NEAR) & (found <= 1 + NEAR) | np.isnan(found)))
    case.unless(inside, f"{measure.name!r} is a share and comes to {found}; between 0 and 1, or share=False")


def _check_heeds(case: _Case, measure: Measure, table: Any) -> None:
    """Where single prompts come to different numbers, it matters which of them has all the weight."""
    statistic, size = measure.statistic or mean, len(table)
    alone = np.concatenate([statistic(np.ones((1, 1)), row[None]) for row in table])
    found = statistic(size * np.eye(size), table)
    heeds = _spread(found) > 0 or _spread(alone) <= FITTED
    case.unless(heeds, f"{measure.name!r}: its statistic gives {found[0]} whichever prompt has all the weight; weigh the prompts")


def _spread(values: Any) -> float:
    """Between the largest finite one and the smallest."""
    finite = values[np.isfinite(values)]
    return float(np.ptp(finite)) if len(finite) else 0.0


def _check_numbers(case: _Case, prompts: Sequence[Asked]) -> None:
    """As a report has them, with their intervals."""
    context = case.context
    found = numbers(case.evaluator.name, case.measures(), prompts, context.names, context.baseline, None)
    case.unless(found, f"`halo eval` has no number of {len(prompts)} prompts")
    json.dumps([one.to_json() for one in found])


# -- contestants -------------------------------------------------------------------------------------------------------


def _check_permuted(case: _Case, prompts: Sequence[Asked]) -> None:
    """The baseline stays first where there is one."""
    fixed = int(case.context.baseline)
    order = [*range(fixed), *reversed(range(fixed, len(case.context.names)))]
    other = _Case(case.evaluator, replace(case.context, names=tuple(case.context.names[k] for k in order)))
    turned = [_turned(asked, order) for asked in prompts]
    for one, same in zip(case.measures(), other.measures(), strict=True):
        before = [[values[k] for k in order] for values in (case.told(one, asked) for asked in prompts)]
        after = [other.told(same, asked) for asked in turned]
        who = "contestants other than the baseline" if fixed else "contestants"
        case.unless(_same(before, after), f"{one.name!r} gives other values when the {who} change places; only their places change")


def _turned(asked: Asked, order: Sequence[int]) -> Asked:
    own = tuple(asked.prompts[k] for k in order) if asked.prompts else ()
    return replace(asked, answers=tuple(asked.answers[k] for k in order), prompts=own)


def _check_missing(case: _Case, prompts: Sequence[Asked]) -> None:
    """A contestant that said nothing has no value. Answers may lack scores and log-probs, say nothing, and be of any number."""
    for asked in prompts[:2]:
        for place in range(len(case.context.names)):
            silent = _changed(asked, lambda answers: (), place)
            unscored = _changed(asked, _without_scores, place)
            for measure in case.measures():
                _check_none(case, measure, silent, place, "gave no answer")
                if "scores" in case.evaluator.needs:
                    _check_none(case, measure, unscored, place, "has no scores")
        odd = [_changed(asked, change) for change in ODD]
        odd.append(_changed(asked, lambda answers: answers[:1], len(case.context.names) - 1))
        for measure in case.measures():
            for one in odd:
                _values_or_refusal(case, measure, one)


def _check_none(case: _Case, measure: Measure, asked: Asked, place: int, what: str) -> None:
    found = _values_or_refusal(case, measure, asked)
    none = found is None or found[place] is None
    case.unless(none, f"{measure.name!r} gives {found and found[place]} to a contestant that {what}; None: it is left out and counted")


def _values_or_refusal(case: _Case, measure: Measure, asked: Asked) -> list[Values | None] | None:
    try:
        return case.values(measure, asked)
    except HaloError:
        return None


def _changed(asked: Asked, change: Change, place: int | None = None) -> Asked:
    """With the answers of one contestant, or of all, changed."""
    each = [change(answers) if place in (None, k) else answers for k, answers in enumerate(asked.answers)]
    return replace(asked, answers=tuple(each))


def _without_scores(answers: Sequence[Answer]) -> tuple[Answer, ...]:
    return tuple(replace(one, score=None, parts={}) for one in answers)


ODD: tuple[Change, ...] = (
    lambda answers: (),
    _without_scores,
    lambda answers: (replace(answers[0], score=None, parts={}), *answers[1:]),
    lambda answers: tuple(replace(one, drawn=None, own=False) for one in answers),
    lambda answers: tuple(replace(one, completed=Completed("", "")) for one in answers),
)
"""No answers, no scores, one score that is missing, answers of another distribution, empty texts that nobody sampled."""


# -- prompts -----------------------------------------------------------------------------------------------------------


def _made() -> list[Asked]:
    """Answers of different lengths and ends; their scores are mean log-probs, no two of them equal."""
    rng = random.Random(0)
    found = []
    for number in range(PROMPTS):
        each = tuple(tuple(_answer(rng) for _ in range(ANSWERS)) for _ in range(CONTESTANTS))
        found.append(Asked(f"{number:016x}", f"question {number}", each, {"topic": "odd" if number % 2 else "even"}))
    return found


def _answer(rng: random.Random) -> Answer:
    words = [rng.choice(WORDS) for _ in range(rng.randint(1, 12))]
    text = " ".join(words) + rng.choice([".", "", "!"])
    score, tokens = -rng.uniform(0.1, 3), float(len(words) + 1)
    parts = {"logp": score * tokens, "tokens": tokens, "flips": float(rng.random() < 0.3)}
    return Answer(Completed(text, rng.choice(["end", "end", "length"])), score, parts, score * tokens - rng.uniform(-1, 2), True)
