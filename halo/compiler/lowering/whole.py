"""Objective -> LossGraph: terms and regularizers, each item reduced to a number, and the whole."""

from __future__ import annotations

from typing import Any

from halo.compiler.graph import LossGraph, Node, Part
from halo.compiler.lowering.declarations import check_declarations, check_unused
from halo.compiler.lowering.equation import Equation
from halo.compiler.lowering.needs import needs_of
from halo.compiler.lowering.reducing import Group, reduce_groups
from halo.errors import ObjectiveError
from halo.objective.document import Path
from halo.objective.loading import Objective
from halo.objective.schema import Regularizer, Slots
from halo.objective.vocabulary import LIST_POPULATIONS


def lower(objective: Objective) -> LossGraph:
    """Lowers a whole objective. Raises ObjectiveError at the line and column of what cannot be meant."""
    return _Lowering(objective).graph()


class _Lowering(Equation):
    def __init__(self, objective: Objective) -> None:
        super().__init__(objective)
        check_declarations(self)

    # -- terms, regularizers, the whole ------------------------------------------------------------------------------

    def item_roles(self, value: Any, path: Path) -> list[str]:
        if value is None:
            if self.feedback.default_role is None:
                raise self.fail("missing-key", f"{self.feedback} feedback needs 'role'", path, hint=self.feedback.role_hint)
            return list(self.feedback.default_role)
        if isinstance(value, str):
            value = [value]
        roles = list(value)
        for index, role in enumerate(roles):
            self.check_role(role, path)
            if role in roles[:index]:
                raise self.fail("wrong-value", f"the role {role!r} stands twice", path, hint="its items would count once")
            if role in LIST_POPULATIONS or (role == "rejected" and self.is_list):
                raise self.fail("unknown-role", f"items cannot be summed over {role!r}", path, hint="chosen is every pair of a list")
        return roles

    def term(self, name: str, slots: Slots) -> tuple[Node, list[Group]]:
        self.term_keys = {}
        if slots is not self.declaration:
            self.term_keys = {key: ("terms", name, key) for key in Slots.model_fields if getattr(slots, key) is not None}
        self.part = name
        role_path, value = self.key("role")
        roles = self.item_roles(value, role_path)
        groups = [self.group(role) for role in roles]
        reduce_path, reduce = self.key("reduce")
        if not reduce:  # what is wrong with the default is wrong with the formula
            per_token = any(part.name == name and part.reward is not None and part.reward.tokens for part in self.parts)
            reduce_path, _ = self.key("reward" if per_token else "value")
        explicit = [] if value is None else roles
        return self.reduced(name, groups, reduce_path, reduce, explicit), groups

    def regularizer(self, name: str, part: Regularizer) -> tuple[Node, list[Group]]:
        self.term_keys = {}
        base: Path = ("regularizers", name)
        groups = []
        roles = self.item_roles(part.role, (*base, "role"))
        for role in roles:
            at, member = self.at(role), self.member_mask(role)
            value = self.keyed((*base, "expression"), part.expression, at, {})
            weight = self.keyed((*base, "weight"), part.weight, at, {})
            if weight.op == "number":
                weight = self.build.number(weight.data, f"weight{base}")
            self.check_rows([node for node in (weight, value, member) if node is not None], (*base, "expression"))
            group = self.masked(role, self.build.apply("mul", weight, value), member)
            self.parts.append(Part(name, role, (*base, "expression"), group.item, group.mask, value, weight))
            groups.append(group)
        return self.reduced(name, groups, (*base, "reduce" if part.reduce else "expression"), part.reduce, roles), groups

    def reduced(self, name: str, groups: list[Group], path: Path, reduce: dict[Any, str] | None, roles: list[str]) -> Node:
        """Names the items and applies the reduce chain; see `reducing`."""
        formula_path, what = self.key("value")[0], "weight * sign * value + constant"
        if path[0] == "regularizers":
            formula_path, what = (*path[:-1], "expression"), "weight * expression"
        for key, group in _by_name(name, groups).items():
            self.label(group.item, _label(key, "items"), formula_path, f"item of {group.role} = {what}")

        def fail(code: str, message: str, hint: str = "") -> ObjectiveError:
            return self.fail(code, message, path, hint=hint)

        def last_step(text: str, loss: Node) -> Node:
            return self.formula((*path, "examples"), text, None, {"loss": loss})

        self.check_rows([group.item for group in groups], path)
        several = len(roles) > 1 and self.feedback.is_pair
        result = reduce_groups(self.build, groups, reduce, several, fail, last_step)
        chain = ", ".join(f"{step}: {way}" for step, way in (reduce or {"examples": "mean"}).items())
        if result.op == "apply" and len(groups) > 1:
            self.label(result.args[0], _label(name, "items_sum"), path, "")
            if result.args[1].op == "apply":
                self.label(result.args[1], _label(name, "items_count"), path, "")
        self.label(result, _label(name, "term"), path, f"{name} = items reduced by {{{chain}}}")
        return result

    def graph(self) -> LossGraph:
        terms: dict[str, Node] = {}
        items: dict[str, Node] = {}
        points: dict[str, Node] = {}
        declared: dict[str, Any] = dict(self.declaration.terms)
        if (not declared and self.declaration.value is not None) or not (declared or self.declaration.regularizers):
            declared = {"main": self.declaration}
        for name, slots in declared.items():
            terms[name], groups = self.term(name, slots)
            for key, group in _by_name(name, groups).items():
                items[key] = group.item
                point = self.reference_point(self.at(group.role))
                if point is not None:
                    points[key] = point
        for name, part in self.declaration.regularizers.items():
            terms[name], groups = self.regularizer(name, part)
            items |= {key: group.item for key, group in _by_name(name, groups).items()}
        loss = self._sum(list(terms.values()))
        rewards = self._rewards()
        self.labels[loss] = "loss"
        check_unused(self)
        return self._finish(loss, terms, items, rewards, points)

    def _sum(self, nodes: list[Node]) -> Node:
        total = nodes[0]
        for node in nodes[1:]:
            total = self.build.apply("add", total, node)
        return total

    def _rewards(self) -> dict[str, Node]:
        """The implied rewards to report: one for each completion of an example, tokens summed."""
        if self.declaration.reward is None:
            return {}
        self.term_keys = {}
        result = {}
        for slot in self.feedback.slots:
            reads_slot = slot != "mismatched" or any(role == "mismatched" for _, role in self.rewards)
            if not reads_slot:
                continue
            node = self.reward(self.at(slot))
            if node.tokens:
                node = self.build.reduce("total", node, self.token_mask(node), ("token",))
            result[slot] = node
        return result

    def _finish(
        self, loss: Node, terms: dict[str, Node], items: dict[str, Node], rewards: dict[str, Node], points: dict[str, Node]
    ) -> LossGraph:
        declaration = self.declaration
        return LossGraph(
            declaration.name,
            self.feedback,
            dict(declaration.parameters),
            loss,
            terms,
            items,
            rewards,
            points,
            tuple(self.parts),
            dict(self.factors),
            self.labels,
            self.origins,
            needs_of(self, loss, rewards.values()),
            self.statistics,
        )


def _by_name(name: str, groups: list[Group]) -> dict[str, Group]:
    """`nll` for a single group, `nll/prompt` and `nll/chosen` for several."""
    if len(groups) == 1:
        return {name: groups[0]}
    return {f"{name}/{group.role}": group for group in groups}


def _label(name: str, what: str) -> str:
    """`main/desirable`, `items` -> `desirable_items`; the implicit term has no name of its own."""
    own = name.removeprefix("main").strip("/").replace("/", "_")
    if not own:
        return what
    return f"{own}_{what}"
