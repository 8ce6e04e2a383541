"""YAML files that are found by name, in the folders of one hook: core's and those of plugins."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from halo.plugin.registry import Supplied, supplied, twice


@dataclass(frozen=True)
class Finder:
    """Maps a name to its file. kind: which hook's folders; what: how messages call a file of them."""

    kind: str
    what: str

    def __call__(self, name: str) -> Path | None:
        return self.files().get(name)

    def names(self) -> list[str]:
        return sorted(self.files())

    def files(self) -> dict[str, Path]:
        """By name. Raises PluginError if two folders hold it."""
        found: dict[str, tuple[Path, Supplied]] = {}
        for item in supplied(self.kind):
            for file in sorted(item.thing.glob("*.yaml"), key=attrgetter("name")):
                first, of = found.setdefault(file.stem, (file, item))
                if first != file:
                    raise twice(self.what, file.stem, of.owner, item.owner, f", as {first} and {file}")
        return {name: file for name, (file, _) in found.items()}
