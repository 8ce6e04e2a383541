"""The nursery and what is made in it, once for a session, and the table of what was tried at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from _pytest.terminal import TerminalReporter
from trials.processes import Nursery

if TYPE_CHECKING:
    from trials.made import Made

PROPERTY = "endurance"


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    found = Nursery()
    yield found
    found.close()


@pytest.fixture(scope="session")
def made(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Made:
    from trials.made import Made  # loads torch, which `pytest -m fast` does without

    return Made(tmp_path_factory.mktemp("made"), nursery)


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """One line for each class that was attacked."""
    tried, survived = Counter[str](), Counter[str]()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            name = dict(report.user_properties).get(PROPERTY) if report.when == "call" else None
            if isinstance(name, str):
                tried[name] += 1
                survived[name] += outcome == "passed"
    if tried:
        terminalreporter.write_sep("-", "random attacks")
        terminalreporter.write_line(f"{'class':<16}{'tried':>7}{'survived':>10}")
        for name in tried:
            terminalreporter.write_line(f"{name:<16}{tried[name]:>7}{survived[name]:>10}")
