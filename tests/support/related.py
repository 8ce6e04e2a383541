"""Pairs of objectives, and how they are related: the table behind the tests and docs/relations.md.

`FILES` are objectives that are not shipped, by the name of their file.
"""

from __future__ import annotations

from dataclasses import dataclass

FILES = {
    "dpo_softplus.yaml": """\
name: dpo_softplus
feedback: paired
parameters: {temperature: {default: 10, domain: "(0, inf)"}}
reward: sum(ref_logp) - sum(logp)
reference_point: rejected
normalizer: 1 / temperature
value: softplus(z)
sign: +1
""",
    "dpo_by_mean.yaml": """\
name: dpo_by_mean
feedback: paired
parameters: {beta: {default: 0.1, domain: "(0, inf)"}}
reward: mean(logp - ref_logp)
reference_point: rejected
normalizer: beta * length
value: log(sigmoid(z))
sign: -1
""",
    "cpo_per_token.yaml": """\
name: cpo_per_token
feedback: paired
parameters:
  beta: {default: 2, domain: "(0, inf)"}
  m: {default: 0.4, domain: "[0, inf)"}
reward: sum(logp)
reference_point: rejected
normalizer: beta / length
margin: 2 * beta * m
value: logsigmoid(z)
sign: -1
""",
    "cpo_preference.yaml": """\
name: cpo_preference
feedback: paired
parameters: {beta: {default: 0.1, domain: "(0, inf)"}}
reward: sum(logp)
reference_point: rejected
normalizer: beta
value: logsigmoid(z)
sign: -1
""",
    "slic_calibration.yaml": """\
name: slic_calibration
feedback: ranked
parameters: {delta: {default: 1, domain: "[0, inf)"}}
role: chosen
reward: mean(logp)
reference_point: rejected
margin: delta
value: relu(-z)
sign: +1
reduce: {pairs: sum, examples: mean}
""",
    "slic_with_reference.yaml": """\
name: slic_with_reference
feedback: paired
parameters: {delta: {default: 1, domain: "(0, inf)"}}
reward: sum(logp - ref_logp)
reference_point: rejected
margin: delta
value: relu(-z)
sign: +1
""",
}


@dataclass(frozen=True)
class Pair:
    """Two objectives, the relation, and its sentence; `why` is for the page."""

    left: str
    right: str
    word: str
    sentence: str
    why: str = ""


RELATED = (
    Pair("dpo", "dpo_softplus.yaml", "renamed", "dpo is dpo_softplus with temperature = 1 / beta", "DPO, written with softplus, a negated score and a temperature."),
    Pair("dpo", "dpo_by_mean.yaml", "equal", "dpo is dpo_by_mean", "DPO, from the mean per token and the length."),
    Pair("cpo_per_token.yaml", "simpo", "renamed", "cpo_per_token is simpo with gamma = 2 * beta * m", "Length-normalised CPO with a margin is SimPO."),
    Pair("slic_calibration.yaml@delta=0", "rrhf@lambda_ft=0", "equal", "slic_calibration@delta=0 is rrhf@lambda_ft=0", "SLiC's calibration of log-probabilities per token, at delta 0, is RRHF's ranking."),
    Pair("cdpo@epsilon=0", "dpo", "equal", "cdpo@epsilon=0 is dpo"),
    Pair("cdpo", "dpo", "special-case", "dpo is cdpo with epsilon = 0"),
    Pair("slic_with_reference.yaml", "rso_hinge", "renamed", "slic_with_reference is delta times rso_hinge with beta = 1 / delta", "SLiC with a reference is the normalised hinge."),
    Pair("cpo_preference.yaml", "dpo@uniform-sequence", "equal", "cpo_preference is dpo@uniform-sequence", "CPO's preference term is DPO with a reference that is uniform over sequences,"),
    Pair("cpo_preference.yaml", "dpo@uniform-token", "different", "neither of cpo_preference and dpo@uniform-token is a special case of the other", "and not one that is uniform over tokens;"),
    Pair("dpo@uniform-token", "rdpo@uniform-sequence", "special-case", "dpo@uniform-token is rdpo@uniform-sequence with alpha = beta * log V", "that is R-DPO, whose length penalty is then beta log V."),
    Pair("apo_zero", "kto_no_z0", "special-case", "apo_zero is 2 times kto_no_z0 with lambda_d = 1, lambda_u = 1", "APO-zero is KTO without its reference point."),
    Pair("dpo_pl", "dpo", "equal", "dpo_pl is dpo", "A Plackett-Luce list of two is a pair."),
    Pair("simpo", "cpo_simpo", "special-case", "simpo is cpo_simpo with alpha = 0"),
    Pair("dpo", "robust_dpo", "special-case", "dpo is robust_dpo with epsilon = 0"),
    Pair("simpo", "cpo", "different", "neither of simpo and cpo is a special case of the other"),
    Pair("dpo", "ipo", "different", "neither of dpo and ipo is a special case of the other"),
    Pair("ipo", "ipo_mean", "different", "neither of ipo and ipo_mean is a special case of the other", "Sum or mean over tokens is no matter of a parameter."),
    Pair("rrhf", "rrhf_mean", "different", "neither of rrhf and rrhf_mean is a special case of the other"),
    Pair("kto", "dpo", "incomparable", "kto and dpo cannot be compared", "What a batch of labelled examples shares is no affair of pairs."),
)  # fmt: skip
