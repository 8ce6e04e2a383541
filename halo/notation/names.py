"""What words are called in a paper: models, functions, reductions and populations."""

from __future__ import annotations

from halo.notation.symbols import Symbol

MODELS = {"logp": Symbol(r"\theta", "θ"), "ref_logp": Symbol(r"\mathrm{ref}", "ref"), "old_logp": Symbol(r"\mathrm{old}", "old")}
FUNCTIONS = {
    "min": (r"\min", "min"), "max": (r"\max", "max"), "clip": (r"\operatorname{clip}", "clip"), "tanh": (r"\tanh", "tanh"),
    "sign": (r"\operatorname{sign}", "sign"), "atan": (r"\arctan", "arctan"), "asinh": (r"\operatorname{arsinh}", "arsinh"),
    "sigmoid": (r"\sigma", "σ"),
}  # fmt: skip
COMPARED = {"lt": ("<", "<"), "le": (r"\leq", "≤"), "gt": (">", ">"), "ge": (r"\geq", "≥")}
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
