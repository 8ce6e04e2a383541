"""Objective -> LossGraph: names, roles, defaults and levels resolved, reductions made explicit, needs inferred.

A completion at hand (`At`) goes along with every formula: bare names mean it, `role.name` moves to another one.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from halo.compiler.graph import AXES, Builder, LossGraph, Needs, Node, Origin, coupled_slots, policy_slots, topological
from halo.compiler.reducing import Group, reduce_groups
from halo.errors import ObjectiveError, nearest
from halo.objective.document import Path
from halo.objective.formula import Call, Formula, Name, Number, numbers_and_names, to_text
from halo.objective.loading import Objective
from halo.objective.schema import Regularizer, Slots
from halo.objective.vocabulary import FEEDBACK, FUNCTIONS, INPUTS, LIST_POPULATIONS, REDUCTIONS, SPECIAL, known_words

LISTS = ("ranked", "scored")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
COMPARISONS = ("lt", "le", "gt", "ge")
GENERATED = frozenset({"batch", "words", "torch", "math", "F", "LossInputs", "LossOutput", "float"})
"""What generated source calls its own things."""
TENSORS = frozenset({"mask", "columns", "prepared", "present"})
"""What a completion's tensors are called at run time; a column of that name could not be reached."""


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


def lower(objective: Objective) -> LossGraph:
    """Lowers a whole objective. Raises ObjectiveError at the line and column of what cannot be meant."""
    return _Lowering(objective).graph()


class _Lowering:
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
        self.term_keys: dict[str, Path] = {}
        self._check_declared_names()

    # -- errors and names ------------------------------------------------------------------------------------------

    def fail(self, code: str, message: str, path: Path, offset: int = 0, hint: str = "") -> ObjectiveError:
        return ObjectiveError(code, message, place=self.objective.place(path, offset), hint=hint)

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

    def label(self, node: Node, name: str, path: Path, source: Any) -> Node:
        """Names a node in the generated source; the first name wins, plain leaves stay inline."""
        if node.op not in ("number", "parameter", "input") and node not in self.labels:
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
        if formula.function == "stop":
            self.check_arity(formula, (1, 1), site)
            return self.build.make(
                op="stop", args=(inner := self.expression(formula.arguments[0], site),), axes=inner.axes, tokens=inner.tokens
            )
        if formula.function not in FUNCTIONS:
            known = set(FUNCTIONS) | set(REDUCTIONS) | set(SPECIAL)
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

    def bare(self, formula: Name, site: Site) -> Node:
        name = formula.name
        if name in site.scope:
            return site.scope[name]
        if name in self.declaration.parameters:
            self.used.add(name)
            return self.build.make(op="parameter", data=name)
        if name in self.declaration.let:
            return self.let(name, formula, site)
        column = self.declaration.columns.get(name)
        if column is not None and column.level == "example":
            self.used.add(name)
            return self.build.make(op="input", data=name, axes=("example",))
        if name in ("z", "loss"):
            where = "value" if name == "z" else "the examples step of reduce"
            raise self.fail("unknown-name", f"{name!r} has a meaning only in {where}", site.path, formula.offset)
        if name not in INPUTS and name != "reward" and column is None:
            known = known_words() | set(self.declaration.parameters) | set(self.declaration.let) | set(self.declaration.columns)
            hint = nearest(name, known) if name not in self.roles else f"a role stands before a dot, such as {name}.reward"
            raise self.fail("unknown-name", f"unknown name {name!r}", site.path, formula.offset, hint)
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
        value = self.expression(formula.arguments[0], Site(site.path, site.at, site.scope, populations, site.batch_roles))
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

    def over_batch(self, formula: Call, site: Site) -> Node:
        roles: set[str] = set()
        value = self.expression(formula.arguments[0], Site(site.path, None, {}, None, roles))
        if not roles and "example" not in value.axes:
            raise self.fail("wrong-level", f"{formula.function}() of nothing that varies over the batch", site.path, formula.offset)
        if "token" in value.axes:
            raise self.fail(
                "wrong-level", f"{formula.function}() of a token quantity", site.path, formula.offset, "write sum(...) or mean(...) first"
            )
        masks = [mask for role in sorted(roles) if (mask := self.member_mask(role)) is not None and set(mask.axes) <= set(value.axes)]
        mask = self.all_of(masks)
        return self.build.reduce(REDUCTIONS[formula.function].torch, value, mask, AXES, batch=True)

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

    # -- the equation ----------------------------------------------------------------------------------------------

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
            raise self.fail("cycle", "the reward needs itself", reward_path)
        self.open_lets.append("reward")
        value = self.keyed(reward_path, reward, at, {})
        factor = self.build.number(1, "normalizer") if normalizer is None else self.keyed(normalizer_path, normalizer, at, {})
        if factor.op == "number":
            factor = self.build.number(factor.data, "normalizer")
        self.open_lets.pop()
        node = self.build.apply("mul", factor, value)
        self.rewards[memo] = self.label(node, f"{whose}_reward", reward_path, reward)
        return node

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

    def z(self, at: At) -> Node:
        """reward - reference_point - margin."""
        reward, point = self.reward(at), self.reference_point(at)
        result = reward if point is None else self.build.apply("sub", reward, point)
        path, margin = self.key("margin")
        if margin is not None:
            result = self.build.apply("sub", result, self.keyed(path, margin, at, {}))
        return self.label(result, "z", ("reward",), "z = reward - reference_point - margin") if result is not reward else result

    def group(self, role: str) -> Group:
        """The items of one role: -/+ weight * value(z) + constant, and which of them exist."""
        at, member = self.at(role), self.member_mask(role)
        z = self.z(at)
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
        item = self.keyed(path, value, at, {"z": z})
        item = self.build.apply("mul", self.factor("weight", at), item)
        item = self.build.apply("neg", item) if self.sign(at) < 0 else item
        path, constant = self.key("constant")
        if constant is not None:
            item = self.build.apply("add", item, self.keyed(path, constant, at, {}))
        return self.masked(role, item, member)

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
            raise self.fail("wrong-value", f"sign is the literal -1 or +1, not {value!r}", path)
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
        role_path, value = self.key("role")
        roles = self.item_roles(value, role_path)
        groups = [self.group(role) for role in roles]
        reduce_path, reduce = self.key("reduce")
        reduce_path = reduce_path if reduce else self.key("value")[0]
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
            item = self.build.apply("mul", weight, value)
            groups.append(self.masked(role, item, member))
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
                    raise ObjectiveError("unused", f"{name!r} is declared but nothing uses it", place=place, hint=hint)

    def _finish(
        self, loss: Node, terms: dict[str, Node], items: dict[str, Node], rewards: dict[str, Node], points: dict[str, Node]
    ) -> LossGraph:
        nodes = topological([loss, *rewards.values()])
        reads = {node.data for node in nodes if node.op == "input"}
        columns = tuple(sorted(reads & set(self.declaration.columns)))
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
            scores="score" in reads and "score" not in columns,
            columns=columns,
            control=dict(self.declaration.control),
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
            self.labels,
            self.origins,
            needs,
        )


def _by_name(name: str, groups: list[Group]) -> dict[str, Group]:
    """`nll` for a single group, `nll/prompt` and `nll/chosen` for several."""
    return {f"{name}/{group.role}" if len(groups) > 1 else name: group for group in groups}


def _label(name: str, what: str) -> str:
    """`main/desirable`, `items` -> `desirable_items`; the implicit term has no name of its own."""
    own = name.removeprefix("main").strip("/").replace("/", "_")
    return f"{own}_{what}" if own else what


def _all_roles(formula: Formula | None) -> bool:
    """Whether every name of a let carries a role, so that it belongs to the example."""
    names = [leaf for leaf in numbers_and_names(formula) if isinstance(leaf, Name)] if formula else []
    return bool(names) and all(name.role for name in names)
