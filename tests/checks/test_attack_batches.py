"""What is said of the shipped objectives, attacked by whole random batches."""

from __future__ import annotations

import random

import pytest
from batch_claims import Claim, against
from shipped import findings_of

import halo
from halo.plugin.objectives import find_objective

QUICK = ("dpo", "kto", "sft", "cpo_simpo", "dpo_pl", "bco", "tdpo2", "rrhf", "humanline_kto")
"""Attacked in the default suite; the others are marked slow."""


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in find_objective.names()])
def test_no_batch_refutes_what_is_said(name: str) -> None:
    loss = halo.compile_objective(name, validate=False)
    broken, attacked = {}, 0
    for finding in findings_of(name):
        found = against(loss, random.Random(f"{name} {finding.check}"), Claim(finding.check, finding.verdict, finding.value, finding.scope))
        attacked += found is not None
        if found:
            broken[name, finding.check] = found
    assert attacked >= 1  # grpo_offline and opo have one claim that whole batches speak of, the others more
    assert broken == {}
