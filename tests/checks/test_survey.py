"""The verdicts held against a survey of 95 published objectives, whose author looked at each value function on a grid.

The survey's column says of an objective: a human-aware loss (`YES`, some with a liberty that halo names); not one because v is
not non-decreasing or not concave on gains (`NOT_V`); or not one for another reason (`NOT_FORM`), which leaves v open. `apo_down` is among the
latter: the survey puts the sign of its first term into v.
"""

from __future__ import annotations

import pytest
from shipped import findings_of

from halo.plugin.objectives import find_objective

YES = ["dpo", "dpo_sigmoid", "robust_dpo", "rso_hinge", "gpo_exponential", "gpo_truncated_quadratic", "gpo_savage", "cauchy_po", "ln_dpo", "rdpo", "simpo", "kto", "kto_risk_neutral", "kto_no_reference", "discopop_cell", "spin", "step_dpo", "tr_dpo", "sdpo"]
NOT_V = ["cdpo", "ipo", "ipo_mean", "mmpo", "exo_pair", "sppo", "simper", "focalpo", "discopop_lrml", "discopop_padll", "reward_aware_sq", "reward_aware_forward_kl", "reward_aware_backward_kl", "rebel", "dro_v", "qrpo", "npo", "ppo_offline", "kto_concave", "bco_pair", "nca_pair"]
NOT_FORM = ["sft", "sft_sum", "csft", "unlikelihood", "rrhf", "slic_hf", "slic_hf_gold", "odpo", "cpo", "cpo_token_nll", "cpo_simpo", "orpo", "orpo_code", "alphapo", "tpo", "tpo_l", "arpo", "dpo_shift", "dpop", "iterative_rpo", "rpo", "cal_dpo", "kto_no_z0", "apo_zero", "f_dpo_forward_kl", "f_dpo_js", "f_dpo_alpha", "chi_po", "discopop_aql", "discopop_dbaql", "discopop_aqfl", "discopop_pfl", "dr_dpo", "humanline_kto", "apo_down"]
UNDECIDED = ["dpo_pl", "ld_dpo", "sampo", "humanline_dpo", "kto_pair"]
"""The survey says of each but the last that it is none; of `kto_pair`, "Y-ish". halo cannot yet say."""
QUESTIONS = ("monotone", "concave_on_gains")


def verdicts(name: str, *checks: str) -> set[str]:
    return {f.verdict for f in findings_of(name) if f.check in checks and f.scope != "core"}


@pytest.mark.parametrize("name", YES)
def test_what_the_survey_calls_human_aware(name: str) -> None:
    assert verdicts(name, *QUESTIONS) == {"proved"}
    assert verdicts(name, "halo") == {"proved"}


@pytest.mark.parametrize("name", NOT_V)
def test_what_the_survey_refuses_for_its_value_function(name: str) -> None:
    assert "refuted" in verdicts(name, *QUESTIONS) or len({f.scope for f in findings_of(name) if f.check == "monotone"}) > 1
    assert verdicts(name, "halo") == {"refuted"}


@pytest.mark.parametrize("name", NOT_FORM)
def test_what_the_survey_refuses_for_its_form(name: str) -> None:
    assert verdicts(name, "halo") == {"refuted"}


@pytest.mark.parametrize("name", UNDECIDED)
def test_what_is_left_open(name: str) -> None:
    assert verdicts(name, "halo") == {"undecided"}


def test_95_in_a_hundred_questions_about_v_are_decided() -> None:
    asked = [f for name in find_objective.names() for f in findings_of(name) if f.check in QUESTIONS]
    open_ones = [f for f in asked if f.verdict == "undecided"]
    assert len(asked) > 150
    assert len(open_ones) <= 0.05 * len(asked), open_ones
