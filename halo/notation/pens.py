"""The two ways to write a formula: `LatexPen` and `UnicodePen`. A pen joins pieces and knows where parentheses are needed.

A pen never knows what a formula means; `writing` decides that.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Literal

from halo.notation.names import WAYS
from halo.notation.symbols import Symbol

SUM, PRODUCT, POWER, ATOM = 1, 2, 3, 4
EXPONENT = 40  # characters of LaTeX: about as long as one reads without effort in small type


@dataclass(frozen=True)
class Piece:
    r"""Written mathematics and how tightly it binds.

    reach   what its right end would swallow: nothing, a following factor (`\log\sigma(z)`), or also a summand (`\sum_t a`)
    share   the part below the line when it is one of equal shares, `1/|y|` of `rest`; a factor in front joins the numerator
    """

    text: str
    level: int = ATOM
    reach: Literal["", "factor", "summand"] = ""
    share: tuple[Piece, Piece] | None = None


class Pen(ABC):
    """What both spellings share: sums, products and their parentheses."""

    # -- what differs ----------------------------------------------------------------------------------------------

    @abstractmethod
    def pick(self, latex: str, unicode: str) -> str: ...
    @abstractmethod
    def around(self, left: str, text: str, right: str) -> str: ...
    @abstractmethod
    def joined(self, left: str, right: str) -> str: ...
    @abstractmethod
    def fraction(self, top: Piece, bottom: Piece) -> Piece: ...
    @abstractmethod
    def power(self, base: Piece, exponent: Piece) -> Piece: ...
    @abstractmethod
    def exp(self, x: Piece) -> Piece: ...
    @abstractmethod
    def log_ratio(self, top: Piece, bottom: Piece) -> Piece:
        """log(top / bottom), as papers set it."""

    @abstractmethod
    def below(self, word: Symbol, index: str, above: str = "") -> str: ...
    @abstractmethod
    def cases(self, rows: list[tuple[Piece, str]]) -> Piece: ...
    @abstractmethod
    def typed(self, text: str) -> str: ...
    @abstractmethod
    def words(self, text: str) -> str: ...

    # -- what does not ---------------------------------------------------------------------------------------------

    def symbol(self, symbol: Symbol) -> str:
        return self.pick(symbol.latex, symbol.unicode)

    def name(self, symbol: Symbol) -> Piece:
        """A symbol that stands in a formula: a logarithm in it wants what follows."""
        if symbol.log:
            return Piece(self.symbol(symbol), PRODUCT, "factor")
        return Piece(self.symbol(symbol))

    def parenthesised(self, x: Piece) -> Piece:
        return Piece(self.around("(", x.text, ")"))

    def tight(self, x: Piece, level: int, last: bool = True) -> Piece:
        """`x` in parentheses where it binds more loosely than `level`, or would swallow what follows."""
        if x.level < level or (x.reach and not last):
            return self.parenthesised(x)
        return x

    def plus(self, left: Piece, right: Piece) -> Piece:
        if left.reach == "summand":
            left = self.parenthesised(left)
        if right.text.startswith("-"):
            return Piece(f"{left.text} - {right.text.removeprefix('-').lstrip()}", SUM, right.reach)
        return Piece(f"{left.text} + {right.text}", SUM, right.reach)

    def minus(self, left: Piece, right: Piece) -> Piece:
        if left.reach == "summand":
            left = self.parenthesised(left)
        if right.level == SUM:
            right = self.parenthesised(right)
        return Piece(f"{left.text} - {right.text}", SUM, right.reach)

    def negated(self, x: Piece) -> Piece:
        x = self.tight(x, PRODUCT)
        return Piece(f"-{x.text}", SUM, x.reach)

    def times(self, left: Piece, right: Piece) -> Piece:
        if right.share and not left.reach:
            below, rest = right.share
            return replace(self.times(self.fraction(left, below), rest), share=(below, self.times(left, rest)))
        left, right = self.tight(left, PRODUCT, last=False), self.tight(right, PRODUCT)
        return Piece(self.joined(left.text, right.text), PRODUCT, right.reach)

    def shared(self, below: Piece, rest: Piece) -> Piece:
        """One of `below` equal shares of `rest`: (1 / below) rest."""
        whole = self.times(self.fraction(Piece("1"), below), rest)
        return replace(whole, share=(below, rest))

    def call(self, word: str, *arguments: Piece) -> Piece:
        return Piece(word + self.around("(", ", ".join(a.text for a in arguments), ")"))

    def log(self, x: Piece) -> Piece:
        return self.call(self.pick(r"\log", "log"), x)

    def log_sigma(self, x: Piece) -> Piece:
        return Piece(self.pick(r"\log\sigma", "log σ") + self.around("(", x.text, ")"), PRODUCT, "factor")

    def total(self, index: str, body: Piece, above: str = "") -> Piece:
        """A sum over `index` of the body."""
        body = self.tight(body, PRODUCT)
        return Piece(self.joined(self.below(Symbol(r"\sum", "Σ"), index, above), body.text), PRODUCT, "summand")

    def over(self, word: Symbol, index: str, body: Piece) -> Piece:
        """mean, max, ... over `index` of the body, in brackets."""
        return Piece(self.below(word, index) + self.around("[", body.text, "]"))

    def added(self, way: str, index: str, body: Piece) -> Piece:
        """A sum, or another way to make one number of many."""
        if way == "sum":
            return self.total(index, body)
        return self.over(WAYS[way], index, body)


class LatexPen(Pen):
    """LaTeX, within the part of it that matplotlib's mathtext reads too; only `cases` lies outside."""

    def pick(self, latex: str, unicode: str) -> str:
        return latex

    def around(self, left: str, text: str, right: str) -> str:
        if any(mark in text for mark in (r"\frac", r"\sum", r"\left", r"\begin", r"\mathbb{E}")):  # these are tall
            return rf"\left{left}{text}\right{right}"
        return f"{left}{text}{right}"

    def joined(self, left: str, right: str) -> str:
        if right[0].isdigit() or (right.startswith(r"\frac{") and left[-1].isdigit()):
            return rf"{left} \cdot {right}"
        simple = re.fullmatch(r"\d+|\\?[a-zA-Z]+(_(\w|\{[^}]*\}+))?", left) and not right.startswith(("(", r"\left(", r"\math"))
        if simple or left.startswith((r"\sum", r"\frac")):
            return f"{left} {right}"
        return rf"{left}\, {right}"

    def fraction(self, top: Piece, bottom: Piece) -> Piece:
        return Piece(rf"\frac{{{top.text}}}{{{bottom.text}}}", POWER)

    def power(self, base: Piece, exponent: Piece) -> Piece:
        return Piece(f"{self.tight(base, ATOM).text}^{{{exponent.text}}}", POWER)

    def exp(self, x: Piece) -> Piece:
        tall = any(mark in x.text for mark in (r"\frac", r"\sum", r"\begin", r"\log"))
        if tall or len(x.text) >= EXPONENT:
            return self.call(r"\exp", x)
        return Piece(f"e^{{{x.text}}}", POWER)

    def log_ratio(self, top: Piece, bottom: Piece) -> Piece:
        return Piece(rf"\log\frac{{{top.text}}}{{{bottom.text}}}", PRODUCT, "factor")

    def below(self, word: Symbol, index: str, above: str = "") -> str:
        text = f"{word.latex}_{{{index}}}"
        if above:
            text += f"^{{{above}}}"
        return text

    def cases(self, rows: list[tuple[Piece, str]]) -> Piece:
        lines = r" \\ ".join(f"{piece.text} & {condition}" for piece, condition in rows)
        return Piece(rf"\begin{{cases}} {lines} \end{{cases}}", PRODUCT, "factor")

    def words(self, text: str) -> str:
        return rf"\text{{{text}}}"

    def typed(self, text: str) -> str:
        return rf"\texttt{{{tex_text(text)}}}"


class UnicodePen(Pen):
    """Text for a terminal."""

    def pick(self, latex: str, unicode: str) -> str:
        return unicode

    def around(self, left: str, text: str, right: str) -> str:
        return f"{left}{text}{right}"

    def joined(self, left: str, right: str) -> str:
        if left.isdigit() and re.match(r"[^\W\d](_|\b)", right):
            return left + right
        plain = re.fullmatch(r"[\w′']+", left) and not right[0].isdigit()
        if plain or left.startswith("Σ"):
            return f"{left} {right}"
        return f"{left} · {right}"

    def fraction(self, top: Piece, bottom: Piece) -> Piece:
        return Piece(f"{self.tight(top, PRODUCT, last=False).text}/{self.tight(bottom, POWER).text}", PRODUCT)

    def power(self, base: Piece, exponent: Piece) -> Piece:
        raised = {"2": "²", "3": "³"}.get(exponent.text)
        return Piece(self.tight(base, ATOM).text + (raised or f"^{self.tight(exponent, ATOM).text}"), POWER)

    def exp(self, x: Piece) -> Piece:
        return self.call("exp", x)

    def log_ratio(self, top: Piece, bottom: Piece) -> Piece:
        return Piece(f"log({self.tight(top, PRODUCT, last=False).text} / {self.tight(bottom, POWER).text})")

    def below(self, word: Symbol, index: str, above: str = "") -> str:
        if re.fullmatch(r"\w+", index):
            return f"{word.unicode}_{index}"
        return f"{word.unicode}_{{{index}}}"

    def cases(self, rows: list[tuple[Piece, str]]) -> Piece:
        return Piece("{ " + "; ".join(f"{piece.text}  {condition}" for piece, condition in rows) + " }")

    def words(self, text: str) -> str:
        return text.strip()

    def typed(self, text: str) -> str:
        return f'"{text}"'


_TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", **{c: f"\\{c}" for c in "#$%&_{}"}}


def tex_text(text: str) -> str:
    """Plain text inside LaTeX's text mode."""
    return "".join(_TEX.get(character, character) for character in text)
