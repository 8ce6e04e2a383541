"""A table of words, and how it is written: for a terminal, for Markdown, for LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from halo.notation.pens import tex_text
from halo.notation.typeset import escaped_markdown


@dataclass(frozen=True)
class Table:
    """head: of every column; rows: as many words each; notes: lines below it."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def plain(word: str) -> str:
    """On one line, without characters that a terminal or TeX would obey."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in " ".join(word.split()))


def _plainly(table: Table) -> Table:
    rows = tuple(tuple(map(plain, row)) for row in table.rows)
    return Table(plain(table.title), tuple(map(plain, table.head)), rows, tuple(map(plain, table.notes)))


def as_text(tables: Sequence[Table]) -> str:
    """Columns side by side, as wide as they must be."""
    return "\n\n".join(_text(_plainly(table)) for table in tables) + "\n"


def _text(table: Table) -> str:
    widths = [max(len(row[place]) for row in (table.head, *table.rows)) for place in range(len(table.head))]
    lines = [table.title]
    for row in (table.head, *table.rows):
        lines.append("  " + "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())
    return "\n".join([*lines, *(f"  {note}" for note in table.notes)])


def as_markdown(tables: Sequence[Table]) -> str:
    """GitHub's tables."""
    lines = []
    for table in tables:
        lines += [f"## {escaped_markdown(table.title)}", "", _md(table.head), _md(["---"] * len(table.head), plain=True)]
        lines += [_md(row) for row in table.rows]
        lines += ["", *(f"- {escaped_markdown(note)}" for note in table.notes), ""]
    return "\n".join(lines).rstrip() + "\n"


def _md(row: Sequence[str], plain: bool = False) -> str:
    words = row if plain else [escaped_markdown(word) for word in row]
    return f"| {' | '.join(words)} |"


def as_latex(tables: Sequence[Table]) -> str:
    """A tabular of booktabs for each, the notes as comments."""
    lines = [r"% \usepackage{booktabs}"]
    for table in map(_plainly, tables):
        lines += ["", rf"% {table.title}", rf"\begin{{tabular}}{{{'l' * len(table.head)}}}", r"\toprule", _tex(table.head), r"\midrule"]
        lines += [*map(_tex, table.rows), r"\bottomrule", r"\end{tabular}", *(f"% {note}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def _tex(row: Sequence[str]) -> str:
    return " & ".join(map(tex_text, row)) + r" \\"
