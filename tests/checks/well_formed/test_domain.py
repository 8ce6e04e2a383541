"""Where a loss has a value: what algebra shows of a divisor and of a logarithm's argument."""

from __future__ import annotations

import pytest

from halo.checks.subject import Subject
from halo.checks.well_formed import domain
from halo.compiler.pipeline import compile_source

SOURCE = """\
name: quotient
feedback: paired
parameters: {{beta: {{default: 1, domain: "(0, inf)"}}, gamma: {{default: 2, domain: "(1, inf)"}}}}
reward: sum(logp - ref_logp)
normalizer: beta
reference_point: rejected
margin: gamma
value: {value}
sign: -1
"""


def verdict(value: str) -> str:
    (finding,) = domain.ask(Subject(compile_source(SOURCE.format(value=value))))
    return finding.verdict


@pytest.mark.parametrize("value", [
    "z / (gamma - log(gamma))", "log(gamma * exp(z) - exp(z))", "z / (1 - gamma)**3", "log1p(exp(z) * (gamma - 1))",
])  # fmt: skip
def test_algebra_shows_that_it_is_defined(value: str) -> None:
    assert verdict(value) == "proved"


@pytest.mark.parametrize("value", ["z / (exp(z) - 1)", "log(gamma * exp(z) - 2 * exp(z))"])
def test_a_divisor_that_is_0_somewhere_is_not_taken_for_settled(value: str) -> None:
    assert verdict(value) != "proved"


@pytest.mark.parametrize("value", ["z / (exp(z) * exp(-z) - 1)", "log(1 + z * (sigmoid(z) + sigmoid(-z) - 1) - 1)"])
def test_what_is_0_everywhere_is_not_taken_for_settled(value: str) -> None:
    """It has no factor that could vanish, which once counted as none that does."""
    assert verdict(value) != "proved"
