"""Rewrites that keep a formula's value and make it safe in floating point. Each is a row: pattern -> replacement.

Patterns are formulas; single letters stand for any sub-expression, `c` and `d` for what is a plain number at run time.
`positive` names the letters that must be provably positive for the row to hold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from halo.compiler.graph import Builder, LossGraph, Node
from halo.compiler.ranges import REALS, Span
from halo.objective.formula import Formula, Name, Number, parse
from halo.objective.schema import Interval, Parameter
from halo.objective.vocabulary import FUNCTIONS


@dataclass(frozen=True)
class Row:
    """One rewrite: both sides are equal wherever the left side is defined and `positive` letters are > 0."""

    pattern: str
    replacement: str
    positive: tuple[str, ...] = ()


ROWS = (
    Row("1 * x", "x"),
    Row("x * 1", "x"),
    Row("x + 0", "x"),
    Row("0 + x", "x"),
    Row("x - 0", "x"),
    Row("-(-x)", "x"),
    Row("log(exp(x))", "x"),
    Row("log(sigmoid(x))", "logsigmoid(x)"),
    Row("1 - sigmoid(x)", "sigmoid(-x)"),
    Row("log(-expm1(x))", "log1mexp(x)"),
    Row("log(1 + exp(x))", "softplus(x)"),
    Row("log1p(exp(x))", "softplus(x)"),
    Row("1 / (1 + exp(-x))", "sigmoid(x)"),
    Row("1 / (1 + exp(x))", "sigmoid(-x)"),
    Row("exp(x) / (1 + exp(x))", "sigmoid(x)"),
    Row("exp(x) - 1", "expm1(x)"),
    Row("1 - exp(x)", "-expm1(x)"),
    Row("log(x / y)", "log(x) - log(y)", positive=("x",)),
    Row("min(exp(x), c)", "exp(min(x, log(c)))", positive=("c",)),
    Row("min(c, exp(x))", "exp(min(x, log(c)))", positive=("c",)),
    Row("clip(exp(x), c, d)", "exp(clip(x, log(c), log(d)))", positive=("c", "d")),
)

_PARSED = [(parse(row.pattern), parse(row.replacement), row) for row in ROWS]


def stabilise(graph: LossGraph, build: Builder | None = None) -> LossGraph:
    """The same graph with every row applied, arguments first, until none applies."""
    rewriter = _Rewriter(build or Builder(), graph)
    return rewriter.graph()


class _Rewriter:
    def __init__(self, build: Builder, graph: LossGraph) -> None:
        self.build, self.source, self.done = build, graph, dict[Node, Node]()

    def graph(self) -> LossGraph:
        source = self.source
        groups = (source.terms, source.items, source.rewards, source.reference_points)
        terms, items, rewards, points = ({name: self.node(node) for name, node in group.items()} for group in groups)
        loss = self.node(source.loss)
        statistics = {name: replace(running, observed=self.node(running.observed)) for name, running in source.statistics.items()}
        labels, origins = {}, {}
        for old, new in list(self.done.items()):
            if old in source.labels and new not in labels and new.op not in ("number", "parameter", "input"):
                labels[new] = source.labels[old]
                if old in source.origins:
                    origins[new] = source.origins[old]
        return replace(
            source, loss=loss, terms=terms, items=items, rewards=rewards, reference_points=points, labels=labels, origins=origins,
            statistics=statistics,
        )  # fmt: skip

    def node(self, node: Node) -> Node:
        if node not in self.done:
            args = tuple(self.node(a) for a in node.args)
            fields = {"op": node.op, "data": node.data, "slot": node.slot, "axes": node.axes, "tokens": node.tokens}
            if node.op == "number":
                fields["slot"] = ""  # an omitted factor is an ordinary 1 from here on
            rebuilt = self.build.make(**fields, args=args, over=node.over, batch=node.batch)
            self.done[node] = self.simplified(rebuilt)
        return self.done[node]

    def simplified(self, node: Node) -> Node:
        if node.op != "apply":
            return node
        if node.data == "log" and (joined := self.log_of_exponentials(node.args[0])) is not None:
            return joined
        for pattern, replacement, row in _PARSED:
            found: dict[str, Node] = {}
            if matches(pattern, node, found) and all(self.lower_bound(found[name]) for name in row.positive):
                return self.made(replacement, found)
        return node

    def log_of_exponentials(self, inner: Node) -> Node | None:
        """log(mean(exp(x))) and log(sum(exp(x))) over the examples with the largest x outside: exp(-100) is a denormal in float32."""
        if inner.op != "reduce" or inner.data not in ("mean", "total") or inner.over != ("example",) or len(inner.args) > 1:
            return None
        (value,) = inner.args
        if value.op != "apply" or value.data != "exp":
            return None
        (x,), fields = value.args, {"op": "reduce", "over": inner.over, "axes": inner.axes, "batch": inner.batch}
        largest = self.build.make(op="stop", args=(self.build.make(data="largest", args=(x,), **fields),))
        below = self.build.apply("exp", self.build.apply("sub", x, largest))
        return self.build.apply("add", self.build.apply("log", self.build.make(data=inner.data, args=(below,), **fields)), largest)

    def made(self, formula: Formula, found: dict[str, Node]) -> Node:
        if isinstance(formula, Name):
            return found[formula.name]
        if isinstance(formula, Number):
            return self.build.number(formula.value)
        return self.simplified(self.build.apply(formula.function, *(self.made(a, found) for a in formula.arguments)))

    def lower_bound(self, node: Node) -> bool:
        return is_positive(node, self.source.parameters)


def matches(pattern: Formula, node: Node, found: dict[str, Node]) -> bool:
    """Whether `node` has the shape of `pattern`; letters are bound in `found`, `c` and `d` to plain numbers only."""
    if isinstance(pattern, Name):
        if pattern.name in ("c", "d") and not node.plain:
            return False
        return found.setdefault(pattern.name, node) is node
    if isinstance(pattern, Number):
        return node.op == "number" and node.data == pattern.value
    if pattern.function == "neg" and node.op == "number" and node.data < 0:
        return False
    same = node.op == "apply" and node.data == pattern.function and len(node.args) == len(pattern.arguments)
    return same and all(matches(p, a, found) for p, a in zip(pattern.arguments, node.args, strict=True))


def is_positive(node: Node, parameters: dict[str, Parameter]) -> bool:
    """Whether the node is provably > 0 for every declared parameter value (a sufficient test)."""
    row = FUNCTIONS.get(node.data) if node.op == "apply" else None
    if row is not None and row.range[0] == "0" and not row.closed:
        return True
    return _range(node, parameters).positive


def _range(node: Node, parameters: dict[str, Parameter]) -> Span:
    """Of numbers, parameters, and their sums and differences; of anything else nothing is known."""
    if node.op == "number":
        return Span.point(node.data)
    if node.op == "parameter":
        return Span.of(Interval.parse(parameters[node.data].domain))
    if node.op != "apply" or node.data not in ("add", "sub"):
        return REALS
    left, right = (_range(side, parameters) for side in node.args)
    if node.data == "sub":
        return left - right
    return left + right
