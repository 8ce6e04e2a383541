"""The tests' own evaluator of the language, the only one: it reads texts, and knows nothing of graphs or vocabularies.

`valued` is a formula's value on the numbers of an `Arithmetic`: mpmath's, floats by the thousand, exact fractions, sympy's
expressions. `Loss` is a whole file on a batch, in many digits. There, `stop` is the value of the unperturbed batch (`frozen`), and
what is past all measure raises TooLarge: such a point says nothing.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from mpmath import mp, mpf

from halo.objective.formula import Formula, Name, Number, parse

DIGITS, STEP, SLACK, ZERO = 120, mpf(10) ** -40, mpf(10) ** -30, mpf(0)

COMPARED: dict[str, Callable[[Any, Any], Any]] = {"lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge}


class Arithmetic:
    """What formulas are valued on: the numbers of an mpmath context. Others override what their numbers do otherwise.

    A word that is not a method here is the function of that name of `m`.
    """

    def __init__(self, m: Any = mp) -> None:
        self.m = m

    def number(self, value: Fraction) -> Any:
        return self.m.mpf(value.numerator) / value.denominator

    def alike(self, xs: list[Any]) -> list[Any]:
        """The arguments of one function, brought to one kind of number."""
        return xs

    def where(self, word: str, left: Any, right: Any, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
        return yes() if COMPARED[word](left, right) else no()

    def smallest(self, *xs: Any) -> Any:
        return min(xs)

    def quotient(self, x: Any, y: Any) -> Any:
        return x / y

    def power(self, x: Any, y: Any) -> Any:
        return x**y  # 0**0 is 1, as in torch

    def softplus(self, x: Any) -> Any:
        return self.log(1 + self.exp(x))

    def __getattr__(self, word: str) -> Any:
        return getattr(self.m, word)


MANY_DIGITS = Arithmetic()


def valued(formula: Formula, at: Mapping[str, Any], m: Any = MANY_DIGITS) -> Any:
    """The value of a formula of element-wise words, for values of its names."""
    if isinstance(formula, Number):
        return m.number(formula.value)
    if isinstance(formula, Name):
        return at[formula.name]
    if formula.function == "where":
        condition, yes, no = formula.arguments
        left, right = (valued(side, at, m) for side in condition.arguments)  # type: ignore[union-attr]
        return m.where(condition.function, left, right, lambda: valued(yes, at, m), lambda: valued(no, at, m))  # type: ignore[union-attr]
    return applied(formula.function, [valued(a, at, m) for a in formula.arguments], m)


def applied(word: str, arguments: Sequence[Any], m: Any = MANY_DIGITS) -> Any:
    """One word's value, each word written out as a textbook does."""
    x, *rest = m.alike(list(arguments))
    match word:
        case "add":
            return x + rest[0]
        case "sub":
            return x - rest[0]
        case "mul":
            return x * rest[0]
        case "div":
            return m.quotient(x, rest[0])
        case "pow":
            return m.power(x, rest[0])
        case "neg":
            return -x
        case "min":
            return m.smallest(x, *rest)
        case "max":
            return -m.smallest(-x, *(-y for y in rest))
        case "clip":
            return m.smallest(-m.smallest(-x, -rest[0]), rest[1])
        case "relu":
            return -m.smallest(-x, m.number(Fraction(0)))
        case "abs":
            return -m.smallest(x, -x)
        case "log1p":
            return m.log(1 + x)
        case "log1mexp":
            return m.log(1 - m.exp(x))
        case "expm1":
            return m.exp(x) - 1
        case "sigmoid":
            return 1 / (1 + m.exp(-x))
        case "logsigmoid":
            return -m.softplus(-x)
        case "softsign":
            return m.quotient(x, 1 - m.smallest(x, -x))
        case _:
            return getattr(m, word)(x, *rest)


def knows(word: str) -> bool:
    """Whether a word is written out here, or is a function of mpmath's. Of a new word that is neither, the tests of single words are left out."""
    try:
        applied(word, [mpf(1) / 2] * 3)
    except AttributeError:
        return False
    except TypeError:  # mpmath has it, and it takes fewer
        return True
    return True


# -- a whole file ----------------------------------------------------------------------------------------------------------


class TooLarge(Exception):
    """exp of more than anybody can hold."""


class Bounded(Arithmetic):
    """Many digits, but no exponential of what a batch can make large beyond all measure."""

    def exp(self, x: mpf) -> mpf:
        if abs(x) > 10**9:
            raise TooLarge
        return mp.exp(x)


BOUNDED = Bounded()


@dataclass
class Loss:
    """One objective as its file's texts, and a batch: examples are maps from role to {logp, ref}, with columns and a label.

    `shift` is added to the score of every completion of example 0, as log Z(x) would be.
    """

    file: dict[str, Any]
    parameters: dict[str, mpf]
    batch: list[dict[str, Any]]
    shift: mpf = ZERO
    frozen: Loss | None = field(default=None, repr=False)

    def total(self) -> mpf:
        """The mean over examples of their items, terms and regularizers."""
        return mp.fsum(self.example(i) for i in range(len(self.batch))) / len(self.batch)

    def example(self, i: int) -> mpf:
        result = mp.fsum(Loss(term, self.parameters, self.batch, self.shift, self.frozen).items(i) for term in self.terms())
        for regularizer in self.file.get("regularizers", {}).values():
            weight = self.at(regularizer.get("weight", "1"), i, regularizer["role"])
            result += weight * self.at(regularizer["expression"], i, regularizer["role"])
        return result

    def terms(self) -> list[dict[str, Any]]:
        """The file once for each of its terms, which replace keys of the top level."""
        return [{**self.file, **term} for term in self.file.get("terms", {"": {}}).values()]

    def items(self, i: int) -> mpf:
        """The sum over the completions of one example that a term is of."""
        own = self.batch[i].get("label") or self.file.get("role", "chosen")
        return mp.fsum(self.item(i, role) for role in (own if isinstance(own, list) else [own]))

    def item(self, i: int, role: str) -> mpf:
        value = self.at(self.key("value", role, ""), i, role, {"z": self.z(i, role)})
        return self.at(self.key("weight", role, 1), i, role) * int(self.key("sign", role, 0)) * value + self.at(
            self.key("constant", role, 0), i, role
        )

    def key(self, name: str, role: str, default: Any) -> str:
        """What a key of the file says of a role."""
        value = self.file.get(name, default)
        return str(value[role] if isinstance(value, dict) else value)

    def z(self, i: int, role: str) -> mpf:
        point = self.key("reference_point", role, "none")
        against = self.reward(i, "rejected") if point == "rejected" else mpf(0) if point == "none" else self.at(point, i, role)
        return self.reward(i, role) - against - self.at(self.key("margin", role, 0), i, role)

    def reward(self, i: int, role: str) -> mpf:
        score = self.at(self.key("reward", role, ""), i, role)
        if i == 0 and self.shift:
            per_token = self.key("reward", role, "").startswith("mean(")
            score += self.shift / len(self.of(i, role)["logp"]) if per_token else self.shift
        return self.at(self.key("normalizer", role, 1), i, role) * score

    def of(self, i: int, role: str) -> dict[str, Any]:
        """The completion that a role names."""
        found: dict[str, Any] = self.batch[i]["completion" if role in ("desirable", "undesirable") else role]
        return found

    def at(self, text: Any, i: int, role: str, more: dict[str, mpf] | None = None) -> Any:
        return self.value(parse(text), i, role, more or {})

    def value(self, formula: Formula, i: int, role: str, more: dict[str, mpf]) -> Any:
        if isinstance(formula, Number):
            return BOUNDED.number(formula.value)
        if isinstance(formula, Name):
            return self.name(formula, i, role, more)
        word = formula.function
        if word == "stop":
            return (self.frozen or self).value(formula.arguments[0], i, role, more)
        if word == "batch_mean":
            return mp.fsum(self.value(formula.arguments[0], j, role, more) for j in range(len(self.batch))) / len(self.batch)
        if word == "where":
            left, right = (self.value(side, i, role, more) for side in formula.arguments[0].arguments)  # type: ignore[union-attr]
            holds = COMPARED[formula.arguments[0].function](left, right)  # type: ignore[union-attr]
            return self.value(formula.arguments[1 if holds else 2], i, role, more)
        arguments = [self.value(a, i, role, more) for a in formula.arguments]
        if word in ("sum", "mean"):
            total = mp.fsum(arguments[0])
            return total if word == "sum" else total / len(arguments[0])
        count = next((len(a) for a in arguments if isinstance(a, list)), 0)
        if count:
            return [applied(word, [a[t] if isinstance(a, list) else a for a in arguments], BOUNDED) for t in range(count)]
        return applied(word, arguments, BOUNDED)

    def name(self, formula: Name, i: int, role: str, more: dict[str, mpf]) -> Any:
        role = formula.role or role
        if formula.name in more:
            return more[formula.name]
        if formula.name in self.parameters:
            return self.parameters[formula.name]
        if formula.name in self.file.get("columns", {}):
            return self.batch[i][formula.name]
        completion = self.of(i, role)
        match formula.name:
            case "logp":
                return list(completion["logp"])
            case "ref_logp":
                return list(completion["ref"])
            case "length":
                return mpf(len(completion["logp"]))
            case "reward":
                return self.reward(i, role)
        return self.at(self.file["let"][formula.name], i, role)


def slope(loss: Loss, i: int, role: str, t: int, frozen: Loss | None = None) -> mpf:
    """d loss / d logp of one token, by a central difference; what is stopped stays as it was, or as in another batch."""
    ends = []
    for side in (-1, 1):
        moved = copy.deepcopy(loss.batch)
        moved[i][role]["logp"][t] += side * STEP
        ends.append(Loss(loss.file, loss.parameters, moved, frozen=frozen or loss).total())
    return (ends[1] - ends[0]) / (2 * STEP)
