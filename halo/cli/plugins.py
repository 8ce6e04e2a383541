"""`halo plugins`: every plugin with its owner and what it supplies; broken ones with the reason."""

from __future__ import annotations

from halo.cli.arguments import no_words, split
from halo.plugin.registry import KINDS, loaded, supplied

HELP = """halo plugins

Lists what is installed in the entry-point group `halo`. HALO_DISABLED_PLUGINS=name,name switches plugins off.
"""


def run(arguments: list[str]) -> int:
    """Prints owner, plugin and the things it supplies."""
    given = split(arguments, ())
    if given.help:
        print(HELP, end="")
        return 0
    no_words(given.words, "plugins")
    state = loaded()
    for name, owner in state.owners.items():
        print(f"{name}  ({owner})")
        for kind in KINDS:
            names = [item.name for item in supplied(kind) if item.plugin == name]
            if names:
                print(f"  {kind:<11} {', '.join(names)}")
    for name, reason in state.broken.items():
        print(f"{name}  disabled: it cannot be imported\n  {reason}\n  HALO_DISABLED_PLUGINS={name} silences this")
    return 0
