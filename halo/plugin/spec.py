"""The hooks. Each returns a list of descriptions; nothing heavy is imported until a description's builder is called."""

from __future__ import annotations

from pathlib import Path

import pluggy

from halo.backends.interface import Backend
from halo.completions.evaluating import Evaluator
from halo.completions.sampling import Sampler
from halo.completions.scoring import CompletionScorer
from halo.data.interface import DataFormat
from halo.plugin.command import Command
from halo.reference.interface import ReferenceStrategy

PROJECT = "halo"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Hooks:
    """What a plugin may implement, as functions of its module marked with `@hookimpl`."""

    @hookspec
    def halo_data_formats(self) -> list[DataFormat]:  # type: ignore[empty-body]
        """Called once when data is read: the formats this plugin can read."""

    @hookspec
    def halo_reference_strategies(self) -> list[ReferenceStrategy]:  # type: ignore[empty-body]
        """Called once when a run is assembled: ways to obtain reference log-probs."""

    @hookspec
    def halo_backends(self) -> list[Backend]:  # type: ignore[empty-body]
        """Called once when a run is assembled: where it may run."""

    @hookspec
    def halo_samplers(self) -> list[Sampler]:  # type: ignore[empty-body]
        """Called once when completions are asked for: ways to get them."""

    @hookspec
    def halo_scorers(self) -> list[CompletionScorer]:  # type: ignore[empty-body]
        """Called once when completions are scored: ways to score them."""

    @hookspec
    def halo_evaluators(self) -> list[Evaluator]:  # type: ignore[empty-body]
        """Called once when answers are evaluated: what can be measured of them."""

    @hookspec
    def halo_objective_folders(self) -> list[Path]:  # type: ignore[empty-body]
        """Called when an objective is looked up by name: folders of YAML files."""

    @hookspec
    def halo_recipe_folders(self) -> list[Path]:  # type: ignore[empty-body]
        """Called when a recipe is looked up by name: folders of YAML files."""

    @hookspec
    def halo_commands(self) -> list[Command]:  # type: ignore[empty-body]
        """Called for `halo --help`, and when the command line holds a word that is none of core's: words after `halo`."""
