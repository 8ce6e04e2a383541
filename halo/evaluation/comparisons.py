"""Scores of a scorer that compares: each contestant's answer to a prompt against the baseline's of the same index.

A contestant's score is its own less the baseline's in their comparison, and the baseline's is 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from halo.completions.evaluating import Asked
from halo.completions.scoring import Completed, CompletionScorer, ScoreGroup, ScorerContext
from halo.evaluation.contestants import Contestant, score_name
from halo.evaluation.settings import EvaluationSettings
from halo.files.manifest import digest
from halo.grading.run import Say, ScoringSettings, check_claim, device_of, fill
from halo.options import parts
from halo.sampling.rows import SAMPLES
from halo.sampling.scored import read_score_rows
from halo.training.saving.published import shortened


def compared(
    prompts: Sequence[Asked], contestants: Sequence[Contestant], scorer: CompletionScorer, settings: EvaluationSettings, say: Say
) -> list[Asked]:
    """The prompts, every answer with its score; the first contestant is the baseline. Raises HaloError; what failed is asked again."""
    assert settings.scorer is not None
    options = scorer.with_options(parts(settings.scorer)[1])
    file = Path(settings.out) / "comparisons" / f"{score_name(settings)}.jsonl"
    file.parent.mkdir(exist_ok=True)
    shown = {key: shortened(value) for key, value in options.model_dump().items()}
    told: dict[str, Any] = {"kind": "comparisons", "scorer": scorer.name, "options": shown, **scorer.about(options)}
    told["of"] = {one.name: digest(one.folder / SAMPLES) for one in contestants}
    check_claim(file, told)
    asked = ScoringSettings(scorer=settings.scorer, name=None, trust_remote_code=settings.trust_remote_code, use_cpu=settings.use_cpu)
    fill(file, _groups(prompts), scorer, ScorerContext(options, device_of(asked), settings.trust_remote_code), told, say)
    found = read_score_rows(file)
    return [_with_scores(one, found) for one in prompts]


def _groups(prompts: Sequence[Asked]) -> Iterator[ScoreGroup]:
    for asked in prompts:
        for place in range(1, len(asked.answers)):
            for index, both in enumerate(zip(asked.answers[0], asked.answers[place], strict=False)):
                prompt: Any = asked.prompt
                completions = tuple(one.completed for one in both)
                if asked.prompts:
                    prompt, completions = apart((asked.prompts[0], asked.prompts[place]), completions)
                yield ScoreGroup(_key(asked, index, place), prompt, completions, asked.row)


def _key(asked: Asked, index: int, place: int) -> str:
    return f"{asked.key}/{index}/{place}"


def apart(prompts: Sequence[Any], completions: Sequence[Completed]) -> tuple[Any, tuple[Completed, ...]]:
    """Of conversations that part: the messages that all have in common, and of each what follows them, to its last answer, as a text."""
    common = 0
    while all(len(prompt) > common and prompt[common] == prompts[0][common] for prompt in prompts):
        common += 1
    found = []
    for prompt, one in zip(prompts, completions, strict=True):
        turns: list[Any] = [*prompt[common:], {"role": "assistant", "content": one.text}]
        told = [str(turns[0]["content"]), *(f"{turn['role']}: {turn['content']}" for turn in turns[1:])]
        found.append(Completed("\n\n".join(told), one.finish))
    return list(prompts[0][:common]), tuple(found)


def _with_scores(asked: Asked, found: dict[tuple[str, int], dict[str, Any]]) -> Asked:
    """Answers that the baseline has nothing to set against are left out."""
    each = [tuple(replace(one, score=0.0) for one in asked.answers[0])]
    for place, answers in enumerate(asked.answers[1:], 1):
        scored = []
        for index, (_, one) in enumerate(zip(asked.answers[0], answers, strict=False)):
            base, own = (found[(_key(asked, index, place), which)] for which in (0, 1))
            known = base["score"] is not None and own["score"] is not None
            scored.append(replace(one, score=own["score"] - base["score"] if known else None, parts=own.get("parts", {})))
        each.append(tuple(scored))
    return replace(asked, answers=tuple(each))
