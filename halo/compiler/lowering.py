"""Objective -> LossGraph: the equation, terms and regularizers built from formulas, and what they need inferred."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection
from typing import Any

from halo.compiler.expressions import At, Expressions
from halo.compiler.graph import LossGraph, Needs, Node, Part, coupled_slots, policy_slots, topological
from halo.compiler.reducing import Group, reduce_groups
from halo.errors import ObjectiveError
from halo.objective.document import Path
from halo.objective.loading import Objective
from halo.objective.schema import Regularizer, Slots
from halo.objective.vocabulary import FULL_VOCABULARY, INPUTS, LIST_POPULATIONS, known_words

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
GENERATED = frozenset({"batch", "words", "torch", "math", "F", "LossInputs", "LossOutput", "float"})
"""What generated source calls its own things."""
TENSORS = frozenset({"mask", "columns", "prepared", "present"})
"""What a completion's tensors are called at run time; a column of that name could not be reached."""


def lower(objective: Objective) -> LossGraph:
    """Lowers a whole objective. Raises ObjectiveError at the line and column of what cannot be meant."""
    return _Lowering(objective).graph()


class _Lowering(Expressions):
    def __init__(self, objective: Objective) -> None:
        super().__init__(objective)
        self.parts: list[Part] = []
        self.part = ""
        self._check_declared_names()

    # -- declarations ----------------------------------------------------------------------------------------------

    def _check_remarks(self) -> None:
        """Aliases and expectations change no loss, but a formula or role in them is read all the same."""
        for name, text in self.declaration.aliases.items():
            self.objective.formula(("aliases", name), text)
        expected = self.declaration.expect
        if expected is None:
            return
        for role in expected.direction or {}:
            self.check_role(role, ("expect", "direction", role))
        value = expected.at_reference
        for role, belief in value.items() if isinstance(value, dict) else [("", value)] if value is not None else []:
            self.objective.formula(("expect", "at_reference", role) if role else ("expect", "at_reference"), belief)

    def _check_declared_names(self) -> None:
        """Names end up in generated source, so only plain ones may be declared; a name has one meaning."""
        declared = self.declaration
        for index, role in enumerate(declared.roles):
            own = {*self.feedback.slots, *self.feedback.roles, "prompt", *GENERATED, *INPUTS, *declared.roles[:index]}
            self._check_name(role, ("roles", index), own)
        for role in declared.control:
            self.check_role(role, ("control", role))
        self._check_remarks()
        seen = known_words() | set(self.roles) | GENERATED
        groups: dict[str, Any] = {"parameters": declared.parameters, "columns": declared.columns, "let": declared.let}
        for group, names in groups.items():
            for name in names:
                tensors = TENSORS if group == "columns" else set()
                self._check_name(name, (group, name), (seen | tensors) - ({"score"} if group == "columns" else set()))
                seen = seen | {name}
        parts = set() if declared.terms else {"main"}
        for group, names in (("terms", declared.terms), ("regularizers", declared.regularizers)):
            for name in names:
                self._check_name(name, (group, name), parts)
                parts = parts | {name}

    def _check_name(self, name: str, path: Path, taken: Collection[str]) -> None:
        if not NAME.fullmatch(name) or keyword.iskeyword(name):
            hint = (
                "a paper's lambda is spelt lambda_nll and the like"
                if name == "lambda"
                else "letters, digits and _, and no word of Python's"
            )
            raise ObjectiveError("wrong-value", f"{name!r} cannot be a name", place=self.objective.key_place(path), hint=hint)
        if name in taken:
            hint = "it is a word or a name already, choose another"
            raise ObjectiveError("wrong-value", f"{name!r} cannot be declared", place=self.objective.key_place(path), hint=hint)

    # -- the equation ----------------------------------------------------------------------------------------------

    def reference_point(self, at: At) -> Node | None:
        path, value = self.key("reference_point")
        if value is None:
            raise self.fail("missing-key", "the key 'reference_point' is missing", (), hint="a role, a formula, or none")
        if isinstance(value, dict):
            if at.role not in value:
                raise self.fail("missing-key", f"no entry for the role {at.role!r}", path)
            path, value = (*path, at.role), value[at.role]
        if value == "none":
            return None
        text = f"{value}.reward" if value in self.roles else value
        if (
            isinstance(value, str)
            and value.isidentifier()
            and value not in self.roles
            and value not in self.declaration.let
            and value not in self.declaration.parameters
        ):
            self.check_role(value, path)
        node = self.formula(path, text, at, {})
        return node if value in self.roles else self.label(node, "reference_point", path, value)

    def z(self, at: At) -> tuple[Node, dict[str, Node | None]]:
        """reward - reference_point - margin, and what it is made of."""
        reward, point = self.reward(at), self.reference_point(at)
        result = reward if point is None else self.build.apply("sub", reward, point)
        path, text = self.key("margin")
        margin = None if text is None else self.keyed(path, text, at, {})
        if margin is not None:
            result = self.build.apply("sub", result, margin)
        normalizer, core = self.factors[reward]
        made_of = {"reward": core, "normalizer": normalizer, "reference_point": point, "margin": margin}
        return (self.label(result, "z", ("reward",), "z = reward - reference_point - margin") if result is not reward else result), made_of

    def group(self, role: str) -> Group:
        """The items of one role: -/+ weight * value(z) + constant, and which of them exist."""
        at, member = self.at(role), self.member_mask(role)
        z, made_of = self.z(at)
        if member is not None:
            z = self.label(
                self.build.apply("only", member, z),
                f"{role}_z" if not self.is_list else "pair_z",
                self.key("reward")[0],
                f"z of {role} items, 0 elsewhere",
            )
        path, value = self.key("value")
        if value is None:
            raise self.fail("missing-key", "the key 'value' is missing", (), hint="such as value: logsigmoid(z)")
        v = self.keyed(path, value, at, {"z": z})
        weight, sign = self.factor("weight", at), self.sign(at)
        item = self.build.apply("mul", weight, v)
        item = self.build.apply("neg", item) if sign < 0 else item
        constant_path, text = self.key("constant")
        constant = None if text is None else self.keyed(constant_path, text, at, {})
        if constant is not None:
            item = self.build.apply("add", item, constant)
        group = self.masked(role, item, member)
        path = (*path, role) if isinstance(value, dict) and role in value else path
        self.parts.append(Part(self.part, role, path, group.item, group.mask, v, weight, sign, z, constant=constant, **made_of))
        return group

    def masked(self, role: str, item: Node, member: Node | None) -> Group:
        """The item as 0 wherever it does not exist (not a member, not a scored token), and the mask that says so."""
        if self.is_list and role in ("best", "worst"):
            item, member = self.build.select(role, item), None
        mask = self.all_of([m for m in (member, self.token_mask(item) if item.tokens else None) if m])
        return Group(role, item if mask is None else self.build.apply("only", mask, item), mask)

    def factor(self, name: str, at: At) -> Node:
        path, value = self.key(name)
        node = self.build.number(1, f"{path[-1]}{path}") if value is None else self.keyed(path, value, at, {})
        return self.build.number(node.data, f"{name}{path}") if node.op == "number" else node

    def sign(self, at: At) -> int:
        path, value = self.key("sign")
        if isinstance(value, dict):
            path, value = (*path, at.role), value.get(at.role)
        if value is None:
            raise self.fail("missing-key", "the key 'sign' is missing", path[:1], hint="-1 raises v, +1 lowers it")
        if str(value) not in ("-1", "+1", "1"):
            raise self.fail("wrong-value", f"sign is the literal -1 or +1, not {value!r}", path, hint="a factor belongs in weight")
        return int(value)

    # -- terms, regularizers, the whole ------------------------------------------------------------------------------

    def item_roles(self, value: Any, path: Path) -> list[str]:
        if value is None:
            if self.feedback.default_role is None:
                raise self.fail("missing-key", "ranked feedback needs 'role'", path, hint="chosen (every pair), completion, best or worst")
            return list(self.feedback.default_role)
        roles = [value] if isinstance(value, str) else list(value)
        for index, role in enumerate(roles):
            self.check_role(role, path)
            if role in roles[:index]:
                raise self.fail("wrong-value", f"the role {role!r} stands twice", path, hint="its items would count once")
            if role in LIST_POPULATIONS or (role == "rejected" and self.is_list):
                raise self.fail("unknown-role", f"items cannot be summed over {role!r}", path, hint="chosen is every pair of a list")
        return roles

    def term(self, name: str, slots: Slots) -> tuple[Node, list[Group]]:
        self.term_keys = (
            {key: ("terms", name, key) for key in Slots.model_fields if getattr(slots, key) is not None}
            if slots is not self.declaration
            else {}
        )
        self.part = name
        role_path, value = self.key("role")
        roles = self.item_roles(value, role_path)
        groups = [self.group(role) for role in roles]
        reduce_path, reduce = self.key("reduce")
        per_token = any(part.name == name and part.reward is not None and part.reward.tokens for part in self.parts)
        reduce_path = reduce_path if reduce else self.key("reward" if per_token else "value")[0]
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
            group = self.masked(role, self.build.apply("mul", weight, value), member)
            self.parts.append(Part(name, role, (*base, "expression"), group.item, group.mask, value, weight))
            groups.append(group)
        return self.reduced(name, groups, (*base, "reduce" if part.reduce else "expression"), part.reduce, roles), groups

    def reduced(self, name: str, groups: list[Group], path: Path, reduce: dict[Any, str] | None, roles: list[str]) -> Node:
        """Names the items and applies the reduce chain; see `reducing`."""
        for key, group in _by_name(name, groups).items():
            what = "weight * expression" if path[0] == "regularizers" else "weight * sign * value + constant"
            self.label(
                group.item,
                _label(key, "items"),
                (*path[:-1], "expression") if path[0] == "regularizers" else self.key("value")[0],
                f"item of {group.role} = {what}",
            )

        def fail(code: str, message: str, hint: str = "") -> ObjectiveError:
            return self.fail(code, message, path, hint=hint)

        def last_step(text: str, loss: Node) -> Node:
            return self.formula((*path, "examples"), text, None, {"loss": loss})

        several = len(roles) > 1 and self.declaration.feedback == "paired"
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
            points |= {key: p for key, g in _by_name(name, groups).items() if (p := self.reference_point(self.at(g.role))) is not None}
            items |= {key: group.item for key, group in _by_name(name, groups).items()}
        for name, part in self.declaration.regularizers.items():
            terms[name], groups = self.regularizer(name, part)
            items |= {key: group.item for key, group in _by_name(name, groups).items()}
        loss = self._sum(list(terms.values()))
        rewards = self._rewards() if self.declaration.reward is not None else {}
        self.labels[loss] = "loss"
        self._check_unused()
        return self._finish(loss, terms, items, rewards, points)

    def _sum(self, nodes: list[Node]) -> Node:
        total = nodes[0]
        for node in nodes[1:]:
            total = self.build.apply("add", total, node)
        return total

    def _rewards(self) -> dict[str, Node]:
        """The implied rewards to report: one for each completion of an example, tokens summed."""
        self.term_keys = {}
        result = {}
        for slot in self.feedback.slots:
            reads_slot = slot != "mismatched" or any(role == "mismatched" for _, role in self.rewards)
            if reads_slot:
                node = self.reward(self.at(slot))
                mask = self.token_mask(node) if node.tokens else None
                result[slot] = self.build.reduce("total", node, mask, ("token",)) if mask else node
        return result

    def _check_unused(self) -> None:
        for group, names in (
            ("parameters", self.declaration.parameters),
            ("let", self.declaration.let),
            ("columns", self.declaration.columns),
        ):
            for name in names:
                if name not in self.used:
                    place, hint = self.objective.key_place((group, name)), "remove it, or `none` where it is inherited"
                    if group == "parameters" and self.declaration.normalizer is None and self.declaration.reward is not None:
                        hint = f"is `normalizer: {name}` missing? else {hint}"
                    raise ObjectiveError("unused", f"{name!r} is declared but nothing uses it", place=place, hint=hint)

    def _finish(
        self, loss: Node, terms: dict[str, Node], items: dict[str, Node], rewards: dict[str, Node], points: dict[str, Node]
    ) -> LossGraph:
        nodes = topological([loss, *rewards.values()])
        reads = {node.data for node in nodes if node.op == "input"}
        columns = tuple(sorted(reads & {name for name, column in self.declaration.columns.items() if column.level == "example"}))
        coupled = coupled_slots(loss)
        slots = {node.slot for node in nodes if node.op in ("input", "mask") and node.slot}
        gradient = policy_slots(loss, through_stop=False)
        order = [*self.feedback.slots, "prompt", *self.declaration.roles]
        needs = Needs(
            slots=tuple(s for s in order if s in slots),
            gradient=tuple(s for s in order if s in gradient),
            coupled=tuple(s for s in order if s in coupled),
            reference_slots=tuple(s for s in order if s in {node.slot for node in nodes if node.op == "input" and node.data == "ref_logp"}),
            moving=self.declaration.reference == "moving",
            sampler="old_logp" in reads,
            scores="score" in reads and "score" not in self.declaration.columns,
            columns=columns,
            control=dict(self.declaration.control),
            own_columns=_read_by_slot(nodes, order, {*self.declaration.columns, "score"}),
            vocabulary=_read_by_slot(nodes, order, FULL_VOCABULARY),
        )
        declaration = self.declaration
        return LossGraph(
            declaration.name,
            declaration.feedback,
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
            needs,
        )


def _read_by_slot(nodes: list[Node], slots: list[str], names: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Which of the names are read, by slot."""
    read = {(node.slot, node.data) for node in nodes if node.op == "input" and node.slot and node.data in names}
    return {slot: tuple(sorted(name for own, name in read if own == slot)) for slot in slots if any(own == slot for own, _ in read)}


def _by_name(name: str, groups: list[Group]) -> dict[str, Group]:
    """`nll` for a single group, `nll/prompt` and `nll/chosen` for several."""
    return {f"{name}/{group.role}" if len(groups) > 1 else name: group for group in groups}


def _label(name: str, what: str) -> str:
    """`main/desirable`, `items` -> `desirable_items`; the implicit term has no name of its own."""
    own = name.removeprefix("main").strip("/").replace("/", "_")
    return f"{own}_{what}" if own else what
