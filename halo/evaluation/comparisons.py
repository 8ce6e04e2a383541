"""Scores of a scorer that compares: all contestants' answers to a prompt, index by index, are one group. A file beside the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from halo.completions.evaluating import Asked
from halo.completions.scoring import Completed, CompletionScorer, ScoreGroup, ScorerContext
from halo.evaluation.contestants import Contestant, score_name
from halo.evaluation.settings import EvaluationSettings
from halo.files.lines import Lines
from halo.files.manifest import digest
from halo.grading.run import Say, ScoringSettings, claim, device_of, fill
from halo.options import parts
from halo.sampling.rows import SAMPLES
from halo.training.saving.published import shortened


def compared(
    prompts: Sequence[Asked], contestants: Sequence[Contestant], scorer: CompletionScorer, settings: EvaluationSettings, say: Say
) -> list[Asked]:
    """The prompts, every answer with its score among those of its index. Raises HaloError; what failed is asked again next time."""
    assert settings.scorer is not None
    options = scorer.with_options(parts(settings.scorer)[1])
    file = Path(settings.out) / "comparisons" / f"{score_name(settings)}.jsonl"
    file.parent.mkdir(exist_ok=True)
    shown = {key: shortened(value) for key, value in options.model_dump().items()}
    told: dict[str, Any] = {"kind": "comparisons", "scorer": scorer.name, "options": shown, **scorer.about(options)}
    told["samples"] = {one.name: digest(one.folder / SAMPLES) for one in contestants}
    claim(file, told)
    asked = ScoringSettings(scorer=settings.scorer, name=None, trust_remote_code=settings.trust_remote_code, use_cpu=settings.use_cpu)
    fill(file, _groups(prompts), scorer, ScorerContext(options, device_of(asked), settings.trust_remote_code), say)
    found = {(row["prompt_id"], row["sample"]): row for row in Lines(file)}
    return [_with_scores(one, found) for one in prompts]


def _groups(prompts: Sequence[Asked]) -> Iterator[ScoreGroup]:
    for asked in prompts:
        for index in range(min(map(len, asked.answers))):
            completions = tuple(answers[index].completed for answers in asked.answers)
            prompt: Any = asked.prompt
            if asked.prompts:
                prompt, completions = apart(asked.prompts, completions)
            yield ScoreGroup(f"{asked.key}/{index}", prompt, completions, asked.row)


def apart(prompts: Sequence[Any], completions: Sequence[Completed]) -> tuple[Any, tuple[Completed, ...]]:
    """Of conversations that part: the messages that all have in common, and of each what follows them, down to its last answer, as a text."""
    common = 0
    while all(len(prompt) > common and prompt[common] == prompts[0][common] for prompt in prompts):
        common += 1
    found = []
    for prompt, one in zip(prompts, completions, strict=True):
        first, *rest = [*prompt[common:], {"role": "assistant", "content": one.text}]
        told = [first["content"], *(f"{turn['role']}: {turn['content']}" for turn in rest)]
        found.append(Completed("\n\n".join(told), one.finish))
    return list(prompts[0][:common]), tuple(found)


def _with_scores(asked: Asked, found: dict[tuple[str, int], dict[str, Any]]) -> Asked:
    """Answers beyond what every contestant has were compared with nothing, and are left out."""
    count = min(map(len, asked.answers))
    each = []
    for place, answers in enumerate(asked.answers):
        rows = [found[(f"{asked.key}/{index}", place)] for index in range(count)]
        told = zip(answers, rows, strict=False)
        each.append(tuple(replace(one, score=row["score"], parts=row.get("parts", {})) for one, row in told))
    return replace(asked, answers=tuple(each))
