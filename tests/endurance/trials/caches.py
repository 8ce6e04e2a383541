"""What halo keeps between runs is harmed: it answers as if there had been nothing."""

from __future__ import annotations

import json
import os
from typing import Any

from trials.core import Attack, Ground
from trials.spoiling import copied, files_of, harm


def plain(value: Any) -> Any:
    """An answer without how long it took."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items() if key not in ("milliseconds", "seconds")}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value


def spoil(ground: Ground) -> None:
    """One or several entries, or the folder around them."""
    cache = copied(ground.made.examined[0], ground.folder / "cache")
    if ground.rng.random() < 0.15:
        folders = sorted(path for path in cache.rglob("*") if path.is_dir())
        place = ground.rng.choice(folders)
        aside = place.with_name("aside")
        place.rename(aside)
        how = ground.rng.choice(["a file", "a pipe", "a link to nowhere", "a link to itself"])
        if how == "a file":
            place.write_text("{")
        elif how == "a pipe":
            os.mkfifo(place)
        else:
            place.symlink_to("nowhere" if "nowhere" in how else place.name)
        ground.note(f"{place} is {how}")
        return
    files = files_of(cache)
    for _ in range(ground.rng.choice([1, 2, 3, len(files)])):
        ground.note(harm(ground.rng, ground.rng.choice(files)))


def carry(ground: Ground) -> None:
    answer = ground.made.examined[1]
    spoil(ground)
    for _ in range(2):  # what the first one keeps, the second one reads
        ended = ground.halo("check", "dpo", "--json", limit=60, environment={"HALO_CACHE": str(ground.folder / "cache")})
        ground.must(ended.code == 0, f"it ended with {ended.code}: {ended.err[-1500:]}")
        ground.must("Traceback" not in ended.err, f"a traceback: {ended.err[-1500:]}")
        ground.must(plain(json.loads(ended.out)) == plain(answer), f"another answer: {ended.out[:1500]}")


CACHES = Attack("caches", 30, carry)
