"""How near an answer comes to a number of words: 0 for an answer of just as many, -1 for one word too many or too few."""

from __future__ import annotations

from collections.abc import Sequence

from halo.plugin import ScoreGroup, ScorerContext, Verdict


class NearWords:
    """A score is of one text alone, so that neither the group nor the prompt matters."""

    def __init__(self, context: ScorerContext) -> None:
        self._target = context.options.words

    def score(self, groups: Sequence[ScoreGroup]) -> list[Verdict]:
        """One for each group, in their order."""
        return [self._of(group) for group in groups]

    def _of(self, group: ScoreGroup) -> Verdict:
        counts = [len(one.text.split()) for one in group.completions]
        scores = tuple(-float(abs(count - self._target)) if count else None for count in counts)
        reasons = tuple("" if count else "the answer has no words" for count in counts)  # never a number for what failed
        return Verdict(scores, reasons, tuple({"words": float(count)} for count in counts))
