"""CompiledObjective -> LossFunction: the generated source as an `nn.Module`."""

from __future__ import annotations

import linecache
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from halo.compiler.graph import Needs, topological
from halo.compiler.pipeline import CompiledObjective
from halo.errors import ObjectiveError
from halo.loss.inputs import Completions, LossInputs, LossOutput
from halo.loss.statistics import Running
from halo.loss.validation import validate as validated


class LossFunction(nn.Module):
    """A loss, ready to run: `output = loss(LossInputs(...))`; `output.loss.backward()`.

    It has no trainable weights. `parameters_used` are the objective's numbers, `source` the code that runs (tracebacks
    show its lines), `needs` what the inputs must hold. Half-precision inputs are computed in float32. The code is compared
    with the declared formulas before it is handed out (`halo.loss.validation`) unless `validate` is False.

    Running statistics are its only state (`running`, in `state_dict`). In training mode each call takes its batch in, then
    uses them; after `eval()` a call uses them as they are. A loop that needs the loss of one batch more than once calls
    `values = loss.observe(inputs)` once and then `loss(inputs, values)`.
    """

    def __init__(self, compiled: CompiledObjective, validate: bool = True) -> None:
        super().__init__()
        self.compiled = compiled
        self.parameters_used = dict(compiled.parameters)
        self.source = compiled.source
        self.needs: Needs = compiled.graph.needs
        self.feedback = compiled.graph.feedback
        inputs = {(n.slot, n.data) for n in topological(compiled.graph.everything()) if n.op == "input"}
        self._columns = sorted((slot, name) for slot, name in inputs if name in self.needs.columns)
        self._functions = _executed(compiled.source, compiled.graph.name)
        self.running = Running(compiled.graph.statistics, self.parameters_used) if compiled.graph.statistics else None
        if validate:
            validated(compiled, self.forward, self.shown)

    def forward(self, inputs: LossInputs, statistics: Mapping[str, Tensor] | None = None) -> LossOutput:
        """The loss of one effective batch and its parts. Raises ObjectiveError if the inputs lack what is needed.

        statistics  values to use in place of the running ones, which are then left as they are
        """
        self._check(inputs)
        if statistics is None:
            statistics = self.observe(inputs) if self.training else self.statistics()
        prepared = inputs.prepared()
        values = _as_numbers_of(prepared, statistics)
        output: LossOutput = self._functions["loss"](prepared, **self.parameters_used, **values)
        output.statistics = values
        return output

    def statistics(self) -> dict[str, Tensor]:
        """The running statistics as they are: 0-dimensional, float64, detached."""
        return self.running.current() if self.running is not None else {}

    def observe(self, inputs: LossInputs) -> dict[str, Tensor]:
        """Takes one effective batch into the running statistics, once for each step of training; their values after it."""
        if self.running is not None:
            self._check(inputs)
            self.running.update(lambda name, values: self.shown(name, inputs, values))
        return self.statistics()

    def shown(self, name: str, inputs: LossInputs, statistics: Mapping[str, Tensor]) -> Tensor:
        """What a batch shows of one statistic: its `words.moments`."""
        prepared = inputs.prepared()
        values = _as_numbers_of(prepared, statistics)
        found: Tensor = self._functions[f"observe_{name}"](prepared, **self.parameters_used, **values)
        return found

    def extra_repr(self) -> str:
        return f"{self.compiled.graph.name}, {', '.join(f'{k}={v:g}' for k, v in self.parameters_used.items())}"

    def _check(self, inputs: LossInputs) -> None:
        missing = [slot for slot in self.needs.slots if slot not in inputs.roles]
        given: list[Completions] = [inputs.roles[slot] for slot in self.needs.slots if slot not in missing]
        missing += [
            f"{slot}.ref_logp" for slot in self.needs.reference_slots if slot in inputs.roles and inputs.roles[slot].ref_logp is None
        ]
        for extra in (self.needs.vocabulary, self.needs.own_columns):
            missing += [
                f"{slot}.{name}" for slot, names in extra.items() for name in names
                if slot in inputs.roles and name not in inputs.roles[slot].columns
            ]  # fmt: skip
        if self.needs.sampler and any(completions.old_logp is None for completions in given):
            missing.append("old_logp")
        for slot, name in self._columns:
            holder = inputs.roles.get(slot) if slot else inputs
            if holder is not None and name not in holder.columns:
                missing.append(f"{slot}.{name}" if slot else name)
        missing += [mark for mark in self.feedback.marks if getattr(inputs, mark) is None]
        if self.needs.vocab_size and inputs.vocab_size is None:
            missing.append("vocab_size")
        if missing:
            name = self.compiled.graph.name
            raise ObjectiveError("missing-key", f"{name} needs {', '.join(missing)}, which the inputs do not hold")


def _as_numbers_of(inputs: LossInputs, statistics: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Statistics in the type and on the device of the batch, whose numbers they are combined with."""
    like = next(iter(inputs.roles.values())).logp
    return {name: value.to(like) for name, value in statistics.items()}


def _executed(source: str, name: str) -> dict[str, Any]:
    """Runs the generated module text and returns its functions by name; linecache lets tracebacks quote it."""
    file = f"<halo {name}>"
    namespace: dict[str, Any] = {}
    exec(compile(source, file, "exec"), namespace)  # our own text, printed from our own graph: no user text gets here
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    return namespace
