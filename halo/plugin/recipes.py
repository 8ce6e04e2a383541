"""Where recipes are found by name: halo's own folder and those of plugins."""

from __future__ import annotations

from pathlib import Path

from halo.plugin.folders import Finder

find_recipe = Finder("recipes", "recipe")


def shipped_recipes() -> Path:
    """The folder of shipped recipes."""
    return Path(__file__).resolve().parent.parent / "recipes" / "shipped"
