"""One finding, attacked: a proof by random batches, a refutation by its witness. The clock is for numbers without end."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attacks
import attacks_on_v
from mpmath import mp
from reader import DIGITS, TooLarge
from witnesses import confirm

from halo.analysis.verdict import Finding

SECONDS = 20
"""For one step of an examination, as under `halo check`."""

PROOFS = {**attacks.PROOFS, **attacks_on_v.PROOFS}
REFUTATIONS = {**attacks.REFUTATIONS, **attacks_on_v.REFUTATIONS}


class Stopped(Exception):
    """By the clock."""


@contextmanager
def clock(seconds: int) -> Iterator[None]:
    def ring(*_: Any) -> None:
        raise Stopped

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def attacked(rng: random.Random, file: dict[str, Any], finding: Finding) -> str:
    """Fails where the finding is wrong; else says what was done with it."""
    name = finding.check.split(".")[0]
    core = name == "halo" and finding.scope == "core"
    try:
        with clock(SECONDS), mp.workdps(DIGITS):
            if finding.verdict == "proved" and name in PROOFS and not core:
                PROOFS[name](rng, file, finding)
                return "attacked"
            if finding.verdict == "refuted" and name in REFUTATIONS:
                REFUTATIONS[name](rng, file, finding)
                return "attacked"
            if finding.verdict == "refuted" and confirm(file, finding):
                return "confirmed"
    except (TooLarge, Stopped):
        return "too large"
    except ValueError as no:
        if "score" in str(no) or "such difference" in str(no):  # the attack's own: it has no hold on this objective
            return "out of reach"
        raise
    return "not attacked"
