"""An objective as the equations of a paper: L first, then what it names, each thing defined once.

`equations` puts terms, signs, weights, constants and regularizers together and reads the `reduce` chains as sums and means;
`writing` writes the single formulas.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from halo.compiler.graph import Part
from halo.compiler.pipeline import CompiledObjective
from halo.notation.keys import entry
from halo.notation.names import BATCH, EXPECTATION, WAYS
from halo.notation.pens import Pen, Piece
from halo.notation.signs import ONE, ZERO, simplified
from halo.notation.sums import Equation, Group, Summand, Sums
from halo.notation.symbols import Symbol, completion, plain_subscript, subscript
from halo.notation.writing import Writer, roman
from halo.objective.document import Path
from halo.objective.formula import Call, Formula, Name, Number, numbers_and_names

SHARED_POINT = Name("the reference point z_0")
"""A name that no file can declare, for the reference point that is one number for the whole batch."""


def equations(compiled: CompiledObjective, pen: Pen) -> tuple[list[Equation], Writer]:
    """Every equation of the objective, and the writer, which remembers what they speak of."""
    return _Equations(compiled, pen).all()


class _Equations:
    def __init__(self, compiled: CompiledObjective, pen: Pen) -> None:
        self.compiled, self.pen = compiled, pen
        self.objective, self.declared = compiled.objective, compiled.objective.declaration
        self.writer = Writer(compiled.objective, pen)
        self.sums, self.labels = Sums(self.writer), self.declared.kind.labels
        self.parts: dict[str, list[Part]] = {}
        for part in compiled.declared.parts:
            self.parts.setdefault(part.name, []).extend(self.by_cases(part))
        self.points: dict[str, Equation] = {}
        self.z_of: dict[tuple[str, str], tuple[str, str]] = {}  # term and role: left and right side of z

    # -- the whole -------------------------------------------------------------------------------------------------

    def all(self) -> tuple[list[Equation], Writer]:
        self.name_margins()
        summands = [self.summand(name, parts) for name, parts in self.parts.items()]
        found = self.total(summands) + [equation for summand in summands for equation in summand.definitions]
        found += [Equation(left, right) for left, right in dict.fromkeys(self.z_of.values()) if left]
        found += self.points.values()
        return found + self.named(), self.writer

    def total(self, summands: list[Summand]) -> list[Equation]:
        """L: one expectation of everything that is averaged over examples, plus the rest."""
        loss = self.pen.pick(r"\mathcal{L}", "L")
        left = loss + self.pen.pick(r"(\theta)", "(θ)")
        expected = [s for s in summands if s.expected]
        sums = [s for s in expected if s.body.reach == "summand"]  # at most one of them, and last: its sum would swallow the others
        together = [s for s in expected if s not in sums] + sums[:1]
        pieces, later = [], []
        if together:
            pieces.append(self.pen.over(EXPECTATION, self.sums.drawn(), self.sums.added([s.body for s in together])))
        for summand in (s for s in summands if s not in together):
            body = summand.body
            if summand.expected:
                body = self.pen.over(EXPECTATION, self.sums.drawn(), body)
            if len(summands) == 1:
                return [Equation(left, body.text)]
            name = self.pen.pick(rf"{loss}_{{{roman(summand.name)}}}", f"L_{summand.name}")
            pieces.append(Piece(name))
            later.append(Equation(name, body.text))
        return [Equation(left, self.sums.added(pieces).text), *later]

    # -- one term or regularizer -----------------------------------------------------------------------------------

    def key(self, part: Part, name: str) -> tuple[Path, Any]:
        """A key of the part and where it stands: the regularizer's, the term's own, else the top level's."""
        if not part.regularizer:
            self.writer.term = part.name
            return self.writer.key(name)
        self.writer.term = ""
        if name == "value":
            name = "expression"
        return ("regularizers", part.name, name), getattr(self.declared.regularizers[part.name], name, None)

    def by_cases(self, part: Part) -> list[Part]:
        """A labelled part over both labels whose keys tell them apart, as one part for each label."""
        if not self.labels or part.role != "completion":
            return [part]
        keys = ("value", "weight", "margin", "constant", "reward", "normalizer")
        if any(isinstance(self.key(part, key)[1], dict) for key in keys):
            return [replace(part, role=label) for label in self.labels]
        return [part]

    def formula(self, part: Part, name: str, default: str | int = 1) -> Formula:
        path, value = self.key(part, name)
        if value is None:
            value = default
        return self.writer.parsed(*entry(path, value, part.role))

    def item(self, part: Part) -> Formula:
        """weight * sign * value + constant, a positive constant first."""
        weighted: Formula = Call("mul", (self.formula(part, "weight"), self.formula(part, "value")))
        if part.sign < 0:
            weighted = Call("neg", (weighted,))
        weighted = simplified(weighted)
        if part.constant is None:
            return weighted
        constant = self.formula(part, "constant", 0)
        if constant == ZERO:
            return weighted
        if isinstance(weighted, Call) and weighted.function == "neg":
            return Call("add", (constant, weighted))
        return Call("add", (weighted, constant))

    def at(self, part: Part) -> str:
        """How the item's completion is called: labelled ones are y whatever their label, and so are those of a list."""
        if part.role in (*self.labels, "completion") and not self.alone(part):
            return ""
        return part.role

    def alone(self, part: Part) -> bool:
        """One denominator over the tokens of one label only: the sums run over that label's completions."""
        chain = self.key(part, "reduce")[1]
        return part.role in self.labels and len(self.parts[part.name]) == 1 and chain == {"tokens": "mean"}

    def summand(self, name: str, parts: list[Part]) -> Summand:
        chain_at, declared = self.key(parts[0], "reduce")
        chain = list((declared or {"examples": "mean"}).items())
        only = parts[0].role if self.alone(parts[0]) else ""
        both_labels = bool(self.labels) and all(part.role in self.labels for part in parts) and not only
        if chain[-1] == ("examples", "sum") or "examples" not in dict(chain):
            self.writer.note("word", "batch")
        summand = Summand(name, self.sums.in_batch(only), chain_at)
        items = [self.item(part) for part in parts]
        indices = [self.sums.indices(part, chain) for part in parts]
        weight: Formula = ONE
        negative = False
        if all(indices) and chain[-1][1] in ("sum", "mean") and not (both_labels and items[0] != items[-1]):
            items, weight, negative = self.fronted(items)
        groups = [Group(self.at(part), self.written(part, item), i) for part, item, i in zip(parts, items, indices, strict=True)]
        if both_labels:
            groups = [self.by_label(name, parts, groups, summand.definitions)]
        self.sums.reduced(summand, groups, chain)
        if weight != ONE:
            summand.body = self.pen.times(self.writer.write(weight, ""), summand.body)
        if negative:
            summand.body = self.pen.negated(summand.body)
        return summand

    def fronted(self, items: list[Formula]) -> tuple[list[Formula], Formula, bool]:
        """The items without the weight and the sign that all of them begin with, which stand in front of their sums."""
        negative = all(isinstance(item, Call) and item.function == "neg" for item in items)
        if negative:
            items = [item.arguments[0] for item in items if isinstance(item, Call)]
        products = [item.arguments for item in items if isinstance(item, Call) and item.function == "mul"]
        if len(products) < len(items) or any(product[0] != products[0][0] for product in products):
            return items, ONE, negative
        weight = products[0][0]
        leaves = numbers_and_names(weight)
        if not all(isinstance(leaf, Number) or leaf.name in self.declared.parameters for leaf in leaves):
            return items, ONE, negative
        return [product[1] for product in products], weight, negative

    def written(self, part: Part, item: Formula) -> Piece:
        left, _ = self.z_of.get((part.name, part.role), ("", ""))
        z = Piece(left) if left else self.inline(part)
        return self.writer.write(item, self.at(part), {"z": z})

    def by_label(self, name: str, parts: list[Part], groups: list[Group], definitions: list[Equation]) -> Group:
        """One item for both labels: the same formula, or cases."""
        if len(parts) == 2 and groups[0].piece == groups[1].piece:
            return groups[0]
        rows = tuple((group.piece.text, self.is_labelled(part.role)) for part, group in zip(parts, groups, strict=True))
        if len(parts) == 1:
            rows = (*rows, ("0", self.pen.words("otherwise")))
        below = []
        if len(self.parts) > 1 and name != "main":
            below.append(self.pen.pick(roman(name), name))
        if groups[0].indices:
            below.append("t")
        ell = self.pen.pick(r"\ell", "ℓ")
        if below:
            ell += self.pen.pick(f"_{{{','.join(below)}}}", f"_{','.join(below)}")
        ell += self.pen.pick("(x, y)", "(x,y)")
        definitions.append(Equation(ell, "", rows))
        return Group("", Piece(ell), groups[0].indices)

    # -- z, rewards, lets ------------------------------------------------------------------------------------------

    def name_margins(self) -> None:
        """Gives each different z a symbol: z if there is one, else by role and term."""
        written: dict[tuple[str, str], str] = {}
        for part in (part for parts in self.parts.values() for part in parts):
            if not part.regularizer and not self.inlined(part):
                written[(part.name, part.role)] = self.margin(part)
        symbols: dict[str, str] = {}  # by the right side
        for (name, role), right in written.items():
            if right not in symbols:
                symbols[right] = self.z_symbol(name, role, written)
            self.z_of[(name, role)] = (symbols[right], right)

    def z_symbol(self, name: str, role: str, written: Mapping[tuple[str, str], str]) -> str:
        """z, with the term and the role below it as far as they tell it from another z, and t where it is one number per token."""
        own = {text for (other, _), text in written.items() if other == name}
        below = []
        if len(set(written.values())) > len(own):
            below.append(self.pen.pick(roman(name), name))
        if len(own) > 1:
            below.append(completion(role).subscript)
        if any(part.z is not None and part.z.tokens for part in self.parts[name]):
            below.append("t")
        text = ",".join(filter(None, below))
        return "z" + self.pen.pick(subscript(text), plain_subscript(text))

    def inlined(self, part: Part) -> bool:
        """A z that is its reward alone, in a value that is z alone: SFT's likelihood needs no names."""
        return part.reference_point is None and part.margin is None and self.formula(part, "value") == Name("z")

    def inline(self, part: Part) -> Piece:
        """What stands for a z that has no symbol; a regularizer has none."""
        if part.regularizer:
            return Piece("")
        return self.writer.write(self.own_reward(part.role), self.at(part))

    def own_reward(self, role: str) -> Formula:
        """normalizer * reward key, written out."""
        return Call("mul", (self.writer.keyed("normalizer", role), self.writer.keyed("reward", role)))

    def margin(self, part: Part) -> str:
        """z = reward - reference point - margin; a token's reward has no name of its own."""
        self.writer.term = part.name
        z: Formula = Name("reward")
        if part.reward is not None and part.reward.tokens is not None:
            z = self.own_reward(part.role)
        if part.reference_point is not None:
            z = Call("sub", (z, self.point(part)))
        if part.margin is not None:
            z = Call("sub", (z, self.formula(part, "margin", 0)))
        return self.writer.write(z, self.at(part), {SHARED_POINT.name: Piece("z_0")}).text

    def point(self, part: Part) -> Formula:
        """The reference point: a role's reward, a formula, or z_0 for the first one that all examples share."""
        path, value = self.key(part, "reference_point")
        path, text = entry(path, value, part.role)
        if isinstance(text, str) and text.isidentifier() and text not in self.writer.symbols:
            point: Formula = Name("reward", text)
        else:
            point = self.writer.parsed(path, text)
        shared = isinstance(value, str) and any(word in value for word in ("batch_", "stop")) and not self.writer.local(point)
        if shared and (value in self.points or not self.points):
            self.points[value] = Equation("z_0", self.writer.write(point, "").text)
            return SHARED_POINT
        return point

    def named(self) -> list[Equation]:
        """Definitions of the rewards and lets that were named so far; they may name more."""
        done: set[tuple[str, str]] = set()
        found: list[Equation] = []
        while waiting := [key for key in self.writer.seen if key[0] in ("reward", "let", "statistic") and key not in done]:
            kind, name = waiting[0]
            done.add((kind, name))
            self.writer.term = self.writer.seen[(kind, name)]
            if kind == "reward":
                found += self.rewards()
            elif kind == "let":
                found += self.let(name)
            else:
                found.append(self.statistic(name))
        return found + self.controls()

    def rewards(self) -> list[Equation]:
        """r = normalizer * reward key, for the term at hand."""
        maps = [value for value in (self.writer.key("reward")[1], self.writer.key("normalizer")[1]) if isinstance(value, dict)]
        roles: Mapping[str, Any] = maps[0] if maps else {"": None}
        return self.definitions({role: self.own_reward(role) for role in roles}, Name("reward"))

    def let(self, name: str) -> list[Equation]:
        value = self.declared.let[name]
        texts = value if isinstance(value, dict) else {"": value}
        return self.definitions({role: self.writer.parsed(*entry(("let", name), value, role)) for role in texts}, Name(name))

    def statistic(self, name: str) -> Equation:
        """A running number: the mean or std of the batch, smoothed over the steps, or of everything seen."""
        declared, path, pen = self.declared.statistics[name], ("statistics", name), self.pen
        update = self.writer.parsed((*path, "update"), declared.update)
        body = self.writer.write(self.writer.parsed((*path, "of"), declared.of), "")
        way = EXPECTATION if declared.reduce == "mean" else WAYS["std"]
        if not isinstance(update, Call):
            return Equation(self.writer.write(Name(name), "").text, pen.over(way, pen.words("seen"), body).text)
        self.writer.note("word", "batch")
        smoothed = pen.below(Symbol(r"\operatorname{ema}", "ema"), self.writer.write(update.arguments[0], "").text)
        shown = smoothed + pen.around("(", pen.over(way, pen.pick(*BATCH), body).text, ")")
        return Equation(self.writer.write(Name(name), "").text, shown)

    def definitions(self, formulas: dict[str, Formula], name: Name) -> list[Equation]:
        """One equation for all completions, one for each role, or, where labels share the symbol y, one with cases."""
        if len(formulas) > 1 and set(formulas) <= {*self.labels, "completion"}:
            left = self.writer.write(name, "").text
            rows = tuple((self.writer.write(formula, "").text, self.is_labelled(role)) for role, formula in formulas.items())
            return [Equation(left, "", rows)]
        lefts = [self.writer.write(name, role).text for role in formulas]
        rights = [self.writer.write(formula, role).text for role, formula in formulas.items()]
        return [Equation(left, right) for left, right in zip(lefts, rights, strict=True)]

    def is_labelled(self, role: str) -> str:
        """The condition of a case."""
        return self.writer.completion("") + self.pen.pick("", " ") + self.pen.words(f" {role}")

    def controls(self) -> list[Equation]:
        """The conditioning text, by label."""
        texts = self.declared.control
        if not texts:
            return []
        quoted = {role: self.pen.typed(text) for role, text in texts.items()}
        return [Equation("c", "", tuple((text, self.is_labelled(role)) for role, text in quoted.items()))]
