"""The equation of one role: z = reward - reference_point - margin, and the item -/+ weight * value(z) + constant."""

from __future__ import annotations

from halo.compiler.graph import Node, Part
from halo.compiler.lowering.context import At
from halo.compiler.lowering.expressions import Expressions
from halo.compiler.lowering.reducing import Group
from halo.objective.loading import Objective


class Equation(Expressions):
    """Lowers the keys of the term at hand to the items of each role; `parts` remembers what they are made of."""

    def __init__(self, objective: Objective) -> None:
        super().__init__(objective)
        self.parts: list[Part] = []
        self.part = ""

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
            and value not in self.declaration.statistics
        ):
            self.check_role(value, path)
        node = self.formula(path, text, at, {})
        return node if value in self.roles else self.label(node, "reference_point", path, value)

    def z(self, at: At) -> tuple[Node, dict[str, Node | None]]:
        """reward - reference_point - margin, and what it is made of."""
        reward, point = self.reward(at), self.reference_point(at)
        if point is not None:
            self.check_rows([reward, point], self.key("reference_point")[0])
        result = reward if point is None else self.build.apply("sub", reward, point)
        path, text = self.key("margin")
        margin = None if text is None else self.keyed(path, text, at, {})
        if margin is not None:
            self.check_rows([result, margin], path)
            result = self.build.apply("sub", result, margin)
        normalizer, core = self.factors[reward]
        made_of = {"reward": core, "normalizer": normalizer, "reference_point": point, "margin": margin}
        return (self.label(result, "z", ("reward",), "z = reward - reference_point - margin") if result is not reward else result), made_of

    def group(self, role: str) -> Group:
        """The items of one role: -/+ weight * value(z) + constant, and which of them exist."""
        at, member = self.at(role), self.member_mask(role)
        z, made_of = self.z(at)
        if member is not None:
            self.check_rows([z, member], self.key("reward")[0], beside=f"what is {role} or not")
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
        self.check_rows([weight, v], self.key("weight")[0] if self.key("weight")[1] is not None else path)
        item = self.build.apply("mul", weight, v)
        item = self.build.apply("neg", item) if sign < 0 else item
        constant_path, text = self.key("constant")
        constant = None if text is None else self.keyed(constant_path, text, at, {})
        if constant is not None:
            self.check_rows([constant, item], constant_path)
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
