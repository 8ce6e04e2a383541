"""Files of a run are harmed before it is resumed: one message that names what is good, or the same weights as without the harm."""

from __future__ import annotations

import re
from pathlib import Path

from trials.core import Attack, Ground
from trials.made import FURTHER, unlike
from trials.processes import Ended
from trials.spoiling import copied, files_of, harm, same

STEPS = (2, 4, 6)


def whole(ground: Ground, run: Path) -> list[str]:
    """The checkpoints that are as they were written, by comparing them with those of the run that was copied."""
    return [name for name in (f"checkpoint-{step}" for step in STEPS) if same(run / name, ground.made.short / name)]


def went_on(ground: Ground, run: Path, ended: Ended, bits: bool = True) -> None:
    """It ended well: with the weights of a run from that checkpoint."""
    found = re.search(r"resume     \S+, (\d+) steps done", ended.out)
    ground.must(found is not None, f"it went on without a word of where from: {ended.out[-500:]}")
    if found and bits:
        different = unlike(run, ground.made.going_on(int(found.group(1))))
        ground.must(not different, f"it went on from step {found.group(1)}, and {different}")


def spoil(ground: Ground, run: Path) -> None:
    """One to three harms: mostly to files of the newest checkpoint, sometimes to those of others."""
    for _ in range(ground.rng.choice([1, 1, 1, 2, 3])):
        step = ground.rng.choice([6, 6, 6, 4, 2])
        files = files_of(ground.made.short / f"checkpoint-{step}")
        name = ground.rng.choice([*files, *files, ground.made.short / f"checkpoint-{step}" / "manifest.json"]).name
        ground.note(harm(ground.rng, run / f"checkpoint-{step}" / name) or f"{name} was harmed before")
    if ground.rng.random() < 0.1:
        ground.note("checkpoint-4 and checkpoint-6 have each other's name")
        (run / "checkpoint-4").rename(run / "aside")
        (run / "checkpoint-6").rename(run / "checkpoint-4")
        (run / "aside").rename(run / "checkpoint-6")


def carry_checkpoint(ground: Ground) -> None:
    run = copied(ground.made.short, ground.folder / "run")
    spoil(ground, run)
    at = run / "checkpoint-6" if ground.rng.random() < 0.4 else run
    ended = ground.halo("train", "dpo", "--resume", str(at), "--check", "false", *FURTHER, limit=30)
    ground.lives(ended)
    if ended.code == 0:
        went_on(ground, run, ended)
        return
    good = whole(ground, run)
    if not good:
        return
    named = re.search(r"--resume (\S*checkpoint-\d+)", ended.err)
    ground.must(named is not None, f"{good} is good, and the message names none: {ended.err}")
    if named:
        ground.must(Path(named.group(1)).name in good, f"it names {named.group(1)}, and {good} is good")
        again = ground.halo("train", "dpo", "--resume", named.group(1), "--check", "false", *FURTHER)
        ground.must(again.code == 0, f"what it named does not go on: {again.err[-800:]}")
        went_on(ground, run, again)


def carry_run(ground: Ground) -> None:
    """Files that stand beside the checkpoints, which no manifest guards: it lives."""
    run = copied(ground.made.short, ground.folder / "run")
    for _ in range(ground.rng.choice([1, 1, 2])):
        name = ground.rng.choice([
            "settings.yaml", "objective.yaml", "metrics.jsonl", "run_id.txt", ".halo.lock", "model.safetensors", "loss.py",
        ])  # fmt: skip
        ground.note(harm(ground.rng, run / name) or f"{name} was harmed before")
    ground.lives(ground.halo("train", "dpo", "--resume", str(run), "--check", "false", *FURTHER, limit=30))


def carry(ground: Ground) -> None:
    if ground.rng.random() < 0.7:
        carry_checkpoint(ground)
    else:
        carry_run(ground)


DAMAGE = Attack("damage", 40, carry)
