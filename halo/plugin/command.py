"""What a command of the command line is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """name: the word after `halo`; meaning: its line in `halo --help`.

    run  takes the words after the name (`--help` among them) and returns the exit code; a HaloError that it raises is printed as one
         line. What is heavy is imported inside it.
    """

    name: str
    meaning: str
    run: Callable[[list[str]], int]
