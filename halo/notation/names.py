"""What words are called in a paper: models, reductions and populations. (Of a function its row says it.)"""

from __future__ import annotations

from halo.notation.symbols import Symbol

MODELS = {"logp": Symbol(r"\theta", "θ"), "ref_logp": Symbol(r"\mathrm{ref}", "ref"), "old_logp": Symbol(r"\mathrm{old}", "old")}
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
