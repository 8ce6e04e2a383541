"""Each token is a draw from the distribution that is asked for, and from nothing else: noise, cuts of the support, penalty, stop texts."""

from __future__ import annotations

import itertools
import math
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import RepetitionPenaltyLogitsProcessor

from halo.sampling.plan import noise_key
from halo.sampling.samplers.noise import exponential
from halo.sampling.samplers.options import Drawn
from halo.sampling.samplers.stopping import before, cut, decoded
from halo.sampling.samplers.support import allowed, penalised

LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])


def how(**given: float) -> Drawn:
    return Drawn.model_validate(given)


def test_noise_has_the_moments_of_an_exponential() -> None:
    found = exponential(noise_key(0, "a prompt", 0), 3, 200_000).double()
    assert found.min() > 0
    error = 5 / math.sqrt(len(found))  # five standard errors; the fourth moment's is sqrt(8! - 4!^2)
    assert abs(found.mean() - 1) < error
    assert abs((found**2).mean() - 2) < error * math.sqrt(20)
    assert abs((-found.log()).mean() - 0.5772156649) < error * math.pi / math.sqrt(6)


def test_noise_is_of_its_own_key_and_place() -> None:
    keys = [noise_key(seed, prompt, index) for seed, prompt, index in itertools.product((0, 1), ("a", "b"), (0, 1))]
    found = [exponential(key, position, 1000).double() for key in keys for position in (0, 1)]
    again = exponential(keys[0], 0, 1000).double()
    assert torch.equal(again, found[0])
    assert torch.equal(exponential(keys[0], 0, 501), again[:501].float())  # the vocabulary's size changes nothing before its end
    for one, other in itertools.combinations(found, 2):
        assert abs(float(np.corrcoef(one, other)[0, 1])) < 0.2  # six standard errors


def test_the_stream_is_the_one_that_was_published_with() -> None:
    """A sample is a function of its seed on every machine: these numbers are Philox's for the key and counter, by numpy's own reference."""
    bits = np.random.Philox(key=7, counter=[0, 5, 0, 0]).random_raw(2).view(np.uint32)
    expected = -np.log1p(-((bits.astype(np.float64) + 0.5) / 2**32))
    assert np.allclose(exponential(7, 5, 4).numpy(), expected, rtol=1e-5)  # float32


def test_argmax_of_noisy_logits_is_a_draw_from_the_softmax() -> None:
    draws = torch.stack([(LOGITS - exponential(noise_key(1, "p", k), 0, 6).log()).argmax() for k in range(20_000)])
    counts = torch.bincount(draws, minlength=6).double()
    expected = LOGITS.double().softmax(0) * len(draws)
    assert float(((counts - expected) ** 2 / expected).sum()) < 25.7  # chi-squared with 5 degrees of freedom, p = 1e-4


def allowed_by_hand(log_p: list[float], given: Drawn) -> list[bool]:
    """The rules as they are told, one after the other, in plain Python."""
    order = sorted(range(len(log_p)), key=lambda token: -log_p[token])
    kept = [True] * len(log_p)
    before_it = 0.0
    for place, token in enumerate(order):
        if given.top_k and place >= given.top_k:
            kept[token] = False
        if before_it >= given.top_p:
            kept[token] = False
        if math.exp(log_p[token]) < given.min_p * math.exp(log_p[order[0]]) * (1 - 1e-9):
            kept[token] = False
        before_it += math.exp(log_p[token])
    kept[order[0]] = True
    return kept


@pytest.mark.parametrize("given", [{"top_k": 3}, {"top_p": 0.8}, {"min_p": 0.1}, {"top_k": 4, "top_p": 0.9, "min_p": 0.05}, {"top_p": 1e-6}, {"top_k": 99}])
def test_what_may_be_drawn_is_what_the_rules_say(given: dict[str, float]) -> None:
    torch.manual_seed(0)
    log_p = torch.randn(50, 12, dtype=torch.float64).mul(2).log_softmax(-1)
    found = allowed(log_p, how(**given))
    assert found.tolist() == [allowed_by_hand(row, how(**given)) for row in log_p.tolist()]


def test_equally_likely_tokens_are_kept_together() -> None:
    assert allowed(torch.zeros(1, 4).log_softmax(-1), how(top_k=2)).all()


def test_the_penalty_is_that_of_transformers() -> None:
    ids, scores = torch.tensor([[0, 5, 5]]), LOGITS[None]
    seen = torch.zeros(1, 6, dtype=torch.bool)
    seen[0, [0, 5]] = True
    theirs = RepetitionPenaltyLogitsProcessor(1.3)(ids, scores.clone())
    assert torch.equal(penalised(scores, seen, 1.3), theirs)


class Letters:
    """A tokenizer whose tokens are texts of several letters."""

    words = ("ab", "cd", "\n\nHu", "man:", "<eos>", "xyz")

    def decode(self, ids: list[int], **more: object) -> str:
        return "".join(self.words[token] for token in ids)


CONTEXT = SimpleNamespace(end=(4,), stop=("\n\nHuman:", "zz"))


@pytest.mark.parametrize(
    ("ids", "text", "finish", "size"),
    [
        ((0, 1, 4), "abcd", "end", 3),
        ((0, 1), "abcd", "length", 2),
        ((0, 2, 3, 1), "ab", "stop", 1),
        ((0, 2, 1), "ab\n\nHucd", "length", 3),
        ((0, 2, 3, 4), "ab", "stop", 1),
        ((4,), "", "end", 1),
    ],
)
def test_a_completion_ends_where_it_should_and_its_text_is_its_ids(ids: tuple[int, ...], text: str, finish: str, size: int) -> None:
    logps = tuple(-float(place) for place in range(len(ids)))
    found = cut(Letters(), ids, logps, logps, CONTEXT)  # type: ignore[arg-type]
    assert (found.text, found.finish, found.ids) == (text, finish, ids[:size])
    assert found.logps == found.kept == logps[:size]


def test_a_token_that_reaches_into_a_stop_text_goes_whole() -> None:
    rng = random.Random(0)
    for _ in range(200):
        ids = tuple(rng.randrange(6) for _ in range(8))
        at = rng.randrange(len(decoded(Letters(), ids)) + 1)
        kept = before(Letters(), ids, at)
        assert len(decoded(Letters(), kept)) <= at
        assert kept == ids[: len(kept)]
        assert len(kept) == len(ids) or len(decoded(Letters(), ids[: len(kept) + 1])) > at
