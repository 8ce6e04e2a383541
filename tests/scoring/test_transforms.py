"""What is computed in chunks under torch.func: grad, vmap, jacfwd and hessian equal those of whole logits; what has no derivative says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tolerances import RUN, assert_near
from torch import Tensor

from halo.errors import ModelError
from halo.scoring.distributions import SUMS, States

WORDS = tuple(SUMS)
TOKENS, HIDDEN, VOCABULARY = 5, 4, 7


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


HEAD, BIAS, STATES = drawn(VOCABULARY, HIDDEN, seed=1), drawn(VOCABULARY, seed=2), drawn(TOKENS, HIDDEN, seed=3)
TARGETS = torch.tensor([0, 3, 6, 3, 1])
OTHER = States(drawn(TOKENS, HIDDEN, seed=4), TARGETS, drawn(VOCABULARY, HIDDEN, seed=5))
TEMPERATURE = torch.tensor([1.0, 0.7, 0.7, 2.0, 1.0], dtype=torch.float64)
UPSTREAM = drawn(1 + len(WORDS), TOKENS, seed=6)


def scored(hidden: Tensor, weight: Tensor, bias: Tensor, words: tuple[str, ...]) -> Tensor:
    """One number: log-probs and words, each token's times something."""
    named = States(hidden, TARGETS, weight, bias, TEMPERATURE).scored(words, OTHER)
    return sum((x * upstream).sum() for x, upstream in zip(named.values(), UPSTREAM, strict=False))  # type: ignore[return-value]


def plainly(hidden: Tensor, weight: Tensor, bias: Tensor, words: tuple[str, ...]) -> Tensor:
    """The same from whole logits, as a paper would write it."""
    log_p = torch.log_softmax((hidden @ weight.T + bias) / TEMPERATURE[:, None], -1)
    log_q = torch.log_softmax(OTHER.hidden @ OTHER.weight.T, -1)
    p, q = log_p.exp(), log_q.exp()
    found = {
        "logp": log_p.gather(-1, TARGETS[:, None])[:, 0],
        "entropy": -(p * log_p).sum(-1),
        "log_sum_sq_probs": torch.log((p * p).sum(-1)),
        "kl_ref_policy": (q * (log_q - log_p)).sum(-1),
        "kl_policy_ref": (p * (log_p - log_q)).sum(-1),
    }
    return sum((found[name] * upstream).sum() for name, upstream in zip(("logp", *words), UPSTREAM, strict=False))  # type: ignore[return-value]


Function = Callable[[Tensor], Tensor]


def both(leaf: str, words: tuple[str, ...]) -> tuple[Function, Function, Tensor]:
    """The two as functions of hidden states, of the head, or of its bias; and where."""
    given = {"hidden": STATES, "weight": HEAD, "bias": BIAS}

    def of(function: Callable[..., Tensor]) -> Function:
        return lambda x: function(*{**given, leaf: x}.values(), words)

    return of(scored), of(plainly), given[leaf]


@pytest.mark.parametrize("leaf", ["hidden", "weight", "bias"])
@pytest.mark.parametrize("words", [(), WORDS], ids=["logp", "words"])
def test_transforms_equal_those_of_whole_logits(words: tuple[str, ...], leaf: str) -> None:
    ours, true, at = both(leaf, words)
    assert_near(torch.func.grad(ours)(at), torch.func.grad(true)(at), RUN)
    assert_near(torch.func.jacfwd(ours)(at), torch.func.grad(true)(at), RUN)
    assert_near(torch.func.hessian(ours)(at), torch.func.hessian(true)(at), RUN)
    several = torch.stack([at, at + 0.1, 2 * at])
    assert_near(torch.func.vmap(ours)(several), torch.func.vmap(true)(several), RUN)
    assert_near(torch.func.vmap(torch.func.grad(ours))(several), torch.func.vmap(torch.func.grad(true))(several), RUN)


@pytest.mark.parametrize("words", [(), WORDS], ids=["logp", "words"])
def test_autograd_has_the_same_first_derivative(words: tuple[str, ...]) -> None:
    """At a temperature too, with the head trained and with it frozen."""
    for trained in (True, False):
        leaves = [STATES.clone().requires_grad_(), *(x.clone().requires_grad_(trained) for x in (HEAD, BIAS))]
        wanted = [leaf for leaf in leaves if leaf.requires_grad]
        ours, true = (torch.autograd.grad(function(*leaves, words), wanted) for function in (scored, plainly))
        for mine, theirs in zip(ours, true, strict=True):
            assert_near(mine, theirs, RUN)


@pytest.mark.parametrize("words", [(), ("entropy",)], ids=["logp", "words"])
def test_a_second_derivative_of_chunks_is_refused(words: tuple[str, ...]) -> None:
    leaf = STATES.clone().requires_grad_()
    with pytest.raises(ModelError, match=r"no second derivative \(create_graph=True\); torch.func has it"):
        torch.autograd.grad(scored(leaf, HEAD, BIAS, words), leaf, create_graph=True)
