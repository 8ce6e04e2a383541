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
        if value in self.roles:
            return self.formula(path, f"{value}.reward", at, {})
        declared = {*self.declaration.let, *self.declaration.parameters, *self.declaration.statistics}
        if isinstance(value, str) and value.isidentifier() and value not in declared:
            self.check_role(value, path)
        return self.label(self.formula(path, value, at, {}), "reference_point", path, value)

    def optional(self, name: str, at: At, beside: Node) -> Node | None:
        """The formula of a key that may be left out; it is combined with `beside`."""
        path, text = self.key(name)
        if text is None:
            return None
        node = self.keyed(path, text, at, {})
        self.check_rows([beside, node], path)
        return node

    def z(self, at: At) -> tuple[Node, dict[str, Node | None]]:
        """reward - reference_point - margin, and what it is made of."""
        reward, point = self.reward(at), self.reference_point(at)
        result = reward
        if point is not None:
            self.check_rows([reward, point], self.key("reference_point")[0])
            result = self.build.apply("sub", reward, point)
        margin = self.optional("margin", at, result)
        if margin is not None:
            result = self.build.apply("sub", result, margin)
        normalizer, core = self.factors[reward]
        made_of = {"reward": core, "normalizer": normalizer, "reference_point": point, "margin": margin}
        if result is not reward:
            self.label(result, "z", ("reward",), "z = reward - reference_point - margin")
        return result, made_of

    def group(self, role: str) -> Group:
        """The items of one role: -/+ weight * value(z) + constant, and which of them exist."""
        at, member = self.at(role), self.member_mask(role)
        z, made_of = self.z(at)
        if member is not None:
            path = self.key("reward")[0]
            self.check_rows([z, member], path, beside=f"what is {role} or not")
            name = "pair_z" if self.is_list else f"{role}_z"
            z = self.label(self.build.apply("only", member, z), name, path, f"z of {role} items, 0 elsewhere")
        path, value = self.key("value")
        if value is None:
            raise self.fail("missing-key", "the key 'value' is missing", (), hint="such as value: logsigmoid(z)")
        v = self.keyed(path, value, at, {"z": z})
        weight, sign = self.factor("weight", at), self.sign(at)
        weight_path, declared = self.key("weight")
        self.check_rows([weight, v], path if declared is None else weight_path)
        item = self.build.apply("mul", weight, v)
        if sign < 0:
            item = self.build.apply("neg", item)
        constant = self.optional("constant", at, item)
        if constant is not None:
            item = self.build.apply("add", item, constant)
        group = self.masked(role, item, member)
        if isinstance(value, dict) and role in value:
            path = (*path, role)
        self.parts.append(Part(self.part, role, path, group.item, group.mask, v, weight, sign, z, constant=constant, **made_of))
        return group

    def masked(self, role: str, item: Node, member: Node | None) -> Group:
        """The item as 0 wherever it does not exist (not a member, not a trained token), and the mask that says so."""
        if self.is_list and role in ("best", "worst"):
            item, member = self.build.select(role, item), None
        masks = []
        if member is not None:
            masks.append(member)
        if item.tokens:
            masks.append(self.token_mask(item))
        mask = self.all_of(masks)
        if mask is not None:
            item = self.build.apply("only", mask, item)
        return Group(role, item, mask)

    def factor(self, name: str, at: At) -> Node:
        """A key that multiplies, 1 where it is left out; a literal gets a name, since its unit is unknown."""
        path, value = self.key(name)
        node = self.keyed(path, 1 if value is None else value, at, {})
        if node.op == "number":
            return self.build.number(node.data, f"{name}{path}")
        return node

    def sign(self, at: At) -> int:
        path, value = self.key("sign")
        if isinstance(value, dict):
            path, value = (*path, at.role), value.get(at.role)
        if value is None:
            raise self.fail("missing-key", "the key 'sign' is missing", path[:1], hint="-1 raises v, +1 lowers it")
        if str(value) not in ("-1", "+1", "1"):
            raise self.fail("wrong-value", f"sign is the literal -1 or +1, not {value!r}", path, hint="a factor belongs in weight")
        return int(value)
