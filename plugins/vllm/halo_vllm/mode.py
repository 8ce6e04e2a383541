"""Whether a server's log-probs are of the distribution that it draws from. Only it knows which mode it was started in; its numbers tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from halo.plugin import RunFailed

FLAT, ROUNDING = 1e-2, 1e-3
"""Nats between the most likely tokens below which nothing can be told; by which a log-prob may be above 0, or probabilities above 1."""


def check_mode(ask: Callable[[float], Mapping[str, float]], command: str) -> None:
    """Asks for the first token at the temperatures 1 and 2, where the distances between log-probs are half as large. Raises RunFailed.

    Raw log-probs and raw logits do not change with the temperature; processed logits are above 0, or add up to more than 1.
    """
    one, two = ask(1.0), ask(2.0)
    both = sorted(one.keys() & two.keys())
    apart = [max(found[token] for token in both) - min(found[token] for token in both) if both else 0.0 for found in (one, two)]
    total = sum(math.exp(min(logp, 1.0)) for logp in one.values())
    if total > 1 + ROUNDING:
        raise RunFailed("model", "the server gives logits, not log-probs", hint=f"start it with {command}")
    if apart[0] > FLAT and apart[1] > 0.75 * apart[0]:  # half in the right mode, the same in the wrong one
        message = "the server's log-probs do not know its temperature: they are not of the distribution that it draws from"
        raise RunFailed("model", message, hint=f"start it with {command}")
