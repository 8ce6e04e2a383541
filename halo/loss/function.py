"""CompiledObjective -> LossFunction: the generated source as an `nn.Module`."""

from __future__ import annotations

import linecache
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from halo.compiler.codegen.source import generate
from halo.compiler.graph import Needs
from halo.compiler.pipeline import CompiledObjective
from halo.compiler.variants import PLAIN, Variant, varied
from halo.loss.given import Required
from halo.loss.inputs import LossInputs, LossOutput
from halo.loss.parameters import Parameter, of_call
from halo.loss.statistics import Running
from halo.loss.validation import validate as validated


class LossFunction(nn.Module):
    """A loss, ready to run: `output = loss(LossInputs(...))`; `output.loss.backward()`.

    It has no trainable weights. `objective_parameters` are the objective's numbers, `source` the code that runs (tracebacks
    show its lines), `needs` what the inputs must hold. Half-precision inputs are computed in float32. The code is compared
    with the declared formulas before it is handed out (`halo.loss.validation`) unless `validate` is False.

    A call changes nothing. Running statistics are the only state (`running`, in `state_dict`), and `update_statistics` alone
    takes a batch into them: a training loop calls it once for each step, before the loss of that step.
    """

    def __init__(self, compiled: CompiledObjective, validate: bool = True) -> None:
        super().__init__()
        self.compiled = compiled
        self.objective_parameters = dict(compiled.parameters)
        self.source = compiled.source
        self.needs: Needs = compiled.graph.needs
        self.feedback = compiled.graph.feedback
        self.running: Running | None = None
        if compiled.graph.statistics:
            self.running = Running(compiled.graph.statistics)
        self._required = Required(compiled.graph)
        self._functions = {PLAIN: _executed(compiled.source, compiled.graph.name)}
        if validate:
            validated(compiled, self.forward, self.moments)

    def forward(
        self,
        inputs: LossInputs,
        parameters: Mapping[str, Parameter] | None = None,
        statistics: Mapping[str, Tensor] | None = None,
    ) -> LossOutput:
        """The loss of one effective batch and its parts. Raises ObjectiveError if the inputs are not what is needed.

        parameters  values over the objective's own: numbers, or tensors (one number or one for each example), which keep
                    their gradients
        statistics  values to use in place of the running ones
        """
        self._required.check(inputs)
        if statistics is None:
            statistics = self.statistics()
        return self._called(inputs, parameters, statistics)

    def statistics(self) -> dict[str, Tensor]:
        """The running statistics as they are: 0-dimensional, float64, detached."""
        if self.running is None:
            return {}
        return self.running.current()

    def update_statistics(self, inputs: LossInputs, parameters: Mapping[str, Parameter] | None = None) -> dict[str, Tensor]:
        """Takes one effective batch into the running statistics; their values after it."""
        if self.running is not None:
            self._required.check(inputs)
            _, numbers = of_call(self.compiled, parameters, inputs)
            self.running.update(lambda name, values: self.moments(name, inputs, values, parameters), numbers)
        return self.statistics()

    def moments(
        self,
        name: str,
        inputs: LossInputs,
        statistics: Mapping[str, Tensor],
        parameters: Mapping[str, Parameter] | None = None,
    ) -> Tensor:
        """What a batch shows of one statistic: its `words.moments`."""
        prepared = inputs.prepared()
        variant, numbers = of_call(self.compiled, parameters, prepared)
        found: Tensor = self._of(variant)[f"observe_{name}"](prepared, **numbers, **_as_numbers_of(prepared, statistics))
        return found

    def check_weights(self) -> None:
        """Raises ObjectiveError if a weight of an example has no meaning in this objective."""
        self._of(Variant(weighted=True))

    def extra_repr(self) -> str:
        return f"{self.compiled.graph.name}, {', '.join(f'{k}={v:g}' for k, v in self.objective_parameters.items())}"

    def _called(self, inputs: LossInputs, parameters: Mapping[str, Parameter] | None, statistics: Mapping[str, Tensor]) -> LossOutput:
        prepared = inputs.prepared()
        variant, numbers = of_call(self.compiled, parameters, prepared)
        values = _as_numbers_of(prepared, statistics)
        output: LossOutput = self._of(variant)["loss"](prepared, **numbers, **values)
        output.statistics = values
        return output

    def _of(self, variant: Variant) -> dict[str, Any]:
        """The functions of a variant, printed when it is first asked for."""
        if variant not in self._functions:
            graph = varied(self.compiled.graph, variant)
            self._functions[variant] = _executed(generate(graph), f"{graph.name} {len(self._functions)}")
        return self._functions[variant]


def _as_numbers_of(inputs: LossInputs, statistics: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Statistics in the type and on the device of the batch, whose numbers they are combined with."""
    like = next(iter(inputs.completions.values())).token_logps
    return {name: value.to(like) for name, value in statistics.items()}


def _executed(source: str, name: str) -> dict[str, Any]:
    """Runs the generated module text and returns its functions by name; linecache lets tracebacks quote it."""
    file = f"<halo {name}>"
    namespace: dict[str, Any] = {}
    exec(compile(source, file, "exec"), namespace)  # our own text, printed from our own graph: no user text gets here
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    return namespace
