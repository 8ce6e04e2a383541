"""The scorer `judge`: each two completions of a prompt, in both orders (MT-Bench, arXiv:2306.05685, section 3.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from halo.plugin import ScoreGroup, ScorerContext, Verdict
from halo_judges.asking import Asking, Say
from halo_judges.client import Question, Reply
from halo_judges.contest import LOSS, TIE, WIN, Pair, ordered, pairs_of, standing
from halo_judges.templates import PAIR, filled, text_of
from halo_judges.verdicts import verdict_of

POINTS = {"A": WIN, "B": LOSS, "tie": TIE}


@dataclass(frozen=True)
class Outcome:
    """What the first text of a pair got in each order, None where there is no verdict, why there is none, and what was answered."""

    points: tuple[float | None, float | None]
    reason: str
    replies: list[Reply] = field(default_factory=list)

    @property
    def flipped(self) -> bool:
        """Whether the verdict changed with the order."""
        return None not in self.points and self.points[0] != self.points[1]

    @property
    def mean(self) -> float | str:
        first, second = self.points
        return self.reason if first is None or second is None else (first + second) / 2


class Judge:
    """All questions are asked when the groups are known; a score only reads replies."""

    def __init__(self, context: ScorerContext) -> None:
        self.template = text_of(context.options, PAIR)
        self.asking = Asking(context.options, "judge", verdict_of)

    def prepare(self, groups: Sequence[ScoreGroup], say: Say) -> None:
        """Asks, after saying how much; then says how often the order decided."""
        self.asking.ask((question for group in groups for pair in pairs_of(group) for question in self._both(group, pair)), say)
        outcomes = [one for group in groups for one in self._outcomes(group).values() if None not in one.points]
        if outcomes:
            flipped = sum(one.flipped for one in outcomes)
            firsts = sum((one.points[0] or 0) + 1 - (one.points[1] or 0) for one in outcomes) / 2
            shares = f"{flipped / len(outcomes):.1%} changed with the order; the answer that stood first got {firsts / len(outcomes):.1%}"
            say(f"judge      {len(outcomes):,} comparisons: {shares}")

    def score(self, groups: Sequence[ScoreGroup]) -> list[Verdict]:
        self.asking.ask((question for group in groups for pair in pairs_of(group) for question in self._both(group, pair)), print)
        return [self._of(group) for group in groups]

    def _of(self, group: ScoreGroup) -> Verdict:
        outcomes = self._outcomes(group)

        def against(text: str, other: str) -> float | str:
            pair = ordered(text, other)
            points = outcomes[pair].mean
            return points if isinstance(points, str) or pair[0] == text else 1 - points

        scores, reasons = standing(group, against)
        copies = Counter(one.text for one in group.completions)
        return Verdict(scores, reasons, tuple(self._parts(one.text, copies[one.text], outcomes) for one in group.completions))

    def _parts(self, text: str, copies: int, outcomes: Mapping[Pair, Outcome]) -> dict[str, float]:
        """A comparison is counted at all of its completions, which share its cost: costs add up to what was spent."""
        own = [outcome for pair, outcome in outcomes.items() if text in pair]
        known = [one for one in own if None not in one.points]
        parts: dict[str, float] = {"comparisons": len(known), "questions": 2 * len(own), "flips": sum(one.flipped for one in known)}
        cost = self.asking.cost(reply for one in own for reply in one.replies)
        return parts if cost is None else parts | {"cost": cost / 2 / copies}

    def _outcomes(self, group: ScoreGroup) -> dict[Pair, Outcome]:
        return {pair: self._outcome(group, pair) for pair in pairs_of(group)}

    def _outcome(self, group: ScoreGroup, pair: Pair) -> Outcome:
        """The first text stands first in the first question, and second in the second."""
        points, reasons, replies = list[float | None](), list[str](), list[Reply]()
        for question, turned in zip(self._both(group, pair), (False, True), strict=True):
            reply = self.asking.reply(question)
            if isinstance(reply, str):
                points.append(None)
                reasons.append(reply)
                continue
            got = POINTS[verdict_of(reply.text)]
            points.append(1 - got if turned else got)
            replies.append(reply)
        return Outcome((points[0], points[1]), next(iter(reasons), ""), replies)

    def _both(self, group: ScoreGroup, pair: Pair) -> Iterator[Question]:
        for first, second in (pair, pair[::-1]):
            texts = {**group.row, "prompt": group.prompt, "first": first, "second": second}
            yield self.asking.question(filled(self.template, texts))
