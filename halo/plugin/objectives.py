"""Where objectives are found by name: halo's own folder and those of plugins."""

from __future__ import annotations

from pathlib import Path

from halo.errors import PluginError
from halo.plugin.registry import supplied


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
        found: dict[str, Path] = {}
        for item in supplied("objectives"):
            for file in sorted(item.thing.glob("*.yaml")):
                if found.setdefault(file.stem, file) != file:
                    raise PluginError(
                        "plugin",
                        f"two plugins supply the objective {file.stem!r}: {found[file.stem]} and {file}",
                        hint=f"HALO_DISABLED_PLUGINS={item.plugin} switches one off",
                    )
        return found


find_objective = _Finder()
