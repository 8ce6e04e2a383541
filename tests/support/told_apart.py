"""The batch that a witness of a difference tells, and the gradients of a compiled loss there, by autograd."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

import torch
from torch import Tensor

from halo.loss.function import LossFunction
from halo.loss.inputs import Completions, LossInputs
from halo.relations.signature import Side

VOCABULARY = 50_000
FIRST = {"log π": -1.0, "log ref": -1.0, "entropy": 2.0, "ref_entropy": 2.0, "log_sum_sq_probs": -1.29, "kl_ref_policy": 0.0, "kl_policy_ref": 0.0}
"""Of the first of two tokens, where the witness speaks of the second."""
SHARE = "mean of ref_entropy / log(vocab_size)"
Numbers = Mapping[str, str]


def places(witness: Numbers) -> list[str]:
    """What the names of each of its places end with."""
    return sorted({found[0] for name in witness if (found := re.search(r" \(\d+\)$", name))}) or [""]


def gradients(one: Side, witness: Numbers, end: str) -> dict[str, float]:
    """By the name of a quantity of the witness, d loss / d that quantity at one of its places."""
    told = _Told({name.removesuffix(end): x for name, x in witness.items() if name.endswith(end)}, str(witness.get("tokens of a completion", "")))
    graph, sizes = one.compiled.graph, 2 if any(name.startswith("example ") for name in witness) else 1
    parameters = {n: float(Fraction(witness.get(f"{one.name} {n}", str(x)))) for n, x in one.compiled.parameters.items()}
    loss, slots = LossFunction(one.compiled, validate=False), dict.fromkeys([*graph.feedback.completions, *graph.needs.slots])
    words = {slot: [*graph.needs.vocabulary.get(slot, ()), *graph.needs.own_columns.get(slot, ())] for slot in slots}
    roles = {slot: told.completions(slot, words[slot], sizes) for slot in slots}
    columns = {name: told.of_examples(name, sizes) for name in graph.needs.columns}
    inputs = LossInputs(roles, columns=columns, vocab_size=VOCABULARY)
    value = loss(inputs, parameters).loss
    found = torch.autograd.grad(value, list(told.leaves.values()), allow_unused=True)
    return {name: 0.0 if slope is None else float(slope) for name, slope in zip(told.leaves, found, strict=True)}


class _Told:
    """One place of a witness."""

    def __init__(self, at: Numbers, tokens: str) -> None:
        self.at, self.tokens = at, tokens
        self.leaves: dict[str, Tensor] = {}

    def number(self, name: str, otherwise: float) -> float:
        return float(Fraction(self.at[name])) if name in self.at else otherwise

    def whose(self, sizes: int, end: str = " ") -> list[str]:
        return [f"example {e + 1}{end}" if sizes > 1 else "" for e in range(sizes)]

    def of_examples(self, name: str, sizes: int) -> Tensor:
        return torch.tensor([self.number(f"{whose}{name}", 1.0) for whose in self.whose(sizes, ".")], dtype=torch.float64)

    def completions(self, slot: str, words: list[str], sizes: int) -> Completions:
        names = [f"{whose}{slot}" for whose in self.whose(sizes)]
        lengths = [self._length(name) for name in names]
        mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        logps, refs = (torch.stack([self._tokens(name, word, max(lengths)) for name in names]) for word in ("log π", "log ref"))
        columns = {word: torch.stack([self._column(name, word, max(lengths)) for name in names]) for word in words}
        return Completions(mask=mask, token_logps=logps, ref_token_logps=refs, old_token_logps=logps.detach(), columns=columns)

    def _length(self, name: str) -> int:
        return int(self.tokens[0]) if self.tokens else int(self.number(f"{name}.length", 2))

    def _column(self, name: str, word: str, width: int) -> Tensor:
        if f"{name}.{word}" in self.at:  # one number of the whole completion
            return torch.tensor(self.number(f"{name}.{word}", 1.0), dtype=torch.float64)
        if word == "ref_entropy" and f"{name}.{SHARE}" in self.at:
            mean = self.number(f"{name}.{SHARE}", 0.0) * float(torch.log(torch.tensor(VOCABULARY, dtype=torch.float64)))
            return torch.full((width,), mean, dtype=torch.float64)
        return self._tokens(name, f"sum of {word}", width)

    def _tokens(self, name: str, word: str, width: int) -> Tensor:
        """A sum spread evenly over the tokens, or what is known of the first token and the number of the second."""
        leaf = torch.tensor(self.number(f"{name}.{word}", -1.0), dtype=torch.float64, requires_grad=True)
        self.leaves[f"{name}.{word}"] = leaf
        length = self._length(name)
        tokens = leaf.expand(length) / length
        if self.tokens.startswith("2"):
            tokens = torch.stack([torch.tensor(FIRST.get(word.removeprefix("sum of "), 1.0), dtype=torch.float64), leaf])
        return torch.nn.functional.pad(tokens, (0, width - length), value=-1.0)
