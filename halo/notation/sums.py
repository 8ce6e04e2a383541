"""The `reduce` chain as sums, means and expectations, each with its denominator; see `compiler.lowering.reducing` for what they mean."""

from __future__ import annotations

from dataclasses import dataclass, field

from halo.compiler.graph import Part
from halo.notation.pens import PRODUCT, Pen, Piece
from halo.notation.writing import Writer
from halo.objective.document import Path

Chain = list[tuple[str, str]]


@dataclass(frozen=True)
class Equation:
    """`left = right`. With `cases`, rows of value and condition, `right` is empty."""

    left: str
    right: str
    cases: tuple[tuple[str, str], ...] = ()


@dataclass
class Summand:
    """A term or regularizer, reduced: `body` stands inside the expectation over examples where `expected`.

    `batch`: how an example is written below a sum over the batch; `chain_at`: where its reduce chain stands.
    """

    name: str
    batch: str
    chain_at: Path
    body: Piece = Piece("")  # noqa: RUF009
    expected: bool = False
    definitions: list[Equation] = field(default_factory=list)


@dataclass(frozen=True)
class Group:
    """The items of one role on their way through the chain: what is still to be summed, and how many there are."""

    role: str
    piece: Piece
    indices: tuple[str, ...]


class Sums:
    """Writes the chains of one objective."""

    def __init__(self, writer: Writer) -> None:
        self.writer, self.declared = writer, writer.declared
        self.pen: Pen = writer.pen
        self.is_list = writer.declared.kind.is_list

    def example(self, only: str = "") -> str:
        """What an example is made of: (x, y_w, y_l). `only`: the label it must have."""
        roles = (only,) if only else self.declared.kind.completions
        names = ["x"]
        if self.is_list:
            names.append("Y")
        else:
            names += [self.writer.completion(role) for role in roles]
        names += [self.writer.completion(role) for role in self.declared.roles]
        return "(" + self.pen.pick(", ", ",").join(names) + ")"

    def in_batch(self, only: str = "") -> str:
        return self.pen.pick(rf"{self.example(only)} \in \mathcal{{B}}", f"{self.example(only)}∈B")

    def drawn(self) -> str:
        return self.pen.pick(rf"{self.example()} \sim \mathcal{{D}}", f"{self.example()}~D")

    def indices(self, part: Part, chain: Chain) -> tuple[str, ...]:
        """What the items of one example range over, coarsest first. Pairs are one index, unless they are summed in two steps."""
        axes = set(part.item.axes)
        if "other" in axes and "completions" not in dict(chain):
            axes.discard("list")
        return tuple(name for axis, name in (("list", "completions"), ("other", "pairs"), ("token", "tokens")) if axis in axes)

    def reduced(self, summand: Summand, groups: list[Group], chain: Chain) -> None:
        """Reads the chain, finest step first, and sets the summand's body."""
        pen = self.pen
        for (step, way), following in zip(chain, [*(step for step, _ in chain[1:]), None], strict=True):
            if step == "examples":
                self.over_examples(summand, self.added([group.piece for group in groups]), way)
                return
            if following in ("completions", "pairs") and (self.is_list or any("tokens" in group.indices for group in groups)):
                groups = [self.within(group, way, keep=following) for group in groups]
                continue
            bodies = [self.within(group, "sum", keep="") for group in groups]
            whole = self.added([body.piece for body in bodies])
            count = self.added([self.count(group.role, group.indices) for group in groups])
            if following == "examples":
                if way == "mean":
                    whole = pen.shared(count, pen.tight(whole, PRODUCT))
                groups = [Group("", whole, ())]
                continue
            summand.body = pen.total(summand.batch, whole)
            if way == "mean":
                summand.body = pen.shared(pen.total(summand.batch, count), summand.body)

    def over_examples(self, summand: Summand, body: Piece, way: str) -> None:
        """The last step: an expectation, a sum, or a formula in loss."""
        summand.body, summand.expected = body, way == "mean"
        if way == "sum":
            summand.body = self.pen.total(summand.batch, body)
        elif way != "mean":
            ell = Piece(self.pen.pick(r"\ell", "ℓ"))
            scope = {"loss": ell, "examples": Piece(self.drawn())}
            summand.body = self.writer.write(self.writer.parsed((*summand.chain_at, "examples"), way), "", scope)
            summand.definitions.insert(0, Equation(ell.text, body.text))

    def within(self, group: Group, way: str, keep: str) -> Group:
        """Sums or averages a group over all its indices finer than `keep`."""
        order = ("completions", "pairs", "tokens")
        kept = tuple(i for i in group.indices if keep and order.index(i) <= order.index(keep))
        gone = tuple(i for i in group.indices if i not in kept)
        piece = group.piece
        for index in reversed(gone):
            latex, unicode, above = self.range(group, index)
            piece = self.pen.total(self.pen.pick(latex, unicode), piece, above)
        if way == "mean" and gone:
            piece = self.pen.shared(self.count(group.role, gone), piece)
        return Group(group.role, piece, kept)

    def range(self, group: Group, index: str) -> tuple[str, str, str]:
        """Below and above the sum sign: over tokens, over the completions of a list, or over its pairs."""
        if index == "tokens":
            return "t=1", "t", self.writer.length(group.role).text
        if index == "pairs" and "completions" in group.indices:
            return r"y_l \prec y_w", "y_l≺y_w", ""
        if index == "pairs":
            return r"y_w \succ y_l", "y_w≻y_l", ""
        y = self.writer.completion(group.role)
        return rf"{y} \in Y", f"{y}∈Y", ""

    def count(self, role: str, indices: tuple[str, ...]) -> Piece:
        """How many items of one example there are."""
        if "completions" in indices and "pairs" not in indices and role == "chosen":  # those that are better than some other
            return Piece(self.pen.pick(r"|\{y_w\}|", "|{y_w}|"))
        if "pairs" in indices:
            return Piece(self.pen.pick(r"|\{y_w \succ y_l\}|", "|{y_w≻y_l}|"))
        if indices == ("completions",):
            return Piece(self.pen.around("|", "Y", "|"))
        if "tokens" not in indices:
            return Piece("1")
        length = self.writer.length(role)
        if "completions" in indices:
            return self.pen.total(self.pen.pick(r"y \in Y", "y∈Y"), length)
        return length

    def added(self, pieces: list[Piece]) -> Piece:
        if len(pieces) > 1 and all(piece.text == "1" for piece in pieces):
            return Piece(str(len(pieces)))
        whole = pieces[0]
        for piece in pieces[1:]:
            whole = self.pen.plus(whole, piece)
        return whole
