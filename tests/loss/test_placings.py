"""Ranks, shares and sorts against a few lines of torch on ragged rows: no padding, lists of one, ties, both float types."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from halo.compiler.pipeline import compile_source
from halo.loss import words
from halo.loss.function import LossFunction
from halo.loss.inputs import Completions, LossInputs
from halo.plugin.objectives import find_objective

LIST = """feedback: scored
parameters:
  beta: {default: 0.7, domain: "(0, inf)"}
  alpha: {default: 0.5, domain: "(0, inf)"}
reward: sum(logp - ref_logp)
normalizer: beta
sign: -1
"""
EACH = "role: completion\nreference_point: none\nreduce: {completions: sum, examples: mean}\n"
FILES = {
    "lipo_lambda": LIST.replace('  alpha: {default: 0.5, domain: "(0, inf)"}\n', "") + """role: chosen
let: {discount: 1 / log(1 + list_rank(reward))}
reference_point: rejected
value: logsigmoid(z)
weight: abs(2 ** chosen.score - 2 ** rejected.score) * abs(chosen.discount - rejected.discount)
reduce: {pairs: sum, examples: mean}
""",
    "info_nca": LIST + EACH + "value: list_softmax(score / alpha) * list_log_softmax(z)\n",
    "exo_k": LIST + EACH + "value: list_softmax(z) * (list_log_softmax(score / alpha) - list_log_softmax(z))\n",
    "nca_k": LIST + """role: completion
terms:
  likely: {value: list_softmax(score / alpha) * logsigmoid(z), reference_point: none, reduce: {completions: sum, examples: mean}}
  noise: {value: logsigmoid(-z), reference_point: none, reduce: {completions: mean, examples: mean}}
""",
    "opo": LIST + EACH + """let: {place: "1 + list_sum(sigmoid((others.reward - reward) / alpha))"}
value: -2 ** score / log(1 + place)
""",
    "through_lets": LIST + EACH + """let:
  share: list_softmax(reward)
  place: list_rank(score)
value: logsigmoid(z / alpha) * place - list_max(all.share) * list_sum(worse.place) + best.share - worst.place * share
""",
}  # fmt: skip


@dataclass
class Rows:
    """A ragged batch: for each list, each completion's tokens; and the same padded."""

    logp: list[list[Tensor]]
    ref: list[list[Tensor]]
    score: list[list[float]]
    ranks: list[list[int]]
    inputs: LossInputs
    leaf: Tensor

    def u(self) -> list[Tensor]:
        """For each list the log-ratios of its completions."""
        return [torch.stack([(p - r).sum() for p, r in zip(*pair, strict=True)]) for pair in zip(self.logp, self.ref, strict=True)]


SIZES, WIDTH = (3, 1, 4, 2), 6


def lists(seed: int, dtype: torch.dtype, tied: bool = False) -> Rows:
    """Lists of 3, 1, 4 and 2 completions; `tied`: the first two lists have equal scores and log-ratios of 0."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    most = max(SIZES)
    leaf = (-torch.rand(len(SIZES), most, WIDTH, dtype=torch.float64) * 3).to(dtype)
    ref = leaf.clone() if tied else (-torch.rand(len(SIZES), most, WIDTH, dtype=torch.float64) * 3).to(dtype)
    ref[2:] = (-torch.rand(2, most, WIDTH, dtype=torch.float64) * 3).to(dtype)
    leaf.requires_grad_()
    mask, score = torch.zeros(leaf.shape, dtype=torch.bool), torch.full((len(SIZES), most), 77.0, dtype=dtype)
    ranks = torch.ones(len(SIZES), most, dtype=torch.long)
    rows = Rows([], [], [], [], LossInputs({}), leaf)
    for b, size in enumerate(SIZES):
        lengths = [rng.randint(1, WIDTH) for _ in range(size)]
        scores = [round(rng.uniform(0, 3), 2) for _ in range(size)] if not (tied and b < 2) else [1.5] * size
        if b == 2:
            scores[1] = scores[0]
        rank = [1 + sum(other > own for other in scores) for own in scores]
        for k, n in enumerate(lengths):
            mask[b, k, torch.tensor(sorted(rng.sample(range(WIDTH), n)))] = True
            score[b, k], ranks[b, k] = scores[k], rank[k]
        rows.logp.append([leaf[b, k][mask[b, k].clone()] for k in range(size)])
        rows.ref.append([ref[b, k][mask[b, k]] for k in range(size)])
        rows.score.append(scores)
        rows.ranks.append(rank)
    rows.inputs = LossInputs({"completion": Completions(mask=mask, token_logps=leaf, ref_token_logps=ref, columns={"score": score})}, ranks=ranks)
    return rows


def per_list(item: Callable[[Tensor, Tensor, list[int]], Tensor]) -> Callable[[Rows], Tensor]:
    """The mean over lists of a formula in rewards, scores and ranks."""

    def loss(rows: Rows) -> Tensor:
        cases = zip([0.7 * u for u in rows.u()], rows.score, rows.ranks, strict=True)
        return torch.stack([item(r, torch.tensor(s, dtype=r.dtype), ranks) for r, s, ranks in cases]).mean()

    return loss


def places(x: Tensor) -> list[int]:
    """1 for the highest; Python's sort keeps equal ones in their order."""
    order = sorted(range(len(x)), key=lambda k: -x[k].item())
    return [1 + order.index(k) for k in range(len(x))]


def lipo(r: Tensor, s: Tensor, ranks: list[int]) -> Tensor:
    discount = [1 / math.log(1 + place) for place in places(r)]
    pairs = [(i, j) for i in range(len(r)) for j in range(len(r)) if ranks[i] < ranks[j]]
    return sum((-(2 ** s[i] - 2 ** s[j]).abs() * abs(discount[i] - discount[j]) * logsigmoid(r[i] - r[j]) for i, j in pairs), r.sum() * 0)


def exo(r: Tensor, s: Tensor, _: list[int]) -> Tensor:
    p, q = torch.softmax(r, 0), torch.softmax(s / 0.5, 0)
    return (p * (p.log() - q.log())).sum()


def opo(r: Tensor, s: Tensor, _: list[int]) -> Tensor:
    place = [1 + sum(torch.sigmoid((r[j] - r[k]) / 0.5) for j in range(len(r)) if j != k) for k in range(len(r))]
    return sum((2 ** s[k] / (1 + place[k]).log() if len(r) > 1 else 2 ** s[k] / math.log(2) for k in range(len(r))), r.sum() * 0)


def through(r: Tensor, s: Tensor, ranks: list[int]) -> Tensor:
    share, place = torch.softmax(r, 0), places(s)
    best, worst = ranks.index(min(ranks)), ranks.index(max(ranks))
    below = [sum(place[j] for j in range(len(r)) if ranks[j] > ranks[k]) for k in range(len(r))]
    values = [logsigmoid(r[k] / 0.5) * place[k] - share.max() * below[k] + share[best] - place[worst] * share[k] for k in range(len(r))]
    return -torch.stack(values).sum()


ORACLES: dict[str, Callable[[Rows], Tensor]] = {
    "lipo_lambda": per_list(lipo),
    "info_nca": per_list(lambda r, s, _: -(torch.softmax(s / 0.5, 0) * torch.log_softmax(r, 0)).sum()),
    "exo_k": per_list(exo),
    "nca_k": per_list(lambda r, s, _: -(torch.softmax(s / 0.5, 0) * logsigmoid(r)).sum() - logsigmoid(-r).mean()),
    "opo": per_list(opo),
    "through_lets": per_list(through),
}


def loss_of(text: str, **parameters: float) -> LossFunction:
    return LossFunction(compile_source("name: mine\n" + text, parameters, find_objective))


@pytest.mark.numeric
@pytest.mark.parametrize("tied", [False, True], ids=["apart", "tied"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", FILES)
def test_list_objectives(name: str, dtype: torch.dtype, tied: bool) -> None:
    loss, tolerance = loss_of(FILES[name]), 1e-12 if dtype == torch.float64 else 2e-5
    for seed in (1, 2, 3):
        rows = lists(seed, dtype, tied)
        output, true = loss(rows.inputs), ORACLES[name](rows)
        assert output.loss.dtype == dtype
        assert output.loss.item() == pytest.approx(true.item(), rel=tolerance, abs=tolerance)
        got, expected = (torch.autograd.grad(x, rows.leaf)[0] for x in (output.loss, true))
        assert got.isfinite().all()
        torch.testing.assert_close(got, expected, rtol=10 * tolerance, atol=tolerance)
        assert expected.abs().max() > 0


def test_equal_rewards_keep_the_order_of_the_list() -> None:
    """At the start of training all rewards are 0; were ties to share a rank, LiPO's weights, and its gradient, would be 0 for ever."""
    x = torch.tensor([[2.0, 5.0, 2.0, 2.0, 9.0]])
    there = torch.tensor([[True, True, True, True, False]])
    assert words.rank(x, there)[0, :4].tolist() == [2, 1, 3, 4]
    rows = lists(5, torch.float64, tied=True)
    flat = rows.leaf.detach().clone().requires_grad_()
    completion = rows.inputs.completions["completion"]
    same = LossInputs({"completion": Completions(mask=completion.mask, token_logps=flat, ref_token_logps=flat.detach(), columns=completion.columns)}, ranks=rows.inputs.ranks)
    (slope,) = torch.autograd.grad(loss_of(FILES["lipo_lambda"])(same).loss, flat)
    assert slope.abs().max() > 0


def test_sure_shares_keep_their_digits() -> None:
    """The share of a completion that has lost, and of one that has nearly won, from the other side of 1."""
    text = LIST.replace('  alpha: {default: 0.5, domain: "(0, inf)"}\n', "") + EACH + "value: list_log_softmax(z)\n"
    loss = loss_of(text, beta=1.0)
    logp = torch.tensor([[[-1.0], [-401.0]]], dtype=torch.float64, requires_grad=True)
    mask = torch.ones(1, 2, 1, dtype=torch.bool)
    inputs = LossInputs({"completion": Completions(mask=mask, token_logps=logp, ref_token_logps=torch.full_like(logp, -1.0))}, ranks=torch.tensor([[1, 2]]))
    inputs.completions["completion"].columns = {"score": torch.zeros(1, 2, dtype=torch.float64)}
    items = loss(inputs).items["main"]
    assert items[0].tolist() == pytest.approx([math.exp(-400), 400.0], rel=1e-14)
    (slope,) = torch.autograd.grad(items[0, 0], logp)
    assert slope.flatten().tolist() == pytest.approx([-math.exp(-400), math.exp(-400)], rel=1e-12)


def test_the_logarithm_of_no_sum_has_no_gradient() -> None:
    """torch's own is nan, also where it is masked away afterwards."""
    x = torch.zeros(2, 3, requires_grad=True)
    mask = torch.tensor([[False, False, False], [True, False, True]])
    found = words.logsumexp(x, mask, -1)
    assert found[0].item() == -math.inf
    found.exp().sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[0, 0, 0], [1, 0, 1]]


# -- sorts ---------------------------------------------------------------------------------------------------------------

AOT = """feedback: paired
parameters:
  beta: {default: 0.3, domain: "(0, inf)"}
let:
  gap: sum(chosen.logp) - sum(rejected.logp)
  ref_gap: sum(chosen.ref_logp) - sum(rejected.ref_logp)
reward: batch_sort(gap) - batch_sort(ref_gap)
normalizer: beta
reference_point: none
value: logsigmoid(z)
sign: -1
"""
UNPAIRED = "extends: dpo\nreward: batch_sort(sum(logp - ref_logp))\n"
MIXED = """feedback: paired
regularizers:
  spread: {role: chosen, expression: "batch_sort(sum(logp)) * batch_mean(rejected.length) + batch_sort(length)", weight: 0.5}
"""


def pairs(seed: int, dtype: torch.dtype, size: int = 7) -> tuple[LossInputs, list[Tensor], list[Tensor]]:
    """Inputs, their leaves, and for both roles (logp, ref) summed."""
    torch.manual_seed(seed)
    roles, leaves, sums = {}, [], []
    for role in ("chosen", "rejected"):
        logp, ref = ((-torch.rand(size, WIDTH, dtype=torch.float64) * 3).to(dtype) for _ in range(2))
        mask = torch.arange(WIDTH) < torch.randint(1, WIDTH + 1, (size, 1))
        roles[role] = Completions(mask=mask, token_logps=logp.requires_grad_(), ref_token_logps=ref)
        leaves.append(logp)
        sums += [(logp * mask).sum(1), (ref * mask).sum(1)]
    return LossInputs(roles), leaves, [*sums, *(roles[role].mask.sum(1).to(dtype) for role in roles)]


def in_order(x: Tensor) -> Tensor:
    return torch.stack(sorted(x.unbind(), key=lambda one: one.item()))


SORTS: dict[str, tuple[str, Callable[..., Tensor]]] = {
    "aot": (AOT, lambda w, rw, y, ry, *_: -logsigmoid(0.3 * (in_order(w - y) - in_order(rw - ry))).mean()),
    "aot_unpaired": (UNPAIRED, lambda w, rw, y, ry, *_: -logsigmoid(0.1 * (in_order(w - rw) - in_order(y - ry))).mean()),
    "mixed": (MIXED, lambda w, rw, y, ry, nw, ny: 0.5 * (in_order(w) * ny.mean() + in_order(nw)).mean()),
}


@pytest.mark.numeric
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", SORTS)
def test_sorts(name: str, dtype: torch.dtype) -> None:
    text, oracle = SORTS[name]
    loss, tolerance = loss_of(text), 1e-12 if dtype == torch.float64 else 1e-5
    assert loss.needs.coupled == (("chosen", "rejected") if name != "mixed" else ("chosen",))
    for seed in (1, 2, 3):
        inputs, leaves, sums = pairs(seed, dtype)
        output, true = loss(inputs), oracle(*sums)
        assert output.loss.dtype == dtype
        assert output.loss.item() == pytest.approx(true.item(), rel=tolerance)
        for got, expected in zip(*(torch.autograd.grad(x, leaves, allow_unused=True) for x in (output.loss, true)), strict=True):
            assert (got is None) == (expected is None)
            if got is not None:
                torch.testing.assert_close(got, expected, rtol=10 * tolerance, atol=tolerance)


def test_ties_of_a_sort_are_stable() -> None:
    """Equal numbers keep their order, so that the gradient of each of them goes back to its own row."""
    x = torch.tensor([1.0, 0.0, 1.0, 0.0], requires_grad=True)
    (slope,) = torch.autograd.grad((words.sort(x) * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum(), x)
    assert slope.tolist() == [3, 1, 4, 2]


def test_a_batch_of_one_is_its_own_sort() -> None:
    inputs, _, sums = pairs(4, torch.float64, size=1)
    w, rw, y, ry = sums[:4]
    assert loss_of(AOT)(inputs).loss.item() == pytest.approx(-logsigmoid(0.3 * (w - y - rw + ry)).item(), rel=1e-13)


COMPILED: dict[str, Any] = {"lipo_lambda": FILES["lipo_lambda"], "exo_k": FILES["exo_k"], "aot": AOT}


@pytest.mark.parametrize("name", COMPILED)
def test_torch_compile_takes_them(name: str) -> None:
    loss = loss_of(COMPILED[name])
    inputs = pairs(1, torch.float64)[0] if name == "aot" else lists(1, torch.float64).inputs
    compiled = torch.compile(loss, backend="eager")
    assert compiled(inputs).loss.item() == pytest.approx(loss(inputs).loss.item(), rel=1e-12)
