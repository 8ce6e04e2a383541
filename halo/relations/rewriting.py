"""Scalars of a side rewritten: moved to other slots, to one token, without what is stopped; and what of them is the policy's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial, reduce
from types import MappingProxyType
from typing import Any

from halo.analysis.ranges import Span
from halo.analysis.scalar import topological_scalar
from halo.checks.scalars.inputs import SUM_OF, SUMMED, is_policy
from halo.checks.scalars.view import View
from halo.compiler.graph import Node, topological
from halo.compiler.graph_text import text


class Unreadable(Exception):
    """The loss has a form that cannot be taken apart here; the message says which."""


class Incomparable(Unreadable):
    """They take different examples; the message says which."""


def masks_in(node: Node) -> str:
    """Which items are there, as text: the masks that a reduction or count uses."""
    found = {text(n.args[1], {}) for n in topological([node]) if n.op == "reduce" and len(n.args) > 1}
    found |= {text(n.args[0], {}) for n in topological([node]) if n.op == "apply" and n.data == "only"}
    return "; ".join(sorted(found))


def moved(view: View, node: Node, slots: Mapping[str, str]) -> Node:
    """The scalar with its quantities read from other slots."""
    inputs = [n for n in topological([node]) if n.op == "input" and n.slot in slots]
    return rewritten(view, node, {n: _in_slot(view, n, slots[n.slot]) for n in inputs}, slots)


def _in_slot(view: View, node: Node, slot: str) -> Node:
    return view.declare(view.s.variable(node.data, slot, node.axes), view.box[node])


def rewritten(view: View, node: Node, values: Mapping[Node, Node], slots: Mapping[str, str] = MappingProxyType({})) -> Node:
    """The scalar with variables replaced, also inside opaque reductions (over the tokens of `slots`, renamed)."""
    done: dict[Node, Node] = dict(values)

    def visit(current: Node) -> Node:
        if current not in done:
            done[current] = _rebuilt(view, current, tuple(visit(a) for a in current.args), slots)
        return done[current]

    return visit(node)


def _rebuilt(view: View, node: Node, arguments: tuple[Node, ...], slots: Mapping[str, str]) -> Node:
    if all(a is b for a, b in zip(arguments, node.args, strict=True)):
        return node
    if node.op == "apply":
        return view.s.call(node.data, *arguments)
    fields: dict[str, Any] = {"op": node.op, "data": node.data, "args": arguments, "batch": node.batch, "axes": node.axes}
    new = view.s.make(**fields, slot=slots.get(node.slot, node.slot))
    if node in view.box:
        view.declare(new, view.box[node])
    return new


def attached(node: Node) -> list[Node]:
    """What a gradient reaches: policy quantities, and opaque reductions that hold some, outside `stop`."""
    found: dict[Node, None] = {}

    def visit(current: Node) -> None:
        if current.op == "stop":
            return
        if is_policy(current) or (current.op == "reduce" and any(is_policy(n) for a in current.args for n in _outside_stop(a))):
            found[current] = None
        elif current.op == "apply":
            for argument in current.args:
                visit(argument)

    visit(node)
    return list(found)


def _outside_stop(node: Node) -> list[Node]:
    found = [node]
    if node.op != "stop":
        for argument in node.args:
            found += _outside_stop(argument)
    return found


def stops(node: Node) -> list[Node]:
    """The detached quantities of a scalar, inner ones first."""
    return [n for n in topological_scalar(node) if n.op == "stop"]


def one_token(view: View, node: Node) -> Node:
    """The loss on completions of one token each, where every sum over tokens is its only summand. Raises Unreadable."""
    return _written_out(view, node, [_only_token])


def two_tokens(view: View, node: Node) -> Node:
    """The loss on completions of two tokens, of which the first is known: the variables are of the second. Raises Unreadable.

    The place of the first token is all that two completions share, so that the vocabulary's words of the second are free of each other.
    """
    return _written_out(view, node, [_first_token, _second_token])


def _written_out(view: View, node: Node, tokens: Sequence[Callable[[View, Node], Node]]) -> Node:
    s, count = view.s, view.s.number(len(tokens))
    inputs = [n for n in topological([node]) if n.op == "input"]
    by_token = [{n: token(view, n) for n in inputs if "token" in n.axes} for token in tokens]
    found = {n: count for n in inputs if n.data == "length"}
    for n in inputs:
        if "token" not in n.axes and (n.data in SUMMED.values() or str(n.data).startswith(SUM_OF)):
            found[n] = reduce(partial(s.call, "add"), [token(view, n) for token in tokens])
    for inner in topological([node]):
        if inner.op == "reduce":
            if inner.batch or inner.data not in ("total", "mean"):
                raise Unreadable(f"{inner.data} of a quantity that is not written out")
            whole = reduce(partial(s.call, "add"), [rewritten(view, inner.args[0], {**found, **token}) for token in by_token])
            found[inner] = s.call("div", whole, count) if inner.data == "mean" else whole
    return rewritten(view, node, {**by_token[-1], **found})


def _only_token(view: View, node: Node) -> Node:
    """What is left of a quantity of a token, or of its sum."""
    name = str(node.data)
    if name in ("position", SUMMED["position"]):
        return view.s.number(1)
    summed = view.s.variable(SUMMED.get(name, name if name in SUMMED.values() or name.startswith(SUM_OF) else f"{SUM_OF}{name}"), node.slot)
    if summed in view.box:
        return summed
    return view.declare(summed, view.box[node])


def _second_token(view: View, node: Node) -> Node:
    if node.data in ("position", SUMMED["position"]):
        return view.s.number(2)
    return _only_token(view, node)


def _first_token(view: View, node: Node) -> Node:
    """What is known of the first token: its place is the same under policy and reference. A column has any number of its range."""
    names = {summed: name for name, summed in SUMMED.items()}
    name = names.get(str(node.data), str(node.data).removeprefix(SUM_OF))
    if name in FIRST_TOKEN:
        return view.s.number(FIRST_TOKEN[name])
    return view.s.number(_inside(view.box[node]))


def _inside(span: Span) -> Fraction:
    """A number of a range: 1, where that belongs to it."""
    if Fraction(1) in span:
        return Fraction(1)
    if span.bounded:
        return (Fraction(span.low) + Fraction(span.high)) / 2
    return Fraction(span.low) + 1 if span.low > 0 else Fraction(span.high) - 1


FIRST_TOKEN = {"logp": Fraction(-1), "ref_logp": Fraction(-1), "old_logp": Fraction(-1), "position": Fraction(1),
               "entropy": Fraction(2), "ref_entropy": Fraction(2), "log_sum_sq_probs": Fraction(-129, 100),
               "kl_ref_policy": Fraction(0), "kl_policy_ref": Fraction(0)}  # fmt: skip
"""Of a place where two tokens have the share 1/e each, as both completions may begin with one of them. What is left, 0.264, is one token
of a quarter of it and fifty equal ones."""
