"""Two runs begin at one moment on one folder: one trains, the other says that the folder is in use."""

from __future__ import annotations

import time

from trials.core import Attack, Ground
from trials.made import unlike

FAST = ("--max-steps", "6", "--save-steps", "2", "--save-total-limit", "none")


def carry(ground: Ground) -> None:
    run = ground.folder / ground.rng.choice(["run", "a/b/run"])
    if ground.rng.random() < 0.3:
        run.mkdir(parents=True)
    words = ground.made.words(run, *FAST)
    begun = []
    for _ in range(ground.rng.choice([2, 2, 2, 3])):
        begun.append(ground.start(*words))
        time.sleep(ground.rng.choice([0.0, 0.0, 0.001, 0.01, 0.1]))
    ended = [ground.ended(process) for process in begun]
    codes = sorted(found.code for found in ended)
    ground.must(codes == [0, *[2] * (len(begun) - 1)], f"they ended with {codes}")
    for found in ended:
        ground.lives(found)
        held = "is in use" in found.err or "is not empty" in found.err or "cannot be written" in found.err
        ground.must(found.code == 0 or held, f"the other one says {found.err}")
    different = unlike(run, ground.made.short)
    ground.must(not different, f"the one that trained was disturbed: {different}")


FOLDERS = Attack("folders", 20, carry)
