"""What a check is given to look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from halo.analysis.ends.extent import Extent
from halo.analysis.scalar import variables
from halo.checks.scalars.view import View
from halo.compiler.graph import Node, Part
from halo.compiler.pipeline import CompiledObjective
from halo.objective.feedback import Feedback
from halo.objective.schema import Interval


@dataclass
class Subject:
    """The objective under examination: compiled, and as scalars. `extents`: by v, where its z can be, once a check has asked."""

    compiled: CompiledObjective
    extents: dict[Node, Extent] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def view(self) -> View:
        """The declared graph as scalars, with every item read: the ranges of its inputs are known before the first question."""
        columns = {name: Interval.parse(column.domain) for name, column in self.compiled.objective.declaration.columns.items()}
        view = View(self.compiled.declared, columns)
        for part in self.parts:
            view.whole(part)
        return view

    @property
    def parts(self) -> tuple[Part, ...]:
        """Terms and regularizers, role by role."""
        return self.compiled.declared.parts

    @property
    def terms(self) -> list[Part]:
        """The parts of the equation."""
        return [part for part in self.parts if not part.regularizer]

    @property
    def feedback(self) -> Feedback:
        """What an example is."""
        return self.compiled.declared.feedback

    @property
    def expected(self) -> dict[str, Any]:
        """What the file expects, by proposition."""
        return self.compiled.objective.declaration.expect or {}

    @property
    def labels(self) -> list[str]:
        """What an example can be labelled, since its own loss differs by it; one label that says nothing where there are none."""
        if not self.feedback.labels:
            return [""]
        roles = {part.role for part in self.parts}
        return [label for label in self.feedback.labels if label in roles]

    def single(self, part: Part) -> bool:
        """Whether v is a function of z alone: no list or column beside parameters."""
        value = self.view.value(part)
        return all(v is self.view.z or v.op == "parameter" or v.data == "z" for v in variables(value))

    def z_of(self, part: Part) -> Node:
        """The variable that stands for z in the part's value."""
        if part.z is not None and "token" not in part.z.axes:
            return self.view.z
        return self.view.token_z
