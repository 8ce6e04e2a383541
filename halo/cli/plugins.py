"""`halo plugins`: every plugin with its version, its owner and what it supplies; what is wrong with one, and with which."""

from __future__ import annotations

import json
import sys
from typing import Any

from halo.cli.arguments import no_words, split
from halo.errors import PluginError, nearest
from halo.plugin.objectives import find_objective
from halo.plugin.registry import KINDS, Loaded, Supplied, collected, loaded

HELP = """halo plugins [--json]

Lists what is installed in the entry-point group `halo`, who owns it and what it supplies. HALO_DISABLED_PLUGINS=name,name switches
plugins off. Exit code: 0, also where a plugin cannot be imported and is left out; 2 for a mistake in one (docs/plugins.md).
"""


def run(arguments: list[str]) -> int:
    """Prints every plugin, and the mistakes there are."""
    given = split(arguments, ("json",), is_bare=lambda name: name == "json")
    if given.help:
        print(HELP, end="")
        return 0
    no_words(given.words, "plugins")
    items, mistakes = _survey()
    if "--json" in given.flags:
        print(json.dumps(_as_json(loaded(), items, mistakes), indent=1))
    else:
        _print(loaded(), items)
        for mistake in mistakes:
            print(f"halo: {mistake}", file=sys.stderr)
    if mistakes:
        return 2
    return 0


def _survey() -> tuple[list[Supplied], list[PluginError]]:
    """Everything of every kind, and every mistake."""
    items, mistakes = list[Supplied](), list(loaded().mistakes)
    for kind in KINDS:
        found, wrong = collected(kind)
        items, mistakes = items + found, mistakes + wrong
    if not mistakes:
        try:
            find_objective.files()
        except PluginError as mistake:  # two folders with one name
            mistakes.append(mistake)
    return items, mistakes


def _names(item: Supplied) -> list[str]:
    """What an entry is in the list: its name, of a folder the names of its objectives."""
    if item.kind != "objectives":
        return [item.name]
    return sorted(file.stem for file in item.thing.glob("*.yaml"))


def _shown(items: list[Supplied], kind: str) -> str:
    if kind == "objectives":
        return ", ".join(f"{len(_names(item))} in {item.thing}" for item in items)
    return ", ".join(item.name for item in items)


def _print(state: Loaded, items: list[Supplied]) -> None:
    for name, owner in state.owners.items():
        print(f"{name}  ({owner.distribution} {owner.version})")
        for kind in KINDS:
            own = [item for item in items if item.owner == owner and item.kind == kind]
            if own:
                print(f"  {kind:<11} {_shown(own, kind)}")
    for owner, reason in state.broken.items():
        print(f"{owner.plugin}  ({owner.distribution} {owner.version})  disabled: it cannot be imported")
        print(f"  {reason}\n  HALO_DISABLED_PLUGINS={owner.plugin} silences this")
    installed = [*state.owners, *(owner.plugin for owner in state.broken)]
    for name, known in state.off.items():
        if known:
            print(f"{name}  switched off")
        else:
            print(f"note: HALO_DISABLED_PLUGINS names {name!r}, which no plugin is called; {nearest(name, installed)}")


def _as_json(state: Loaded, items: list[Supplied], mistakes: list[PluginError]) -> dict[str, Any]:
    def entry(owner: Any) -> dict[str, Any]:
        return {"name": owner.plugin, "distribution": owner.distribution, "version": owner.version}

    def supplies(owner: Any) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for kind in KINDS:
            for item in items:
                if (item.owner, item.kind) == (owner, kind) and _names(item):
                    found.setdefault(kind, []).extend(_names(item))
        return found

    return {
        "plugins": [entry(owner) | {"supplies": supplies(owner)} for owner in state.owners.values()],
        "disabled": [entry(owner) | {"reason": reason} for owner, reason in state.broken.items()],
        "switched_off": [name for name, known in state.off.items() if known],
        "unknown_names": [name for name, known in state.off.items() if not known],
        "mistakes": [str(mistake) for mistake in mistakes],
    }
