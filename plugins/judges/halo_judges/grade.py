"""The scorer `grade`: each completion by itself, from 1 to 10 (MT-Bench, arXiv:2306.05685, section 3.1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from halo.plugin import ScoreGroup, ScorerContext, Verdict
from halo_judges.asking import Asking, Say
from halo_judges.client import Question
from halo_judges.templates import SINGLE, filled, text_of
from halo_judges.verdicts import score_of


class Grade:
    """All questions are asked when the groups are known; a score only reads replies."""

    def __init__(self, context: ScorerContext) -> None:
        self.template = text_of(context.options, SINGLE)
        self.asking = Asking(context.options, "grade", score_of)

    def prepare(self, groups: Sequence[ScoreGroup], say: Say) -> None:
        """Asks, after saying how much."""
        self.asking.ask((self._question(group, one.text) for group in groups for one in group.completions), say)

    def score(self, groups: Sequence[ScoreGroup]) -> list[Verdict]:
        self.prepare(groups, print)
        return [self._of(group) for group in groups]

    def _of(self, group: ScoreGroup) -> Verdict:
        """Equal texts share a question, and what it cost."""
        scores, reasons, parts = list[float | None](), list[str](), list[dict[str, float]]()
        copies = Counter(one.text for one in group.completions)
        for one in group.completions:
            reply = self.asking.reply(self._question(group, one.text))
            known = [reply] if not isinstance(reply, str) else []
            scores.append(score_of(known[0].text) if known else None)
            reasons.append(reply if isinstance(reply, str) else "")
            cost = self.asking.cost(known)
            parts.append({"questions": 1} if cost is None else {"questions": 1, "cost": cost / copies[one.text]})
        return Verdict(tuple(scores), tuple(reasons), tuple(parts))

    def _question(self, group: ScoreGroup, text: str) -> Question:
        return self.asking.question(filled(self.template, {**group.row, "prompt": group.prompt, "answer": text}))
