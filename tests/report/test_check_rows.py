"""What fails stands apart: each expectation that is not met with the finding that is against it, and what no objective may lack."""

from __future__ import annotations

from typing import Any

import pytest

from halo.analysis.verdict import Finding
from halo.checks.results import Examination, Expectation
from halo.report.rows import groups, tally


def told(findings: list[Finding], *expectations: Expectation) -> dict[str, list[str]]:
    """The group that says what fails, and all others: their lines."""
    found = groups(None, Examination("mine", tuple(findings), expectations))
    lines: dict[str, list[str]] = {"fails": [], "else": []}
    for group in found:
        lines["fails" if group.title == "What fails" else "else"] += [f"{row.word} {row.check} {row.reason}" for row in group.rows]
    return lines


def finding(check: str, verdict: Any, scope: str = "loss", value: str | None = None) -> Finding:
    return Finding(check, verdict, f"of {scope}", value, scope)


@pytest.mark.parametrize(("expected", "verdict", "line"), [
    ("proved", "refuted", "fails symmetry expected to hold, it does not: of loss"),
    ("refuted", "proved", "fails symmetry expected not to hold, it holds: of loss"),
    ("proved", "undecided", "fails symmetry expected to hold, undecided: of loss"),
])  # fmt: skip
def test_what_was_expected_stands_before_the_reason(expected: str, verdict: str, line: str) -> None:
    lines = told([finding("symmetry", verdict)], Expectation("symmetry", expected, verdict, False))
    assert lines == {"fails": [line], "else": []}


def test_what_nobody_expected_is_simply_not_so() -> None:
    lines = told([finding("symmetry", "refuted"), finding("saturates", "refuted")], Expectation("saturates", "refuted", "refuted", True))
    assert lines == {"fails": [], "else": ["not so saturates of loss", "not so symmetry of loss"]}


def test_only_the_part_that_is_against_it_fails() -> None:
    parts = [finding("monotone", "proved", "v of chosen"), finding("monotone", "refuted", "v of rejected")]
    lines = told(parts, Expectation("monotone", "proved", "refuted", False))
    assert lines["fails"] == ["fails monotone expected to hold, it does not: of v of rejected"]
    assert lines["else"] == ["holds monotone of v of chosen"]


def test_a_way_and_a_value_are_said_as_they_are() -> None:
    lines = told([finding("direction.chosen", "proved", "chosen", "down")], Expectation("direction.chosen", "up", "down", False))
    assert lines["fails"] == ["fails direction.chosen expected up, found down: of chosen"]


def test_an_expectation_without_a_finding_is_not_lost() -> None:
    lines = told([], Expectation("direction.gold", "up", "no such direction", False))
    assert lines["fails"] == ["fails direction.gold expected up, found no such direction"]


def test_what_every_objective_must_have_needs_no_expectation() -> None:
    lines = told([finding("domain", "refuted"), finding("reach", "undecided")])
    assert lines == {"fails": ["fails domain must hold, it does not: of loss"], "else": ["undecided reach of loss"]}


def test_numbers() -> None:
    findings = (finding("domain", "refuted"), finding("units", "proved"), finding("symmetry", "refuted"), finding("halo", "undecided"))
    assert tally(Examination("mine", findings)) == "1 fails, 1 holds, 1 does not, 1 is undecided"
    assert tally(Examination("mine", findings[1:2] * 3)) == "3 hold"
    assert tally(Examination("mine", ())) == "nothing examined"
