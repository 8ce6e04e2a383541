"""Formulas -> nodes: names, roles, lets, functions, and the reward that a file implies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from halo.compiler.graph import Node
from halo.compiler.lowering import ordering, statistics
from halo.compiler.lowering.context import COMPARISONS, At, Site
from halo.compiler.lowering.levels import Levels
from halo.errors import ObjectiveError, nearest
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
        if isinstance(formula, Name) and formula.role:
            return self.role_name(formula, site)
        if isinstance(formula, Name):
            return self.bare(formula, site)
        if formula.function in REDUCTIONS and not (formula.function in ("sum", "mean") and "loss" in site.scope):
            return self.reduction(formula, site)
        if formula.function in ("sum", "mean"):
            return self.over_examples(formula, site)
        if formula.function in PLACINGS:
            return ordering.placed(self, formula, site)
        if formula.function == "stop":
            self.check_arity(formula, (1, 1), site)
            inner = self.expression(formula.arguments[0], site)
            return self.build.make(op="stop", args=(inner,), axes=inner.axes, tokens=inner.tokens)
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
        first, *rest = formula.arguments
        if formula.function == "where" and isinstance(first, Call):
            arguments = [self.applied(first, site)]
        else:
            arguments = [self.expression(first, site)]
        arguments += [self.expression(argument, site) for argument in rest]
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
            raise self.out_of_place(formula, site)
        if name not in INPUTS and name != "reward" and column is None:
            raise self.unknown(formula, site)
        if name in INPUTS and INPUTS[name].level == "batch" and column is None:
            return self.build.make(op="input", data=name)
        if site.at is None:
            raise self.fail("wrong-level", f"{name!r} belongs to a completion, and here there is none at hand", site.path, formula.offset,
                            f"say whose: {next(iter(self.roles))}.{name}")  # fmt: skip
        if name == "reward":
            return self.reward(site.at)
        return self.input(name, site.at, formula, site)

    def out_of_place(self, formula: Name, site: Site) -> ObjectiveError:
        """`z` or `loss` where it has no meaning."""
        where, hint = "the examples step of reduce", ""
        if formula.name == "z":
            where = "value"
        if formula.name == "z" and site.at is None:
            hint = "over the batch there are rewards and lets, each with its role: chosen.reward"
        return self.fail("unknown-name", f"{formula.name!r} has a meaning only in {where}", site.path, formula.offset, hint)

    def unknown(self, formula: Name, site: Site) -> ObjectiveError:
        name = formula.name
        hint = nearest(name, known_words().union(*self.declared_names().values()))
        if name in self.roles:
            hint = f"a role stands before a dot, such as {name}.reward"
        elif hint.startswith("known:"):
            hint = f'declare a number of your own, as in parameters: {{{name}: {{default: 0.1, domain: "(0, inf)"}}}}'
        return self.fail("unknown-name", f"unknown name {name!r}", site.path, formula.offset, hint)

    def input(self, name: str, at: At, formula: Name, site: Site) -> Node:
        column = self.declaration.columns.get(name)
        if name == "score" and column is None and not self.feedback.has_scores:
            raise self.fail(
                "unknown-name", "'score' is there in scored feedback only", site.path, formula.offset, "or declare a column named score"
            )
        self.used.add(name)
        level = column.level if column else INPUTS[name].level
        axes: tuple[str, ...] = ("example", "list") if at.ranging else ("example",)
        tokens = None
        if level == "token":
            tokens = (at.slot, "list" if at.ranging else "")
            axes = (*axes, "token")
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
        return self.label(node, f"{self.owner(path, value, site.at)}{name}", path, value)

    def owner(self, path: Path, value: Any, at: At | None) -> str:
        """What the name of a let begins with in the source: the role it is of, unless it belongs to the example."""
        if at is None or at.role == "completion":
            return ""
        if not isinstance(value, dict) and _all_roles(self.objective.formula(path, value)):
            return ""
        return f"{at.role}_"

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
        if at.ranging and role in ("best", "worst"):
            return self.build.select(role, node)
        return node

    # -- the implied reward ----------------------------------------------------------------------------------------

    def reward(self, at: At) -> Node:
        """normalizer(y) * reward key(y): the implied reward of a completion."""
        reward_path, reward = self.key("reward")
        normalizer_path, normalizer = self.key("normalizer")
        whose, by_role = at.role, isinstance(reward, dict) or isinstance(normalizer, dict)
        if at.ranging or (at.role in ("desirable", "undesirable") and not by_role):
            whose = "completion"
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
        factor = self.keyed(normalizer_path, 1 if normalizer is None else normalizer, at, {})
        if factor.op == "number":
            factor = self.build.number(factor.data, "normalizer")
        self.open_lets.pop()
        self.check_rows([factor, value], normalizer_path)
        node = self.build.apply("mul", factor, value)
        self.factors[node] = (factor, value)
        self.rewards[memo] = self.label(node, f"{whose}_reward", reward_path, reward)
        return node


def _all_roles(formula: Formula) -> bool:
    """Whether every name of a let carries a role, so that it belongs to the example."""
    names = [leaf for leaf in numbers_and_names(formula) if isinstance(leaf, Name)]
    return bool(names) and all(name.role for name in names)
