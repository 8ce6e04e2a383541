"""What a backend supplies: the processes of a run, and how the policy lies on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from halo.backends.context import BackendContext
from halo.backends.placement import Placement
from halo.errors import Place
from halo.options import Options, validated


@dataclass(frozen=True)
class Backend:
    """name: what `--backend` calls it; build: what puts the processes together; options: the model of its options."""

    name: str
    meaning: str
    build: Callable[[BackendContext], Placement]
    options: type[Options] = Options

    def with_options(self, given: Mapping[str, Any]) -> Options:
        """The options, validated. Raises SettingsError for an unknown name, or a value that is not as its option must be."""
        return validated(self.options, given, "backend", self.name, Place("--backend"))
