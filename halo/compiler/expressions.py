"""Formulas -> nodes: names, roles, lets, levels, and the words that change a level.

A completion at hand (`At`) goes along with every formula: bare names mean it, `role.name` moves to another one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from halo.compiler import ordering, statistics
from halo.compiler.graph import AXES, Builder, Node, Origin, Statistic, topological
from halo.errors import ObjectiveError, nearest
from halo.objective.document import Path
from halo.objective.formula import Call, Formula, Name, Number, numbers_and_names, to_text
from halo.objective.loading import Objective
from halo.objective.vocabulary import FEEDBACK, FUNCTIONS, INPUTS, LIST_POPULATIONS, PLACINGS, REDUCTIONS, SPECIAL, known_words

LISTS = ("ranked", "scored")
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


class Expressions:
    """Lowers single formulas of one objective; `lowering` builds the terms from them."""

    def __init__(self, objective: Objective) -> None:
        self.objective, self.declaration = objective, objective.declaration
        self.build = Builder()
        self.feedback = FEEDBACK[self.declaration.feedback]
        self.is_list = self.declaration.feedback in LISTS
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

    # -- keys of a term --------------------------------------------------------------------------------------------

    def key(self, name: str) -> tuple[Path, Any]:
        """The value of a slot key for the term at hand and its path: the term's own, else the top level's."""
        if name in self.term_keys:
            path = self.term_keys[name]
            return path, getattr(self.declaration.terms[str(path[1])], name)
        return (name,), getattr(self.declaration, name)

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

    def check_tokens(self, arguments: list[Node], formula: Call, site: Site) -> None:
        """Tokens of two completions have nothing to do with one another, one by one."""
        owners = {a.tokens for a in arguments if a.tokens}
        if len(owners) > 1:
            names = " and ".join(sorted(owner[0] for owner in owners if owner))
            raise self.fail("wrong-level", f"tokens of different completions ({names}) are combined one by one", site.path, formula.offset,
                            "write sum(...) or mean(...) over each completion first")  # fmt: skip

    def check_rows(self, arguments: list[Node], path: Path, offset: int = 0, beside: str = "a number of each row") -> None:
        """What is sorted over the batch has lost its row: the number of an example means nothing beside it."""
        if ordering.rowless(arguments) and ordering.of_rows(arguments):
            raise self.fail("wrong-level", f"what batch_sort() sorts has lost its row, and is combined with {beside}", path, offset,
                            "combine before sorting, inside batch_sort(...); beside it stand other sorts, parameters and batch words")  # fmt: skip

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
        if name == "score" and column is None and self.declaration.feedback != "scored":
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

    def check_role(self, role: str, path: Path, offset: int = 0) -> None:
        if role not in self.roles:
            message = f"{self.declaration.feedback} feedback has no role {role!r}"
            raise self.fail("unknown-role", message, path, offset, nearest(role, self.roles))

    def at(self, role: str) -> At:
        slot = self.roles[role]
        return At(role, slot, self.is_list and slot == "completion")

    # -- words that change level -----------------------------------------------------------------------------------

    def reduction(self, formula: Call, site: Site) -> Node:
        self.check_arity(formula, (1, 1), site)
        word = REDUCTIONS[formula.function]
        if word.over == "token":
            return self.over_tokens(formula, site)
        return self.over_list(formula, site) if word.over == "list" else self.over_batch(formula, site)

    def over_tokens(self, formula: Call, site: Site) -> Node:
        value = self.expression(formula.arguments[0], site)
        if value.tokens is None:
            message = f"{formula.function}() is over tokens, but {to_text(formula.arguments[0])} has none"
            raise self.fail("wrong-level", message, site.path, formula.offset, "it is one number for each completion already")
        return self.build.reduce(REDUCTIONS[formula.function].torch, value, self.token_mask(value), ("token",))

    def token_mask(self, value: Node) -> Node:
        assert value.tokens is not None
        slot, axis = value.tokens
        axes = ("example", *((axis,) if axis else ()), "token")
        if not axis and slot == "completion" and self.is_list:  # the tokens of a selected completion
            which = next(node.data for node in topological([value]) if node.op == "select" and node.tokens)
            whole = self.build.make(op="mask", data="mask", slot=slot, axes=("example", "list", "token"), tokens=(slot, "list"))
            return self.build.select(which, whole)
        return self.build.make(op="mask", data="mask", slot=slot, axes=axes, tokens=value.tokens)

    def over_list(self, formula: Call, site: Site) -> Node:
        if not self.is_list:
            raise self.fail("wrong-level", f"{formula.function}() needs ranked or scored feedback", site.path, formula.offset)
        populations: set[str] = set()
        value = self.expression(formula.arguments[0], self.inner_site(site, populations))
        if len(populations) != 1:
            message = f"{formula.function}() ranges over {', '.join(sorted(populations)) or 'nothing'}"
            raise self.fail("wrong-level", message, site.path, formula.offset, f"name one population inside: {', '.join(LIST_POPULATIONS)}")
        if "token" in value.axes:
            raise self.fail(
                "wrong-level", f"{formula.function}() of a token quantity", site.path, formula.offset, "write sum(...) or mean(...) first"
            )
        (population,) = populations
        axes = ("example", "other") if population == "all" else ("example", "list", "other")
        mask = self.build.make(op="mask", data=population, axes=axes)
        return self.build.reduce(REDUCTIONS[formula.function].torch, value, mask, ("other",))

    def inner_site(self, site: Site, populations: set[str]) -> Site:
        """The site of a list word's argument: the list roles named there are collected in `populations`."""
        return Site(site.path, site.at, site.scope, populations, site.batch_roles)

    def whole_batch(self, path: Path) -> Site:
        """The site of a formula that stands for itself: no completion is at hand."""
        return Site(path, None, {})

    def over_batch(self, formula: Call, site: Site) -> Node:
        value, mask = self.over_everything(f"{formula.function}()", formula.arguments[0], site, formula.offset)
        return self.build.reduce(REDUCTIONS[formula.function].torch, value, mask, AXES, batch=True)

    def over_everything(self, what: str, inner: Formula, site: Site, offset: int = 0) -> tuple[Node, Node | None]:
        """What a batch word or a statistic reduces: its argument, and which of its numbers are there."""
        roles: set[str] = set()
        value = self.expression(inner, Site(site.path, None, {}, None, roles))
        if "example" not in value.axes:
            raise self.fail("wrong-level", f"{what} of nothing that varies over the batch", site.path, offset)
        if "token" in value.axes:
            raise self.fail("wrong-level", f"{what} of a token quantity", site.path, offset, "write sum(...) or mean(...) first")
        masks = [mask for role in sorted(roles) if (mask := self.member_mask(role)) is not None and set(mask.axes) <= set(value.axes)]
        self.check_rows([value, *masks], site.path, offset)
        return value, self.all_of(masks)

    def over_examples(self, formula: Call, site: Site) -> Node:
        """`mean` and `sum` in the examples step of `reduce` run over examples."""
        self.check_arity(formula, (1, 1), site)
        value = self.expression(formula.arguments[0], site)
        return self.build.reduce(REDUCTIONS[formula.function].torch, value, None, AXES, batch=True)

    def member_mask(self, role: str) -> Node | None:
        """Which examples, completions or pairs have the role; None if all have it."""
        if role in ("desirable", "undesirable"):
            return self.build.make(op="mask", data=role, axes=("example",))
        if self.is_list and role in ("completion", "all"):
            return self.build.make(op="mask", data="present", slot="completion", axes=("example", "list"))
        if self.is_list and role == "chosen":
            return self.build.make(op="mask", data="pairs", axes=("example", "list", "other"))
        return None

    def all_of(self, masks: list[Node]) -> Node | None:
        result: Node | None = None
        for mask in masks:
            result = mask if result is None else self.build.apply("and", result, mask)
        return result

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
