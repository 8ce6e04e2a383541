"""What this package supplies: every .yaml file of its folder is an objective under its own name."""

from __future__ import annotations

from pathlib import Path

from halo.plugin import hookimpl

FOLDER = Path(__file__).parent / "objectives"


@hookimpl
def halo_objective_folders() -> list[Path]:
    return [FOLDER]
