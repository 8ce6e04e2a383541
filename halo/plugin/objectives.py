"""Where objectives are found by name: halo's own folder and those of plugins."""

from __future__ import annotations

from pathlib import Path

from halo.plugin.folders import Finder

find_objective = Finder("objectives", "objective")


def shipped_folder() -> Path:
    """The folder of shipped objectives: `halo/objectives` in a wheel, `objectives/` beside the package in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "objectives"
    return inside if inside.is_dir() else package.parent / "objectives"
