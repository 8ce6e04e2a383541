"""`halo sample` from its settings to a finished folder: batches written part by part, then all rows put into order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from halo.completions.sampling import Request, Sampling
from halo.errors import Place, SettingsError
from halo.files.lines import Lines, as_line
from halo.files.stage import unwritten
from halo.progress import Pace
from halo.sampling.job import Job, Say, Stage, job_of
from halo.sampling.plan import Prompt
from halo.sampling.rows import LEFT_OUT, PROMPTS, SAMPLES, as_row, order, turn_columns
from halo.sampling.settings import SamplingSettings

FOLLOWED = ("prompt", "completion", "finish", "earlier")
"""What of a row the next turn is made of."""


def run_sampling(settings: SamplingSettings, say: Say) -> Path:
    """Fills the folder, or goes on filling it; returns it. Raises HaloError."""
    job = job_of(settings, say)
    placement, folder = job.placement, job.folder
    if placement.is_main:
        folder.take()
    placement.barrier()
    try:
        if folder.finished:
            say(f"sample     {folder.path} is finished: nothing is left to do")
        else:
            _fill(job)
    except OSError as problem:
        raise unwritten(folder.path, problem) from None
    finally:
        folder.give_back()
    return folder.path


def _fill(job: Job) -> None:
    """Turn by turn: every part of this process. Then, on the main one, the finished files."""
    stages, sampling = [job.first()], _Loaded(job)
    _fill_stage(job, stages[0], sampling)
    for number in range(2, job.prompts.turns + 1):
        stages.append(job.following(number, _answers(job, stages[-1])))
        _fill_stage(job, stages[-1], sampling)
    if job.placement.is_main:
        _finish(job, stages)
    job.placement.barrier()


class _Loaded:
    """The sampler, built for the first batch: where nothing is left to do, nothing is loaded."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.found: Sampling | None = None

    def __call__(self) -> Sampling:
        if self.found is None:
            self.found = self.job.built()
        return self.found


def _fill_stage(job: Job, stage: Stage, loaded: _Loaded) -> None:
    """Every part of this process, to its end; waits for the others."""
    progress = _Progress(job, stage)
    for part in range(job.placement.rank, stage.plan.parts, job.placement.size):
        lines, batches = job.folder.part(stage.parts[part]), stage.plan.batches(part)
        done = _written(lines, batches)
        for batch in batches:
            if done >= len(batch):
                done -= len(batch)
                continue
            sampling = loaded()
            progress.start()
            rows = [as_row(stage.by_key[r.key], r, s, job.made) for r, s in zip(batch, sampling.sample(batch), strict=True)]
            lines.add_all(rows[done:])
            progress.add(rows[done:])
            done = 0
    job.placement.barrier()


def _written(lines: Lines, batches: Sequence[Sequence[Request]]) -> int:
    """How many rows a part holds, in the order in which they were asked for. Raises SettingsError where it holds others."""
    asked, count = (request for batch in batches for request in batch), 0
    for count, row in enumerate(lines, 1):
        request = next(asked, None)
        if request is None or (row.get("prompt_id"), row.get("sample")) != (request.key, request.index):
            message = f"{lines.file} does not hold what was asked for in line {count}"
            raise SettingsError("output-folder", message, place=Place("--out"), hint="something else wrote to it: remove the folder")
    return count


def _answers(job: Job, stage: Stage) -> dict[tuple[str, int], dict[str, Any]]:
    """All rows of a turn, whichever process wrote them: what they say and how they ended."""
    found = dict[tuple[str, int], dict[str, Any]]()
    for name in stage.parts:
        for row in Lines(job.folder.path / name):
            found[(row["prompt_id"], row["sample"])] = {key: row[key] for key in FOLLOWED if key in row}
    return found


def _finish(job: Job, stages: list[Stage]) -> None:
    """The rows of all parts in order, the prompts, and what was left out."""
    names = [name for stage in stages for name in stage.parts]
    places: list[tuple[tuple[int, ...], str, int, int]] = []
    for name in names:
        file = job.folder.path / name
        if not file.exists():
            continue
        at = 0
        with file.open("rb") as stream:
            for line in stream:
                places.append((order(json.loads(line)), name, at, len(line)))
                at += len(line)

    def fill(stream: Any) -> None:
        with ExitStack() as held:
            opened = {name: held.enter_context((job.folder.path / name).open("rb")) for name in {name for _, name, _, _ in places}}
            for _, name, at, size in sorted(places):
                opened[name].seek(at)
                stream.write(opened[name].read(size))

    prompts = sorted((prompt for stage in stages for prompt in stage.plan.prompts), key=lambda prompt: prompt.order)
    left_out = [*job.prompts.left_out, *(row for stage in stages for row in stage.left_out)]
    job.folder.write(SAMPLES, fill)
    job.folder.write(PROMPTS, lambda stream: stream.writelines(as_line(_prompt_row(prompt)) for prompt in prompts))
    job.folder.write(LEFT_OUT, lambda stream: stream.writelines(map(as_line, left_out)))
    job.folder.finish({"samples": len(places), "prompts": len(prompts), "left_out": len(left_out)}, names)


def _prompt_row(prompt: Prompt) -> dict[str, Any]:
    row: dict[str, Any] = {"prompt_id": prompt.key, "row_number": prompt.number, "prompt": prompt.text, "columns": prompt.row}
    return row if prompt.turn is None else {**row, **turn_columns(prompt.turn), "columns": {"turn": prompt.turn.number, **prompt.row}}


class _Progress:
    """How many completions a process has of its share, and how fast."""

    def __init__(self, job: Job, stage: Stage) -> None:
        self.size = job.placement.size
        self.total = len(stage.plan.prompts) * stage.plan.count // self.size
        self.what = f"turn {stage.turn}: " if job.prompts.turns > 1 else ""
        self.pace: Pace | None = None
        self.say = job.say
        self.rows = self.tokens = 0

    def start(self) -> None:
        """The model is loaded, or was already."""
        self.pace = self.pace or Pace(self.total, self.say)

    def add(self, rows: list[dict[str, Any]]) -> None:
        assert self.pace is not None, "started before the first rows"
        self.rows += len(rows)
        self.tokens += sum(len(row.get("tokens", ())) for row in rows)
        done, speed = f"{self.rows * self.size:,} of {self.total * self.size:,}", self.tokens * self.size / max(self.pace.spent, 1e-9)
        self.pace.at(self.rows, f"sample     {self.what}about {done}, {speed:,.0f} tokens/s")
