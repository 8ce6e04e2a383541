"""What all attacks of a session share: a model, rows, and runs that nobody attacked, to hold others against."""

from __future__ import annotations

import json
import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from halo.starter.defaults import FEEDBACK, POLICY
from trials.processes import Nursery

COMMON = ("--learning-rate", "1e-3", "--per-device-train-batch-size", "4", "--logging-steps", "1", "--check", "false", "--use-cpu")
SHORT = ("--max-steps", "6", "--save-steps", "2", "--save-total-limit", "none")
FURTHER = ("--max-steps", "8")
"""For a short run that goes on."""
STEPS = 40
LONG = ("--max-steps", str(STEPS), "--save-steps", "4", "--save-total-limit", "3")


class Made:
    """A folder with `model` and `rows.jsonl`, a cache of its own, and the runs made of them."""

    def __init__(self, folder: Path, nursery: Nursery) -> None:
        self.folder, self.nursery = folder, nursery
        self.cache, self.said = folder / "cache", folder / "said"
        self.model, self.rows = folder / "model", folder / "rows.jsonl"
        self.said.mkdir()
        shutil.copytree(POLICY, self.model)
        self.rows.write_text("".join(FEEDBACK.read_text().splitlines(keepends=True)[:24]))

    def words(self, output: Path, *more: str, model: Path | None = None, rows: Path | None = None) -> tuple[str, ...]:
        """The words of `halo` for a run of these."""
        made_of = ("--model", str(model or self.model), "--data", str(rows or self.rows))
        return ("train", "dpo", *COMMON, *made_of, "--output-dir", str(output), *more)

    @cached_property
    def short(self) -> Path:
        """A run of six steps with checkpoints 2, 4 and 6."""
        return self._run("short", SHORT)

    @cached_property
    def long(self) -> Path:
        """A run of forty steps."""
        return self._run("long", LONG)

    def going_on(self, step: int) -> Path:
        """A copy of the short run that went on from one of its checkpoints, to eight steps; made once."""
        place = self.folder / f"from-{step}"
        if not place.exists():
            shutil.copytree(self.short, place)
            self._done(("train", "dpo", "--resume", str(place / f"checkpoint-{step}"), "--check", "false", *FURTHER), self.cache)
        return place

    @cached_property
    def examined(self) -> tuple[Path, Any]:
        """A cache with the examinations of two objectives, and the answer for the second one."""
        place = self.folder / "examined"
        self._done(("check", "kto_no_z0", "--json"), place)
        return place, json.loads(self._done(("check", "dpo", "--json"), place))

    def _run(self, name: str, more: tuple[str, ...]) -> Path:
        self._done(self.words(self.folder / name, *more), self.cache)
        return self.folder / name

    def _done(self, words: tuple[str, ...], home: Path) -> str:
        """What halo says to these words, which nothing keeps it from."""
        files = self.folder / "made.out", self.folder / "made.err"
        for file in files:
            file.unlink(missing_ok=True)
        ended = self.nursery.start(words, self.folder, files, {"HALO_CACHE": str(home)}).wait(120)
        assert ended.code == 0, ended.err
        return ended.out


def records(run: Path) -> list[dict[str, Any]]:
    """What a run logged, without its speed."""
    found = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in record.items() if key != "tokens_per_second"} for record in found]


def unlike(run: Path, other: Path) -> str:
    """How two runs differ, or nothing: their weights and metrics are equal to the bit."""
    mine, theirs = (load_file(folder / "model.safetensors") for folder in (run, other))
    if mine.keys() != theirs.keys():
        return "the weights have other names"
    different = [name for name, tensor in mine.items() if not torch.equal(tensor, theirs[name])]
    if different:
        return f"{len(different)} of {len(mine)} weights differ, {different[0]} among them"
    if records(run) != records(other):
        return f"the metrics differ: {records(run)[:2]} and {records(other)[:2]}, {len(records(run))} and {len(records(other))} records"
    return ""
