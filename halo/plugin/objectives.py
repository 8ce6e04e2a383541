"""Where objectives come from: halo's own folder and those of plugins."""

from __future__ import annotations

from pathlib import Path


def shipped_folder() -> Path:
    """The folder of shipped objectives: `halo/objectives` in a wheel, `objectives/` beside the package in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "objectives"
    return inside if inside.is_dir() else package.parent / "objectives"


class _Finder:
    def __call__(self, name: str) -> Path | None:
        file = shipped_folder() / f"{name}.yaml"
        return file if file.is_file() else None

    def names(self) -> list[str]:
        return sorted(file.stem for file in shipped_folder().glob("*.yaml"))


find_objective = _Finder()
