"""A recipe with a stage of every kind, and recipes as plans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from halo.recipes.loading import load_recipe, read_change
from halo.recipes.plan import Step, planned

MINE = """recipe: mine
rounds: 2
stages:
  drawn: {sample: {n: 3}}
  reward: {score: {scorer: gold}}
  pairs: {pair: {by: reward}}
  policy: {train: {objective: dpo, set: {beta: 0.2}, max_steps: 5}}
  judged: {eval: {evaluators: win, against: start, scorer: gold}}
"""


def plan(source: Any, *changes: str, embedded: bool = True) -> list[Step]:
    return planned(load_recipe(str(source), dict(map(read_change, changes)), embedded), Path("out"))
