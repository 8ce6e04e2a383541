"""Unit inference: nothing is annotated, tokens are counted.

A nat counts as 1, a token log-probability is per token, `sum` adds a token, `length` is one. Every parameter, and every
omitted normalizer or weight, has an unknown power of tokens; sums, comparisons and `sigmoid` give linear equations for
them. What has no solution is a mistake: a sum added to a mean, or one parameter used for both.
"""

from __future__ import annotations

from fractions import Fraction

from halo.compiler.graph import LossGraph, Node, topological
from halo.errors import ObjectiveError, Place
from halo.objective.vocabulary import FUNCTIONS, INPUTS

Form = dict[str, Fraction]
"""A linear form: coefficients of the unknowns, and of "" for the constant. None stands for "fits any unit"."""


def infer(graph: LossGraph) -> dict[str, Fraction | None]:
    """The power of tokens each parameter carries (None: not determined). Raises ObjectiveError for a contradiction."""
    return _Inference(graph).run()


def power_of(graph: LossGraph, node: Node) -> Fraction:
    """The power of tokens that a node carries, 0 where it is not determined."""
    inference = _Inference(graph)
    inference.run()
    form = inference.forms.get(node) or {}
    return inference.reduced(form).get("", Fraction(0))


class _Inference:
    def __init__(self, graph: LossGraph) -> None:
        self.graph = graph
        self.solved: dict[str, Form] = {}
        self.forms: dict[Node, Form | None] = {}

    def run(self) -> dict[str, Fraction | None]:
        nodes = topological(self.graph.everything())  # what a statistic observes stands before its uses
        users: dict[Node, Node] = {}
        for node in nodes:
            for argument in node.args:
                users.setdefault(argument, node)
        self.users = users
        for node in nodes:
            self.forms[node] = self.form(node)
        self._check_rewards()
        return {name: self._power(name) for name in self.graph.parameters}

    def _power(self, name: str) -> Fraction | None:
        """What the equations say of one parameter, once all of them are there."""
        form = self.reduced({name: Fraction(1)})
        if set(form) <= {""}:
            return form.get("", Fraction(0))
        return None

    def form(self, node: Node) -> Form | None:
        forms = [self.forms[a] for a in node.args]
        if node.op == "number" and node.slot:
            return {node.slot: Fraction(1)}
        if node.op == "number":
            return None
        if node.op == "parameter":
            return {node.data: Fraction(1)}
        if node.plain and all(form is None for form in forms):
            return None  # log(2) and log(vocab_size) are as good as a literal
        if node.op == "statistic":
            return self.forms[self.graph.statistics[node.data].observed]
        if node.op == "input":
            return _of_input(str(node.data))
        if node.op == "reduce":
            return self.added(node, forms[0])
        if node.op in ("view", "select", "stop") or (node.op == "order" and node.data == "sort"):
            return forms[0]
        if node.op == "apply":
            return self.applied(node, forms)
        return {}  # a rank is a count of completions, no length

    def added(self, node: Node, form: Form | None) -> Form | None:
        """A sum over tokens has one token more than what it adds; every other reduction keeps the unit."""
        sums_tokens = node.over == ("token",) and node.data == "total" and node.args[0].tokens
        if form is None or not sums_tokens or self._is_final(node):
            return form
        return _plus(form, {"": Fraction(1)})

    def _is_final(self, node: Node) -> bool:
        """A token sum of `reduce:` acts on losses, whatever their unit; it is no quantity of a formula."""
        return node not in self.graph.labels and node.args[0] in self.graph.items.values()

    def applied(self, node: Node, forms: list[Form | None]) -> Form | None:
        if node.data in ("mul", "div"):
            left, right = (form or {} for form in forms)
            return _plus(left, right, 1 if node.data == "mul" else -1)
        if node.data == "pow":
            return _of_power(forms[0], node.args[1])
        if node.data in ("only", "at_least_one", "and"):
            return forms[-1]
        unit = FUNCTIONS[node.data].unit
        if unit == "pure":
            self.equal(forms[0], {}, node, f"{node.slot or node.data} wants a pure number", pure=True)
        if unit == "kept":
            return forms[0]
        if unit == "shared":
            return self.shared(node, forms)
        if node.tokens:
            return None  # exp(logp) - logp - 1: of one token, a ratio goes with anything
        return {}

    def shared(self, node: Node, forms: list[Form | None]) -> Form | None:
        """The unit that all arguments must have in common. The condition of a `where` has one of its own."""
        branches = forms[1:] if node.data == "where" else forms
        first: Form | None = None
        for form in branches:
            self.equal(first, form, node, _SAID.get(node.data, f"{node.data} compares"))
            if first is None:
                first = form
        return first

    def equal(self, left: Form | None, right: Form | None, node: Node, what: str, pure: bool = False) -> None:
        """Adds the equation left = right, solving it for one unknown; `pure`: right is no quantity of the formula but what is wanted."""
        if left is None or right is None:
            return
        difference = self.reduced(_plus(left, right, -1))
        unknowns = sorted(name for name in difference if name)
        if unknowns:
            pivot = unknowns[0]
            factor = -difference.pop(pivot)
            self.solved[pivot] = {name: value / factor for name, value in difference.items()}
        elif difference.get("", 0) != 0:
            a, b = self.reduced(left), self.reduced(right)
            if not pure:
                both = "take sum(...) of both or mean(...) of both, or give each its own parameter"
                raise self.error(node, f"{what} {_words(a)} and {_words(b)}", both)
            hint = "take mean(...), or divide by a length"
            if a.get("") == 1:
                hint = "multiply the length by a parameter, which then counts per token"
            raise self.error(node, f"{what}, not {_words(a)}", hint)

    def reduced(self, form: Form) -> Form:
        result: Form = {}
        for name, value in form.items():
            expansion = {name: Fraction(1)}
            if name in self.solved:
                expansion = self.reduced(self.solved[name])
            result = _plus(result, {inner: value * factor for inner, factor in expansion.items()})
        return {name: value for name, value in result.items() if value}

    def _check_rewards(self) -> None:
        for node in self.graph.rewards.values():
            form = self.forms[node] or {}
            if form.get("", 0) <= -2:
                hint = "mean(...) divides by the length already: take sum(...) or drop the length from the normalizer"
                raise self.error(node, "the length is divided out twice in the reward", hint)

    def error(self, node: Node, message: str, hint: str) -> ObjectiveError:
        """The mistake at the nearest enclosing key of the file."""
        current: Node | None = node
        while current is not None and current not in self.graph.origins:
            current = self.users.get(current)
        place = Place(self.graph.name)
        if current is not None:
            place = self.graph.origins[current].place
        return ObjectiveError("wrong-unit", message, place=place, hint=hint)


_SAID = {"add": "adds", "sub": "subtracts", "where": "chooses between"}


def _of_input(name: str) -> Form:
    """A word of the vocabulary has its unit; a column, scores among them, one of its own that nobody knows."""
    if name in INPUTS and name != "score":
        return {"": Fraction(INPUTS[name].unit)}
    return {f"column {name}": Fraction(1)}


def _of_power(base: Form | None, exponent: Node) -> Form | None:
    """The unit of base ** exponent: a power that is no literal wants a pure number."""
    if base is None:
        return None
    if exponent.op != "number":
        return {}
    return {name: value * exponent.data for name, value in base.items()}


def _plus(left: Form, right: Form, factor: int = 1) -> Form:
    names = set(left) | set(right)
    return {n: total for n in names if (total := left.get(n, Fraction(0)) + factor * right.get(n, Fraction(0)))}


def _words(form: Form) -> str:
    """A unit in words."""
    power = form.get("", Fraction(0))
    known = {Fraction(0): "a sum over tokens (or a pure number)", Fraction(-1): "an average per token", Fraction(1): "a length in tokens"}
    return known.get(power, f"a quantity in tokens**{power}")
