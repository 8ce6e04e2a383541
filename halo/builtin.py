"""Core's own plugin, registered through the same door as everybody's."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from halo.backends.interface import Backend
from halo.backends.local import build_ddp, build_single
from halo.cli.main import COMMANDS, run_core
from halo.data.formats import FORMATS
from halo.data.interface import DataFormat
from halo.plugin.command import Command
from halo.plugin.objectives import shipped_folder
from halo.plugin.spec import hookimpl
from halo.reference.interface import Reference, ReferenceContext, ReferenceStrategy
from halo.sampling.given import Given, GivenCompletions
from halo.sampling.interface import Sampler, SamplerContext, Sampling
from halo.sampling.options import Drawn

FROZEN = "a frozen copy of the model that the policy starts from"


@hookimpl
def halo_data_formats() -> list[DataFormat]:
    return list(FORMATS)


@hookimpl
def halo_reference_strategies() -> list[ReferenceStrategy]:
    return [
        ReferenceStrategy("frozen", FROZEN, _frozen, "distributions", {"starts_as_policy", "loads_model"}),
        ReferenceStrategy("uniform", "every token has the probability 1 / vocabulary size", _uniform, "distributions"),
        ReferenceStrategy("none", "no reference", lambda context: None, "nothing"),
    ]


@hookimpl
def halo_backends() -> list[Backend]:
    return [
        Backend("single", "one process", build_single),
        Backend("ddp", "a process for each device, under accelerate launch or torchrun", build_ddp),
    ]


@hookimpl
def halo_samplers() -> list[Sampler]:
    drawn = "tokens drawn from the model's distribution, each with its own noise"
    return [
        Sampler("sample", drawn, _drawn, Drawn, temperature=lambda options: float(options.temperature)),
        Sampler("greedy", "the most likely token each time", _greedy, random=False, count=lambda options, n: 1),
        Sampler("given", "columns of the data that hold completions", GivenCompletions, Given, writes=False, random=False, count=_columns),
    ]


@hookimpl
def halo_objective_folders() -> list[Path]:
    return [shipped_folder()]


@hookimpl
def halo_commands() -> list[Command]:
    return [Command(name, meaning, partial(run_core, name)) for name, meaning in COMMANDS.items()]


def _frozen(context: ReferenceContext) -> Reference:
    from halo.reference.frozen import FrozenReference

    return FrozenReference(context)


def _drawn(context: SamplerContext) -> Sampling:
    from halo.sampling.writing import Writing

    return Writing(context, context.options)


def _greedy(context: SamplerContext) -> Sampling:
    from halo.sampling.writing import Writing

    return Writing(context, None)


def _columns(options: Given, n: int) -> int:
    return len(options.names)


def _uniform(context: ReferenceContext) -> Reference:
    from halo.reference.uniform import UniformReference

    return UniformReference(context)
