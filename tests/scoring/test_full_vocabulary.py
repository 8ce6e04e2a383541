"""Sums over the vocabulary from chunks equal those from whole logits, in value and gradient, and never make whole logits."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from refusals import refused
from tolerances import RUN, assert_near
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from halo.errors import ModelError
from halo.scoring.distributions import SUMS, Scored, States, Uniform
from halo.scoring.packed import register
from halo.scoring.rows import build_rows
from halo.scoring.scorer import Scorer

WORDS = tuple(SUMS)
TOKENS, HIDDEN, VOCABULARY, CHUNK = 41, 16, 37, 16


@pytest.fixture(autouse=True)
def _many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("halo.scoring.head.CHUNK_BYTES", 4 * VOCABULARY)  # the least there is: CHUNK tokens


def table(named: Scored) -> Tensor:
    """(N, 1 + words)."""
    return torch.stack(list(named.values()), -1)


def plainly(logits: Tensor, targets: Tensor, other: Tensor) -> Tensor:
    """(N, 1 + words) from full logits by autograd, as a paper would write it."""
    log_p, log_q = torch.log_softmax(logits, -1), torch.log_softmax(other, -1)
    p, q = log_p.exp(), log_q.exp()
    return torch.stack(
        [
            log_p.gather(-1, targets[:, None]).squeeze(-1),
            -(p * log_p).sum(-1),
            torch.log((p * p).sum(-1)),
            torch.nn.functional.kl_div(log_p, q, reduction="none").sum(-1),
            torch.nn.functional.kl_div(log_q, p, reduction="none").sum(-1),
        ],
        -1,
    )


def parts(dtype: torch.dtype, bias: bool = False, seed: int = 0) -> States:
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()

    targets = torch.randint(VOCABULARY, (TOKENS,), generator=generator)
    return States(drawn(TOKENS, HIDDEN), targets, drawn(VOCABULARY, HIDDEN), drawn(VOCABULARY) if bias else None)


def reference(dtype: torch.dtype) -> States:
    found = parts(dtype, bias=True, seed=1)
    assert found.bias is not None
    return States(found.hidden.detach(), found.targets, found.weight.detach(), found.bias.detach())


def logits(states: States) -> Tensor:
    result = states.hidden @ states.weight.T
    return result if states.bias is None else result + states.bias


@pytest.mark.numeric
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_words_equal_full_logits_in_value_and_gradient(bias: bool, frozen: bool) -> None:
    policy, other = parts(torch.float64, bias), reference(torch.float64)
    if frozen:
        policy.weight.requires_grad_(False)
    leaves = [x for x in (policy.hidden, policy.weight, policy.bias) if x is not None and x.requires_grad]
    ours, true = table(policy.scored(WORDS, other)), plainly(logits(policy), policy.targets, logits(other))
    assert_near(ours, true, RUN)
    upstream = torch.randn(ours.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for a, b in zip(torch.autograd.grad(ours, leaves, upstream), torch.autograd.grad(true, leaves, upstream), strict=True):
        assert_near(a, b, RUN)


@pytest.mark.parametrize("word", WORDS)
def test_each_word_passes_gradcheck(word: str) -> None:
    policy, other = parts(torch.float64, bias=True), reference(torch.float64)

    def scored(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return States(hidden, policy.targets, weight, bias).scored((word,), other)[word]

    assert policy.bias is not None
    assert torch.autograd.gradcheck(scored, (policy.hidden, policy.weight, policy.bias), atol=1e-7)


@pytest.mark.numeric
def test_a_uniform_reference_is_closed_form() -> None:
    policy, uniform = parts(torch.float64), Uniform(TOKENS, VOCABULARY, torch.device("cpu"))
    ours, true = table(policy.scored(WORDS, uniform)), plainly(logits(policy), policy.targets, torch.zeros(TOKENS, VOCABULARY).double())
    assert_near(ours, true, RUN)
    upstream = torch.ones_like(ours)
    for a, b in zip(
        torch.autograd.grad(ours, [policy.hidden, policy.weight], upstream),
        torch.autograd.grad(true, [policy.hidden, policy.weight], upstream),
        strict=True,
    ):
        assert_near(a, b, RUN)
    assert torch.allclose(table(uniform.scored(("entropy", "log_sum_sq_probs"))), plainly(torch.zeros(TOKENS, VOCABULARY), policy.targets,
                                                                                   torch.zeros(TOKENS, VOCABULARY))[:, :3])  # fmt: skip


@pytest.mark.numeric
@pytest.mark.parametrize("products", [torch.float32, torch.bfloat16])
def test_single_precision_and_bf16_autocast(products: torch.dtype) -> None:
    """Products in the type of autocast, sums in float32: as near to full logits rounded in the same place as float32 is."""
    policy, other = parts(torch.float32), reference(torch.float32)
    rounded = [States(s.hidden.detach().to(products), s.targets, s.weight, s.bias) for s in (policy, other)]
    rounded[0].hidden.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=products == torch.bfloat16):
        ours = table(rounded[0].scored(WORDS, rounded[1]))
    assert ours.dtype == torch.float32
    whole = [(s.hidden @ s.weight.to(products).T).float() + (0 if s.bias is None else s.bias) for s in rounded]
    true = plainly(whole[0].double(), policy.targets, whole[1].double())
    assert (ours - true).abs().max() < 1e-4
    (slope,) = torch.autograd.grad(ours.sum(), [rounded[0].hidden])
    (exact,) = torch.autograd.grad(plainly(logits(policy).double(), policy.targets, logits(other).double()).sum(), [policy.hidden])
    limit = 1e-4 if products == torch.float32 else 0.1
    assert (slope.float() - exact).abs().max() < limit * exact.abs().max()


@pytest.mark.numeric
def test_equal_models_have_no_divergence_and_bounds_are_kept() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        policy = parts(dtype)
        same = States(policy.hidden.detach(), policy.targets, policy.weight.detach())
        assert (table(policy.scored(("kl_ref_policy", "kl_policy_ref"), same))[:, 1:] == 0).all()
        sharp = States(policy.hidden * 100, policy.targets, policy.weight)
        found = table(sharp.scored(WORDS, same))
        assert (found[:, [1, 3, 4]] >= 0).all()
        assert (found[:, 2] <= 0).all()


class _Largest(TorchDispatchMode):
    """The most elements that any tensor made inside has."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for x in result if isinstance(result, tuple | list) else [result]:
            if isinstance(x, Tensor):
                self.elements = max(self.elements, x.numel())
        return result


def test_no_tensor_is_larger_than_a_chunk_of_logits() -> None:
    policy, other = parts(torch.float32), reference(torch.float32)
    with _Largest() as largest:
        table(policy.scored(WORDS, other)).sum().backward()
    limit = max(CHUNK * VOCABULARY, TOKENS * HIDDEN, VOCABULARY * HIDDEN)
    assert largest.elements <= limit < TOKENS * VOCABULARY
    with _Largest() as whole:
        plainly(logits(policy), policy.targets, logits(other)).sum().backward()
    assert whole.elements >= TOKENS * VOCABULARY


@pytest.mark.numeric
def test_both_paths_give_the_models_own_words() -> None:
    examples = tiny.examples("paired", ("chosen", "rejected"))
    rows, _ = build_rows(examples, ("chosen", "rejected"))
    model, other = tiny.policy(seed=1), tiny.policy()
    own = []
    for example in examples:
        for tail in (example.tails["chosen"][0], example.tails["rejected"][0]):
            ids = torch.tensor([[*example.prefix, *tail.ids]])
            at = [len(example.prefix) + i for i, scored in enumerate(tail.scored) if scored]
            before, came = torch.tensor(at) - 1, ids[0, at]
            own.append(plainly(*(x for x in (model(ids).logits[0, before], came, other(ids).logits[0, before]))))
    for single in (model, other):
        register(single)
    for path in ("plain", "packed"):
        states = Scorer(other, path).states(rows)  # type: ignore[arg-type]
        assert_near(table(Scorer(model, path)(rows, WORDS, states)), torch.cat(own), RUN)  # type: ignore[arg-type]


def test_a_comparison_needs_a_reference_of_the_same_vocabulary() -> None:
    policy = parts(torch.float32)
    with refused(ModelError, "model"):
        policy.scored(("entropy", "kl_ref_policy"))
    with refused(ModelError, "model"):
        policy.scored(("kl_policy_ref",), Uniform(TOKENS, VOCABULARY + 1, torch.device("cpu")))
