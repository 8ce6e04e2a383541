"""`halo check --report DIR`: a page for every objective, and an index of several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from halo.checks.results import Examination
from halo.compiler.pipeline import CompiledObjective
from halo.report.folder import INDEX, check_folder, page_file, write_whole
from halo.report.overview import index_page
from halo.report.page import page

Examined = tuple[CompiledObjective | None, Examination]


def write_report(examined: Sequence[Examined], folder: Path) -> list[Path]:
    """Writes the pages and returns their paths, the index last. Every page is made before the first is written."""
    check_folder(folder, [examination.objective for _, examination in examined])
    several = len(examined) > 1
    files = [page_file(examination.objective) for _, examination in examined]
    pages = {file: page(*one, INDEX if several else "") for file, one in zip(files, examined, strict=True)}
    if several:
        pages[INDEX] = index_page([(file, *one) for file, one in zip(files, examined, strict=True)])
    write_whole(folder, pages)
    return [folder / name for name in pages]
