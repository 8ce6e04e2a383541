"""Finds plugins through the entry-point group `halo`, core's own included, and answers "who supplies what".

A plugin that fails to import is named and left out; a misspelt hook or a name supplied twice is an error that names the
owners. `HALO_DISABLED_PLUGINS` (names, separated by commas) switches plugins off.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from halo.errors import PluginError, nearest
from halo.plugin.spec import PROJECT, Hooks

KINDS = {
    "format": "halo_data_formats",
    "reference": "halo_reference_strategies",
    "backend": "halo_backends",
    "objectives": "halo_objective_folders",
    "command": "halo_commands",
}


@dataclass(frozen=True)
class Supplied:
    """One thing a plugin supplies: its kind, name, the plugin and the distribution that own it."""

    kind: str
    name: str
    plugin: str
    distribution: str
    thing: Any


@dataclass(frozen=True)
class Loaded:
    """The plugins that work, and those that do not with the reason."""

    manager: pluggy.PluginManager
    owners: dict[str, str]
    broken: dict[str, str]


@cache
def loaded() -> Loaded:
    """Loads every plugin once. Raises PluginError for a misspelt hook."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    off = {name.strip() for name in os.environ.get("HALO_DISABLED_PLUGINS", "").split(",") if name.strip()}
    owners, broken = dict[str, str](), dict[str, str]()
    for entry in sorted(entry_points(group=PROJECT), key=lambda e: (e.name != "builtin", e.name)):
        if entry.name not in off and entry.name not in owners:
            _load(entry, manager, owners, broken)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as problem:
        raise PluginError("plugin", str(problem).replace("\n", " "), hint="see docs/plugins.md for the hooks") from None
    return Loaded(manager, owners, broken)


def _load(entry: EntryPoint, manager: pluggy.PluginManager, owners: dict[str, str], broken: dict[str, str]) -> None:
    owner = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"
    try:
        manager.register(entry.load(), name=entry.name)
        owners[entry.name] = owner
    except Exception as problem:  # whatever a stranger's module raises while it is imported
        broken[entry.name] = f"{owner}: {type(problem).__name__}: {problem}"


def supplied(kind: str) -> list[Supplied]:
    """Everything of one kind. Raises PluginError where two plugins give one name."""
    found: dict[str, Supplied] = {}
    for item in _collected(kind):
        if item.name in found and kind != "objectives":
            first = found[item.name]
            message = f"two plugins supply the {kind} {item.name!r}: {first.plugin} ({first.distribution}) and {item.plugin} ({item.distribution})"
            raise PluginError("plugin", message, hint=f"HALO_DISABLED_PLUGINS={item.plugin} switches one off")
        found[item.name] = item
    return list(found.values())


def _collected(kind: str) -> Iterator[Supplied]:
    state = loaded()
    for implementation in getattr(state.manager.hook, KINDS[kind]).get_hookimpls():
        name = str(implementation.plugin_name)
        try:
            things = implementation.function()
        except Exception as problem:  # a stranger's hook
            raise PluginError(
                "plugin",
                f"the plugin {name} ({state.owners[name]}) failed in {KINDS[kind]}: {problem!r}",
                hint=f"HALO_DISABLED_PLUGINS={name} switches it off",
            ) from problem
        for thing in things:
            yield Supplied(kind, str(getattr(thing, "name", None) or thing), name, state.owners[name], thing)


def choose(kind: str, name: str) -> Any:
    """The thing of that name, or PluginError with the nearest name."""
    things = {item.name: item.thing for item in supplied(kind)}
    if name not in things:
        raise PluginError("plugin", f"there is no {kind} named {name!r}", hint=nearest(name, things))
    return things[name]
