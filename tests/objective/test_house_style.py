"""The shipped files side by side: one order of keys, everything explained, nothing long."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

import pytest

from halo.objective.loading import load
from halo.plugin.objectives import find_objective

FOLDER = Path(__file__).parents[2] / "objectives"
FILES = sorted(FOLDER.glob("*.yaml"))
KEYS = (
    "name", "title", "paper", "notes", "extends", "feedback", "reference", "roles", "control", "parameters", "columns", "let", "statistics",
    "role", "reward", "normalizer", "reference_point", "margin", "value", "sign", "weight", "constant", "reduce", "terms", "regularizers",
    "aliases", "expect",
)  # fmt: skip
EXPECTATIONS = (
    "halo", "log_partition_cancels", "direction", "at_reference", "finite_optimum", "preference_link", "length_neutral", "saturates",
    "lipschitz", "symmetry", "no_overflow",
)  # fmt: skip


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_looks_like_the_others(file: Path) -> None:
    text = file.read_text()
    lines = text.splitlines()
    assert lines[0].startswith("# ")  # the loss, as its paper writes it
    assert len(lines) <= 35
    assert max(map(len, lines)) <= 195
    assert [line for line in lines if line != line.rstrip()] == []
    keys = re.findall(r"^(\w+):", text, flags=re.M)
    assert keys == [key for key in KEYS if key in keys]
    expected = re.findall(r"^  (\w+):", text[text.index("\nexpect:") :], flags=re.M)
    assert expected == [name for name in EXPECTATIONS if name in expected]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_everything_in_it_is_explained(file: Path) -> None:
    declared = load(file.stem, find_objective).declaration
    assert declared.title
    assert declared.expect
    assert all(parameter.meaning and parameter.search for parameter in declared.parameters.values())
    assert declared.paper is not None or file.stem == "sft"
    if declared.paper and declared.paper.arxiv:
        assert re.fullmatch(r"\d{4}\.\d{4,5}", declared.paper.arxiv)


def test_the_median_file_has_at_most_20_lines() -> None:
    assert statistics.median(len(file.read_text().splitlines()) for file in FILES) <= 20
