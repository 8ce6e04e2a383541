"""Fixed points of the literature: a loss over two free log-ratios, minimised, has the optimum that its paper gives.

The policy is two numbers h_w and h_l, the log-ratios of one-token answers (the reference gives each -100). With flipped
labels a share of the pairs has the two exchanged. Newton's method on the compiled loss in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import halo
from halo.loss.function import LossFunction
from halo.loss.inputs import Completions, LossInputs

REFERENCE = -100.0
MASK = torch.ones(10, 1, dtype=torch.bool)


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def loss_at(loss: LossFunction, h: Tensor, flipped: int) -> Tensor:
    """The loss of ten pairs, `flipped` of them with the answers exchanged."""
    swap = torch.arange(10) < flipped
    reference = torch.full((10, 1), REFERENCE, dtype=torch.float64)
    roles = {
        "chosen": Completions(mask=MASK, token_logps=torch.where(swap, h[1], h[0])[:, None] + REFERENCE, ref_token_logps=reference),
        "rejected": Completions(mask=MASK, token_logps=torch.where(swap, h[0], h[1])[:, None] + REFERENCE, ref_token_logps=reference),
    }
    return loss(LossInputs(roles)).loss


def minimum(loss: LossFunction, flipped: int, pinned: bool) -> Tensor:
    """(h_w, h_l) where the gradient vanishes; `pinned` holds h_l at 0, for losses of the difference alone."""
    h = torch.zeros(2, dtype=torch.float64)
    free = 1 if pinned else 2
    for _ in range(100):
        gradient = torch.autograd.functional.jacobian(lambda x: loss_at(loss, x, flipped), h)[:free]
        hessian = torch.autograd.functional.hessian(lambda x: loss_at(loss, x, flipped), h)[:free, :free]
        step = torch.linalg.solve(hessian, gradient)
        h = h - torch.cat([step, torch.zeros(2 - free, dtype=torch.float64)]).clamp(-10, 10)
        if step.abs().max() < 1e-12:
            return h
    raise AssertionError(f"no minimum: {h}")


EPSILON = 0.2
GAPS: dict[str, tuple[str, dict[str, float], int, float]] = {  # objective, parameters, flips of ten, h_w - h_l
    "DPO with flips: logit(1 - epsilon)": ("dpo", {"beta": 0.5}, 2, logit(0.8) / 0.5),
    "cDPO without: the same": ("cdpo", {"beta": 0.5, "epsilon": EPSILON}, 0, logit(0.8) / 0.5),
    "EXO without: the same": ("exo_pair", {"beta": 0.5, "epsilon": EPSILON}, 0, logit(0.8) / 0.5),
    "IPO without: 1/(2 tau)": ("ipo", {"tau": 0.25}, 0, 2.0),
    "IPO with flips: (1 - 2 epsilon)/(2 tau)": ("ipo", {"tau": 0.25}, 2, 0.6 / 0.5),
    "robust DPO, one flip of ten, epsilon 0.05": ("robust_dpo", {"beta": 0.5, "epsilon": 0.05}, 1, logit(0.85 / 0.9) / 0.5),
}


@pytest.mark.parametrize("what", GAPS)
def test_differences(what: str) -> None:
    name, parameters, flipped, gap = GAPS[what]
    h = minimum(halo.compile_objective(name, parameters), flipped, pinned=True)
    assert (h[0] - h[1]).item() == pytest.approx(gap, rel=1e-9)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_simpo_with_flips(gamma: float) -> None:
    """beta (h_w - h_l) = z solves (1 - epsilon) sigmoid(gamma - z) = epsilon sigmoid(gamma + z): 1.386, 1.732, 2.154, 3.107."""
    beta = 2.0
    h = minimum(halo.compile_objective("simpo", {"beta": beta, "gamma": gamma}), 2, pinned=True)
    z = beta * (h[0] - h[1]).item()
    assert z == pytest.approx({0.0: 1.386, 0.5: 1.732, 1.0: 2.154, 2.0: 3.107}[gamma], abs=6e-4)
    assert 0.8 / (1 + math.exp(z - gamma)) == pytest.approx(0.2 / (1 + math.exp(-z - gamma)), rel=1e-9)


def calibrated(beta: float, weight: float) -> float:
    """h = 1/(2 beta) + sigmoid(-2 h) / (2 weight), by iteration."""
    h = 0.0
    for _ in range(200):
        h = 1 / (2 * beta) + 1 / (1 + math.exp(2 * h)) / (2 * weight)
    return h


BOTH: dict[str, tuple[str, dict[str, float], Callable[[], tuple[float, float]]]] = {
    "SPPO: +eta/2 and -eta/2": ("sppo_hard", {"eta": 5.0}, lambda: (2.5, -2.5)),
    "Cal-DPO, code: h = 1/(2 beta) + sigmoid(-2 h)": ("cal_dpo_code", {"beta": 1.0}, lambda: (calibrated(1, 0.5), -calibrated(1, 0.5))),
    "Cal-DPO, paper: h = 1/(2 beta) + sigmoid(-2 h)/2": ("cal_dpo", {"beta": 1.0}, lambda: (calibrated(1, 1), -calibrated(1, 1))),
}


@pytest.mark.parametrize("what", BOTH)
def test_both_rewards(what: str) -> None:
    name, parameters, expected = BOTH[what]
    h = minimum(halo.compile_objective(name, parameters), 0, pinned=False)
    assert h.tolist() == pytest.approx(expected(), rel=1e-9)


def test_nca_keeps_the_chosen_reward_at_log_2_and_sends_the_other_down() -> None:
    beta = 0.5
    loss = halo.compile_objective("nca_pair", {"beta": beta})
    for rejected in (-1.0, -50.0):  # the two parts do not meet
        h = torch.tensor([math.log(2) / beta, rejected], dtype=torch.float64)
        gradient = torch.autograd.functional.jacobian(lambda x: loss_at(loss, x, 0), h)
        assert gradient[0].item() == pytest.approx(0, abs=1e-12)
        assert gradient[1].item() > 0


@pytest.mark.parametrize("name", ["dpo", "robust_dpo"])
def test_where_nothing_stops_a_sure_preference(name: str) -> None:
    """DPO on clean labels, and robust DPO on labels that are flipped as often as it expects, diverge."""
    given = {"beta": 0.5} if name == "dpo" else {"beta": 0.5, "epsilon": 0.2}
    loss, flipped = halo.compile_objective(name, given), 0 if name == "dpo" else 2
    for gap in (0.0, 5.0, 20.0, 40.0):
        h = torch.tensor([gap, 0.0], dtype=torch.float64)
        assert torch.autograd.functional.jacobian(lambda x: loss_at(loss, x, flipped), h)[0].item() < 0


@pytest.mark.parametrize("arms", [3, 4])
def test_ipo_on_every_comparison_of_n_arms_is_least_squares(arms: int) -> None:
    """A complete graph, each arm beating those after it: f = (wins - losses)/(2 tau n)."""
    tau = 0.5
    loss = halo.compile_objective("ipo", {"tau": tau})
    wins, losses = zip(*[(i, j) for i in range(arms) for j in range(i + 1, arms)], strict=True)
    f = torch.tensor([(arms - 1 - 2 * i) / (2 * tau * arms) for i in range(arms)], dtype=torch.float64, requires_grad=True)
    mask, reference = torch.ones(len(wins), 1, dtype=torch.bool), torch.full((len(wins), 1), REFERENCE, dtype=torch.float64)
    roles = {
        role: Completions(mask=mask, token_logps=f[list(which)][:, None] + REFERENCE, ref_token_logps=reference) for role, which in (("chosen", wins), ("rejected", losses))
    }
    loss(LossInputs(roles)).loss.backward()
    assert f.grad.abs().max() < 1e-12
