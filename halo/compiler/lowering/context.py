"""What a formula of one objective is read against: the declared names, the completion at hand, labels, errors.

A completion at hand (`At`) goes along with every formula: bare names mean it, `role.name` moves to another one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from halo.compiler.graph import Builder, Node, Origin, Statistic
from halo.errors import ObjectiveError, nearest
from halo.objective.document import Path
from halo.objective.feedback import FEEDBACK
from halo.objective.formula import Call, Formula
from halo.objective.loading import Objective

COMPARISONS = ("lt", "le", "gt", "ge")


@dataclass(frozen=True)
class At:
    """The completion at hand: its role, the slot that holds its tensors, and whether it ranges over a list."""

    role: str
    slot: str
    ranging: bool = False


@dataclass(frozen=True)
class Site:
    """Where a formula stands and what it may see: `scope` holds `z` or `loss`; `populations` collects list roles."""

    path: Path
    at: At | None
    scope: Mapping[str, Node]
    populations: set[str] | None = None
    batch_roles: set[str] | None = None


class Context:
    """The state that all formulas of one objective share; `Expressions` lowers them."""

    def __init__(self, objective: Objective) -> None:
        self.objective, self.declaration = objective, objective.declaration
        self.build = Builder()
        self.feedback = FEEDBACK[self.declaration.feedback]
        self.is_list = self.feedback.is_list
        self.roles = dict(self.feedback.roles) | {"prompt": "prompt"} | {role: role for role in self.declaration.roles}
        self.labels: dict[Node, str] = {}
        self.origins: dict[Node, Origin] = {}
        self.used: set[str] = set()
        self.open_lets: list[str] = []
        self.rewards: dict[tuple[Path, str], Node] = {}
        self.factors: dict[Node, tuple[Node, Node]] = {}  # an implied reward: its normalizer and its reward key
        self.term_keys: dict[str, Path] = {}
        self.statistics: dict[str, Statistic] = {}

    # -- errors and names ------------------------------------------------------------------------------------------

    def fail(self, code: str, message: str, path: Path, offset: int = 0, hint: str = "") -> ObjectiveError:
        return ObjectiveError(code, message, place=self.objective.place(path, offset), hint=hint)

    def declared_names(self) -> dict[str, Collection[str]]:
        """The names that formulas may use, by the key that declares them."""
        declared = self.declaration
        return {"parameters": declared.parameters, "columns": declared.columns, "let": declared.let, "statistics": declared.statistics}

    def label(self, node: Node, name: str, path: Path, source: Any) -> Node:
        """Names a node in the generated source; the first name wins, plain leaves stay inline."""
        if node.op not in ("number", "parameter", "statistic", "input") and node not in self.labels:
            taken = set(self.labels.values())
            unique = next(n for n in (name, *(f"{name}_{i}" for i in range(2, 99))) if n not in taken)
            self.labels[node] = unique
            key = ".".join(str(part) for part in path)
            self.origins[node] = Origin(key, str(source), self.objective.place(path))
        return node

    def key(self, name: str) -> tuple[Path, Any]:
        """The value of a slot key for the term at hand and its path: the term's own, else the top level's."""
        if name in self.term_keys:
            path = self.term_keys[name]
            return path, getattr(self.declaration.terms[str(path[1])], name)
        return (name,), getattr(self.declaration, name)

    def expression(self, formula: Formula, site: Site) -> Node:
        """Lowers a formula where it stands. Raises ObjectiveError."""
        raise NotImplementedError

    # -- roles and sites -------------------------------------------------------------------------------------------

    def check_role(self, role: str, path: Path, offset: int = 0) -> None:
        if role not in self.roles:
            message = f"{self.feedback} feedback has no role {role!r}"
            raise self.fail("unknown-role", message, path, offset, nearest(role, self.roles))

    def at(self, role: str) -> At:
        slot = self.roles[role]
        return At(role, slot, self.feedback.several(slot))

    def inner_site(self, site: Site, populations: set[str]) -> Site:
        """The site of a list word's argument: the list roles named there are collected in `populations`."""
        return Site(site.path, site.at, site.scope, populations, site.batch_roles)

    def whole_batch(self, path: Path) -> Site:
        """The site of a formula that stands for itself: no completion is at hand."""
        return Site(path, None, {})

    def member_mask(self, role: str) -> Node | None:
        """Which examples, completions or pairs have the role; None if all have it."""
        if role in self.feedback.labels:
            return self.build.make(op="mask", data=role, axes=("example",))
        if self.is_list and role in ("completion", "all"):
            return self.build.make(op="mask", data="present", slot="completion", axes=("example", "list"))
        if self.is_list and role == "chosen":
            return self.build.make(op="mask", data="pairs", axes=("example", "list", "other"))
        return None

    def all_of(self, masks: list[Node]) -> Node | None:
        if not masks:
            return None
        return reduce(lambda both, mask: self.build.apply("and", both, mask), masks)

    # -- what a call must keep -------------------------------------------------------------------------------------

    def check_arity(self, formula: Call, arity: tuple[int, int], site: Site) -> None:
        low, high = arity
        if not low <= len(formula.arguments) <= high:
            wanted = f"{low}" if low == high else f"{low} to {high}"
            message = f"{formula.function}() takes {wanted} argument{'s' * (wanted != '1')}, got {len(formula.arguments)}"
            raise self.fail("formula-syntax", message, site.path, formula.offset)
        if formula.function == "where" and not (isinstance(formula.arguments[0], Call) and formula.arguments[0].function in COMPARISONS):
            raise self.fail(
                "formula-syntax", "the first argument of where is a comparison", site.path, formula.offset, "such as where(z > 0, z, 2 * z)"
            )
