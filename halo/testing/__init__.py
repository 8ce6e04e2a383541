"""The contract kit for plugin authors: plain functions that raise an AssertionError which says what is wrong and what would be right.

`check_format`, `check_reference`, `check_backend`, `check_sampler`, `check_scorer`, `check_evaluator` and `check_objectives` hold what a
plugin supplies against what halo's runs rely on. The small real parts they use are here for an author's own tests: `policy`, `template`,
`tokenized`, `rows_of`, `reference_context`, `requests`, `sampler_context`, `train_steps`.
"""

from halo.testing.backends import check_backend
from halo.testing.evaluators import check_evaluator
from halo.testing.formats import check_format
from halo.testing.objectives import check_objectives
from halo.testing.parts import policy, reference_context, rows_of, template, tokenized, train_steps
from halo.testing.prompts import requests, sampler_context
from halo.testing.references import check_reference
from halo.testing.samplers import check_sampler
from halo.testing.scorers import check_scorer

__all__ = [
    "check_backend",
    "check_evaluator",
    "check_format",
    "check_objectives",
    "check_reference",
    "check_sampler",
    "check_scorer",
    "policy",
    "reference_context",
    "requests",
    "rows_of",
    "sampler_context",
    "template",
    "tokenized",
    "train_steps",
]
