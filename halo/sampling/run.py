"""`halo sample` from its settings to a finished folder: batches written part by part, then all rows put into order."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from halo.completions.sampling import Sampling
from halo.files.lines import as_line
from halo.files.stage import unwritten
from halo.sampling.job import Job, Say, job_of
from halo.sampling.plan import Prompt
from halo.sampling.rows import LEFT_OUT, PROMPTS, SAMPLES, as_row, order
from halo.sampling.settings import SamplingSettings

EVERY = 10.0
"""Seconds between lines of progress."""


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
    """Every part of this process, then, on the main one, the finished files."""
    placement, parts_ = job.placement, [f"part-{part}.jsonl" for part in range(job.plan.parts)]
    sampling: Sampling | None = None  # built for the first batch: where nothing is left to do, nothing is loaded
    progress = _Progress(job)
    for part in range(placement.rank, job.plan.parts, placement.size):
        lines = job.folder.part(parts_[part])
        done = sum(1 for _ in lines)
        for batch in job.plan.batches(part):
            if done >= len(batch):
                done -= len(batch)
                continue
            if sampling is None:
                sampling = job.built()
                progress.start()
            rows = [as_row(job.by_key[r.key], r, s, job.made) for r, s in zip(batch, sampling.sample(batch), strict=True)]
            lines.add_all(rows[done:])
            progress.add(rows[done:])
            done = 0
    placement.barrier()
    if placement.is_main:
        _finish(job, parts_)
    placement.barrier()


def _finish(job: Job, names: list[str]) -> None:
    """The rows of all parts in order, the prompts, and what was left out."""
    places: list[tuple[tuple[int, int], str, int, int]] = []
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
        opened = {name: (job.folder.path / name).open("rb") for name in {name for _, name, _, _ in places}}
        for _, name, at, size in sorted(places):
            opened[name].seek(at)
            stream.write(opened[name].read(size))
        for held in opened.values():
            held.close()

    job.folder.write(SAMPLES, fill)
    job.folder.write(PROMPTS, lambda stream: stream.writelines(as_line(_prompt_row(prompt)) for prompt in job.prompts.kept))
    job.folder.write(LEFT_OUT, lambda stream: stream.writelines(map(as_line, job.prompts.left_out)))
    job.folder.finish({"samples": len(places), "prompts": len(job.prompts.kept), "left_out": len(job.prompts.left_out)}, names)


def _prompt_row(prompt: Prompt) -> dict[str, Any]:
    return {"prompt_id": prompt.key, "row_number": prompt.number, "prompt": prompt.text, "columns": prompt.row}


class _Progress:
    """A line now and then: how many, how fast, how long."""

    def __init__(self, job: Job) -> None:
        self.say, self.size = job.say, job.placement.size
        self.total = len(job.prompts.kept) * job.plan.count // self.size
        self.begun = self.said = 0.0
        self.rows = self.tokens = 0

    def start(self) -> None:
        """The model is loaded."""
        self.begun = self.said = time.monotonic()

    def add(self, rows: list[dict[str, Any]]) -> None:
        self.rows += len(rows)
        self.tokens += sum(len(row.get("tokens", ())) for row in rows)
        now = time.monotonic()
        if now - self.said < EVERY:
            return
        self.said, spent = now, now - self.begun
        minutes, seconds = divmod(round(spent / self.rows * max(0, self.total - self.rows)), 60)
        done, speed = f"{self.rows * self.size:,} of {self.total * self.size:,}", self.tokens * self.size / spent
        self.say(f"sample     about {done}, {speed:,.0f} tokens/s, left {minutes}:{seconds:02d}")
