"""What is wrong with the inputs of a loss: what is missing, shapes that do not fit, numbers that are none."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from halo.compiler.graph import LossGraph, topological
from halo.errors import ObjectiveError
from halo.loss.inputs import Completions, LossInputs

Shape = tuple[int, ...]


class Required:
    """What an objective reads, held against the inputs of each call."""

    def __init__(self, graph: LossGraph) -> None:
        self.name, self.needs, self.feedback = graph.name, graph.needs, graph.feedback
        read = {(node.slot, node.data) for node in topological(graph.everything()) if node.op == "input"}
        self.columns = sorted((slot, name) for slot, name in read if name in self.needs.columns)

    def check(self, inputs: LossInputs) -> None:
        """Raises ObjectiveError with one message for the first thing that is wrong."""
        missing = list(self.missing(inputs))
        if missing:
            raise ObjectiveError("missing-key", f"{self.name} needs {', '.join(missing)}, which the inputs do not hold")
        for what, tensor, wanted, why in self.shapes(inputs):
            if tuple(tensor.shape) not in wanted:
                raise self.wrong(f"{what} has the shape {tuple(tensor.shape)}", f"{' or '.join(map(str, wanted))}, {why}")
        for slot in self.needs.slots:
            if inputs.completions[slot].mask.is_floating_point():
                raise self.wrong(f"{slot}.mask holds {inputs.completions[slot].mask.dtype}", "a mask is bool")
        if not torch.compiler.is_compiling():  # looking at numbers would break the graph
            self.check_numbers(inputs)

    def wrong(self, what: str, hint: str) -> ObjectiveError:
        return ObjectiveError("wrong-value", f"{self.name}: {what}", hint=hint)

    # -- what is missing -------------------------------------------------------------------------------------------

    def missing(self, inputs: LossInputs) -> Iterator[str]:
        given = {slot: inputs.completions[slot] for slot in self.needs.slots if slot in inputs.completions}
        yield from (slot for slot in self.needs.slots if slot not in given)
        yield from (f"{slot}.ref_token_logps" for slot, c in given.items() if self.reads_reference(slot) and c.ref_token_logps is None)
        for names in (self.needs.vocabulary, self.needs.own_columns):
            yield from (f"{slot}.{name}" for slot, c in given.items() for name in names.get(slot, ()) if name not in c.columns)
        if self.needs.sampler and any(c.old_token_logps is None for c in given.values()):
            yield "old_token_logps"
        for slot, name in self.columns:
            holder: Completions | LossInputs | None = given.get(slot) if slot else inputs
            if holder is not None and name not in holder.columns:
                yield f"{slot}.{name}".lstrip(".")
        yield from (mark for mark in self.feedback.marks if getattr(inputs, mark) is None)
        if self.needs.vocab_size and inputs.vocab_size is None:
            yield "vocab_size"

    def reads_reference(self, slot: str) -> bool:
        return slot in self.needs.reference_slots

    # -- shapes ----------------------------------------------------------------------------------------------------

    def shapes(self, inputs: LossInputs) -> Iterator[tuple[str, Tensor, tuple[Shape, ...], str]]:
        """Each tensor by name, the shapes it may have, and why."""
        examples = inputs.examples
        for slot in self.needs.slots:
            own = inputs.completions[slot]
            lists = self.feedback.is_list and slot in self.feedback.slots
            if own.mask.ndim != 2 + lists or own.mask.shape[0] != examples:
                wanted = f"({examples}, K, T)" if lists else f"({examples}, T)"
                raise self.wrong(f"{slot}.mask has the shape {tuple(own.mask.shape)}", f"{wanted} with as many examples as every role has")
            mask = tuple(own.mask.shape)
            tokens = {"token_logps": own.token_logps, "ref_token_logps": own.ref_token_logps, "old_token_logps": own.old_token_logps}
            yield from ((f"{slot}.{name}", x, (mask,), "as its mask has") for name, x in tokens.items() if x is not None)
            yield from ((f"{slot}.{name}", x, (mask[:-1], mask), "by its mask") for name, x in own.columns.items())
            if lists and inputs.ranks is not None:
                yield "ranks", inputs.ranks, (mask[:-1],), f"by {slot}.mask"
        for_each = {**inputs.columns, "desirable": inputs.desirable, "weights": inputs.weights}
        yield from ((name, x, ((examples,),), "one for each example") for name, x in for_each.items() if x is not None)

    # -- numbers ---------------------------------------------------------------------------------------------------

    def check_numbers(self, inputs: LossInputs) -> None:
        """All of them with one look at the device; what went wrong is only then sought out."""
        faults = list(self.faults(inputs))
        if not _is_true(torch.stack([fault.to(faults[0][2].device) for _, _, fault in faults]).any()):
            return
        for what, hint, fault in faults:
            if _is_true(fault):
                raise self.wrong(what, hint)

    def faults(self, inputs: LossInputs) -> Iterator[tuple[str, str, Tensor]]:
        """What may be wrong, what would be right, and whether it is."""
        for slot in self.needs.slots:
            own = inputs.completions[slot]
            mask = own.mask.bool()
            there = mask.flatten(1).any(-1)
            yield f"{slot}.mask is false everywhere in an example", "each example has a scored token", ~there.all()
            tensors = {"token_logps": own.token_logps, "ref_token_logps": own.ref_token_logps, "old_token_logps": own.old_token_logps}
            for name, x in {**tensors, **own.columns}.items():
                if x is not None and x.is_floating_point():
                    yield f"{slot}.{name} is nan", "numbers wherever the mask is true", (x.isnan() & _like(x, mask)).any()
        for name, x in inputs.columns.items():
            yield f"{name} is nan", "a number for each example", x.isnan().any()
        if inputs.weights is not None:
            weights = inputs.weights
            yield "weights hold a number below 0, or one that is not finite", "how often each example stands", ~_usable(weights).all()
            yield "weights are all 0", "at least one example stands in the batch", ~(weights > 0).any()


def _usable(weights: Tensor) -> Tensor:
    return torch.isfinite(weights) & (weights >= 0)


def _like(x: Tensor, mask: Tensor) -> Tensor:
    """Which numbers of x are there: tokens, or completions."""
    if x.ndim == mask.ndim:
        return mask
    return mask.any(-1)


def _is_true(fault: Tensor) -> bool:
    """False inside `torch.func.vmap`, where no single number can be looked at (torch says so with a RuntimeError)."""
    try:
        return bool(fault)
    except RuntimeError as problem:
        if "vmap" in str(problem):
            return False
        raise
