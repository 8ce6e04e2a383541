"""CompiledObjective -> LossFunction: the generated source as an `nn.Module`."""

from __future__ import annotations

import linecache
from typing import Any

from torch import nn

from halo.compiler.graph import Needs, topological
from halo.compiler.pipeline import CompiledObjective
from halo.errors import ObjectiveError
from halo.loss.inputs import Completions, LossInputs, LossOutput
from halo.loss.validation import validate as validated


class LossFunction(nn.Module):
    """A loss, ready to run: `output = loss(LossInputs(...))`; `output.loss.backward()`.

    It has no trainable weights. `parameters_used` are the objective's numbers, `source` the code that runs (tracebacks
    show its lines), `needs` what the inputs must hold. Half-precision inputs are computed in float32. The code is compared
    with the declared formulas before it is handed out (`halo.loss.validation`) unless `validate` is False.
    """

    def __init__(self, compiled: CompiledObjective, validate: bool = True) -> None:
        super().__init__()
        self.compiled = compiled
        self.parameters_used = dict(compiled.parameters)
        self.source = compiled.source
        self.needs: Needs = compiled.graph.needs
        self.feedback = compiled.graph.feedback
        inputs = {(n.slot, n.data) for n in topological(compiled.graph.outputs()) if n.op == "input"}
        self._columns = sorted((slot, name) for slot, name in inputs if name in self.needs.columns)
        self._function = _executed(compiled.source, compiled.graph.name)
        if validate:
            validated(compiled, self.forward)

    def forward(self, inputs: LossInputs) -> LossOutput:
        """The loss of one effective batch and its parts. Raises ObjectiveError if the inputs lack what is needed."""
        self._check(inputs)
        output: LossOutput = self._function(inputs.prepared(), **self.parameters_used)
        return output

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
        if self.feedback == "labelled" and inputs.desirable is None:
            missing.append("desirable")
        if self.feedback in ("ranked", "scored") and inputs.ranks is None:
            missing.append("ranks")
        if missing:
            name = self.compiled.graph.name
            raise ObjectiveError("missing-key", f"{name} needs {', '.join(missing)}, which the inputs do not hold")


def _executed(source: str, name: str) -> Any:
    """Runs the generated module text and returns its function; linecache lets tracebacks quote it."""
    file = f"<halo {name}>"
    namespace: dict[str, Any] = {}
    exec(compile(source, file, "exec"), namespace)  # our own text, printed from our own graph: no user text gets here
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    return namespace["loss"]
