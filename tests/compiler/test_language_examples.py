"""Objectives as the language's specification writes them, each against a few independent lines of torch."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from language_examples import FILES
from torch import Tensor
from torch.nn.functional import logsigmoid

from halo.compiler.pipeline import compile_source
from halo.loss.function import LossFunction
from halo.loss.inputs import Completions, LossInputs
from halo.plugin.objectives import find_objective


@dataclass
class Rows:
    """One ragged batch: by slot, each row's tokens; lists are rows of rows, flat here."""

    logp: dict[str, list[Tensor]]
    ref: dict[str, list[Tensor]]
    old: dict[str, list[Tensor]]
    score: dict[str, list[float]]
    desirable: list[bool]
    ranks: list[list[int]]
    inputs: LossInputs
    leaves: dict[str, Tensor]

    def u(self, slot: str) -> list[Tensor]:
        return [(a - b).sum() for a, b in zip(self.logp[slot], self.ref[slot], strict=True)]

    def lists(self, values: list[Any]) -> list[list[Any]]:
        size = len(self.ranks[0])
        return [values[i : i + size] for i in range(0, len(values), size)]


SIZE, WIDTH, LIST = 5, 9, 4


def made(feedback: str, seed: int) -> Rows:
    rng = random.Random(seed)
    torch.manual_seed(seed)
    slots = {"paired": ("chosen", "rejected"), "labelled": ("completion", "mismatched")}.get(feedback, ("completion",))
    shape = (SIZE, LIST) if feedback in ("ranked", "scored") else (SIZE,)
    ranks = [[rng.randint(1, 3) for _ in range(LIST)] for _ in range(SIZE)]
    ranks[0] = [2] * LIST  # a list of ties only
    desirable = [rng.random() < 0.5 for _ in range(SIZE)]
    rows = Rows({}, {}, {}, {}, desirable, ranks, LossInputs({}), {})
    roles = {}
    for slot in slots:
        lengths = torch.tensor([rng.randint(1, WIDTH) for _ in range(torch.Size(shape).numel())])
        mask = torch.arange(WIDTH) < lengths[:, None]
        logp, ref, old = (-torch.rand(*mask.shape, dtype=torch.float64) * 2 for _ in range(3))
        scores = [round(rng.random() + (1.5 if slot == "chosen" else 0), 3) for _ in lengths]
        if feedback == "scored":
            scores = [float(-rank) for listed in ranks for rank in listed]
        leaf = logp.reshape(*shape, WIDTH).requires_grad_()
        flat = leaf.reshape(-1, WIDTH)
        rows.leaves[slot] = leaf
        for name, source in (("logp", flat), ("ref", ref), ("old", old)):
            getattr(rows, name)[slot] = [source[i, :n] for i, n in enumerate(lengths.tolist())]
        rows.score[slot] = scores
        columns = {"score": torch.tensor(scores, dtype=torch.float64).reshape(shape)}
        roles[slot] = Completions(mask=mask.reshape(*shape, WIDTH), token_logps=leaf, ref_token_logps=ref.reshape(*shape, WIDTH), old_token_logps=old.reshape(*shape, WIDTH), columns=columns)
    lists = feedback in ("ranked", "scored")
    rows.inputs = LossInputs(roles, desirable=torch.tensor(desirable), ranks=torch.tensor(ranks) if lists else None)
    return rows


def average(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean()


def margins(b: Rows) -> list[Tensor]:
    return [0.1 * (w - y) for w, y in zip(b.u("chosen"), b.u("rejected"), strict=True)]


def pairwise(formula: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Rows], Tensor]:
    """The mean over pairs of a formula in the two sums of log-ratios."""
    return lambda b: average([formula(w, y) for w, y in zip(b.u("chosen"), b.u("rejected"), strict=True)])


def dpo_pl(b: Rows) -> Tensor:
    losses = []
    for rewards, ranks in zip(b.lists([0.1 * u for u in b.u("completion")]), b.ranks, strict=True):
        loss = torch.zeros((), dtype=torch.float64)
        for own, rank in zip(rewards, ranks, strict=True):
            loss = loss - own + torch.stack([other for other, r in zip(rewards, ranks, strict=True) if r >= rank]).logsumexp(0)
        losses.append(loss)
    return average(losses)


def chi(w: Tensor, y: Tensor) -> Tensor:
    return -logsigmoid((0.1 * (w + w.exp()) - 0.1 * (y + y.exp())).clamp(-2, 2))


def dr_dpo(b: Rows) -> Tensor:
    losses = torch.stack([-logsigmoid(m) for m in margins(b)])
    return -torch.log(torch.mean(torch.exp(-losses)))


def kto_pair(b: Rows) -> Tensor:
    chosen, rejected = 0.1 * torch.stack(b.u("chosen")), 0.1 * torch.stack(b.u("rejected"))
    good = 1 - torch.sigmoid(chosen - rejected.mean().clamp(min=0))
    bad = torch.sigmoid(rejected - chosen.mean().clamp(min=0))
    return ((good + bad) / 2).mean()


def humanline(b: Rows) -> Tensor:
    def reward(slot: str, i: int) -> Tensor:
        return 0.1 * (b.logp[slot][i] - b.ref[slot][i]).clamp(-1, 1.5).sum()

    point = average([reward("mismatched", i) for i in range(SIZE)]).clamp(min=0).detach()
    signs = [1 if good else -1 for good in b.desirable]
    items = [s * (reward("completion", i) - point) for i, s in enumerate(signs)]
    return average([(1 if s > 0 else 0) - s * torch.sigmoid(s * item) for s, item in zip(signs, items, strict=True)])


def mpo(b: Rows) -> Tensor:
    preference = average([-logsigmoid(m) for m in margins(b)])
    quality = average([-logsigmoid(0.1 * w) - logsigmoid(-0.1 * y) for w, y in zip(b.u("chosen"), b.u("rejected"), strict=True)])
    return 0.8 * preference + 0.2 * quality - torch.cat(b.logp["chosen"]).mean()


def ld_dpo(b: Rows) -> Tensor:
    losses = []
    for i in range(SIZE):
        public = min(len(b.logp["chosen"][i]), len(b.logp["rejected"][i]))
        r = {}
        for slot in ("chosen", "rejected"):
            ratio = b.logp[slot][i] - b.ref[slot][i]
            r[slot] = ratio[:public].sum() + 0.3 * ratio[public:].sum()
        losses.append(-logsigmoid(0.1 * (r["chosen"] - r["rejected"])))
    return average(losses)


def odpo(b: Rows) -> Tensor:
    gaps = [torch.tensor(w - y, dtype=torch.float64).log() for w, y in zip(b.score["chosen"], b.score["rejected"], strict=True)]
    return average([-logsigmoid(m - gap) for m, gap in zip(margins(b), gaps, strict=True)])


def clipped(b: Rows, high: float) -> list[Tensor]:
    """The tokens' surrogate losses of every completion."""
    result = []
    for i, scores in enumerate(b.lists(b.score["completion"])):
        values = torch.tensor(scores, dtype=torch.float64)
        for k, score in enumerate(scores):
            advantage = (score - values.mean()) / (values.std() + 1e-4)
            ratio = (b.logp["completion"][i * LIST + k] - b.old["completion"][i * LIST + k]).exp()
            result.append(-torch.minimum(ratio * advantage, ratio.clamp(0.8, 1 + high) * advantage))
    return result


def grpo(b: Rows) -> Tensor:
    back = [r - p for r, p in zip(b.ref["completion"], b.logp["completion"], strict=True)]
    return average([t.mean() for t in clipped(b, 0.2)]) + 0.04 * average([(t.exp() - t - 1).mean() for t in back])


def pro(b: Rows) -> Tensor:
    losses = []
    for r, s in zip(b.lists([p.mean() for p in b.logp["completion"]]), b.lists(b.score["completion"]), strict=True):
        loss = torch.zeros((), dtype=torch.float64)
        for k in range(LIST):
            below = [j for j in range(LIST) if s[j] < s[k]]
            t = max((s[k] - s[j] for j in below), default=0.0)
            loss = loss - r[k] * t + torch.log(torch.exp(r[k] * t) + sum(torch.exp(r[j] * (s[k] - s[j])) for j in below))
        losses.append(loss)
    return average(losses)


ORACLES: dict[str, Callable[[Rows], Tensor]] = {
    "dpo_pl": dpo_pl,
    "cdpo": lambda b: average([-0.9 * logsigmoid(m) - 0.1 * logsigmoid(-m) for m in margins(b)]),
    "nca": pairwise(lambda w, y: -logsigmoid(0.1 * w) - logsigmoid(-0.1 * w) / 2 - logsigmoid(-0.1 * y) / 2),
    "sppo_hard": pairwise(lambda w, y: (w - 5) ** 2 + (y + 5) ** 2),
    "apo_down": pairwise(lambda w, y: torch.sigmoid(0.1 * w) + 1 - torch.sigmoid(0.1 * (w - y))),
    "chi_po": pairwise(chi),
    "f_dpo_forward_kl": pairwise(lambda w, y: -logsigmoid(0.1 * (torch.exp(-y) - torch.exp(-w)))),
    "dr_dpo": dr_dpo,
    "kto_pair": kto_pair,
    "humanline_kto": humanline,
    "mpo": mpo,
    "dpop": pairwise(lambda w, y: -logsigmoid(0.1 * (w - 5 * torch.relu(-w) - y))),
    "ld_dpo": ld_dpo,
    "odpo": odpo,
    "grpo": grpo,
    "dapo": lambda b: torch.cat(clipped(b, 0.28)).mean(),
    "pro": pro,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("objectives")
    for name, text in FILES.items():
        (path / f"{name}.yaml").write_text(f"name: {name}{text}")
    return path


def loss_of(name: str, folder: Path) -> LossFunction:
    def find(wanted: str) -> Path | None:
        return folder / f"{wanted}.yaml" if wanted in FILES else find_objective(wanted)

    return LossFunction(compile_source(name, None, find))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", FILES)
def test_value_and_gradient(name: str, seed: int, folder: Path) -> None:
    loss = loss_of(name, folder)
    b = made(loss.feedback.name, seed)
    output = loss(b.inputs)
    expected = ORACLES[name](b)
    assert output.loss.dtype == torch.float64
    assert output.loss.item() == pytest.approx(expected.item(), rel=1e-13, abs=1e-14)
    leaves = list(b.leaves.values())
    got = torch.autograd.grad(output.loss, leaves, allow_unused=True)
    true = torch.autograd.grad(expected, leaves, allow_unused=True)
    for slot, left, right in zip(b.leaves, got, true, strict=True):
        left, right = (torch.zeros_like(b.leaves[slot]) if g is None else g for g in (left, right))
        torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-14)
    assert any(g is not None and g.abs().sum() > 0 for g in true)
    assert sum(term.item() for term in output.terms.values()) == pytest.approx(output.loss.item())


@pytest.mark.parametrize("name", FILES)
def test_float32_stays_float32(name: str, folder: Path) -> None:
    """No Python number or helper raises or lowers the type of the batch."""
    loss = loss_of(name, folder)
    b = made(loss.feedback.name, 1)
    for completions in b.inputs.completions.values():
        assert completions.ref_token_logps is not None
        assert completions.old_token_logps is not None
        completions.token_logps = completions.token_logps.detach().float()
        completions.ref_token_logps, completions.old_token_logps = completions.ref_token_logps.float(), completions.old_token_logps.float()
        completions.columns = {key: value.float() for key, value in completions.columns.items()}
    output = loss(b.inputs)
    assert output.loss.dtype == torch.float32
    assert {items.dtype for items in output.items.values()} == {torch.float32}
