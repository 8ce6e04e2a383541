"""What more answers are worth: the best of n by score with its KL, and pass@k, from one set of samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from halo.completions.evaluating import Answer, Asked, EvaluationContext, Measure, Values
from halo.evaluation.evaluators.options import OfPass
from halo.evaluation.evaluators.scores import all_scores, of_scores
from halo.statistics.best_of import best_of, chances, kl_bound, kl_estimate, pass_at


def sizes(most: int) -> list[int]:
    """1, 2, 4, ... and the most itself."""
    found = [2**power for power in range(most.bit_length()) if 2**power < most]
    return [*found, most]


def curve(context: EvaluationContext) -> list[Measure]:
    """E[best of n] for n up to the number of answers, the KL that each n costs, and the bound that is often taken for it."""
    found = []
    for n in sizes(context.n):
        name = f"best of {n}"
        meaning = f"expected {context.score} of the best of {n} answers"
        found.append(Measure(name, meaning, of_scores(_best(n), least=n), curve=("best of n", n)))
    for n in sizes(context.n)[1:]:
        bound = f"the bound log n - (n - 1) / n is {kl_bound(n):.3f}"
        meaning = f"KL(best of {n} || policy) in nats, estimated of prompts whose different answers all have different scores; {bound}"
        found.append(Measure(f"KL of {n}", meaning, _kl(n), paired=False))
    return found


def _best(n: int) -> Callable[[Sequence[float]], float]:
    return lambda scores: best_of(scores, n)


def _kl(n: int) -> Callable[[Asked], list[Values | None]]:
    """Of answers whose log-prob under what they were drawn from is known, and which no tie makes alike."""

    def values(asked: Asked) -> list[Values | None]:
        return [_kl_of(answers, n) for answers in asked.answers]

    return values


def _kl_of(answers: Sequence[Answer], n: int) -> Values | None:
    scores = all_scores(answers)
    drawn = [answer.drawn for answer in answers if answer.drawn is not None]
    if scores is None or len(scores) < n or len(drawn) < len(answers):
        return None
    if len({(answer.score, answer.text) for answer in answers}) > len(set(scores)):
        return None
    rising = sorted(zip(scores, drawn, strict=True))
    return (sum(chance * kl_estimate(n, logp) for chance, (_, logp) in zip(chances(len(rising), n), rising, strict=True)),)


def passed(context: EvaluationContext) -> list[Measure]:
    """pass@k for k up to the number of answers."""
    options: OfPass = context.options
    found = []
    for k in sizes(context.n):
        meaning = f"chance that one of {k} answers has a {context.score} of {options.threshold:g} or more"
        found.append(Measure(f"pass@{k}", meaning, of_scores(_passed(k, options.threshold), least=k), share=True, curve=("pass@k", k)))
    return found


def _passed(k: int, threshold: float) -> Callable[[Sequence[float]], float]:
    return lambda scores: pass_at(len(scores), sum(score >= threshold for score in scores), k)
