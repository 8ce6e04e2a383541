"""`halo list`: the objectives that can be used by name."""

from __future__ import annotations

from halo.cli.arguments import no_words, split
from halo.objective.loading import load
from halo.plugin.objectives import find_objective

HELP = "halo list\n\nEvery shipped or plugged-in objective with its feedback and title.\n"


def run(arguments: list[str]) -> int:
    """Prints one line for each objective."""
    given = split(arguments, ())
    if given.help:
        print(HELP, end="")
        return 0
    no_words(given.words, "list")
    for name in find_objective.names():
        declaration = load(name, find_objective).declaration
        print(f"{name:<18} {declaration.feedback:<15} {declaration.title or ''}")
    return 0
