"""Everything a plugin author imports."""

from halo.backends.context import BackendContext
from halo.backends.interface import Backend
from halo.backends.launched import Launched
from halo.backends.placement import Placement
from halo.cache import cache_folder
from halo.completions.evaluating import Answer, Asked, EvaluationContext, Evaluator, Measure
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
    "Verdict",
    "answer_of",
    "as_text",
    "cache_folder",
    "extras",
    "hookimpl",
    "is_messages",
    "messages_of",
    "nearest",
    "of_sides",
    "parts",
    "prompt_of",
    "text_of",
    "tools_of",
]
