"""Objectives as the language's specification writes them."""

from __future__ import annotations

BETA = 'parameters:\n  beta: {default: 0.1, domain: "(0, inf)"}\n'
RATIO = "reward: sum(logp - ref_logp)\nnormalizer: beta\n"

FILES = {
    "dpo_pl": f"""
feedback: ranked
{BETA}role: completion
{RATIO}reference_point: list_logsumexp(suffix.reward)
value: z
sign: -1
reduce: {{completions: sum, examples: mean}}
""",
    "cdpo": """
extends: dpo
parameters:
  epsilon: {default: 0.1, domain: "[0, 1/2)"}
value: (1 - epsilon) * logsigmoid(z) + epsilon * logsigmoid(-z)
""",
    "nca": f"""
feedback: paired
{BETA}role: [chosen, rejected]
{RATIO}reference_point: none
value:
  chosen: logsigmoid(z) + logsigmoid(-z) / 2
  rejected: logsigmoid(-z) / 2
sign: -1
reduce: {{completions: sum, examples: mean}}
""",
    "sppo_hard": f"""
feedback: paired
{BETA}role: [chosen, rejected]
reward: sum(logp - ref_logp)
reference_point: none
margin: {{chosen: 1 / (2 * beta), rejected: -1 / (2 * beta)}}
value: -z**2
sign: -1
reduce: {{completions: sum, examples: mean}}
""",
    "apo_down": f"""
feedback: paired
{BETA}{RATIO}value: sigmoid(z)
terms:
  anchor: {{role: chosen, reference_point: none, sign: +1}}
  prefer: {{role: chosen, reference_point: rejected, sign: -1, constant: 1}}
""",
    "chi_po": f"""
feedback: paired
{BETA}  r_max: {{default: 1, domain: "(0, inf)"}}
let:
  u: sum(logp - ref_logp)
reward: u + exp(u)
normalizer: beta
reference_point: rejected
value: logsigmoid(clip(z, -2 * r_max, 2 * r_max))
sign: -1
""",
    "f_dpo_forward_kl": "\nextends: dpo\nreward: -exp(-sum(logp - ref_logp))\n",
    "dr_dpo": """
extends: dpo
parameters:
  beta_prime: {default: 1, domain: "(0, inf)"}
reduce: {examples: -beta_prime * log(mean(exp(-loss / beta_prime)))}
""",
    "kto_pair": f"""
feedback: paired
{BETA}role: [chosen, rejected]
{RATIO}reference_point:
  chosen: max(0, batch_mean(rejected.reward))
  rejected: max(0, batch_mean(chosen.reward))
value: sigmoid(z)
sign: {{chosen: -1, rejected: +1}}
constant: {{chosen: 1, rejected: 0}}
reduce: {{completions: mean, examples: mean}}
""",
    "humanline_kto": """
extends: kto
reference: moving
parameters:
  log_eps_p: {default: -1, domain: "(-inf, 0)"}
  log_eps_r: {default: 1.5, domain: "(0, inf)"}
reward: sum(clip(logp - ref_logp, log_eps_p, log_eps_r))
""",
    "mpo": f"""
feedback: paired
{BETA}  w_p: {{default: 0.8, domain: "[0, inf)"}}
  w_q: {{default: 0.2, domain: "[0, inf)"}}
  w_g: {{default: 1, domain: "[0, inf)"}}
{RATIO}sign: -1
terms:
  preference: {{role: chosen, weight: w_p, reference_point: rejected, value: logsigmoid(z)}}
  quality:
    role: [chosen, rejected]
    weight: w_q
    reference_point: none
    value: {{chosen: logsigmoid(z), rejected: logsigmoid(-z)}}
    reduce: {{completions: sum, examples: mean}}
regularizers:
  generation: {{role: chosen, weight: w_g, expression: -logp, reduce: {{tokens: mean}}}}
""",
    "dpop": """
extends: dpo
parameters:
  lambda_pos: {default: 5, domain: "[0, inf)"}
let:
  u: sum(logp - ref_logp)
reward:
  chosen: u - lambda_pos * max(0, -u)
  rejected: u
""",
    "ld_dpo": """
extends: dpo
parameters:
  alpha: {default: 0.3, domain: "[0, 1]"}
reward: sum(where(position <= min(chosen.length, rejected.length), 1, alpha) * (logp - ref_logp))
""",
    "odpo": """
extends: dpo
parameters:
  alpha: {default: 1, domain: "[0, inf)"}
columns:
  score: {level: completion, domain: "(-inf, inf)"}
margin: alpha * log(chosen.score - rejected.score)
""",
    "grpo": """
feedback: scored
parameters:
  epsilon: {default: 0.2, domain: "(0, 1)"}
  beta: {default: 0.04, domain: "[0, inf)"}
let:
  advantage: (score - list_mean(all.score)) / (list_std(all.score) + 1e-4)
  back: ref_logp - logp
role: completion
reward: logp - old_logp
reference_point: none
value: min(exp(z) * advantage, clip(exp(z), 1 - epsilon, 1 + epsilon) * advantage)
sign: -1
reduce: {tokens: mean, completions: mean, examples: mean}
regularizers:
  kl:
    role: completion
    weight: beta
    expression: exp(back) - back - 1
    reduce: {tokens: mean, completions: mean, examples: mean}
""",
    "dapo": """
extends: grpo
parameters:
  epsilon_high: {default: 0.28, domain: "(0, inf)"}
  beta: none
let: {back: none}
value: min(exp(z) * advantage, clip(exp(z), 1 - epsilon, 1 + epsilon_high) * advantage)
reduce: {tokens: mean}
regularizers: {kl: none}
""",
    "pro": """
feedback: scored
role: completion
reward: mean(logp)
reference_point: none
let:
  t: list_max(score - worse.score)
value: z * t - log(exp(z * t) + list_sum(exp(worse.reward * (score - worse.score))))
sign: -1
reduce: {completions: sum, examples: mean}
""",
}
