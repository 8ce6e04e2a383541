"""The tests' own evaluator of a whole objective file, on a batch: it reads texts, and knows nothing of graphs or vocabularies.

A batch is a list of examples; an example maps a slot to a completion (or to a list of them), columns to numbers, and `label` to its
label. A completion is {logp, ref, old, rank, and columns of its own}, with a list where there is a number for each token. `stop` is
the value of the unperturbed batch (`frozen`). What is past all measure raises TooLarge: such a point says nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from independent import COMPARED, Arithmetic, applied
from mpmath import mp, mpf

from halo.objective.formula import Call, Formula, Name, Number, numbers_and_names, parse

DIGITS, STEP, SLACK, ZERO = 120, mpf(10) ** -40, mpf(10) ** -30, mpf(0)
MORE = 20_000

LABELS = ("desirable", "undesirable")
LISTS = ("all", "others", "better", "worse", "suffix")
PER_TOKEN = {"logp": "logp", "ref_logp": "ref", "old_logp": "old"}
AXES = ("tokens", "pairs", "completions", "examples")
KEPT = {None: 0, "examples": 1, "completions": 2, "pairs": 3}
"""How much of an item's place (example, completion, other, token) is left when a step of `reduce` begins."""


class TooLarge(Exception):
    """exp of more than anybody can hold."""


class Bounded(Arithmetic):
    """Many digits, but no exponential of what a batch can make large beyond all measure."""

    def exp(self, x: mpf) -> mpf:
        if 10**9 < abs(x) < mp.inf:
            raise TooLarge
        return mp.exp(x)


BOUNDED = Bounded()


class Site(NamedTuple):
    """Whose formula it is: a role; in a list also the place at hand, that of the pair's other, and that which a list word is at."""

    role: str
    place: int | None = None
    other: int | None = None
    member: int | None = None


Row = tuple[tuple[int, Any, Any, Any], Any]
"""An item: its place and its value."""


@dataclass
class Loss:
    """One objective as its file's texts, and a batch. `statistics` are the numbers that are carried.

    `shift` is added to the score of every completion of example 0, as log Z(x) would be.
    """

    file: dict[str, Any]
    parameters: dict[str, mpf]
    batch: list[dict[str, Any]]
    shift: mpf = ZERO
    frozen: Loss | None = field(default=None, repr=False)
    statistics: dict[str, mpf] = field(default_factory=dict)

    def total(self) -> mpf:
        """Terms and regularizers, each reduced."""
        terms = [term.reduced(list(term.items()), term.file.get("reduce")) for term in self.terms()]
        regularizers = [self.reduced(list(self._regularized(r)), r.get("reduce")) for r in (self.file.get("regularizers") or {}).values()]
        return mp.fsum([*terms, *regularizers])

    def terms(self) -> list[Loss]:
        """The file once for each of its terms, which replace keys of the top level."""
        if self.file.get("value") is None and not self.file.get("terms"):
            return []
        files = [{**self.file, **term} for term in (self.file.get("terms") or {"": {}}).values()]
        return [Loss(file, self.parameters, self.batch, self.shift, self.frozen, self.statistics) for file in files]

    # -- items and how they are reduced ------------------------------------------------------------------------------------

    def items(self) -> Iterator[Row]:
        """Every item of the term."""
        for role, i, site in self._sites(self.file.get("role")):
            for t in self._places_of_tokens(self._texts(role), i, site):
                yield (i, role if site.place is None else site.place, site.other, t), self.item(i, site, t)

    def _regularized(self, regularizer: dict[str, Any]) -> Iterator[Row]:
        for role, i, site in self._sites(regularizer["role"]):
            expression, weight = (_by_role(regularizer.get(key, 1), role) for key in ("expression", "weight"))
            for t in self._places_of_tokens([expression, weight], i, site):
                value = self.at(weight, i, site, t=t) * self.at(expression, i, site, t=t)
                yield (i, role if site.place is None else site.place, site.other, t), value

    def _texts(self, role: str) -> list[str]:
        keys = [self.key(name, role, "0") for name in ("reward", "normalizer", "value", "weight", "constant", "margin", "reference_point")]
        return [text for text in keys if text not in ("none", "rejected", "mismatched")]

    def _sites(self, declared: Any) -> Iterator[tuple[str, int, Site]]:
        """Each role's completions that a term is of: its role, the example, and where it stands."""
        for role in declared if isinstance(declared, list) else [declared or self._own_role()]:
            for i, example in enumerate(self.batch):
                label = example.get("label")
                if role == "by label":
                    yield label, i, Site(label)
                elif role not in LABELS or role == label:
                    yield from ((role, i, site) for site in self._within(example, role))

    def _own_role(self) -> str:
        return {"paired": "chosen", "labelled": "by label", "demonstrations": "completion"}[self.file["feedback"]]

    def _within(self, example: dict[str, Any], role: str) -> Iterator[Site]:
        if not self._is_list:
            yield Site(role)
            return
        ranks = [c["rank"] for c in example["completion"]]
        places = range(len(ranks))
        if role in ("chosen", "rejected"):
            yield from (Site(role, k, o) for k in places for o in places if ranks[k] < ranks[o])
        elif role in ("best", "worst"):
            yield Site(role, _ranked(ranks, role))
        elif role in ("completion", *LISTS):
            yield from (Site(role, k) for k in places)
        else:
            yield Site(role)

    def _places_of_tokens(self, texts: list[str], i: int, site: Site) -> list[int | None]:
        """The tokens that an item is of, where its formulas have one number for each."""
        for text in texts:
            owner = self._owner(parse(text), site, outside=True)
            if owner is not None:
                return list(range(len(self.of(i, owner)["logp"])))
        return [None]

    def reduced(self, rows: list[Row], chain: dict[str, str] | None) -> mpf:
        """One number, by the steps of `reduce`."""
        steps = list((chain or {"examples": "mean"}).items())
        for number, (step, way) in enumerate(steps):
            following = steps[number + 1][0] if number + 1 < len(steps) else None
            if step == "examples" and way not in ("sum", "mean"):
                each = [mp.fsum(value for key, value in rows if key[0] == i) for i in range(len(self.batch))]
                return self._of_examples(parse(way), each)
            groups: dict[Any, list[Any]] = {}
            for key, value in rows:
                groups.setdefault(key[: KEPT[following]], []).append(value)
            rows = []
            for key, values in groups.items():
                count = len(self.batch) if step == "examples" else len(values)
                rows.append(((*key, *[None] * (4 - len(key))), mp.fsum(values) / (count if way == "mean" else 1)))  # type: ignore[arg-type]
        return mp.fsum(value for _, value in rows)

    def _of_examples(self, formula: Formula, each: list[mpf], i: int | None = None) -> Any:
        if isinstance(formula, Number):
            return BOUNDED.number(formula.value)
        if isinstance(formula, Name):
            return each[i] if formula.name == "loss" and i is not None else self.parameters[formula.name]
        if formula.function in ("mean", "sum"):
            total = mp.fsum(self._of_examples(formula.arguments[0], each, j) for j in range(len(each)))
            return total / len(each) if formula.function == "mean" else total
        if formula.function == "stop":
            return self._of_examples(formula.arguments[0], each, i)
        return applied(formula.function, [self._of_examples(a, each, i) for a in formula.arguments], BOUNDED)

    # -- the equation of one completion --------------------------------------------------------------------------------------

    def item(self, i: int, where: str | Site, t: int | None = None) -> mpf:
        role = _site(where).role
        value = self.at(self.key("value", role, ""), i, where, {"z": self.z(i, where, t)}, t)
        weight, constant = (self.at(self.key(key, role, default), i, where, t=t) for key, default in (("weight", 1), ("constant", 0)))
        return weight * int(self.key("sign", role, 0)) * value + constant

    def key(self, name: str, role: str, default: Any) -> str:
        """What a key of the file says of a role."""
        value = self.file.get(name)
        return _by_role(default if value is None else value, role)

    def z(self, i: int, where: str | Site, t: int | None = None) -> mpf:
        role = _site(where).role
        point = self.key("reference_point", role, "none")
        if point == "none":
            against: Any = ZERO
        elif point in ("rejected", "chosen", "mismatched", "best", "worst", "prompt") or point in (self.file.get("roles") or []):
            against = self.at(f"{point}.reward", i, where, t=t)
        else:
            against = self.at(point, i, where, t=t)
        return self.reward(i, where, t) - against - self.at(self.key("margin", role, 0), i, where, t=t)

    def reward(self, i: int, where: str | Site, t: int | None = None) -> mpf:
        role = _site(where).role
        score = self.at(self.key("reward", role, ""), i, where, t=t)
        if i == 0 and self.shift:
            per_token = self.key("reward", role, "").startswith("mean(")
            score += self.shift / len(self.of(i, where)["logp"]) if per_token else self.shift
        return self.at(self.key("normalizer", role, 1), i, where, t=t) * score

    def of(self, i: int, where: str | Site) -> dict[str, Any]:
        """The completion that a role names."""
        site = _site(where)
        found: Any = self.batch[i].get(site.role)
        if found is None:
            found = self.batch[i]["completion"]
        return found[site.place] if isinstance(found, list) else found  # type: ignore[no-any-return]

    # -- formulas ------------------------------------------------------------------------------------------------------------

    @property
    def _is_list(self) -> bool:
        return self.file["feedback"] in ("ranked", "scored")

    def at(self, text: Any, i: int, where: str | Site, more: dict[str, mpf] | None = None, t: int | None = None) -> Any:
        return self.value(parse(text), i, _site(where), more or {}, t)

    def value(self, formula: Formula, i: int, site: Site, more: dict[str, mpf], t: int | None = None) -> Any:
        if isinstance(formula, Number):
            return BOUNDED.number(formula.value)
        if isinstance(formula, Name):
            return self.name(formula, i, site, more, t)
        word = formula.function
        if word == "stop":
            return (self.frozen or self).value(formula.arguments[0], i, site, more, t)
        if word == "where":
            left, right = (self.value(side, i, site, more, t) for side in formula.arguments[0].arguments)  # type: ignore[union-attr]
            holds = COMPARED[formula.arguments[0].function](left, right)  # type: ignore[union-attr]
            return self.value(formula.arguments[1 if holds else 2], i, site, more, t)
        if word in ("sum", "mean"):
            return _reduced(word, self._tokens(formula.arguments[0], i, site, more))
        if word in ("list_rank", "list_softmax", "list_log_softmax"):
            return self._placed(formula, i, site, more)
        if word.startswith("list_"):
            return _reduced(word.removeprefix("list_"), self._listed(formula.arguments[0], i, site, more))
        if word == "batch_sort":
            return sorted(self.value(formula.arguments[0], j, site, more) for j in range(len(self.batch)))[i]
        if word.startswith("batch_"):
            return _reduced(word.removeprefix("batch_"), self._batched(formula.arguments[0]))
        return applied(word, [self.value(a, i, site, more, t) for a in formula.arguments], BOUNDED)

    def _tokens(self, formula: Formula, i: int, site: Site, more: dict[str, mpf]) -> list[Any]:
        owner = self._owner(formula, site)
        assert owner is not None
        return [self.value(formula, i, site, more, t) for t in range(len(self.of(i, self._resolved(i, owner))["logp"]))]

    def _listed(self, formula: Formula, i: int, site: Site, more: dict[str, mpf]) -> list[Any]:
        """One value for each member of the population that is named inside."""
        ranks = [c["rank"] for c in self.batch[i]["completion"]]
        population = self._population(formula)
        assert population is not None
        own = site.place
        holds = {"all": lambda m: True, "others": lambda m: m != own, "better": lambda m: ranks[m] < ranks[own], "worse": lambda m: ranks[m] > ranks[own],
                 "suffix": lambda m: ranks[m] >= ranks[own]}[population]  # fmt: skip
        return [self.value(formula, i, site._replace(member=m), more) for m in range(len(ranks)) if holds(m)]

    def _population(self, formula: Formula) -> str | None:
        """The population that is named inside, lets opened, but for the list words that stand inside, which have their own."""
        if isinstance(formula, Name):
            inner = self.file.get("reward") if formula.name == "reward" else (self.file.get("let") or {}).get(formula.name)
            if formula.role in LISTS or inner is None or formula.role is not None:
                return formula.role if formula.role in LISTS else None
            texts = inner.values() if isinstance(inner, dict) else [inner]
            return next(filter(None, (self._population(parse(text)) for text in texts)), None)
        if isinstance(formula, Number) or formula.function.startswith(("list_", "batch_")):
            return None
        return next(filter(None, map(self._population, formula.arguments)), None)

    def _placed(self, formula: Call, i: int, site: Site, more: dict[str, mpf]) -> Any:
        places = range(len(self.batch[i]["completion"]))
        own = site.place
        assert own is not None
        each = []
        for k in places:
            of_it = {"z": self.z(i, Site("completion", k))} if "z" in more and k != own else more
            each.append(self.value(formula.arguments[0], i, Site("completion", k), of_it))
        if formula.function == "list_rank":
            return mpf(1 + sum(each[m] > each[own] or (each[m] == each[own] and m < own) for m in places))
        share = each[own] - _reduced("logsumexp", each)
        return share if formula.function == "list_log_softmax" else mp.exp(share)

    def _batched(self, formula: Formula) -> list[Any]:
        """One value for each example (completion, pair) of the batch that has all roles named inside."""
        roles = {name.role for name in self._names(formula) if name.role}
        found = []
        for i, example in enumerate(self.batch):
            if roles.intersection(LABELS) <= {example.get("label")}:
                of = next((role for role in ("chosen", "rejected", "completion") if role in roles), "best")
                found += [self.value(formula, i, site, {}) for site in self._within(example, of)]
        return found

    def _names(self, formula: Formula, role: str | None = None) -> Iterator[Name]:
        """The names of a formula, with those of the lets in it, which are of the role that named the let."""
        for leaf in numbers_and_names(formula):
            if not isinstance(leaf, Name):
                continue
            own = Name(leaf.name, leaf.role or role, leaf.offset)
            inner = (self.file.get("let") or {}).get(leaf.name)
            if leaf.name == "reward":
                inner = self.file.get("reward")
            if inner is None:
                yield own
                continue
            yield own
            for text in inner.values() if isinstance(inner, dict) else [inner]:
                yield from self._names(parse(text), own.role)

    def _owner(self, formula: Formula, site: Site, outside: bool = False) -> Site | None:
        """Whose tokens a formula has one number for each of; None if it has none. `outside`: not those inside `sum` and `mean`."""
        if isinstance(formula, Name):
            moved = site if formula.role is None else self._moved(formula.role, site)
            if formula.name in PER_TOKEN or formula.name in (
                "position",
                "entropy",
                "ref_entropy",
                "log_sum_sq_probs",
                "kl_ref_policy",
                "kl_policy_ref",
            ):
                return moved
            if (self.file.get("columns") or {}).get(formula.name, {}).get("level") == "token":
                return moved
            inner = (self.file.get("let") or {}).get(formula.name)
            if formula.name == "reward":
                inner = self.file.get("reward")
            if inner is None:
                return None
            return self._owner(parse(_by_role(inner, moved.role)), moved, True)
        if isinstance(formula, Number) or formula.function in ("sum", "mean") or formula.function.startswith(("list_", "batch_")):
            return None
        arguments = formula.arguments[0].arguments + formula.arguments[1:] if formula.function == "where" else formula.arguments  # type: ignore[union-attr]
        return next(filter(None, (self._owner(a, site, outside) for a in arguments)), None)

    def _moved(self, role: str, site: Site) -> Site:
        """The site of another role of the same example."""
        if not self._is_list:
            return Site(role)
        if role in LISTS:
            return Site("completion", site.member, site.place)
        if role == "rejected":
            return Site("rejected", site.other, site.place)
        if role in ("chosen", "completion"):
            return site._replace(role=role)
        return Site(role, -1)  # best and worst: each example has its own

    def _resolved(self, i: int, site: Site) -> Site:
        if site.place == -1 and site.role in ("best", "worst"):
            return site._replace(place=_ranked([c["rank"] for c in self.batch[i]["completion"]], site.role))
        return site

    def name(self, formula: Name, i: int, site: Site, more: dict[str, mpf], t: int | None) -> Any:
        if formula.role is not None:
            site = self._resolved(i, self._moved(formula.role, site))
        name = formula.name
        if name in more:
            return more[name]
        for known in (self.parameters, self.statistics):
            if name in known:
                return known[name]
        if name in (self.file.get("let") or {}):
            return self.at(_by_role(self.file["let"][name], site.role), i, site, t=t)
        if name == "reward":
            return self.reward(i, site, t)
        if name == "vocab_size" or (self.file.get("columns") or {}).get(name, {}).get("level") == "example":
            return self.batch[i][name]
        completion = self.of(i, site)
        if name == "length":
            return mpf(len(completion["logp"]))
        if name == "position":
            assert t is not None
            return mpf(t + 1)
        found = completion[PER_TOKEN.get(name, name)]
        return found[t] if isinstance(found, list) else found


def _site(where: str | Site) -> Site:
    return where if isinstance(where, Site) else Site(where)


def _by_role(value: Any, role: str) -> str:
    return str(value[role] if isinstance(value, dict) else value)


def _ranked(ranks: list[int], role: str) -> int:
    """The first of the best, or of the worst."""
    return ranks.index(min(ranks) if role == "best" else max(ranks))


def _reduced(way: str, values: list[Any]) -> Any:
    """A reduction as a textbook writes it; of nothing it is 0, and the logarithm of that sum is -inf."""
    if not values:
        return -mp.inf if way == "logsumexp" else ZERO
    if way in ("max", "min"):
        return max(values) if way == "max" else min(values)
    if way == "logsumexp":
        top = max(values)
        return top + mp.log(mp.fsum(mp.exp(x - top) for x in values))
    total = mp.fsum(values)
    if way == "sum":
        return total
    mean = total / len(values)
    if way == "mean":
        return mean
    if len(values) == 1:
        return ZERO
    return mp.sqrt(mp.fsum((x - mean) ** 2 for x in values) / (len(values) - 1))


def slope(loss: Loss, i: int, role: str, t: int, frozen: Loss | None = None) -> mpf:
    """d loss / d logp of one token, by a central difference; what is stopped stays as it was, or as in another batch."""

    def total(step: mpf) -> mpf:
        moved = copy.deepcopy(loss.batch)
        moved[i][role]["logp"][t] += step
        return Loss(loss.file, loss.parameters, moved, frozen=frozen or loss, statistics=loss.statistics).total()

    with mp.workdps(digits_beside(total(ZERO))):
        return (total(STEP) - total(-STEP)) / (2 * STEP)


def digits_beside(value: mpf) -> int:
    """In how many digits what stands beside an exponential of thousands keeps its own."""
    size = abs(value)
    more = int(mp.log10(size)) if 1 < size < mp.inf else 0
    return int(mp.dps) + min(more, MORE)
