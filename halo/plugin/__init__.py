"""Everything a plugin author imports. The statistics load numpy, and only once they are asked for: a hook's module stays quick."""

import importlib
from typing import TYPE_CHECKING, Any

from halo.backends.context import BackendContext
from halo.backends.interface import Backend
from halo.backends.launched import Launched
from halo.backends.placement import Placement
from halo.cache import cache_folder
from halo.completions.evaluating import Answer, Asked, EvaluationContext, Evaluator, Measure, Values
from halo.completions.sampling import Request, Sample, Sampler, SamplerContext, Sampling
from halo.completions.scoring import Completed, CompletionScorer, Judging, ScoreGroup, ScorerContext, Verdict
from halo.data.examples import Example, Message, Text
from halo.data.formats import answer_of, extras, is_messages, messages_of, of_sides, prompt_of, text_of, tools_of
from halo.data.interface import DataFormat, Row
from halo.errors import DataError, HaloError, ModelError, Place, PluginError, RowLeftOut, RunFailed, SettingsError, nearest
from halo.objective.feedback import DEMONSTRATIONS, LABELLED, PAIRED, RANKED, Feedback
from halo.options import Named, Options, as_text, parts
from halo.plugin.command import Command
from halo.plugin.spec import hookimpl
from halo.reference.interface import FollowingReference, FullReference, Reference, ReferenceContext, ReferenceStrategy, ScoredModel

if TYPE_CHECKING:  # what the names are, for type checkers
    from halo.statistics.combining import exp_ratio, mean, ratio

__all__ = [
    "DEMONSTRATIONS",
    "LABELLED",
    "PAIRED",
    "RANKED",
    "Answer",
    "Asked",
    "Backend",
    "BackendContext",
    "Command",
    "Completed",
    "CompletionScorer",
    "DataError",
    "DataFormat",
    "EvaluationContext",
    "Evaluator",
    "Example",
    "Feedback",
    "FollowingReference",
    "FullReference",
    "HaloError",
    "Judging",
    "Launched",
    "Measure",
    "Message",
    "ModelError",
    "Named",
    "Options",
    "Place",
    "Placement",
    "PluginError",
    "Reference",
    "ReferenceContext",
    "ReferenceStrategy",
    "Request",
    "Row",
    "RowLeftOut",
    "RunFailed",
    "Sample",
    "Sampler",
    "SamplerContext",
    "Sampling",
    "ScoreGroup",
    "ScoredModel",
    "ScorerContext",
    "SettingsError",
    "Text",
    "Values",
    "Verdict",
    "answer_of",
    "as_text",
    "cache_folder",
    "exp_ratio",
    "extras",
    "hookimpl",
    "is_messages",
    "mean",
    "messages_of",
    "nearest",
    "of_sides",
    "parts",
    "prompt_of",
    "ratio",
    "text_of",
    "tools_of",
]

_STATISTICS = ("exp_ratio", "mean", "ratio")


def __getattr__(name: str) -> Any:
    if name not in _STATISTICS:
        raise AttributeError(f"module 'halo.plugin' has no attribute {name!r}")
    return getattr(importlib.import_module("halo.statistics.combining"), name)
