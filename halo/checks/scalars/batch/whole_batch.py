"""A whole batch as scalars: every token of every completion is a variable of its own, and every reduction is written out.

What holds of such scalars can occur: a batch mean lies between its members, and a sum over tokens is made of its tokens. So
what a point of a `View` refutes with free numbers in the place of reductions is confirmed here, or it is not refuted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from halo.analysis.identity import named
from halo.analysis.ranges import POSITIVE, REALS, Span
from halo.analysis.scalar import is_number
from halo.analysis.values import sure_value
from halo.checks.scalars.batch.outlines import Outline
from halo.checks.scalars.infinite import EMPTY, FULL, NoValue, applied
from halo.checks.scalars.inputs import ENTROPIES, INPUT_SPANS, SHARES, TIED, VOCABULARIES
from halo.checks.scalars.view import View
from halo.compiler.graph import Node, topological
from halo.compiler.indices import ExactBatch, Indices, Key, Row, row_of

LOG_PROBS = ("logp", "ref_logp", "old_logp")


@dataclass
class WholeBatch:
    """The scalars of one batch; `box` holds the ranges of its variables.

    tied   reference and sampler equal the policy
    flat   all tokens of a completion are alike, or two alternate: then its means are the same with two or four of them
    """

    view: View
    outlines: Sequence[Outline]
    tied: bool = False
    flat: bool = False
    box: dict[Node, Span] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.s, self.graph = self.view.s, self.view.graph
        self.done: dict[Node, list[Any]] = {}
        self.policy: dict[tuple[str, int, int], list[Node]] = {}  # the tokens' log-probs by slot, example and completion
        self.batch = ExactBatch(
            rows={slot: [self._rows(slot, e) for e in range(len(self.outlines))] for slot in self.outlines[0].lengths},
            desirable=[outline.label == "desirable" for outline in self.outlines],
            ranks=[outline.ranks for outline in self.outlines],
            columns={name: [self._column(name, e) for e in range(len(self.outlines))] for name in self.graph.needs.columns},
        )
        self.indices = Indices(self.batch)

    @property
    def loss(self) -> Node:
        """The loss of the batch. Raises NoValue."""
        node: Node = self.values(self.graph.loss)[0]
        if node in (EMPTY, FULL):
            raise NoValue
        return node

    def tokens(self, slot: str, label: str = "", rank: int = 0) -> Iterator[Node]:
        """The policy's log-probs in a slot; of examples with the label, of completions with the rank."""
        for (own, e, k), tokens in self.policy.items():
            outline = self.outlines[e]
            if own == slot and label in ("", outline.label) and rank in (0, *outline.ranks[k : k + 1]):
                yield from tokens

    def told(self, point: Mapping[Node, Fraction], suffix: str = "") -> dict[str, str]:
        """A point as people read a batch: how long each completion is, its label and ranks, and every number."""
        found: dict[str, str] = {}
        for e, outline in enumerate(self.outlines):
            whose = f"example {e + 1}" * (len(self.outlines) > 1)
            marks = {"label": outline.label, "ranks": ", ".join(map(str, outline.ranks))}
            found |= {f"{whose} {mark}{suffix}".strip(): value for mark, value in marks.items() if value}
            for slot, lengths in outline.lengths.items():
                found[f"{whose} {slot}.length{suffix}".strip()] = ", ".join(map(str, lengths))
        return found | {f"{name}{suffix}": value for name, value in named({v: point[v] for v in self.box if v in point}).items()}

    def numbers(self, point: Mapping[Node, Fraction]) -> ExactBatch:
        """The batch at a point, for the evaluator that needs no scalars."""

        def at(x: Any) -> Any:
            if isinstance(x, Node):
                return sure_value(x, point)
            if isinstance(x, Row):
                return Row(at(x.logp), at(x.ref_logp), at(x.old_logp), {name: at(value) for name, value in x.columns.items()})
            return [at(inner) for inner in x]

        rows = {slot: at(rows) for slot, rows in self.batch.rows.items()}
        columns = {name: at(column) for name, column in self.batch.columns.items()}
        size = next((int(x) for v, x in point.items() if v.data == "vocab_size"), 0)
        return ExactBatch(rows, self.batch.desirable, self.batch.ranks, columns, size)

    def shared(self, point: Mapping[Node, Fraction]) -> dict[str, Fraction]:
        """The parameters and running statistics at a point, by name."""
        return {name: x for name in (*self.graph.parameters, *self.graph.statistics) for v, x in point.items() if v.data == name}

    # -- the numbers that a batch is given -------------------------------------------------------------------------------

    def _rows(self, slot: str, e: int) -> Any:
        lengths = self.outlines[e].lengths[slot]
        rows = [self._row(slot, e, k, n) for k, n in enumerate(lengths)]
        if self.graph.feedback.several(slot):
            return rows
        return rows[0]

    def _row(self, slot: str, e: int, k: int, n: int) -> Row:
        words = [*self.graph.needs.vocabulary.get(slot, ()), *self.graph.needs.own_columns.get(slot, ())]
        logp, ref_logp, old_logp = (self._of_tokens(self._name(word), slot, e, k, n) for word in LOG_PROBS)
        self.policy[slot, e, k] = logp
        columns = {word: self._own(word, slot, e, k, n) for word in words}
        return Row(logp, ref_logp, old_logp, columns)

    def _own(self, word: str, slot: str, e: int, k: int, n: int) -> Any:
        """What the data says of a completion or of each of its tokens, or a full-vocabulary word of each token."""
        name = self._name(word)
        if not name:
            return [self.s.number(0)] * n
        if word == "score" and self.graph.feedback.has_scores:
            return self._score(slot, e, k)
        if any("token" in node.axes for node in self._inputs(word)):
            return self._of_tokens(name, slot, e, k, n)
        return self._variable(word, slot, e, k, self._span(word))

    def _name(self, word: str) -> str:
        return TIED.get(word, word) if self.tied else word

    def _of_tokens(self, word: str, slot: str, e: int, k: int, n: int) -> list[Node]:
        span, numbers = self._span(word), range(1, n + 1)
        if self.flat:
            names = ["odd", "even"] if n % 2 == 0 else ["each"]
            return [self._token(f"{word}[{name}]", slot, e, k, span) for name in names] * (n // len(names))
        return [self._token(f"{word}[{t}]", slot, e, k, span) for t in numbers]

    def _token(self, name: str, slot: str, e: int, k: int, span: Span) -> Node:
        if name.partition("[")[0] not in ENTROPIES or not self.graph.needs.vocab_size:
            return self._variable(name, slot, e, k, span)
        share = self._variable(f"{name} / log(vocab_size)", slot, e, k, SHARES)
        return self.s.call("mul", self.s.call("log", self._vocabulary()), share)

    def _score(self, slot: str, e: int, k: int) -> Node:
        """Scores fall with the ranks: equal ones share theirs, and each next one lies below by a gap."""
        ranks = self.outlines[e].ranks
        score = self._variable("score", slot, e, ranks.index(min(ranks)), REALS)
        for rank in sorted({rank for rank in ranks if min(ranks) < rank <= ranks[k]}):
            gap = self._variable("score gap", slot, e, ranks.index(rank), POSITIVE)
            score = self.s.call("sub", score, gap)
        return score

    def _column(self, name: str, e: int) -> Node:
        return self._variable(name, "", e, 0, self._span(name))

    def _variable(self, name: str, slot: str, e: int, k: int, span: Span) -> Node:
        """A variable whose name says whose it is: `example 2 chosen.logp[1]`, without what there is only one of."""
        several = bool(slot) and self.graph.feedback.several(slot)
        whose = [f"example {e + 1}"] * (len(self.outlines) > 1) + [slot] * bool(slot) + [str(k + 1)] * several
        variable = self.s.variable(name, " ".join(whose))
        self.box[variable] = span
        return variable

    def _span(self, word: str) -> Span:
        if word in self.view.columns:
            return Span.of(self.view.columns[word])
        return INPUT_SPANS.get(word, REALS)

    def _inputs(self, word: str) -> Iterator[Node]:
        return (node for node in topological(self.graph.everything()) if node.op == "input" and node.data == word)

    def _vocabulary(self) -> Node:
        variable = self.s.variable("vocab_size")
        self.box[variable] = VOCABULARIES
        return variable

    # -- what is made of them ----------------------------------------------------------------------------------------------

    def values(self, wanted: Node) -> list[Any]:
        """A node's scalars, one for each of its indices; a mask's are bools. Raises NoValue."""
        for node in topological([wanted]):
            if node not in self.done:
                self.done[node] = self._computed(node, [self.done[a] for a in node.args])
        return self.done[wanted]

    def _computed(self, node: Node, args: list[list[Any]]) -> list[Any]:
        match node.op:
            case "number":
                return [self.s.number(node.data)]
            case "parameter" | "statistic":
                return [self._of_the_view(self.view.scalar(node))]
            case "examples":
                return [self.s.number(len(self.outlines))]
            case "input":
                return [self._input(node, key) for key in self.indices.keys(node)]
            case "mask":
                return [self.batch.holds(str(node.data), key) for key in self.indices.keys(node)]
            case "view":
                return args[0]
            case "stop":
                return [x if is_number(x) or x in (EMPTY, FULL) else self.s.make(op="stop", args=(x,)) for x in args[0]]
            case "order":
                return self._ordered(node, args[0])
            case "select":
                return [args[0][i] for i in self.indices.picks(node)]
            case "reduce":
                kept = [[args[0][i] for i, j in group if j is None or args[1][j]] for group in self.indices.picks(node)]
                return [self._reduced(str(node.data), items) for items in kept]
            case _:
                picks = self.indices.picks(node)
                return [self._applied(str(node.data), [arg[i] for arg, i in zip(args, pick, strict=True)]) for pick in picks]

    def _of_the_view(self, node: Node) -> Node:
        if not is_number(node):  # a parameter may be held at a number
            self.box[node] = self.view.box[node]
        return node

    def _input(self, node: Node, key: Key) -> Node:
        name = str(node.data)
        if not node.axes:
            return self._vocabulary()
        if not node.slot:
            column: Node = self.batch.columns[name][key[0]]
            return column
        row = row_of(self.batch, node.slot, key)
        if name == "length":
            return self.s.number(len(row.logp))
        if name == "position":
            return self.s.number(key[-1] + 1)
        value = getattr(row, name) if name in LOG_PROBS else row.columns[name]
        if "token" in node.axes:
            value = value[key[-1]]
        found: Node = value
        return found

    def _applied(self, word: str, given: list[Any]) -> Any:
        if word == "and":
            return all(given)
        if word == "only" or (word == "where" and isinstance(given[0], bool)):
            held, *values = given
            return [*values, self.s.number(0)][0 if held else 1]
        if word == "at_least_one":
            return self.s.call("max", given[0], self.s.number(1))
        return applied(self.s, word, given)

    def _reduced(self, way: str, items: list[Any]) -> Any:
        if way == "any":
            return any(items)
        if way == "count":
            return self.s.number(len(items))
        if not items and way == "logsumexp":
            return EMPTY
        if EMPTY in items or FULL in items:
            raise NoValue
        if not items or (way == "std" and len(items) == 1):
            return self.s.number(0)
        match way:
            case "largest":
                return self.s.call("max", *items)
            case "smallest":
                return self.s.call("min", *items)
            case "logsumexp":
                return self.s.call("log", self._added([self.s.call("exp", item) for item in items]))
            case "std":
                return self._spread(items)
            case "mean":
                return self.s.call("div", self._added(items), self.s.number(len(items)))
            case _:
                return self._added(items)

    def _spread(self, items: list[Node]) -> Node:
        mean, square = self.s.call("div", self._added(items), self.s.number(len(items))), self.s.number(2)
        squares = [self.s.call("pow", self.s.call("sub", item, mean), square) for item in items]
        return self.s.call("sqrt", self.s.call("div", self._added(squares), self.s.number(len(items) - 1)))

    def _added(self, items: list[Node]) -> Node:
        total = items[0]
        for item in items[1:]:
            total = self.s.call("add", total, item)
        return total

    def _ordered(self, node: Node, values: list[Node]) -> list[Node]:
        """Ranks in each list, or the numbers of the batch in rising order."""
        where, result = node.axes.index(node.over[0]), list(values)
        groups: dict[Key, list[int]] = {}
        for i, key in enumerate(self.indices.keys(node)):
            groups.setdefault(key[:where] + key[where + 1 :], []).append(i)
        place = self._sorted if node.data == "sort" else self._ranks
        for group in groups.values():
            for i, value in zip(group, place([values[i] for i in group]), strict=True):
                result[i] = value
        return result

    def _sorted(self, values: list[Node]) -> list[Node]:
        """By exchanging neighbours, which needs no case for each order."""
        placed = list(values)
        for last in range(len(placed) - 1, 0, -1):
            for i in range(last):
                placed[i], placed[i + 1] = (self.s.call(word, placed[i], placed[i + 1]) for word in ("min", "max"))
        return placed

    def _ranks(self, values: list[Node]) -> list[Node]:
        """1 + how many are higher, or equal and earlier."""
        one, zero = self.s.number(1), self.s.number(0)
        ranks = []
        for i, own in enumerate(values):
            rank = one
            for j, other in enumerate(values):
                if j != i:
                    ahead = self.s.apply("ge" if j < i else "gt", self.s.call("sub", other, own), zero)
                    rank = self.s.call("add", rank, self.s.call("where", ahead, one, zero))
            ranks.append(rank)
        return ranks
