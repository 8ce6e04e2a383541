"""The contract kit for plugin authors: plain functions that raise an AssertionError which says what is wrong and what would be right.

`check_format`, `check_reference`, `check_backend` and `check_objectives` hold what a plugin supplies against what halo's runs rely on.
The small real parts they use are here for an author's own tests: `policy`, `template`, `tokenized`, `rows_of`,
`reference_context`, `train_steps`.
"""

from halo.testing.backends import check_backend
from halo.testing.formats import check_format
from halo.testing.objectives import check_objectives
from halo.testing.parts import policy, reference_context, rows_of, template, tokenized, train_steps
from halo.testing.references import check_reference

__all__ = [
    "check_backend",
    "check_format",
    "check_objectives",
    "check_reference",
    "policy",
    "reference_context",
    "rows_of",
    "template",
    "tokenized",
    "train_steps",
]
