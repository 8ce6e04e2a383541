"""The table of docs/checks.md, made of the propositions."""

from __future__ import annotations

from pathlib import Path

from halo.objective.propositions import PROPOSITIONS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "checks.md"
HEAD = "| check | what is so where it holds |\n| --- | --- |\n"


def table() -> str:
    """A row for each proposition, in the order of a report."""
    rows = (f"| `{one.name}` | {'; '.join(filter(None, (one.meaning, one.detail)))} |\n" for one in PROPOSITIONS.values())
    return HEAD + "".join(rows)


def page() -> str:
    """The page as it should be: its own text around the table."""
    before, _, rest = PAGE.read_text().partition(HEAD)
    _, _, after = rest.partition("\n\n")
    return f"{before}{table()}\n{after}"
