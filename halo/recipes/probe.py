"""What a loop will take: the recipe itself on a few prompts and two optimizer steps, in a folder for temporary files, and scaled up.

Loading a model is counted once for each stage, as it is in the loop; what grows with prompts or steps is scaled by how many there are.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from halo.data.reading import Source, rows_of
from halo.files.lines import Lines, as_line
from halo.options import parts
from halo.plugin.registry import choose
from halo.recipes.checks import checked
from halo.recipes.loading import Loaded, merged
from halo.recipes.plan import Step, planned
from halo.recipes.run import RUNS
from halo.recipes.schema import Recipe
from halo.sampling.rows import SAMPLES
from halo.starter.defaults import HELD_OUT, PROMPTS

FEW, STEPS = 16, 2
"""Prompts, and optimizer steps of each train stage, that the probe runs."""


@dataclass(frozen=True)
class Cost:
    """About what one command takes: rows that it writes, tokens that are sampled, steps that are trained, seconds, bytes on the disk.

    asks  completions that a service or code of one's own is asked about: the probe asks nobody, and knows no seconds of it
    """

    step: Step
    rows: int = 0
    tokens: int = 0
    steps: int = 0
    seconds: float = 0.0
    bytes: int = 0
    asks: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        told: dict[str, Any] = {"stage": self.step.name, "round": self.step.round, "command": self.step.command}
        told |= {"rows": self.rows, "tokens": self.tokens, "steps": self.steps, "seconds": round(self.seconds, 1)}
        return told | {"bytes": self.bytes, "asks": self.asks}


def probed(loaded: Loaded, out: Path) -> list[Cost]:
    """Of every command of the plan, in order; a further round costs what the first does. Raises HaloError, as the loop would."""
    steps = checked(loaded, out)
    with tempfile.TemporaryDirectory(prefix="halo-probe-") as folder:
        small, counts = _small(loaded, Path(folder))
        found: dict[str, list[Cost]] = {}
        for cost in _Probe(loaded, counts).run(planned(small, Path(folder) / "loop")):
            found.setdefault(cost.step.name, []).append(cost)
    of_round = [(name, place) for name, own in found.items() for place in range(len(own))]
    return [replace(found[name][place], step=step) for step, (name, place) in zip(steps, of_round * loaded.recipe.rounds, strict=True)]


@dataclass(frozen=True)
class _Counts:
    """How many prompts there are and how many the probe has, to sample from and held out."""

    prompts: tuple[int, int]
    held_out: tuple[int, int]


def _small(loaded: Loaded, folder: Path) -> tuple[Loaded, _Counts]:
    """The recipe on a few prompts and steps, of one round."""
    recipe, changed, counts = loaded.recipe, dict[str, Any](), []
    for name, default in (("prompts", PROMPTS), ("held_out", HELD_OUT)):
        file, given = folder / f"{name}.jsonl", getattr(recipe, name) or str(default)
        rows = (row for row, _ in rows_of(Source.model_validate({"path": given}), "train"))
        few = list(islice(rows, FEW))
        file.write_bytes(b"".join(map(as_line, few)))
        changed[name] = str(file)
        counts.append((len(few) + sum(1 for _ in rows), len(few)))
    values = recipe.model_dump(exclude_none=True)
    for name, stage in recipe.stages.items():
        if stage.train is not None:
            values = merged(values, {"stages": {name: {"train": {"max_steps": STEPS, "save_steps": "none"}}}})
    small = Recipe.model_validate({**values, **changed, "rounds": 1})
    return replace(loaded, recipe=small), _Counts(*counts)


@dataclass
class _Probe:
    """The small recipe at work. pairs: rows of feedback that the whole one would have."""

    loaded: Loaded
    counts: _Counts
    pairs: float = 0.0

    def run(self, steps: Sequence[Step]) -> Iterator[Cost]:
        """Each command, and what the whole one would take."""
        for step in steps:
            there, few = self.counts.held_out if step.kind == "eval" else self.counts.prompts
            factor = there / max(1, few)
            if _reaches_out(step):
                yield self._asking(step, factor)
                continue
            begun = time.monotonic()
            RUNS[step.kind](step, lambda line: None)
            seconds, size = time.monotonic() - begun, _bytes(step.out)
            if step.kind == "train":
                count = self._steps(step)
                yield Cost(step, steps=count, seconds=seconds * max(1.0, count / STEPS), bytes=size)
                continue
            rows, tokens = _rows(step)
            if step.kind == "pair":
                self.pairs = rows * factor
            yield Cost(step, round(rows * factor), round(tokens * factor), 0, seconds * factor, round(size * factor))

    def _steps(self, step: Step) -> int:
        """Optimizer steps of the whole run: as the recipe says, or by epochs over so many rows."""
        told = self.loaded.recipe.stages[step.name].options
        if told.get("max_steps"):
            return int(told["max_steps"])
        batch = int(told.get("per_device_train_batch_size", 8)) * int(told.get("gradient_accumulation_steps", 1))
        return max(1, math.ceil(float(told.get("num_train_epochs", 1)) * self.pairs / batch))

    def _asking(self, step: Step, factor: float) -> Cost:
        """Nobody is asked. Scores that stand in keep the stages behind it going."""
        if step.kind != "score":
            return Cost(step, asks=round(self.counts.held_out[0] * (1 + len(step.words[1:]))))
        rows = list(Lines(Path(step.words[0]) / SAMPLES))
        step.out.parent.mkdir(parents=True, exist_ok=True)
        for row in rows:
            Lines(step.out).add({"prompt_id": row["prompt_id"], "sample": row["sample"], "score": float(row["sample"])})
        return Cost(step, rows=round(len(rows) * factor), asks=round(len(rows) * factor))


def _reaches_out(step: Step) -> bool:
    scorer = step.flags.get("scorer")
    return scorer is not None and bool(choose("scorer", parts(scorer)[0]).reaches_out)


def _rows(step: Step) -> tuple[int, int]:
    """Rows that a command wrote, and sampled tokens among them."""
    if step.kind in ("score", "pair"):
        return sum(1 for _ in Lines(step.out)), 0
    rows = [row for file in step.out.rglob(SAMPLES) for row in Lines(file)]
    return len(rows), sum(len(row.get("tokens", ())) for row in rows)


def _bytes(place: Path) -> int:
    files = [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def as_json(costs: list[Cost]) -> str:
    """The plan with its costs, for a program."""
    return json.dumps([cost.to_json() for cost in costs], indent=1, ensure_ascii=False) + "\n"


def as_text(costs: Sequence[Cost]) -> str:
    """A line for each command, and all together."""
    lines = []
    for cost in costs:
        counted = [
            f"{cost.rows:,} rows" * bool(cost.rows),
            f"{cost.tokens:,} tokens" * bool(cost.tokens),
            f"{cost.steps:,} steps" * bool(cost.steps),
        ]
        asked = f"asks about {cost.asks:,} completions" * bool(cost.asks)
        took = f"{cost.seconds:,.0f} s" if not cost.asks else "seconds unknown"
        lines.append(f"{cost.step.command}\n    about {', '.join(filter(None, [*counted, asked, took, f'{cost.bytes / 1e6:,.1f} MB']))}")
    seconds, size = sum(cost.seconds for cost in costs), sum(cost.bytes for cost in costs)
    return "\n".join([*lines, f"all: about {seconds:,.0f} s and {size / 1e6:,.1f} MB"]) + "\n"
