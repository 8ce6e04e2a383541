"""Core's own plugin, registered through the same door as everybody's."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from halo.backends.interface import Backend
from halo.backends.local import build_ddp, build_single
from halo.cli.main import COMMANDS, run_core
from halo.completions.evaluating import Evaluator
from halo.completions.sampling import Sampler, SamplerContext, Sampling
from halo.completions.scoring import CompletionScorer, Judging, ScorerContext
from halo.data.formats import FORMATS
from halo.data.interface import DataFormat
from halo.evaluation.evaluators.catalogue import EVALUATORS
from halo.grading.command import Command
from halo.grading.function import Function
from halo.grading.gold import Gold
from halo.grading.options import OfCommand, OfFunction, OfImplied, OfModel
from halo.plugin.command import Command as PluginCommand
from halo.plugin.objectives import shipped_folder
from halo.plugin.recipes import shipped_recipes
from halo.plugin.spec import hookimpl
from halo.reference.fingerprint import weights_fingerprint
from halo.reference.interface import Reference, ReferenceContext, ReferenceStrategy
from halo.sampling.samplers.given import Given, GivenCompletions
from halo.sampling.samplers.options import Diverse, Drawn, Searched
from halo.starter.defaults import model_named

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
        Sampler("beam", "the n best completions of a beam search", _searched, Searched, together=True, random=False),
        Sampler("diverse-beam", "groups of beams that keep off one another", _diverse, Diverse, together=True, random=False),
        Sampler("given", "columns of the data that hold completions", GivenCompletions, Given, writes=False, random=False, count=_columns),
    ]


@hookimpl
def halo_scorers() -> list[CompletionScorer]:
    sees = "a sequence classifier with one label, of the whole conversation"
    return [
        CompletionScorer("gold", "1 for an exactly right answer of the embedded task, else 0", Gold),
        CompletionScorer("likelihood", "the mean log-prob of the completion's tokens under a model", _likelihood, OfModel, _weights),
        CompletionScorer(
            "implied", "the reward that a policy implies: beta (log pi - log ref), of a run", _implied, OfImplied, _both_weights
        ),
        CompletionScorer("reward-model", sees, _reward_model, OfModel, _weights),
        CompletionScorer("function", "a Python function of yours", Function, OfFunction, at_once=1, reaches_out=True),
        CompletionScorer("command", "a program of yours", Command, OfCommand, at_once=1, reaches_out=True),
    ]


@hookimpl
def halo_evaluators() -> list[Evaluator]:
    return list(EVALUATORS)


@hookimpl
def halo_objective_folders() -> list[Path]:
    return [shipped_folder()]


@hookimpl
def halo_recipe_folders() -> list[Path]:
    return [shipped_recipes()]


@hookimpl
def halo_commands() -> list[PluginCommand]:
    return [PluginCommand(name, meaning, partial(run_core, name)) for name, meaning in COMMANDS.items()]


def _frozen(context: ReferenceContext) -> Reference:
    from halo.reference.frozen import FrozenReference

    return FrozenReference(context)


def _drawn(context: SamplerContext) -> Sampling:
    from halo.sampling.samplers.writing import Writing

    return Writing(context, context.options)


def _searched(context: SamplerContext) -> Sampling:
    from halo.sampling.samplers.beams import Beams

    return Beams(context, context.options)


def _diverse(context: SamplerContext) -> Sampling:
    from halo.sampling.samplers.diverse import DiverseBeams

    return DiverseBeams(context, context.options)


def _greedy(context: SamplerContext) -> Sampling:
    from halo.sampling.samplers.writing import Writing

    return Writing(context, None)


def _columns(options: Given, n: int) -> int:
    return len(options.names)


def _likelihood(context: ScorerContext) -> Judging:
    from halo.grading.likelihood import Likelihood

    return Likelihood(context)


def _implied(context: ScorerContext) -> Judging:
    from halo.grading.implied import Implied

    return Implied(context)


def _reward_model(context: ScorerContext) -> Judging:
    from halo.grading.reward_model import RewardModel

    return RewardModel(context)


def _weights(options: OfModel) -> dict[str, str]:
    return {"weights": weights_fingerprint(model_named(options.model))} if options.model else {}


def _both_weights(options: OfImplied) -> dict[str, str]:
    return _weights(options) | ({"reference_weights": weights_fingerprint(model_named(options.reference))} if options.reference else {})


def _uniform(context: ReferenceContext) -> Reference:
    from halo.reference.uniform import UniformReference

    return UniformReference(context)
