"""What the keys and names of a file mean where an objective is written as mathematics.

A key counts for the term at hand; a name may be of a token, of the completion at hand, or of neither.
"""

from __future__ import annotations

from typing import Any

from halo.notation.names import GLOBAL
from halo.objective.document import Path
from halo.objective.formula import Call, Formula, Name, Number
from halo.objective.loading import Objective
from halo.objective.vocabulary import INPUTS, REDUCTIONS


class Keys:
    """Of one objective; `term` is the term at hand."""

    def __init__(self, objective: Objective) -> None:
        self.objective, self.declared = objective, objective.declaration
        self.term = ""

    def key(self, name: str) -> tuple[Path, Any]:
        """A key of the term at hand and where it stands: the term's own, else the top level's."""
        own = getattr(self.declared.terms.get(self.term), name, None)
        if own is not None:
            return ("terms", self.term, name), own
        return (name,), getattr(self.declared, name)

    def keyed(self, name: str, role: str, default: str | int = 1) -> Formula:
        """The formula of a key for a role."""
        path, value = self.key(name)
        return self.parsed(*entry(path, default if value is None else value, role))

    def parsed(self, path: Path, text: str | int | float) -> Formula:
        return self.objective.formula(path, text)

    def tokens(self, formula: Formula, role: str) -> str | None:
        """Whose tokens the formula has a number for; None if it has one number."""
        if isinstance(formula, Number):
            return None
        if isinstance(formula, Name):
            return self._name_tokens(formula, formula.role or role)
        if formula.function in REDUCTIONS:
            return None
        owners = (self.tokens(argument, role) for argument in formula.arguments)
        return next((owner for owner in owners if owner is not None), None)

    def _name_tokens(self, name: Name, role: str) -> str | None:
        word, declared = name.name, self.declared
        if word in declared.let:
            return self.tokens(self.parsed(*entry(("let", word), declared.let[word], role)), role)
        if word == "reward":
            return self.tokens(self.parsed(*entry(*self.key("reward"), role)), role)
        known = declared.columns.get(word) or INPUTS.get(word)
        if known is not None and known.level == "token":
            return role
        return None

    def local(self, formula: Formula) -> bool:
        """Whether the formula means the completion at hand."""
        if isinstance(formula, Call):
            return not formula.function.startswith("batch_") and any(self.local(a) for a in formula.arguments)
        if isinstance(formula, Number) or formula.role or formula.name in (*self.declared.parameters, *self.declared.statistics, *GLOBAL):
            return False
        if formula.name in self.declared.columns:
            return self.declared.columns[formula.name].level != "example"
        value = self.declared.let.get(formula.name)
        if value is None:
            return True
        return isinstance(value, dict) or self.local(self.parsed(("let", formula.name), value))


def entry(path: Path, value: Any, role: str) -> tuple[Path, str | int | float]:
    """The formula for a role, and where it stands: the value itself, or the entry of a map."""
    if not isinstance(value, dict):
        return path, value
    key = role if role in value else next(iter(value))
    return (*path, key), value[key]
