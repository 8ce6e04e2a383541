"""Whether a scorer keeps its contract: a number or a reason for every completion, which no order and no neighbour changes."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from halo.completions.scoring import Completed, CompletionScorer, Judging, ScoreGroup, ScorerContext, Verdict
from halo.grading.run import fill
from halo.sampling.plan import prompt_key
from halo.testing.parts import Given, one_thread, options_of, require, template

NEAR = 1e-4
"""Of a score, or of 1 where it is smaller: two ways through one float32 model."""
LONG = "9876543210 " * 100
STRANGE = "größer 数字 🙂\n\t\u202e"
Numbers = list[tuple[float | None, ...]]
"""The scores of every group."""


@one_thread()
def check_scorer(
    scorer: CompletionScorer, options: Given = "", groups: Sequence[ScoreGroup] | None = None, *, at_random: bool = False
) -> None:
    """Raises AssertionError unless the scorer keeps its contract on groups of completions, with their ids and without.

    options    as typed after `--scorer name:`, or by name
    groups     prompts with their completions, of two or more each; of the embedded task if left out. Each is also asked with an
               empty completion, one that was cut, a very long one and one of strange characters
    at_random  whether the same question may be answered otherwise next time: then only counts, types and reasons are held
    """
    case = _Case(scorer, options_of(scorer, options))
    _check_description(case)
    asked = [*(groups or _embedded()), *_unusual(groups)]
    case.unless(all(len(group.completions) > 1 for group in asked), "each sample group holds two or more completions")
    judging = case.build(asked)
    found = case.scores(judging, asked)
    without = [_without_ids(group) for group in asked]
    case.scores(case.build(without), without)
    _check_filled(case, asked)
    if at_random:
        return
    case.same(found, case.scores(judging, asked), "asked again", "it keeps nothing between calls that changes a score")
    case.same(found, case.scores(case.build(asked), asked), "asked anew", "chance has no place in it; check_scorer(at_random=True)")
    alone = [scores for group in asked for scores in case.scores(judging, [group])]
    case.same(found, alone, "each group asked alone", "a group's scores depend on that group only")
    _check_order(case, judging, asked, found)
    if not scorer.relative:
        _check_smaller(case, judging, asked, found)


@dataclass(frozen=True)
class _Case:
    """A scorer with options."""

    scorer: CompletionScorer
    options: Any

    def unless(self, condition: object, message: str) -> None:
        require(condition, f"the scorer {self.scorer.name}: {message}")

    def wrong(self, message: str) -> AssertionError:
        return AssertionError(f"the scorer {self.scorer.name}: {message}")

    @property
    def context(self) -> ScorerContext:
        return ScorerContext(self.options, torch.device("cpu"))

    def build(self, groups: Sequence[ScoreGroup]) -> Judging:
        """At work, and told what is about to be asked, as `halo score` tells it."""
        built = self.scorer.build(self.context)
        self.unless(callable(getattr(built, "score", None)), f"builds {built!r}, which has no `score(groups)`")
        prepare = getattr(built, "prepare", None)
        if prepare is not None:
            prepare(list(groups), lambda line: None)
        return built

    def scores(self, judging: Judging, groups: Sequence[ScoreGroup]) -> Numbers:
        """Of every group, asked for as many at once as `at_once` says; each verdict is a sound one."""
        found: Numbers = []
        for start in range(0, len(groups), self.scorer.at_once):
            batch = groups[start : start + self.scorer.at_once]
            try:
                verdicts = judging.score(batch)
            except Exception as problem:  # anything at all: no completion is too odd to be answered
                prompts = ", ".join(repr(group.prompt) for group in batch)[:300]
                hint = "a completion without a number has None and its reason"
                raise self.wrong(f"score raised {problem!r} for the groups of {prompts}; {hint}") from problem
            counted = isinstance(verdicts, Sequence) and len(verdicts) == len(batch)
            what = len(verdicts) if isinstance(verdicts, Sequence) else f"a {type(verdicts).__name__}"
            self.unless(counted, f"score(groups) gives {what} for {len(batch)} groups; a list with one Verdict for each, in their order")
            for group, verdict in zip(batch, verdicts, strict=True):
                for wrong in _unsound(verdict, group):
                    self.unless(False, f"the verdict of {str(group.prompt)[:80]!r} {wrong}")
                found.append(verdict.scores)
        return found

    def same(self, found: Numbers, other: Numbers, way: str, hint: str) -> None:
        for before, now in zip(found, other, strict=True):
            for one, score in zip(before, now, strict=True):
                self.unless(_near(one, score), f"{way} a completion has the score {score}, and had {one}; {hint}")


def _near(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= NEAR * max(1.0, abs(one))


def _check_description(case: _Case) -> None:
    at_once = case.scorer.at_once
    case.unless(type(at_once) is int and at_once >= 1, f"at_once is {at_once!r}; how many groups one call takes, from 1")
    told = case.scorer.about(case.options)
    try:
        plain = json.loads(json.dumps(dict(told))) == told
    except (TypeError, ValueError):
        plain = False
    hint = "texts, numbers, lists and mappings by text, which a manifest keeps as they are"
    case.unless(plain, f"about(options) is {told!r}; {hint}")


# -- one verdict -------------------------------------------------------------------------------------------------------


def _unsound(verdict: Any, group: ScoreGroup) -> list[str]:
    """What does not fit together in a verdict."""
    size, found = len(group.completions), list[str]()
    if not isinstance(verdict, Verdict):
        return [f"is {verdict!r}; a halo.plugin.Verdict"]
    for name, least in (("scores", size), ("reasons", 0), ("parts", 0)):
        given = getattr(verdict, name)
        if not isinstance(given, tuple) or len(given) not in (least, size):
            found.append(f"has the {name} {given!r} for {size} completions; a tuple with one for each{'' if least else ', or ()'}")
    if found:
        return found
    for place, score in enumerate(verdict.scores):
        text = _shown(group.completions[place].text)
        if score is None:
            reason = verdict.reasons[place] if verdict.reasons else ""
            if not (isinstance(reason, str) and reason.strip()):
                found.append(f"has no score for {text} and the reason {reason!r}; a text that says why, at the same place of `reasons`")
        elif not _is_number(score):
            found.append(f"has the score {score!r} for {text}; a finite float, or None with its reason")
    for own in verdict.parts:
        if not (isinstance(own, Mapping) and all(isinstance(name, str) and _is_number(value) for name, value in own.items())):
            found.append(f"has the parts {own!r}; a mapping from name to finite number")
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _shown(text: str) -> str:
    return repr(text if len(text) < 40 else f"{text[:40]}...")


# -- what decides a score ----------------------------------------------------------------------------------------------


def _check_order(case: _Case, judging: Judging, groups: Sequence[ScoreGroup], found: Numbers) -> None:
    turns: dict[str, Callable[[tuple[Any, ...]], tuple[Any, ...]]] = {
        "in reverse order": lambda entries: entries[::-1],
        "with the first one last": lambda entries: (*entries[1:], entries[0]),
    }
    for way, turned in turns.items():
        other = case.scores(judging, [replace(group, completions=turned(group.completions)) for group in groups])
        hint = "the order of a group's completions permutes its scores"
        case.same([turned(scores) for scores in found], other, f"the completions of a group given {way},", hint)


def _check_smaller(case: _Case, judging: Judging, groups: Sequence[ScoreGroup], found: Numbers) -> None:
    """Without the last completion the others have the scores that they had; and so has each by itself."""
    hint = "relative=True says that a score is how a completion stands among those of its group"
    fewer = case.scores(judging, [replace(group, completions=group.completions[:-1]) for group in groups])
    case.same([scores[:-1] for scores in found], fewer, "in a smaller group", hint)
    single = [replace(group, completions=(one,)) for group in groups for one in group.completions]
    case.same([(score,) for scores in found for score in scores], case.scores(judging, single), "in a group of its own", hint)


def _check_filled(case: _Case, groups: Sequence[ScoreGroup]) -> None:
    """What `halo score` writes: a row for each completion, and a number for one of them at least."""
    lines = list[str]()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scores.jsonl"
        keyed = [replace(group, key=f"{number:016x}") for number, group in enumerate(groups)]
        fill(file, keyed, case.scorer, case.context, {}, lines.append)
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    wanted = sum(len(group.completions) for group in groups)
    case.unless(len(rows) == wanted, f"halo score wrote {len(rows)} rows for {wanted} completions")
    numbers = [row["score"] for row in rows if row["score"] is not None]
    case.unless(
        numbers, f"not one of {wanted} completions has a number ({'; '.join(lines)}); give check_scorer options or groups with which"
    )


# -- groups ------------------------------------------------------------------------------------------------------------


def _embedded() -> list[ScoreGroup]:
    """Right and wrong answers of the embedded task, with their ids."""
    answers = {"sort 312": ("123", "321", "12"), "sort 41056": ("01456", "65410"), "sort 9": ("9", "99", "0", "the nine")}
    return [_group(prompt, {"answer": texts[0]}, [Completed(text, "end") for text in texts]) for prompt, texts in answers.items()]


def _unusual(groups: Sequence[ScoreGroup] | None) -> list[ScoreGroup]:
    """A prompt and its row with completions that a model may write too."""
    odd = [Completed("", "end"), Completed("12", "length"), Completed(LONG, "length"), Completed(STRANGE, "end"), Completed("given", "")]
    first = groups[0] if groups else _embedded()[0]
    usual = _group(first.prompt, first.row, odd)
    return [usual, replace(first, key=f"{first.key}-and", completions=(*first.completions, *usual.completions))]


def _group(prompt: Any, row: Mapping[str, Any], completions: Sequence[Completed]) -> ScoreGroup:
    """With ids as the embedded policy would have written them, but of a text that nobody sampled."""
    tokenizer = template().tokenizer

    def sampled(one: Completed) -> Completed:
        ids = tuple(tokenizer(one.text, add_special_tokens=False)["input_ids"])
        end = (tokenizer.eos_token_id,) if one.finish == "end" else ()
        return one if one.finish == "" else replace(one, ids=(*ids, *end))

    return ScoreGroup(prompt_key(prompt), prompt, tuple(map(sampled, completions)), dict(row), tuple(template().prompt_ids(prompt)))


def _without_ids(group: ScoreGroup) -> ScoreGroup:
    return replace(group, prompt_ids=None, completions=tuple(replace(one, ids=None) for one in group.completions))
