"""What a check does for any proposition: it is asked where it has a meaning, and an expectation is held against its findings."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from halo.analysis.verdict import Finding
from halo.checks.check import Check
from halo.checks.results import Expectation
from halo.objective.propositions import REQUIRED, Proposition, is_required, proposition_of, required

SHORT = Proposition("short", "Size", "it is short")


def says(*verdicts: str, scope: str = "loss") -> list[Finding]:
    return [Finding("short", verdict, "because", scope=scope) for verdict in verdicts]


def ask(subject: Any) -> Iterator[Finding]:
    yield from says("proved")


def of(**expected: Any) -> Any:
    """As much of a `Subject` as a check reads here."""
    return SimpleNamespace(expected=expected)


def test_it_is_asked_where_it_has_a_meaning() -> None:
    assert list(Check(SHORT, ask).findings(of())) == says("proved")
    assert list(Check(SHORT, ask, asked=lambda subject: False).findings(of())) == []


@pytest.mark.parametrize(("verdicts", "found"), [
    (["proved", "proved"], "proved"), (["proved", "refuted"], "refuted"), (["undecided", "refuted"], "refuted"),
    (["proved", "undecided"], "undecided"), ([], "undecided"),
])  # fmt: skip
def test_a_proposition_is_that_of_all_its_parts(verdicts: list[str], found: str) -> None:
    for expected in ("proved", "refuted"):
        (told,) = Check(SHORT, ask).expectations(of(short=expected), says(*verdicts))
        assert told == Expectation("short", expected, found, found == expected)


def test_the_core_is_not_the_whole() -> None:
    (told,) = Check(SHORT, ask).expectations(of(short="refuted"), [*says("refuted"), *says("proved", scope="core")])
    assert told.met


def test_what_is_not_expected_is_not_held() -> None:
    assert list(Check(SHORT, ask).expectations(of(other="proved"), says("refuted"))) == []


def test_a_check_may_hold_an_expectation_in_its_own_way() -> None:
    def held(subject: Any, wanted: int, found: list[Finding]) -> Iterator[Expectation]:
        yield Expectation("short", str(wanted), str(len(found)), wanted == len(found))

    (told,) = Check(SHORT, ask, held=held).expectations(of(short=2), says("proved", "refuted"))
    assert told.met


def test_names_of_findings_lead_to_propositions() -> None:
    for name in ("direction", "direction.chosen"):
        found = proposition_of(name)
        assert found is not None
        assert found.name == "direction"
    assert proposition_of("brand_new.chosen") is None
    assert [name for name in required() if not is_required(name)] == []
    assert not is_required("symmetry")
    assert REQUIRED.type != SHORT.expects.type
