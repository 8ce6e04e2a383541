"""Where the findings go: a terminal, JSON, Markdown or LaTeX on standard output, or pages in a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from halo.checks.results import Examination
from halo.compiler.pipeline import CompiledObjective
from halo.errors import Place, SettingsError, nearest
from halo.report.folder import PLACE, check_folder
from halo.report.papers import as_paper
from halo.report.rows import expectations_met, groups, tally
from halo.report.text import overview, shown
from halo.report.wording import FAILS

FORMATS = ("text", "json", "md", "latex")


class Output:
    """Takes one examination after the other; text is printed at once, JSON and pages when all are there."""

    def __init__(self, form: str, folder: str | None, verbose: bool, names: Sequence[str]) -> None:
        """`names`: those of the objectives to come. Raises SettingsError for a format or folder that cannot be."""
        if form not in FORMATS:
            raise SettingsError("wrong-value", f"there is no format {form!r}", place=Place("--format"), hint=nearest(form, FORMATS))
        if folder is not None and form != "text":
            raise SettingsError("wrong-value", "pages have one form already", place=PLACE, hint="give --report or a format, not both")
        self.form, self.verbose = form, verbose
        self.folder: Path | None = None
        self.taken: list[tuple[CompiledObjective | None, Examination]] = []
        if folder is not None:
            if not folder:
                raise SettingsError("missing-key", "where should the pages go?", place=PLACE, hint="--report FOLDER")
            self.folder = Path(folder)
            check_folder(self.folder, names)

    def take(self, compiled: CompiledObjective | None, examination: Examination) -> None:
        """One more."""
        self.taken.append((compiled, examination))
        if self.folder is not None or self.form == "json":
            return
        if self.form == "text":
            shown(compiled, examination, self.verbose)
        else:
            print(as_paper(compiled, examination, self.form, self.verbose), flush=True)

    def close(self) -> None:
        """All are there."""
        examinations = [examination for _, examination in self.taken]
        if self.folder is not None:
            self.pages(self.folder)
        elif self.form == "json":
            print(json.dumps([e.to_json() for e in examinations], indent=1, ensure_ascii=False))
        elif self.form == "text" and len(examinations) > 1:
            print(overview(examinations))

    def pages(self, folder: Path) -> None:
        """Writes them, and says of each where it is and what it says."""
        from halo.report.pages import write_report  # loads matplotlib

        paths = write_report(self.taken, folder)
        for path, (compiled, examination) in zip(paths, self.taken, strict=False):
            print(f"{path}: {tally(examination)}; {expectations_met(examination)}")
            for row in (row for group in groups(compiled, examination) if group.title == FAILS for row in group.rows):
                print(f"  {row.word} {row.check}: {row.reason}")
        for path in paths[len(self.taken) :]:
            print(path)
