"""Random small objectives: what is said of a whole loss is attacked by an evaluator of the language of its own.

`HALO_ATTACK_OBJECTIVES=2000` asks about that many instead of those of the ordinary suite, `HALO_ATTACK_SEED` about others.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from attacked import SECONDS, Stopped, attacked, clock
from random_objectives import completed, labelled, paired

from halo.analysis.verdict import Finding
from halo.checks.catalogue import CHECKS
from halo.compiler.pipeline import compile_source
from halo.errors import HaloError
from halo.examine.examiner import Examiner
from halo.plugin.objectives import find_objective

HOW_MANY = int(os.environ.get("HALO_ATTACK_OBJECTIVES", "25"))
SEED = int(os.environ.get("HALO_ATTACK_SEED", "20270115"))
def examined(file: dict[str, Any], directory: Path) -> tuple[list[Finding], list[str]] | None:
    """The findings and the names of steps that did not come back; None for what does not compile."""
    path = directory / f"{file['name']}.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in file.items() if v != {}}, sort_keys=False))
    try:
        examiner = Examiner(compile_source(path, None, find_objective))
    except HaloError:
        return None
    found, stopped = list[Finding](), list[str]()
    for name in CHECKS:
        try:
            with clock(SECONDS):
                found += examiner.step(name, found)
        except Stopped:
            stopped.append(name)
    return found, stopped


def standard(file: dict[str, Any], finding: Finding) -> bool:
    """A HALO by construction, which none may refute: the definition's own pieces, with nothing beside them."""
    plain = not {"margin", "weight", "constant", "regularizers"} & set(file)
    return plain and file["feedback"] == "paired" and file["reward"] in HALO_REWARDS and file["normalizer"] in ("beta", "1", "2*beta", "beta/length") \
        and file["reference_point"] in ("rejected", "rejected.reward") and file["value"] in HALO_VALUES and finding.check == "halo" and finding.verdict == "refuted"  # fmt: skip


HALO_REWARDS = ["sum(logp - ref_logp)", "sum(logp) - sum(ref_logp)", "length * mean(logp - ref_logp)", "sum(2*logp - 2*ref_logp)/2"]
HALO_VALUES = ["logsigmoid(z)", "-softplus(-z)", "-exp(-z)", "sigmoid(z)", "tanh(z)", "z", "where(z < 0, 2*z, z)", "z/(1 + abs(z))", "min(z, 1)"]


def test_what_is_said_of_random_objectives_holds(tmp_path: Path) -> None:
    rng, outcomes, done = random.Random(SEED), Counter[tuple[str, str]](), Counter[str]()
    broken, stopped, asked = list[str](), list[str](), 0
    while asked < HOW_MANY:
        file = completed(rng.choice([paired, paired, labelled])(rng), f"random_{asked}")
        answer = examined(file, tmp_path)
        if answer is None:
            continue
        asked += 1
        stopped += [f"{name} of {file}" for name in answer[1]]
        for finding in answer[0]:
            outcomes[finding.check.split(".")[0], finding.verdict] += 1
            try:
                done[attacked(rng, file, finding)] += 1
                assert not standard(file, finding), "a human-aware loss by construction"
            except (AssertionError, ArithmeticError, ValueError, SyntaxError, KeyError, TypeError, AttributeError, HaloError) as wrong:
                broken.append(f"{type(wrong).__name__} {wrong}\n  {file}\n  {finding}")
    print(f"\n{asked} objectives, {dict(done)}, {dict(sorted(outcomes.items()))}", *stopped, sep="\nstopped: ")
    assert not broken, f"{len(broken)}:\n\n" + "\n\n".join(broken[:40])
    assert len(stopped) <= max(1, asked // 20)
