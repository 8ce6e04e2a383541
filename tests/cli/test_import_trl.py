"""`halo import trl`: what it prints computes what TRL computes, written here once more in torch from TRL's documentation."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from refusals import refused_command
from torch import Tensor
from torch.nn.functional import logsigmoid

import halo
from halo.cli.main import main
from halo.compiler.pipeline import compile_source
from halo.examine.supervisor import examine
from halo.interop.trl_config import table
from halo.loss.inputs import Completions, LossInputs
from halo.plugin.objectives import find_objective

SIZE, WIDTH = 5, 7
OFFLINE = {  # TRL 1.16, and what 1.10 still had
    "dpo": "sigmoid hinge ipo exo_pair nca_pair robust bco_pair sppo_hard aot aot_unpaired apo_zero apo_down discopop sft sigmoid_norm",
    "kto": "kto apo_zero_unpaired",
    "cpo": "sigmoid hinge ipo simpo alphapo",
    "orpo": "orpo",
    "tpo": "sigmoid hinge ipo tpo-l",
    "bco": "bco",
    "sft": "nll",
}


class Pairs:
    """A ragged batch as TRL sees it: sums over tokens, lengths."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(3)
        self.roles, self.logp, self.ref, self.square, self.length = {}, {}, {}, {}, {}
        for role in ("chosen", "rejected"):
            self.length[role] = torch.randint(1, WIDTH + 1, (SIZE,), generator=generator)
            mask = torch.arange(WIDTH) < self.length[role][:, None]
            logp, ref, square = (-torch.rand(SIZE, WIDTH, dtype=torch.float64, generator=generator) * 2 * mask for _ in range(3))
            self.logp[role], self.ref[role], self.square[role] = logp, ref, square
            self.roles[role] = Completions(mask=mask, token_logps=logp, ref_token_logps=ref, columns={"log_sum_sq_probs": square})

    def x(self, role: str) -> Tensor:
        return (self.logp[role] - self.ref[role]).sum(-1)

    def mean(self, role: str, tokens: Tensor) -> Tensor:
        return tokens.sum(-1) / self.length[role]


def gap(b: Pairs, score: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
    return score(b.x("chosen")) - score(b.x("rejected"))


def forward_kl(x: Tensor) -> Tensor:
    return 1 - torch.exp(-x)


def js(x: Tensor) -> Tensor:
    return torch.log(torch.tensor(2.0, dtype=torch.float64)) + logsigmoid(x)


def alpha(x: Tensor, a: float = 0.7) -> Tensor:
    return (torch.exp((a - 1) * x) - 1) / (a - 1)


def smoothed(u: Tensor, e: float) -> Tensor:
    return -(1 - e) * logsigmoid(u) - e * logsigmoid(-u)


def exo(u: Tensor, e: float) -> Tensor:
    sides = ((u, 1 - e), (-u, e))
    return sum(torch.sigmoid(v) * (logsigmoid(v) - torch.log(torch.tensor(p, dtype=torch.float64))) for v, p in sides)  # type: ignore[return-value]


def confidence(b: Pairs) -> Tensor:
    return torch.exp(sum(b.mean(role, b.logp[role] - b.square[role]) for role in ("chosen", "rejected")))  # type: ignore[arg-type]


def tail_weighted(b: Pairs, role: str, weight: float) -> Tensor:
    shorter = torch.minimum(b.length["chosen"], b.length["rejected"])
    weights = torch.where(torch.arange(WIDTH) < shorter[:, None], 1.0, weight)
    return (weights * (b.logp[role] - b.ref[role])).sum(-1)


def token_nll(b: Pairs) -> Tensor:
    return -b.logp["chosen"].sum() / b.length["chosen"].sum()


def bco_pair(b: Pairs, beta: float) -> Tensor:
    return -logsigmoid(beta * b.x("chosen")) - logsigmoid(-beta * b.x("rejected"))


def aot(b: Pairs) -> Tensor:
    sums = {role: (b.logp[role].sum(-1), b.ref[role].sum(-1)) for role in ("chosen", "rejected")}
    policy, start = (torch.sort(sums["chosen"][i] - sums["rejected"][i]).values for i in (0, 1))
    return policy - start


CASES: dict[str, Callable[[Pairs], Tensor]] = {
    "--beta 0.3": lambda b: -logsigmoid(0.3 * gap(b)).mean(),
    "": lambda b: -logsigmoid(0.1 * gap(b)).mean(),
    "--loss-type hinge": lambda b: (1 - 0.1 * gap(b)).clamp(min=0).mean(),
    "--loss-type ipo --beta 0.2": lambda b: ((b.x("chosen") / b.length["chosen"] - b.x("rejected") / b.length["rejected"] - 2.5) ** 2).mean(),
    "--loss-type sppo_hard": lambda b: ((b.x("chosen") - 5) ** 2 + (b.x("rejected") + 5) ** 2).mean(),
    "--loss-type discopop": lambda b: _discopop(0.1 * gap(b)),
    "--loss-type exo_pair --label-smoothing 0.01": lambda b: exo(0.1 * gap(b), 0.01).mean(),
    "--loss-type robust --label-smoothing 0.1": lambda b: ((-0.9 * logsigmoid(0.1 * gap(b)) + 0.1 * logsigmoid(-0.1 * gap(b))) / 0.8).mean(),
    "--f-divergence-type forward_kl": lambda b: -logsigmoid(0.1 * gap(b, forward_kl)).mean(),
    "--f-divergence-type alpha_divergence --f-alpha-divergence-coef 0.7": lambda b: -logsigmoid(0.1 * gap(b, alpha)).mean(),
    "--use-weighting true": lambda b: -(confidence(b) * logsigmoid(0.1 * gap(b))).mean(),
    "--loss-type hinge --f-divergence-type js_divergence": lambda b: (1 - 0.1 * gap(b, js)).clamp(min=0).mean(),
    "--loss-type exo_pair --label-smoothing 0.01 --f-divergence-type alpha_divergence --f-alpha-divergence-coef 0.7": lambda b: (
        exo(0.1 * gap(b, alpha), 0.01).mean()
    ),
    "--loss-type sigmoid_norm --f-divergence-type forward_kl": lambda b: (
        -logsigmoid(0.1 * (forward_kl(b.x("chosen")) / b.length["chosen"] - forward_kl(b.x("rejected")) / b.length["rejected"])).mean()
    ),
    "--loss-type hinge --use-weighting true": lambda b: (confidence(b) * (1 - 0.1 * gap(b)).clamp(min=0)).mean(),
    "--loss-type ipo --ld-alpha 0.4": lambda b: (
        ((tail_weighted(b, "chosen", 0.4) / b.length["chosen"] - tail_weighted(b, "rejected", 0.4) / b.length["rejected"] - 5) ** 2).mean()
    ),
    "--loss-type aot --label-smoothing 0.1": lambda b: smoothed(0.1 * aot(b), 0.1).mean(),
    "--trainer cpo": lambda b: -logsigmoid(0.1 * (b.logp["chosen"].sum(-1) - b.logp["rejected"].sum(-1))).mean() + token_nll(b),
    "--trainer cpo --loss-type simpo --beta 2": lambda b: (
        -logsigmoid(2 * (b.mean("chosen", b.logp["chosen"]) - b.mean("rejected", b.logp["rejected"])) - 0.5).mean() + token_nll(b)
    ),
    "--trainer cpo --label-smoothing 0.2": lambda b: (
        smoothed(0.1 * (b.logp["chosen"].sum(-1) - b.logp["rejected"].sum(-1)), 0.2).mean() + token_nll(b)
    ),
    "--loss-type sigmoid,bco_pair,sft --loss-weights 0.8,0.2,1 --beta 0.2": lambda b: (
        0.8 * -logsigmoid(0.2 * gap(b)).mean() + 0.2 * bco_pair(b, 0.2).mean() + token_nll(b)
    ),
    "--loss-type sigmoid,apo_down --loss-weights 1,0.5": lambda b: (
        -logsigmoid(0.1 * gap(b)).mean() + 0.5 * (torch.sigmoid(0.1 * b.x("chosen")) + 1 - torch.sigmoid(0.1 * gap(b))).mean()
    ),
}


def _discopop(u: Tensor) -> Tensor:
    g = torch.sigmoid(u / 0.05)
    return (-logsigmoid(u) * (1 - g) + torch.exp(-u) * g).mean()


@pytest.mark.parametrize("arguments", CASES)
def test_what_is_printed_is_trls_loss(arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["import", "trl", *(arguments.split() or ["--trainer", "dpo"])]) == 0
    printed = capsys.readouterr().out
    command = re.findall(r"halo train (.*)", printed)[0]
    name, *flags = command.split()
    if printed.startswith("#"):
        Path(name).write_text(printed)
        assert not examine(compile_source(name, None, find_objective)).failed  # as `halo check`, but for its relatives
    values = {key: float(value) for key, value in (flag.split("=") for flag in flags if flag != "--set")}
    pairs = Pairs()
    found = halo.compile_objective(name, values)(LossInputs(pairs.roles)).loss
    assert found.item() == pytest.approx(CASES[arguments](pairs).item(), rel=1e-10)


def test_every_offline_loss_of_trl_has_a_shipped_objective() -> None:
    names, known = set(find_objective.names()), table()
    for trainer, types in OFFLINE.items():
        assert set(types.split()) <= set(known[trainer])
    assert {name for types in known.values() for key, name in types.items() if key != "default"} <= names


REFUSED = {  # the code, the place
    "--loss-type exo_pair": ("wrong-value", "--label-smoothing"),
    "--loss-type exo_pair --label-smoothing 0": ("wrong-value", "--label-smoothing"),
    "--loss-type aot --use-weighting true": ("wrong-value", "--use-weighting"),
    "--loss-type nca_pair --f-divergence-type js_divergence": ("wrong-value", "--f-divergence-type"),
    "--rpo-alpha 1": ("wrong-value", "--rpo-alpha"),
    "--reference-free true": ("wrong-value", "--reference-free"),
    "--sync-ref-model true": ("wrong-value", "--sync-ref-model"),
    "--use-weighting maybe": ("wrong-value", "--use-weighting"),
    "--ld-alpha low": ("wrong-value", "--ld-alpha"),
    "--ld-alpha 2": ("out-of-domain", "ld_dpo.yaml"),
    "--gamma 0": ("unknown-name", "--gamma"),
    "--loss-type sigmoid,ipo --ld-alpha 0": ("wrong-value", "--ld_alpha"),
    "--trainer kto --desirable-weight 0": ("out-of-domain", "kto.yaml"),
    "--loss-type nosuch": ("wrong-value", "--loss-type"),
    "--gamma 2": ("unknown-name", "--gamma"),
    "--loss-type sigmoid,ipo --loss-weights 1": ("wrong-value", "--loss-weights"),
    "--loss-type sigmoid,nosuch": ("wrong-value", "--loss-type"),
    "--loss-type sigmoid,ipo --label-smoothing 0.1": ("wrong-value", "--label_smoothing"),
    "--f-divergence-type nosuch": ("wrong-value", "--f-divergence-type"),
    "--loss-type apo_zero --f-divergence-type js_divergence --ld-alpha 0.5": ("wrong-value", "--f-divergence-type"),
    "--beta high": ("wrong-value", "--beta"),
    "--trainer nosuch": ("wrong-value", "--trainer"),
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_what_does_not_fit_gets_one_message(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, where = REFUSED[arguments]
    refused_command(capsys, code, "import", "trl", *arguments.split(), at=where, silent=True)


def test_settings_carry_over(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "trl", "--loss-type", "ipo", "--beta", "0.3", "--learning-rate", "1e-6", "--max-steps", "10"]) == 0
    assert "halo train ipo_mean --set tau=0.3 --learning-rate 1e-6 --max-steps 10" in capsys.readouterr().out
