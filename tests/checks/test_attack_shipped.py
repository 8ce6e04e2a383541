"""What is said of the shipped objectives is attacked by the evaluator that knows nothing of graphs and vocabularies.

It reads pairs and labels. Demonstrations, lists, other ways to reduce, and words that it does not have are beyond it.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from attacked import attacked
from mpmath import mp
from random_objectives import batch, parameters_of
from reader import Loss
from shipped import findings_of

from halo.objective.loading import load
from halo.plugin.objectives import find_objective

SUMMED = {"completions": "sum", "examples": "mean"}
PROSE = {"title", "paper", "notes", "aliases", "expect"}


def read(name: str) -> dict[str, Any] | None:
    """The objective as the evaluator takes it, or None."""
    file = {k: v for k, v in load(name, find_objective).values.items() if k not in PROSE}
    if "control" in file or file.get("reduce", SUMMED) != SUMMED or file["feedback"] not in ("paired", "labelled"):
        return None
    if "value" not in file:  # a v for each term, and findings that speak of one
        return None
    file = {"parameters": {}, "columns": {}, "reference_point": "none", **file}
    if any(column["level"] != "example" for column in file["columns"].values()):
        return None
    if "reward" in str(file.get("let")):  # a value function of z that does not say z: the evaluator cannot move z alone
        return None
    rng = random.Random(0)
    try:
        with mp.workdps(30):
            Loss(file, parameters_of(rng, file), batch(rng, file, 2)).total()
    except (KeyError, AttributeError, TypeError, ValueError):
        return None
    return file


NAMES = [name for name in find_objective.names() if read(name)]


def test_most_of_them_are_within_reach() -> None:
    assert len(NAMES) >= 55


@pytest.mark.parametrize("name", NAMES)
def test_what_is_said_of_a_shipped_objective_holds(name: str) -> None:
    file, rng, done = read(name), random.Random(name), Counter[str]()
    assert file is not None
    for finding in findings_of(name):
        if finding.verdict == "refuted" and isinstance(file.get("role"), list):  # the numbers are of one completion's part
            continue
        try:
            done[attacked(rng, file, finding)] += 1
        except AssertionError as wrong:
            raise AssertionError(f"{finding}: {wrong}") from wrong
    assert done["attacked"] >= 3, done
