"""`halo gallery FOLDER`: a page and a figure for every objective, for GitHub. Never imports torch."""

from __future__ import annotations

from pathlib import Path

from halo.cli.arguments import split
from halo.cli.console import say
from halo.compiler.pipeline import compile_source
from halo.errors import Place, SettingsError
from halo.examine.supervisor import examine
from halo.plugin.objectives import find_objective
from halo.report.folder import write_whole

HELP = """halo gallery FOLDER [OBJECTIVE ...]

Writes a Markdown page with formula, figure, verdicts, needs, citation and command for every objective that can be used by name (or
for those given, by name or file) into FOLDER, and an index of them, README.md. Files that it wrote before are replaced.
"""
FIRST_LINE = "# Gallery"


def run(arguments: list[str]) -> int:
    """Writes the pages; 1 if an objective does not keep what its file expects."""
    given = split(arguments, ())
    if given.help:
        print(HELP, end="")
        return 0
    if not given.words:
        raise SettingsError("missing-key", "where should the pages go?", hint="such as halo gallery docs/gallery")
    folder = Path(given.words[0])
    _check(folder)
    from halo.report.gallery import gallery

    compiled = [compile_source(name, None, find_objective) for name in given.words[1:] or find_objective.names()]
    examined = [(one, examine(one)) for one in compiled]
    files = gallery(examined)
    write_whole(folder, files)
    say(f"{folder}: {len(examined)} objectives in {len(files)} files")
    return int(any(examination.failed for _, examination in examined))


def _check(folder: Path) -> None:
    """Refuses a place that holds something else, before anything is examined."""
    index = folder / "README.md"
    if folder.exists() and not folder.is_dir():
        raise SettingsError("wrong-value", f"{folder} is not a folder", place=Place("FOLDER"), hint="it is made if it is not there")
    if not folder.absolute().parent.is_dir():
        raise SettingsError(
            "not-found", f"there is no folder {folder.absolute().parent}", place=Place("FOLDER"), hint="only the last is made"
        )
    if index.exists() and not index.read_text(encoding="utf-8", errors="replace").startswith(FIRST_LINE):
        message = f"{index} is there, and halo did not write it"
        raise SettingsError("output-folder", message, place=Place("FOLDER"), hint="name another folder, or move the file away")
