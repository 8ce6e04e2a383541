"""What a backend supplies: an `Accelerator` set up for some number of processes, and how the policy lies on them."""

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
    """name: what `--backend` calls it; build: BackendContext -> accelerate.Accelerator.

    place  Accelerator, BackendContext -> Placement: how the policy is laid on the devices, pulled back into, updated, gathered and loaded. Left out:
           every process holds the whole policy, and accelerate's `prepare` wraps it. A backend that shards gives its own.
    """

    name: str
    meaning: str
    build: Callable[[BackendContext], Any]
    place: Callable[[Any, BackendContext], Placement] | None = None
    options: type[Options] = Options

    def with_options(self, given: Mapping[str, Any]) -> Options:
        """The options, validated. Raises SettingsError for an unknown name, or a value that is not as its option must be."""
        return validated(self.options, given, "backend", self.name, Place("--backend"))
