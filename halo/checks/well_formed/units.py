"""Whether sums over tokens and averages per token are kept apart, and what each parameter counts in."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from halo.analysis.verdict import PROVED, Finding
from halo.checks.check import Check
from halo.checks.subject import Subject
from halo.objective.propositions import UNITS

_WRITTEN = {None: "any", Fraction(0): "1", Fraction(1): "tokens", Fraction(-1): "1/tokens"}
"""A power of `tokens` as people write it; a parameter without one fits any."""


def ask(subject: Subject) -> Iterator[Finding]:
    """What does not fit does not compile; then there is no objective to examine, and that error is the finding."""
    said = (f"{name}: {_WRITTEN.get(power, f'tokens**{power}')}" for name, power in subject.compiled.units.items())
    yield Finding(UNITS.name, PROVED, "sums over tokens and averages per token are never mixed", ", ".join(said) or None)


CHECK = Check(UNITS, ask)
