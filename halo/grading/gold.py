"""The gold metric of the embedded task as a score: 1 for an answer that is exactly right, else 0."""

from __future__ import annotations

from collections.abc import Sequence

from halo.completions.scoring import ScoreGroup, ScorerContext, Verdict
from halo.starter.gold import is_right


class Gold:
    """See `halo.starter.gold`."""

    def __init__(self, context: ScorerContext) -> None:
        pass

    def score(self, groups: Sequence[ScoreGroup]) -> list[Verdict]:
        return [Verdict(tuple(float(is_right(_asked(group), one.text)) for one in group.completions)) for group in groups]


def _asked(group: ScoreGroup) -> str:
    """The question: of a conversation the last one."""
    return str(group.prompt if isinstance(group.prompt, str) else group.prompt[-1]["content"])
