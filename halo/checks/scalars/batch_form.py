"""How the loss of a batch is made of its examples: is it their mean, or does one change what another weighs?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from halo.compiler.graph import Node, topological

Form = Literal["examples", "items", "coupled"]
"""`examples`  a sum or mean over examples of the loss that each has alone
`items`     a mean over the items of all examples: each weighs as many as it has
`coupled`   anything else, such as a batch mean inside the items"""


def form_of(term: Node) -> Form:
    """That of a term, or of a sum of terms."""
    if any(_couples(node) for node in topological([term])):
        return "coupled"
    forms = {_form_of_one(one) for one in _added(term)}
    return next(form for form in ("coupled", "items", "examples") if form in forms)


def counts_tokens(term: Node) -> bool:
    """Whether a mean over the batch divides by a number of tokens: then a long answer weighs more."""
    return any(
        node.op == "reduce" and {"example", "token"} <= set(node.over) and node.data in ("mean", "count") for node in topological([term])
    )


def crossings(outputs: list[Node]) -> list[Node]:
    """What is reduced or sorted over the examples, by the final reduction too."""
    return [node for node in topological(outputs) if node.op in ("reduce", "order") and "example" in node.over]


def is_a_sum(loss: Node) -> bool:
    """Whether some term is added up over the examples and not divided by their number."""
    return any(map(_is_total, _added(loss)))


def _couples(node: Node) -> bool:
    return node.batch or node.op == "statistic"


def _added(node: Node) -> Iterator[Node]:
    """The summands of a sum."""
    if node.op == "apply" and node.data == "add" and not node.axes:
        for argument in node.args:
            yield from _added(argument)
    else:
        yield node


def _form_of_one(term: Node) -> Form:
    if term.op == "apply" and term.data == "div" and all(map(_is_total, _added(term.args[0]))):
        if term.args[1].op == "examples":
            return "examples"
        return "items"
    if _is_total(term):
        return "examples"
    if term.op == "reduce" and term.data == "mean":
        return "items"
    return "coupled"


def _is_total(node: Node) -> bool:
    return node.op == "reduce" and node.data == "total"
