"""`halo score`: each completion of a folder of samples gets a number, in a file of its own beside them. What failed is asked again."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from halo.completions.scoring import Completed, CompletionScorer, Judging, ScoreGroup, ScorerContext, Verdict
from halo.errors import Place, RunFailed, SettingsError
from halo.files.lines import Lines
from halo.files.lock import Held, Lock
from halo.files.manifest import digest
from halo.files.stage import check_finished, unwritten
from halo.files.whole import write_text
from halo.options import Named, parts
from halo.plugin.registry import choose
from halo.progress import Pace
from halo.sampling.rows import PROMPTS, SAMPLES
from halo.sampling.scored import read_claim, read_score_rows, score_file
from halo.training.saving.published import shortened

Say = Callable[[str], None]


class ScoringSettings(BaseModel):
    """The settings of one `halo score`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scorer: Named = Field(description="NAME or NAME:OPTION=VALUE,...")
    name: str | None = Field(None, pattern=r"^[A-Za-z0-9][\w.-]*$", description="what the scores are called; left out: the scorer's name")
    trust_remote_code: bool = False
    use_cpu: bool = False


def run_scoring(folder: Path, settings: ScoringSettings, say: Say) -> Path:
    """Fills the file, or goes on filling it; returns it. Raises HaloError."""
    check_finished(folder)
    chosen, given = parts(settings.scorer)
    scorer: CompletionScorer = choose("scorer", chosen)
    options = scorer.with_options(given)
    name = settings.name or scorer.name
    file = score_file(folder, name)
    shown = {key: shortened(value) for key, value in options.model_dump().items()}
    told = {"kind": "scores", "scorer": scorer.name, "options": shown, "samples": digest(folder / SAMPLES), **scorer.about(options)}
    try:
        file.parent.mkdir(exist_ok=True)
        lock = Lock.take(file.parent)
        try:
            check_claim(file, told)
            context = ScorerContext(options, device_of(settings), settings.trust_remote_code)
            fill(file, groups_of(folder), scorer, context, told, say)
        finally:
            lock.release()
    except Held as problem:
        raise SettingsError("output-folder", f"{file.parent} is in use: {problem}", hint="wait for it") from None
    except OSError as problem:
        raise unwritten(file.parent, problem) from None
    return file


def device_of(settings: ScoringSettings) -> Any:
    """Where a scorer's model is to lie."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() and not settings.use_cpu else "cpu")


def check_claim(file: Path, told: dict[str, Any]) -> None:
    """Raises SettingsError for scores of this name that were made otherwise."""
    before = read_claim(file)
    for key, now in told.items():
        if before and before.get(key) != now:
            message = f"{file} was made with {key} {json.dumps(before.get(key))[:80]}, and you ask for {json.dumps(now)[:80]}"
            raise SettingsError("output-folder", message, place=Place("--scorer"), hint="ask for the same, or give another --name")


def fill(
    file: Path, groups: Iterable[ScoreGroup], scorer: CompletionScorer, context: ScorerContext, told: Mapping[str, Any], say: Say
) -> None:
    """A row for each completion that has no number in the file yet. `told`: what the manifest says, once the scorer works.

    Raises RunFailed for what is no score.
    """
    lines = Lines(file)
    lines.mend()
    done = {key for key, row in read_score_rows(file).items() if row["score"] is not None}
    left = [group for group in groups if any((group.key, k) not in done for k in range(len(group.completions)))]
    if not left:
        say(f"score      {file}: nothing is left to do")
        return
    judging, failed = scorer.build(context), Counter[str]()
    write_text(file.with_suffix(".manifest.json"), json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    try:
        if prepare := getattr(judging, "prepare", None):
            prepare(left, say)
        pace = Pace(len(left), say)
        for rows, finished in _by_batch(left, judging, scorer):
            lines.add_all([row for row in rows if (row["prompt_id"], row["sample"]) not in done])
            failed.update(row["reason"] for row in rows if row["score"] is None)
            pace.at(finished, f"score      {finished:,} of {len(left):,} prompts")
    finally:
        if close := getattr(judging, "close", None):
            close()
    _said(lines, failed, say)


def _by_batch(left: list[ScoreGroup], judging: Judging, scorer: CompletionScorer) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """The rows of each call, and how many groups are done with it."""
    for start in range(0, len(left), scorer.at_once):
        batch = left[start : start + scorer.at_once]
        yield list(_rows(batch, judging, scorer.name)), start + len(batch)


def _said(lines: Lines, failed: Counter[str], say: Say) -> None:
    """What all scores are like, and why some are missing."""
    scores = [row["score"] for row in {(row["prompt_id"], row["sample"]): row for row in lines}.values() if row["score"] is not None]
    if scores:
        say(f"score      {len(scores):,} completions: mean {sum(scores) / len(scores):.4g}, from {min(scores):.4g} to {max(scores):.4g}")
    for reason, count in failed.most_common(3):
        say(f"score      {count:,} have none: {reason}; the same command asks again")


def _rows(batch: list[ScoreGroup], judging: Judging, name: str) -> Iterator[dict[str, Any]]:
    verdicts = list(judging.score(batch))
    if len(verdicts) != len(batch):
        raise RunFailed("plugin", f"{name} gave {len(verdicts)} verdicts for {len(batch)} groups", hint="one for each, in their order")
    for group, verdict in zip(batch, verdicts, strict=True):
        _check(verdict, group, name)
        for k, score in enumerate(verdict.scores):
            row = {"prompt_id": group.key, "sample": k, "score": score}
            if verdict.parts:
                row["parts"] = dict(verdict.parts[k])
            yield row if score is not None else row | {"reason": (verdict.reasons or ("",) * (k + 1))[k] or "no reason was given"}


def _check(verdict: Verdict, group: ScoreGroup, name: str) -> None:
    if len(verdict.scores) != len(group.completions):
        message = f"{name} gave {len(verdict.scores)} scores for {len(group.completions)} completions"
        raise RunFailed("plugin", message, hint="a number or None for each")
    if verdict.parts and len(verdict.parts) != len(group.completions):
        message = f"{name} gave {len(verdict.parts)} parts for {len(group.completions)} completions"
        raise RunFailed("plugin", message, hint="one for each, or none at all")
    for score in verdict.scores:
        if score is not None and not abs(score) <= sys.float_info.max:
            message = f"{name} gave {score} for a completion of the prompt {group.key}"
            raise RunFailed("non-finite", message, hint="None says that there is none")


def groups_of(folder: Path) -> Iterator[ScoreGroup]:
    """The prompts of a folder of samples with their completions, in their order."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in Lines(folder / SAMPLES):
        rows.setdefault(row["prompt_id"], []).append(row)
    for prompt in Lines(folder / PROMPTS):
        own = rows.get(prompt["prompt_id"], [])
        ids = own[0].get("prompt_tokens") if own else None
        completions = tuple(Completed(row["completion"], row["finish"], tuple(row["tokens"]) if "tokens" in row else None) for row in own)
        yield ScoreGroup(prompt["prompt_id"], prompt["prompt"], completions, prompt["columns"], tuple(ids) if ids else None)
