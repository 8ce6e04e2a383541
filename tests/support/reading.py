"""A compiled objective and a batch of tensors as `reader` takes them: the file's texts, and plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mpmath import mpf
from reader import Loss
from torch import Tensor

from halo.loss.function import LossFunction
from halo.loss.inputs import Completions, LossInputs

Numbers = Mapping[str, float]


def read(loss: LossFunction, batch: LossInputs, numbers: Numbers) -> Loss:
    """The objective on the batch, for values of its parameters and what its statistics hold."""
    file = dict(loss.compiled.objective.values)
    declared = loss.compiled.objective.declaration.parameters
    parameters = {name: mpf(numbers.get(name, float(row.default))) for name, row in declared.items()}
    carried = {name: mpf(float(value)) for name, value in loss.statistics().items()}
    return Loss(file, parameters, examples(batch), statistics=carried)


def examples(batch: LossInputs) -> list[dict[str, Any]]:
    """One mapping for each example of the batch."""
    count = len(next(iter(batch.completions.values())).mask)
    return [_example(batch, i) for i in range(count)]


def _example(batch: LossInputs, i: int) -> dict[str, Any]:
    found: dict[str, Any] = {name: mpf(float(x[i])) for name, x in batch.columns.items()}
    if batch.vocab_size is not None:
        found["vocab_size"] = mpf(batch.vocab_size)
    if batch.desirable is not None:
        found["label"] = "desirable" if bool(batch.desirable[i]) else "undesirable"
    for slot, c in batch.completions.items():
        if c.mask.ndim == 2:
            found[slot] = _completion(c, (i,))
            continue
        places = [k for k in range(c.mask.shape[1]) if bool(c.mask[i, k].any())]
        found[slot] = [_completion(c, (i, k)) for k in places]
        if batch.ranks is not None:
            for k, completion in zip(places, found[slot], strict=True):
                completion["rank"] = int(batch.ranks[i, k])
    return found


def _completion(c: Completions, at: tuple[int, ...]) -> dict[str, Any]:
    mask = c.mask[at]

    def tokens(x: Tensor) -> list[mpf]:
        return [mpf(float(value)) for value in x[at][mask]]

    found: dict[str, Any] = {"logp": tokens(c.token_logps)}
    if c.ref_token_logps is not None:
        found["ref"] = tokens(c.ref_token_logps)
    if c.old_token_logps is not None:
        found["old"] = tokens(c.old_token_logps)
    for name, x in c.columns.items():
        found[name] = tokens(x) if x.ndim == c.mask.ndim else mpf(float(x[at]))
    return found
