"""What `halo eval` is told beside its contestants: a scorer, how models that are named are sampled. Names are `halo sample`'s."""

from __future__ import annotations

from pydantic import Field

from halo.options import Named
from halo.sampling.settings import DrawingSettings

GIVEN = "chosen+rejected"
"""Columns that `accuracy` takes, from the better one to the worse."""


class EvaluationSettings(DrawingSettings):
    """The settings of one `halo eval`."""

    against: str | None = Field(None, min_length=1, description="the baseline, another contestant: differences are from it")
    scorer: Named | None = Field(None, description="scores every contestant's answers, as halo score does")
    name: str | None = Field(None, pattern=r"^[A-Za-z0-9][\w.-]*$", description="what its scores are called; left out: the scorer's name")
    by: str | None = Field(None, min_length=1, description="scores that are there already, or columns of the data, in place of a scorer")
    given: str | None = Field(None, min_length=1, description="COLUMN+...: contestants score these texts of --prompts and write nothing")
    reference: str | None = Field(
        None, min_length=1, description="with --given: implied rewards too, of each contestant against this model"
    )
    column: str | None = Field(None, min_length=1, description="a column of the data: every number for each of its values too")
    out: str = Field("evaluation", min_length=1, description="folder of samples, comparisons and the report")
