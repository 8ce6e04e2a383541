"""Which of a prompt's candidates become feedback. Ties are ties: no pair comes from equal scores, and the order of rows decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from halo.pairing.candidates import Candidate

Pair = tuple[Candidate, Candidate]
"""The better one and the worse one."""


@dataclass(frozen=True)
class Choice:
    """gap: scores of a pair are apart by more than this; seed: of what is drawn at random, and between equals."""

    gap: float = 0.0
    seed: int = 0

    def apart(self, better: Candidate, worse: Candidate) -> bool:
        return better.score - worse.score > self.gap


def best_worst(ordered: Sequence[Candidate], how: Choice) -> list[Pair]:
    """The best and the worst (SimPO, arXiv:2405.14734, section 3; CPO, arXiv:2401.08417, section 3)."""
    pair = (ordered[0], ordered[-1])
    return [pair] if how.apart(*pair) else []


def best_random(ordered: Sequence[Candidate], how: Choice) -> list[Pair]:
    """The best and one of the worse ones at random."""
    worse = [one for one in ordered[1:] if how.apart(ordered[0], one)]
    return [(ordered[0], min(worse, key=lambda one: one.draw(how.seed + 1)))] if worse else []


def adjacent(ordered: Sequence[Candidate], how: Choice) -> list[Pair]:
    """Each and the next worse one."""
    return [pair for pair in pairwise(ordered) if how.apart(*pair)]


def every(ordered: Sequence[Candidate], how: Choice) -> list[Pair]:
    """Each and every worse one (InstructGPT, arXiv:2203.02155, section 3.5)."""
    pairs = [(better, worse) for place, better in enumerate(ordered) for worse in ordered[place + 1 :]]
    return [pair for pair in pairs if how.apart(*pair)]


PAIRS: Mapping[str, Callable[[Sequence[Candidate], Choice], list[Pair]]] = {
    "best-worst": best_worst,
    "best-random": best_random,
    "adjacent": adjacent,
    "all": every,
}
"""Rules that give pairs. `candidates` come best first, and are at least two."""
LIST, GROUP, THRESHOLD, BEST = "list", "group", "threshold", "best"
"""All of a prompt with their scores, each text once (RRHF); the same as they were sampled, a text as often as it came (GRPO); each by
itself, desirable from a score on (KTO); the best alone, as a demonstration (best-of-n distillation)."""
RULES = (*PAIRS, LIST, GROUP, THRESHOLD, BEST)
