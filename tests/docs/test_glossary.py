"""The glossary gives each word one meaning, and its retired words do not come back."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()


def words_of(section: str) -> list[str]:
    """The first column of a section's table, one entry for each word of a cell."""
    cells = re.findall(r"^\| ([^|]+) \|", section, flags=re.M)[2:]  # the heading and the line below it
    return [word.strip() for cell in cells for word in re.sub(r"\([^)]*\)", "", cell).split(",")]


def test_a_word_stands_once() -> None:
    sections = re.split(r"^## ", GLOSSARY, flags=re.M)[1:]
    counts = Counter(word for section in sections for word in words_of(section) if not section.startswith("Retired"))
    assert [word for word, count in counts.items() if count > 1] == []


def test_retired_words_do_not_come_back() -> None:
    """Lines of code and pages that hold one, as a whole word. The glossary may, and decisions say what was."""
    files = [*ROOT.glob("halo/**/*.py"), *ROOT.glob("plugins/*/halo_*/**/*.py"), *ROOT.glob("docs/*.md"), ROOT / "README.md"]
    lines = [line for file in files if file.name != "glossary.md" for line in file.read_text().splitlines()]
    found = {}
    for word in words_of(GLOSSARY.split("## Retired words")[1]):
        pattern = re.compile(rf"(?<![a-z]){word.replace(' ', '[ _]')}(?![a-z])", flags=re.I)
        found[word] = sum(bool(pattern.search(line)) for line in lines)
    assert {word: count for word, count in found.items() if count} == {}
