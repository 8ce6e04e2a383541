"""The objective's parameters in one call: numbers, or tensors with their gradients."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from halo.compiler.pipeline import CompiledObjective, check_values
from halo.compiler.variants import Variant
from halo.errors import ObjectiveError, nearest
from halo.loss.inputs import LossInputs

Parameter = float | Tensor
"""A number; or a tensor, of no dimension or (B,), which may require a gradient."""


def of_call(compiled: CompiledObjective, given: Mapping[str, Parameter] | None, inputs: LossInputs) -> tuple[Variant, dict[str, Parameter]]:
    """Which variant of the code is called, and with which parameters: those `given` over the objective's own.

    Numbers are held against their domains; a tensor is taken as it is, since looking at its numbers would wait for the device.
    """
    weighted = inputs.weights is not None
    if not given:
        return Variant(weighted=weighted), dict(compiled.parameters)
    tensors = {name: value for name, value in given.items() if isinstance(value, Tensor)}
    numbers = {name: value for name, value in given.items() if not isinstance(value, Tensor)}
    values: dict[str, Parameter] = dict(_checked(compiled, numbers))
    one, by_example = set[str](), set[str]()
    for name, tensor in tensors.items():
        if _has_examples(compiled, name, tensor, inputs.examples):
            by_example.add(name)
        else:
            one.add(name)
        values[name] = tensor.to(next(iter(inputs.completions.values())).token_logps)
    return Variant(frozenset(one), frozenset(by_example), weighted), values


def _checked(compiled: CompiledObjective, numbers: Mapping[str, float]) -> dict[str, float]:
    values = compiled.objective.with_parameters({**compiled.parameters, **numbers})
    if numbers:
        check_values(compiled.graph, compiled.objective, values)
    return values


def _has_examples(compiled: CompiledObjective, name: str, tensor: Tensor, examples: int) -> bool:
    """Whether a parameter has a number for each example."""
    objective = compiled.objective
    if name not in compiled.parameters:
        raise ObjectiveError("unknown-name", f"{objective.name} has no parameter {name!r}", hint=nearest(name, compiled.parameters))
    if not tensor.is_floating_point() or tuple(tensor.shape) not in ((), (examples,)):
        message = f"{objective.name}: the parameter {name} is a tensor of {tensor.dtype} and the shape {tuple(tensor.shape)}"
        raise ObjectiveError("wrong-value", message, hint=f"floating point, one number or ({examples},)")
    return tensor.ndim == 1
