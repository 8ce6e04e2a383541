"""An examination, written for a terminal: wrapped and coloured on one, plain lines elsewhere.

as_text(...)    the report as one string, wrapped at `width` where one is given
shown(...)      the same on standard output, as wide and as colourful as that allows
overview(...)   one line for each of several objectives
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence

from halo.checks.results import Examination
from halo.compiler.pipeline import CompiledObjective
from halo.notation.typeset import lines_unicode
from halo.report.rows import Group, Row, counts, expectation_style, expectations_met, groups, tally, title_of
from halo.report.wording import FAILS

Line = list[tuple[str, str]]  # pieces of text and their styles
STYLES = {
    "proved": "green", "refuted": "", "undecided": "bright_black", "bad": "bold red", "met": "green", "none": "dim",
    "title": "bold", "heading": "bold cyan", "dim": "dim", "": "",
}  # fmt: skip
KEPT = "\N{NO-BREAK SPACE}"  # inside an equation, which is not broken
WIDEST, NARROWEST = 130, 40  # longer lines are hard to read; shorter ones cannot hold a name and a word


def as_text(compiled: CompiledObjective | None, examination: Examination, verbose: bool, width: int | None = None) -> str:
    """The formula, what fails, the other findings in groups; `verbose` adds steps and witnesses."""
    lines = (_printable("".join(text for text, _ in line)).rstrip() for line in _lines(compiled, examination, verbose, width))
    return "".join(f"{line}\n" for line in lines)


def shown(compiled: CompiledObjective | None, examination: Examination, verbose: bool) -> None:
    """Prints the report. Colours only on a terminal that wants them; a file or a pipe gets one unbroken line for each finding."""
    if not sys.stdout.isatty():
        columns, width = os.environ.get("COLUMNS", ""), None
        if columns.isdigit() and int(columns):
            width = max(int(columns), NARROWEST)
        print(as_text(compiled, examination, verbose, width), flush=True)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, markup=False, emoji=False)  # it knows terminals without colours
    styles = STYLES
    if os.environ.get("NO_COLOR"):  # bold and dim go too
        styles = dict.fromkeys(STYLES, "")
    width = max(NARROWEST, min(WIDEST, shutil.get_terminal_size().columns - 1))
    for line in _lines(compiled, examination, verbose, width):
        console.print(Text.assemble(*((_printable(text), styles[style]) for text, style in line)), soft_wrap=True)
    console.print()


def overview(examinations: Sequence[Examination]) -> str:
    """One line for each objective: what was found, and whether it keeps what its file expects."""
    width = max(len(e.objective) for e in examinations)
    middle = max(len(tally(e)) for e in examinations)
    failed = sum(e.failed for e in examinations)
    lines = [f"{len(examinations)} objectives, {failed or 'none'} failed"]
    for one in examinations:
        word = "FAILED" if one.failed else "ok"
        lines.append(f"  {word:<6}  {one.objective:<{width}}  {tally(one):<{middle}}  {expectations_met(one)}")
    return "\n".join(lines)


def _printable(text: str) -> str:
    """A title is somebody's text: no escape sequence of it reaches the terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text.replace(KEPT, " "))


def _lines(compiled: CompiledObjective | None, examination: Examination, verbose: bool, width: int | None) -> Iterator[Line]:
    yield from _wrapped([(examination.objective, "title"), ("  ", ""), (title_of(compiled), "dim")], width, 4)
    yield []
    if compiled:
        for line in lines_unicode(compiled):
            name, equals, _ = line.partition(" = ")
            yield from _wrapped([(f"    {line}", "")], width, len(f"    {name}{equals}") if equals else 8)
        yield []
    found = groups(compiled, examination)
    names = max((len(row.check) for group in found for row in group.rows), default=0)
    for group in found:
        yield from _group(group, names, verbose, width)
    yield []
    yield from _rest(examination, width)


def _group(group: Group, names: int, verbose: bool, width: int | None) -> Iterator[Line]:
    style = "bad" if group.title == FAILS else "heading"
    yield from _wrapped([(f"  {group.title}", style), (f"  {group.definition}".rstrip(), "dim")], width, 6)
    for row in group.rows:
        yield from _row(row, names, width)
        if verbose:
            yield from _evidence(row, width)


def _row(row: Row, names: int, width: int | None) -> Iterator[Line]:
    scope = f"[{row.scope}] " if row.scope else ""
    word = row.word.upper() if row.fails else row.word  # not all terminals have colours
    head: Line = [("    ", ""), (f"{word:<9}", row.style), (" ", ""), (f"{row.check:<{names}}", "")]
    start = 4 + 9 + 1 + names + 2
    if width is not None and width < start + 30:  # too narrow for columns: the reason goes below
        yield head
        yield from _wrapped([("      ", ""), (scope, "dim"), (row.reason, "")], width, 6)
    else:
        yield from _wrapped([*head, ("  ", ""), (scope, "dim"), (row.reason, "")], width, start)
    for line in row.excerpt.splitlines():
        yield [(f"{'':8}{line}", "dim")]


def _evidence(row: Row, width: int | None) -> Iterator[Line]:
    for step in row.steps:
        yield from _wrapped([(f"{'':14}- {step}", "dim")], width, 16)
    if row.witness:
        numbers = ", ".join(equation.replace(" ", KEPT) for equation in row.witness)
        yield from _wrapped([(f"{'':14}at {numbers}", "dim")], width, 17)


def _rest(examination: Examination, width: int | None) -> Iterator[Line]:
    """Likely mistakes, relatives, and last the numbers."""
    for mistake in examination.mistakes:
        text = f" {mistake.name}, {mistake.where}: {mistake.what}; {mistake.wanted}"
        yield from _wrapped([("  likely mistake", "bad"), (text.replace("..", "."), "")], width, 6)
    for relative in examination.relatives:
        yield from _wrapped([("  relative", "heading"), (f"  {relative.sentence}", "")], width, 6)
    if examination.stopped:
        text = f"  stopped by the clock: {', '.join(examination.stopped)}; a faster machine may decide more"
        yield from _wrapped([(text, "bad")], width, 6)
    line: Line = [("  ", "")]
    for style, words in counts(examination):
        line += [(words, "bad" if style == "bad" else ""), (", ", "")]
    line[-1] = ("; ", "")
    yield from _wrapped([*line, (expectations_met(examination), expectation_style(examination))], width, 4)


def _wrapped(line: Line, width: int | None, indent: int) -> Iterator[Line]:
    """The line broken at spaces, each piece of it keeping its style."""
    text = "".join(piece for piece, _ in line)
    if width is None or len(text) <= width:
        yield line
        return
    indent = min(indent, width // 3)
    lead = len(text) - len(text.lstrip(" "))
    wrap = textwrap.TextWrapper(width, initial_indent=" " * lead, subsequent_indent=" " * indent, break_on_hyphens=False)
    wrap.drop_whitespace = True
    styles = [style for piece, style in line for _ in piece]
    at = lead
    margin = lead
    for broken in wrap.wrap(text[lead:]):
        body = broken[margin:]
        if body:
            at = text.index(body[0], at)
        yield [(" " * margin, ""), *_styled(body, styles[at : at + len(body)])]
        at, margin = at + len(body), indent


def _styled(text: str, styles: Sequence[str]) -> Line:
    pieces: Line = []
    for letter, style in zip(text, styles, strict=True):
        if pieces and pieces[-1][1] == style:
            pieces[-1] = (pieces[-1][0] + letter, style)
        else:
            pieces.append((letter, style))
    return pieces
