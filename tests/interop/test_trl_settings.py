"""Every loss type of TRL 1.16 with its settings: translated to what TRL's code computes, or refused where TRL refuses.

TRL's formulas are written here once more in torch, from the source of 1.16, over sums of log-probs. What is not TRL's: label
smoothing of `sigmoid`, which it had before 1.0 and which halo keeps, and weights beside `hinge`, where TRL's own code fails.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import cache

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from halo.compiler.pipeline import compile_source
from halo.errors import SettingsError
from halo.interop.trl_config import Translation, translate
from halo.loss.function import LossFunction
from halo.loss.inputs import Completions, LossInputs
from halo.plugin.objectives import find_objective

SIZE, WIDTH = 4, 6
Settings = Mapping[str, str]


class Pairs:
    """A ragged batch of pairs: log-probs of policy and reference, and log sum p**2, by role."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(11)
        self.mask, self.logp, self.ref, self.square = {}, {}, {}, {}
        for role in ("chosen", "rejected", "gold"):
            lengths = torch.randint(1, WIDTH + 1, (SIZE,), generator=generator)
            self.mask[role] = torch.arange(WIDTH) < lengths[:, None]
            columns = (-torch.rand(SIZE, WIDTH, dtype=torch.float64, generator=generator) * 2 * self.mask[role] for _ in range(3))
            self.logp[role], self.ref[role], self.square[role] = columns

    def inputs(self, slots: Mapping[str, str]) -> LossInputs:
        return LossInputs({
            slot: Completions(
                token_logps=self.logp[role], mask=self.mask[role], ref_token_logps=self.ref[role], columns={"log_sum_sq_probs": self.square[role]}
            )
            for slot, role in slots.items()
        })  # fmt: skip

    def length(self, role: str) -> Tensor:
        return self.mask[role].sum(-1)


PAIRS = Pairs()
SLOTS = {"chosen": "chosen", "rejected": "rejected", "gold": "gold", "completion": "chosen"}


def compiled(found: Translation) -> LossFunction:
    return _compiled(found.text or found.objective.declaration.name, tuple(found.parameters.items()))


@cache
def _compiled(source: str, parameters: tuple[tuple[str, float], ...]) -> LossFunction:
    return LossFunction(compile_source(source, dict(parameters), find_objective), validate=False)


def flagged(settings: Settings) -> str:
    return " ".join(f"--{key} {value}" for key, value in settings.items())


# -- DPO -------------------------------------------------------------------------------------------------------------------

DIFFERENCES = ("sigmoid", "sigmoid_norm", "hinge", "ipo", "exo_pair", "robust", "discopop")
DPO_TYPES = (*DIFFERENCES, "nca_pair", "bco_pair", "sppo_hard", "aot", "aot_unpaired", "apo_zero", "apo_down", "sft")
AXES = {
    "ld_alpha": (None, "0", "0.4", "1", "none"),
    "use_weighting": (None, "true", "false"),
    "label_smoothing": (None, "0", "0.1"),
    "discopop_tau": (None, "0.2"),
    "f_divergence_type": (None, "reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"),
    "f_alpha_divergence_coef": (None, "0.7", "1", "0", "2", "-0.5", "1.0000001"),
    "beta": (None, "0.3"),
}


def sums(role: str, tokens: Tensor, ld_alpha: str | None) -> Tensor:
    if ld_alpha in (None, "none"):
        return tokens.sum(-1)
    shared = torch.minimum(PAIRS.length("chosen"), PAIRS.length("rejected"))
    place = PAIRS.mask[role].cumsum(-1)
    return (tokens * (place <= shared[:, None])).sum(-1) + float(ld_alpha) * (tokens * (place > shared[:, None])).sum(-1)


def score(x: Tensor, kind: str, coefficient: float) -> Tensor:
    if kind == "forward_kl":
        return 1 - torch.exp(-x)
    if kind == "js_divergence":
        return torch.log(torch.tensor(2.0, dtype=torch.float64)) + logsigmoid(x)
    if kind == "alpha_divergence" and abs(coefficient - 1) >= 1e-6:
        return (torch.exp(((coefficient - 1) * x).clamp(max=80)) - 1) / (coefficient - 1)
    return x


def dpo_loss(loss_type: str, s: Settings) -> Tensor:
    """DPOTrainer._compute_loss for one loss type."""
    beta, e, tau = (float(s.get(key, default)) for key, default in (("beta", "0.1"), ("label_smoothing", "0"), ("discopop_tau", "0.05")))
    kind, coefficient = s.get("f_divergence_type", "reverse_kl"), float(s.get("f_alpha_divergence_coef", "0.5"))
    logp = {role: sums(role, PAIRS.logp[role], s.get("ld_alpha")) for role in ("chosen", "rejected")}
    ref = {role: sums(role, PAIRS.ref[role], s.get("ld_alpha")) for role in ("chosen", "rejected")}
    x = {role: logp[role] - ref[role] for role in logp}
    scores = {role: score(x[role], kind, coefficient) for role in x}
    means = {role: scores[role] / PAIRS.length(role) for role in x}
    u = beta * (scores["chosen"] - scores["rejected"])
    w, l = beta * x["chosen"], beta * x["rejected"]  # noqa: E741 (as papers write the rejected)

    def smooth(v: Tensor) -> Tensor:
        return -(1 - e) * logsigmoid(v) - e * logsigmoid(-v)

    def exo() -> Tensor:
        sides = ((u, 1 - e), (-u, e))
        return sum((torch.sigmoid(v) * (logsigmoid(v) - torch.tensor(p, dtype=torch.float64).log()) for v, p in sides), torch.zeros(()))

    def aot() -> Tensor:
        policy, start = (torch.sort(of["chosen"] - of["rejected"]).values for of in (logp, ref))
        return smooth(beta * (policy - start))

    def discopop() -> Tensor:
        share = torch.sigmoid(u / tau)
        return -logsigmoid(u) * (1 - share) + torch.exp(-u) * share

    losses = {
        "sigmoid": lambda: smooth(u),
        "sigmoid_norm": lambda: -logsigmoid(beta * (means["chosen"] - means["rejected"])),
        "hinge": lambda: torch.relu(1 - u),
        "ipo": lambda: (means["chosen"] - means["rejected"] - 1 / (2 * beta)) ** 2,
        "exo_pair": exo,
        "robust": lambda: (-(1 - e) * logsigmoid(u) + e * logsigmoid(-u)) / (1 - 2 * e),
        "discopop": discopop,
        "nca_pair": lambda: -logsigmoid(w) - logsigmoid(-w) / 2 - logsigmoid(-l) / 2,
        "bco_pair": lambda: -logsigmoid(w) - logsigmoid(-l),
        "sppo_hard": lambda: (x["chosen"] - 0.5 / beta) ** 2 + (x["rejected"] + 0.5 / beta) ** 2,
        "aot": aot,
        "aot_unpaired": lambda: smooth(torch.sort(w).values - torch.sort(l).values),
        "apo_zero": lambda: 1 - torch.sigmoid(w) + torch.sigmoid(l),
        "apo_down": lambda: torch.sigmoid(w) + 1 - torch.sigmoid(w - l),
        "sft": lambda: (-PAIRS.logp["chosen"].sum() / PAIRS.length("chosen").sum()).expand(SIZE),
    }
    each = losses[loss_type]()
    if s.get("use_weighting") == "true":
        for role in ("chosen", "rejected"):
            each = each * torch.exp((PAIRS.logp[role] - PAIRS.square[role]).sum(-1) / PAIRS.length(role))
    return each.mean()


def trl_refuses(loss_type: str, s: Settings) -> bool:
    divergence = s.get("f_divergence_type", "reverse_kl") != "reverse_kl" and loss_type not in (*DIFFERENCES, "sft")
    weights = s.get("use_weighting") == "true" and loss_type in ("aot", "aot_unpaired", "sft")
    exo = loss_type == "exo_pair" and float(s.get("label_smoothing", "0")) == 0
    return divergence or weights or exo


def walked(axes: Mapping[str, tuple[str | None, ...]], count: int) -> Iterator[dict[str, str]]:
    """So many of all combinations, those of one setting and of two among them."""
    single = [{key: value} for key, values in axes.items() for value in values]
    pairs = [{**a, **b} for a, b in itertools.combinations(single, 2) if a.keys() != b.keys()]
    rng = random.Random(5)
    rest = [{key: rng.choice(values) for key, values in axes.items()} for _ in range(count)]
    for settings in [{}, *single, *rng.sample(pairs, count), *rest]:
        yield {key: value for key, value in settings.items() if value is not None}


@pytest.mark.parametrize("loss_type", DPO_TYPES)
def test_what_dpo_trainer_takes_is_translated_and_what_it_refuses_is_refused(loss_type: str) -> None:
    for settings in walked(AXES, 5):
        if trl_refuses(loss_type, settings):
            with pytest.raises(SettingsError) as caught:
                translate("dpo", loss_type, settings, {})
            assert str(caught.value).count("\n") == 0
            assert caught.value.hint
            continue
        found = translate("dpo", loss_type, settings, {})
        value = compiled(found)(PAIRS.inputs(SLOTS)).loss.item()
        assert value == pytest.approx(dpo_loss(loss_type, settings).item(), rel=1e-9), f"{loss_type} {flagged(settings)}"


# -- CPO, TPO, KTO ---------------------------------------------------------------------------------------------------------


def cpo_loss(loss_type: str, s: Settings) -> Tensor:
    """CPOTrainer.cpo_loss with what get_batch_loss_metrics adds."""
    default = {"beta": "0.1", "alpha": "0", "cpo_alpha": "1", "simpo_gamma": "0.5", "label_smoothing": "0"}
    beta, alpha, nll, gamma, e = (float(s.get(key, value)) for key, value in default.items())
    if loss_type == "alphapo":
        loss_type, nll = "simpo", 0.0
    p = {role: PAIRS.logp[role].sum(-1) for role in ("chosen", "rejected")}
    if loss_type in ("ipo", "simpo"):
        p = {role: p[role] / PAIRS.length(role) for role in p}
    if alpha:
        p = {role: (1 - torch.exp(-alpha * p[role])) / alpha for role in p}
    d = p["chosen"] - p["rejected"]
    if loss_type == "simpo":
        d = d - gamma / beta
    losses = {
        "hinge": torch.relu(1 - beta * d),
        "ipo": (d - 1 / (2 * beta)) ** 2,
    }
    smooth = -(1 - e) * logsigmoid(beta * d) - e * logsigmoid(-beta * d)
    return losses.get(loss_type, smooth).mean() - nll * PAIRS.logp["chosen"].sum() / PAIRS.length("chosen").sum()


CPO_AXES = {
    "alpha": (None, "0", "0.3", "-0.3", "1"),
    "cpo_alpha": (None, "0", "0.5"),
    "simpo_gamma": (None, "0", "1"),
    "label_smoothing": (None, "0", "0.1"),
    "beta": (None, "2"),
}


@pytest.mark.parametrize("loss_type", ["sigmoid", "hinge", "ipo", "simpo", "alphapo"])
def test_what_cpo_trainer_takes_is_translated(loss_type: str) -> None:
    for settings in walked(CPO_AXES, 8):
        loss = compiled(translate("cpo", loss_type, settings, {}))
        value = loss(PAIRS.inputs(SLOTS)).loss.item()
        assert value == pytest.approx(cpo_loss(loss_type, settings).item(), rel=1e-9), f"{loss_type} {flagged(settings)}"


def tpo_loss(loss_type: str, s: Settings) -> Tensor:
    default = {"beta": "0.01", "tpo_alpha": "1", "tpo_l_gamma": "0.5", "label_smoothing": "0"}
    beta, alpha, gamma, e = (float(s.get(key, value)) for key, value in default.items())
    p = {role: PAIRS.logp[role].sum(-1) for role in ("chosen", "rejected")}
    if loss_type in ("ipo", "tpo-l"):
        p = {role: p[role] / PAIRS.length(role) for role in p}
    d = p["chosen"] - p["rejected"]
    if loss_type == "tpo-l":
        d = d - gamma / beta
    losses = {"hinge": torch.relu(1 - beta * d), "ipo": (d - 1 / (2 * beta)) ** 2}
    smooth = -(1 - e) * logsigmoid(beta * d) - e * logsigmoid(-beta * d)
    return losses.get(loss_type, smooth).mean() - alpha * PAIRS.logp["gold"].sum() / PAIRS.length("gold").sum()


TPO_AXES = {"tpo_alpha": (None, "0", "0.5"), "tpo_l_gamma": (None, "0", "2"), "label_smoothing": (None, "0", "0.1"), "beta": (None, "2")}


@pytest.mark.parametrize("loss_type", ["sigmoid", "hinge", "ipo", "tpo-l"])
def test_what_tpo_trainer_takes_is_translated(loss_type: str) -> None:
    for settings in walked(TPO_AXES, 10):
        loss = compiled(translate("tpo", loss_type, settings, {}))
        value = loss(PAIRS.inputs(SLOTS)).loss.item()
        assert value == pytest.approx(tpo_loss(loss_type, settings).item(), rel=1e-9), f"{loss_type} {flagged(settings)}"


KTO_AXES = {"beta": (None, "0.4"), "desirable_weight": (None, "1.5", "0"), "undesirable_weight": (None, "2")}


@pytest.mark.parametrize("loss_type", ["kto", "apo_zero_unpaired"])
def test_what_kto_trainer_takes_is_translated_or_refused(loss_type: str) -> None:
    desirable = torch.tensor([True, False, True, False])
    completions = {"completion": "chosen", "mismatched": "rejected"}
    inputs = LossInputs(
        {
            slot: Completions(token_logps=PAIRS.logp[role], mask=PAIRS.mask[role], ref_token_logps=PAIRS.ref[role])
            for slot, role in completions.items()
        },
        desirable=desirable,
    )
    x, other = ((PAIRS.logp[role] - PAIRS.ref[role]).sum(-1) for role in completions.values())
    shift = other.mean().clamp(min=0) if loss_type == "kto" else 0.0
    for settings in walked(KTO_AXES, 5):
        beta, d, u = (
            float(settings.get(key, default)) for key, default in (("beta", "0.1"), ("desirable_weight", "1"), ("undesirable_weight", "1"))
        )
        if d == 0:
            with pytest.raises(SettingsError, match="lambda_d"):
                translate("kto", loss_type, settings, {})
            continue
        loss = compiled(translate("kto", loss_type, settings, {}))
        z = beta * (x - shift)
        true = torch.where(desirable, d * (1 - torch.sigmoid(z)), u * torch.sigmoid(z)).mean()
        assert loss(inputs).loss.item() == pytest.approx(true.item(), rel=1e-9), flagged(settings)


# -- what has no effect ----------------------------------------------------------------------------------------------------


def test_a_setting_that_trl_does_not_read_is_left_out_and_said() -> None:
    cases = {
        ("dpo", "hinge", "label_smoothing"): "0.1", ("dpo", "sigmoid", "discopop_tau"): "0.2", ("cpo", "hinge", "simpo_gamma"): "1",
        ("cpo", "alphapo", "cpo_alpha"): "0.5", ("tpo", "sigmoid", "tpo_l_gamma"): "1", ("dpo", "sigmoid", "f_alpha_divergence_coef"): "0.3",
    }  # fmt: skip
    for (trainer, loss_type, flag), value in cases.items():
        plain, found = translate(trainer, loss_type, {}, {}), translate(trainer, loss_type, {flag: value}, {})
        assert (found.objective.declaration.name, found.parameters) == (plain.objective.declaration.name, plain.parameters)
        assert [flag in said for said in found.unread] == [True]
        assert plain.unread == ()


def test_zero_is_a_value() -> None:
    """What is falsy in Python is not what is left out."""
    found = translate("dpo", "sigmoid", {"ld_alpha": "0"}, {})
    assert (found.objective.declaration.name, found.parameters["alpha"]) == ("ld_dpo", 0)
    assert translate("dpo", "robust", {"label_smoothing": "0"}, {}).parameters["epsilon"] == 0
    assert translate("cpo", "simpo", {"cpo_alpha": "0", "simpo_gamma": "0"}, {}).parameters == {"alpha": 0, "gamma": 0, "beta": 0.1}
    for off in ("none", "1", "1.0"):
        assert translate("dpo", "sigmoid", {"ld_alpha": off}, {}).objective.declaration.name == "dpo"


@pytest.mark.parametrize(("given", "domain"), [("2", "(-inf, 0)"), ("-0.5", "(1, inf)"), ("0.7", "(0, 1)")])
def test_the_domain_of_an_alpha_that_is_written_out_has_no_pole(given: str, domain: str) -> None:
    found = translate("dpo", "hinge", {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": given}, {})
    parameter = found.objective.declaration.parameters["alpha_divergence"]
    assert (parameter.domain, parameter.default) == (domain, pytest.approx(float(1 - Fraction(given))))


def test_numbers_keep_their_digits() -> None:
    found = translate("dpo", "sigmoid,ipo", {"beta": "0.0123456789", "loss_weights": "0.123456789,1"}, {})
    assert "0.123456789" in str(found.text)
    assert "0.0123456789" in str(found.text)
