"""The output folder lies on a disk of a random small size, or one that somebody else fills: what was saved stays whole."""

from __future__ import annotations

import re
from pathlib import Path

from full_disk import fill, small_disk

from trials.core import Attack, Ground
from trials.kill import moment, whole_newest
from trials.made import LONG, unlike
from trials.processes import Ended
from trials.spoiling import copied


def told(ground: Ground, run: Path, ended: Ended) -> Path | None:
    """One message, with what is safe where something is; nothing is half-written. Returns what it can be resumed from."""
    ground.lives(ended)
    if not run.exists():
        return None
    saved = whole_newest(ground, run)
    left = [path.name for path in run.iterdir() if path.name.endswith(".draft")]
    ground.must(not left, f"{left} was left behind")
    if not ended.code:
        return None
    if rescued := re.search(r"saved up to here in (\S+);", ended.err):
        return Path(rescued.group(1))
    if saved is None:
        return None
    kept = re.search(r"the last good checkpoint is (\S+?)[; ]|it is in (\S+);", ended.err)
    ground.must(kept is not None, f"{saved} is good, and the message names nothing: {ended.err}")
    ground.must(kept is None or kept.group(1) in (None, str(saved)), f"{saved} is good, and the message says {ended.err}")
    return run


def carry(ground: Ground) -> None:
    size = ground.rng.choice([ground.rng.randint(100, 9_000), ground.rng.randint(9_000, 26_000), ground.rng.randint(9_000, 26_000)])
    temporary = ground.folder / "tmp"
    temporary.mkdir()
    with small_disk(ground.folder / "disk", f"{size}k") as disk:
        ground.note(f"a disk of {size} kB")
        run = disk / "run"
        process = ground.start(*ground.made.words(run, *LONG), environment={"TMPDIR": str(temporary)})
        if ground.rng.random() < 0.5:
            moment(ground, process, run)
            leave = ground.rng.choice([0, 1000, 100_000, 1_500_000, 3_000_000])
            ground.note(f"  somebody fills it but for {leave} bytes")
            filled(disk, leave)
        ended = ground.ended(process)
        safe = told(ground, run, ended)
        if ended.code == 0:
            different = unlike(run, ground.made.long)
            ground.must(not different, f"not as a run with room: {different}")
        if safe is not None:
            goes_on(ground, safe)


def goes_on(ground: Ground, safe: Path) -> None:
    """On a disk with room it ends as a run that always had it."""
    moved = copied(safe, ground.folder / "moved")
    again = ground.halo("train", "dpo", "--resume", str(moved), "--check", "false")
    ground.must(again.code == 0, f"with room it does not go on: {again.err[-1000:]}")
    different = unlike(moved, ground.made.long)
    ground.must(not different, f"not as a run with room: {different}")


def filled(disk: Path, leave: int) -> None:
    """Somebody else's file; the run may take the room first."""
    try:
        fill(disk, leave)
    except OSError:
        return


DISKS = Attack("disks", 20, carry)
