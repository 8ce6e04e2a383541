"""Where objectives are found by name: halo's own folder and those of plugins."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path

from halo.plugin.registry import Supplied, supplied, twice


def shipped_folder() -> Path:
    """The folder of shipped objectives: `halo/objectives` in a wheel, `objectives/` beside the package in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "objectives"
    return inside if inside.is_dir() else package.parent / "objectives"


class _Finder:
    """Maps a name to its file. Raises PluginError if two folders hold it."""

    def __call__(self, name: str) -> Path | None:
        return self.files().get(name)

    def names(self) -> list[str]:
        return sorted(self.files())

    def files(self) -> dict[str, Path]:
        found: dict[str, tuple[Path, Supplied]] = {}
        for item in supplied("objectives"):
            for file in sorted(item.thing.glob("*.yaml"), key=attrgetter("name")):
                first, of = found.setdefault(file.stem, (file, item))
                if first != file:
                    raise twice("objective", file.stem, of.owner, item.owner, f", as {first} and {file}")
        return {name: file for name, (file, _) in found.items()}


find_objective = _Finder()
