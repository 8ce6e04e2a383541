"""What words are called in a paper: models, reductions and populations. (Of a function its row says it.)"""

from __future__ import annotations

from halo.notation.symbols import Symbol

MODELS = {
    "logp": Symbol(r"\pi_\theta", "π_θ"),
    "ref_logp": Symbol(r"\pi_{\mathrm{ref}}", "π_ref"),
    "old_logp": Symbol(r"\pi_{\mathrm{old}}", "π_old"),
}
DISTRIBUTIONS = {
    "entropy": ("logp",),
    "ref_entropy": ("ref_logp",),
    "kl_policy_ref": ("logp", "ref_logp"),
    "kl_ref_policy": ("ref_logp", "logp"),
}
"""Entropies and divergences over the vocabulary: whose distributions they are of."""
WAYS = {
    "mean": Symbol(r"\operatorname{mean}", "mean"), "std": Symbol(r"\operatorname{std}", "std"), "sum": Symbol(r"\sum", "Σ"),
    "max": Symbol(r"\max", "max"), "min": Symbol(r"\min", "min"),
}  # fmt: skip
AMONG = {
    "all": (r"\in Y", "∈Y"),
    "others": (r"\neq", "≠"),
    "better": (r"\succ", "≻"),
    "worse": (r"\prec", "≺"),
    "suffix": (r"\preceq", "≼"),
}
GLOBAL = ("z", "loss", "vocab_size")
"""Words that mean no completion."""
EXPECTATION = Symbol(r"\mathbb{E}", "E")
BATCH = (r"\mathcal{B}", "B")
