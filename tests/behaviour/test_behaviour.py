"""What halo says and does today, frozen: verdicts, generated sources, relations, and the metrics of seeded runs.

`HALO_UPDATE_BEHAVIOUR=1 python -m pytest tests/behaviour` writes the frozen files anew. A deliberate difference stands in the CHANGELOG.
"""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest
from behaviour import frozen, present
from related import FILES, RELATED

from halo.plugin.objectives import find_objective

NAMES = find_objective.names()
SOURCES = frozen.FOLDER / "sources"
KNOWN_WRONG = frozen.read("known_wrong.txt")
MORE_PAIRS = [line.split() for line in (frozen.FOLDER / "pairs.txt").read_text().splitlines()]
PAIRS = [[pair.left, pair.right] for pair in RELATED] + MORE_PAIRS
SPREAD = 1e-9
"""Between vector instructions (`ATEN_CPU_CAPABILITY` default and avx2) and one or two threads, float64 runs were seen to differ by 1e-15
and float32 runs by 4e-6. AVX-512 adds up in another order again. Rounding shifts a gradient by some 1e-16, and Adam, which divides by
|g| + 1e-8, a weight by 1e-8 of its step of 1e-4: 1e-9 is far above what rounding can do, and far below any change of the mathematics."""


@pytest.mark.parametrize("name", NAMES)
def test_verdicts(name: str) -> None:
    notes = {fact: f"\n    it was known to be wrong: {why}" for fact, why in KNOWN_WRONG.get(name, {}).items()}
    frozen.hold("verdicts.txt", name, present.verdicts(name), notes=notes)


@pytest.mark.parametrize("name", NAMES)
def test_sources(name: str) -> None:
    now, file = present.source(name), SOURCES / f"{name}.py"
    if frozen.UPDATING:
        file.write_text(now)
    before = file.read_text() if file.exists() else ""
    difference = difflib.unified_diff(before.splitlines(), now.splitlines(), str(file), "generated now", lineterm="")
    assert before == now, "HALO_UPDATE_BEHAVIOUR=1 accepts this:\n" + "\n".join(difference)


@pytest.mark.parametrize(("left", "right"), PAIRS, ids=lambda word: word)
def test_relations(left: str, right: str, tmp_path: Path) -> None:
    words = []
    for word in (left, right):
        file = word.split("@")[0]
        if file in FILES:
            (tmp_path / file).write_text(FILES[file])
            word = str(tmp_path / word)
        words.append(word)
    frozen.hold("relations.txt", f"{left} {right}", present.relation(*words))


@pytest.mark.parametrize("name", present.RUNS)
def test_metrics_of_seeded_runs(name: str, tmp_path: Path) -> None:
    frozen.hold("metrics.txt", name, present.metrics(name, tmp_path), tolerance=SPREAD)


def test_nothing_is_frozen_of_what_is_not_there() -> None:
    frozen.hold_subjects("verdicts.txt", NAMES)
    frozen.hold_subjects("relations.txt", [f"{left} {right}" for left, right in PAIRS])
    frozen.hold_subjects("metrics.txt", list(present.RUNS))
    unknown = sorted(file for file in SOURCES.glob("*.py") if file.stem not in NAMES)
    if frozen.UPDATING:
        for file in unknown:
            file.unlink()
    else:
        assert unknown == []


def test_what_is_known_to_be_wrong_is_what_is_frozen() -> None:
    """A verdict that was mended leaves the list: `known_wrong.txt` begins each reason with the verdict it speaks of."""
    verdicts = frozen.read("verdicts.txt")
    for name, facts in KNOWN_WRONG.items():
        for fact, why in facts.items():
            found = verdicts[name][fact].split(":")[0]
            assert why.startswith(f"{found}, "), f"{name}: {fact} is {found} now; known_wrong.txt says {why!r}"
