"""Formulas -> nodes: names, roles, lets, functions, and the reward that a file implies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from halo.compiler.graph import Node
from halo.compiler.lowering import ordering, statistics
from halo.compiler.lowering.context import COMPARISONS, At, Site
from halo.compiler.lowering.levels import Levels
from halo.errors import nearest
from halo.objective.document import Path
from halo.objective.formula import Call, Formula, Name, Number, numbers_and_names
from halo.objective.vocabulary import FUNCTIONS, INPUTS, LIST_POPULATIONS, PLACINGS, REDUCTIONS, SPECIAL, known_words


class Expressions(Levels):
    """Lowers single formulas of one objective; `lowering` builds the terms from them."""

    # -- keys of a term --------------------------------------------------------------------------------------------

    def keyed(self, path: Path, value: Any, at: At, scope: Mapping[str, Node]) -> Node:
        """Lowers a formula, or the entry of a map from role to formula that fits the completion at hand."""
        if not isinstance(value, dict):
            return self.formula(path, value, at, scope)
        for role in value:
            self.check_role(role, (*path, role))
        if at.role in value:
            return self.formula((*path, at.role), value[at.role], at, scope)
        labels = ("desirable", "undesirable")
        if at.role == "completion" and all(label in value for label in labels):
            branches = [self.keyed(path, value, At(label, at.slot), scope) for label in labels]
            return self.build.apply("where", self.member_mask("desirable"), *branches)  # type: ignore[arg-type]
        raise self.fail("missing-key", f"no entry for the role {at.role!r}", path, hint=f"the map has {', '.join(value)}")

    def formula(self, path: Path, text: Any, at: At | None, scope: Mapping[str, Node]) -> Node:
        return self.expression(self.objective.formula(path, text), Site(path, at, scope))

    # -- expressions -----------------------------------------------------------------------------------------------

    def expression(self, formula: Formula, site: Site) -> Node:
        if isinstance(formula, Number):
            return self.build.number(formula.value)
        if isinstance(formula, Name):
            return self.role_name(formula, site) if formula.role else self.bare(formula, site)
        if formula.function in REDUCTIONS and not (formula.function in ("sum", "mean") and "loss" in site.scope):
            return self.reduction(formula, site)
        if formula.function in ("sum", "mean"):
            return self.over_examples(formula, site)
        if formula.function in PLACINGS:
            return ordering.placed(self, formula, site)
        if formula.function == "stop":
            self.check_arity(formula, (1, 1), site)
            return self.build.make(
                op="stop", args=(inner := self.expression(formula.arguments[0], site),), axes=inner.axes, tokens=inner.tokens
            )
        if formula.function not in FUNCTIONS:
            known = set(FUNCTIONS) | set(REDUCTIONS) | set(PLACINGS) | set(SPECIAL)
            raise self.fail(
                "unknown-name", f"unknown function {formula.function!r}", site.path, formula.offset, nearest(formula.function, known)
            )
        if formula.function in COMPARISONS:
            hint = "write where(z > 0, 1, 0) for a number"
            raise self.fail("formula-syntax", "a comparison stands only first in where(...)", site.path, formula.offset, hint)
        self.check_arity(formula, FUNCTIONS[formula.function].arity, site)
        return self.applied(formula, site)

    def applied(self, formula: Call, site: Site) -> Node:
        """An element-wise function, or the comparison that a `where` begins with."""
        first = formula.arguments[0]
        compared = [self.applied(first, site)] if formula.function == "where" and isinstance(first, Call) else []
        arguments = compared + [self.expression(a, site) for a in formula.arguments[len(compared) :]]
        self.check_tokens(arguments, formula, site)
        self.check_rows(arguments, site.path, formula.offset)
        return self.build.apply(formula.function, *arguments)

    def check_tokens(self, arguments: list[Node], formula: Call, site: Site) -> None:
        """Tokens of two completions have nothing to do with one another, one by one."""
        owners = {a.tokens for a in arguments if a.tokens}
        if len(owners) > 1:
            names = " and ".join(sorted(owner[0] for owner in owners if owner))
            raise self.fail("wrong-level", f"tokens of different completions ({names}) are combined one by one", site.path, formula.offset,
                            "write sum(...) or mean(...) over each completion first")  # fmt: skip

    def bare(self, formula: Name, site: Site) -> Node:
        name = formula.name
        if name in site.scope:
            return site.scope[name]
        if name in self.declaration.parameters:
            self.used.add(name)
            return self.build.make(op="parameter", data=name)
        if name in self.declaration.let:
            return self.let(name, formula, site)
        if name in self.declaration.statistics:
            return statistics.statistic(self, formula, site)
        column = self.declaration.columns.get(name)
        if column is not None and column.level == "example":
            self.used.add(name)
            return self.build.make(op="input", data=name, axes=("example",))
        if name in ("z", "loss"):
            where = "value" if name == "z" else "the examples step of reduce"
            hint = "" if site.at or name == "loss" else "over the batch there are rewards and lets, each with its role: chosen.reward"
            raise self.fail("unknown-name", f"{name!r} has a meaning only in {where}", site.path, formula.offset, hint)
        if name not in INPUTS and name != "reward" and column is None:
            known = known_words().union(*self.declared_names().values())
            hint = nearest(name, known) if name not in self.roles else f"a role stands before a dot, such as {name}.reward"
            if hint.startswith("known:"):
                hint = f'declare a number of your own, as in parameters: {{{name}: {{default: 0.1, domain: "(0, inf)"}}}}'
            raise self.fail("unknown-name", f"unknown name {name!r}", site.path, formula.offset, hint)
        if name in INPUTS and INPUTS[name].level == "batch" and column is None:
            return self.build.make(op="input", data=name)
        if site.at is None:
            raise self.fail("wrong-level", f"{name!r} belongs to a completion, and here there is none at hand", site.path, formula.offset,
                            f"say whose: {next(iter(self.roles))}.{name}")  # fmt: skip
        return self.reward(site.at) if name == "reward" else self.input(name, site.at, formula, site)

    def input(self, name: str, at: At, formula: Name, site: Site) -> Node:
        column = self.declaration.columns.get(name)
        if name == "score" and column is None and not self.feedback.has_scores:
            raise self.fail(
                "unknown-name", "'score' is there in scored feedback only", site.path, formula.offset, "or declare a column named score"
            )
        self.used.add(name)
        level = column.level if column else INPUTS[name].level
        lists = ("list",) if at.ranging else ()
        tokens = (at.slot, "list" if at.ranging else "") if level == "token" else None
        axes = ("example", *lists, *(("token",) if tokens else ()))
        return self.build.make(op="input", data=name, slot=at.slot, axes=axes, tokens=tokens)

    def let(self, name: str, formula: Name, site: Site) -> Node:
        if name in self.open_lets:
            chain = " -> ".join([*self.open_lets, name])
            raise self.fail("cycle", f"a let needs itself: {chain}", site.path, formula.offset)
        self.used.add(name)
        self.open_lets.append(name)
        value, path = self.declaration.let[name], ("let", name)
        if isinstance(value, dict) and site.at is None:
            message = f"{name!r} differs by role, and here there is no completion at hand"
            raise self.fail("wrong-level", message, site.path, formula.offset, f"say whose: {next(iter(value))}.{name}")
        if site.at is None or not isinstance(value, dict):
            assert not isinstance(value, dict)
            # the site's own collections travel along, so that roles inside a let count for a list or batch word around it
            node = self.expression(self.objective.formula(path, value), Site(path, site.at, {}, site.populations, site.batch_roles))
        else:
            node = self.keyed(path, value, site.at, {})
        self.open_lets.pop()
        owner = (
            f"{site.at.role}_"
            if site.at
            and site.at.role != "completion"
            and not _all_roles(self.objective.formula(path, value) if not isinstance(value, dict) else None)
            else ""
        )
        return self.label(node, f"{owner}{name}", path, value)

    def role_name(self, formula: Name, site: Site) -> Node:
        role = str(formula.role)
        self.check_role(role, site.path, formula.offset)
        if role in LIST_POPULATIONS:
            if site.populations is None:
                raise self.fail(
                    "wrong-level", f"{role}.{formula.name} ranges over the list", site.path, formula.offset, "write it inside a list_* word"
                )
            site.populations.add(role)
        if site.batch_roles is not None:
            site.batch_roles.add(role)
        at = self.at(role)
        moved = Site(site.path, at, {}, site.populations, site.batch_roles)
        node = self.bare(Name(formula.name, None, formula.offset), moved)
        if at.ranging and (role == "rejected" or role in LIST_POPULATIONS):
            return self.build.view(node)
        return self.build.select(role, node) if at.ranging and role in ("best", "worst") else node

    # -- the implied reward ----------------------------------------------------------------------------------------

    def reward(self, at: At) -> Node:
        """normalizer(y) * reward key(y): the implied reward of a completion."""
        reward_path, reward = self.key("reward")
        normalizer_path, normalizer = self.key("normalizer")
        whose = (
            at.role
            if at.role not in ("desirable", "undesirable") or isinstance(reward, dict) or isinstance(normalizer, dict)
            else "completion"
        )
        whose = "completion" if at.ranging else whose
        memo = (reward_path + normalizer_path, whose)
        if memo in self.rewards:
            return self.rewards[memo]
        if reward is None:
            raise self.fail("missing-key", "the key 'reward' is missing", (), hint="such as reward: sum(logp - ref_logp)")
        if "reward" in self.open_lets:
            chain = " -> ".join([*self.open_lets[self.open_lets.index("reward") :], "reward"])
            raise self.fail("cycle", f"the reward needs itself: {chain}", reward_path)
        self.open_lets.append("reward")
        value = self.keyed(reward_path, reward, at, {})
        factor = self.build.number(1, "normalizer") if normalizer is None else self.keyed(normalizer_path, normalizer, at, {})
        if factor.op == "number":
            factor = self.build.number(factor.data, "normalizer")
        self.open_lets.pop()
        self.check_rows([factor, value], normalizer_path)
        node = self.build.apply("mul", factor, value)
        self.factors[node] = (factor, value)
        self.rewards[memo] = self.label(node, f"{whose}_reward", reward_path, reward)
        return node


def _all_roles(formula: Formula | None) -> bool:
    """Whether every name of a let carries a role, so that it belongs to the example."""
    names = [leaf for leaf in numbers_and_names(formula) if isinstance(leaf, Name)] if formula else []
    return bool(names) and all(name.role for name in names)
