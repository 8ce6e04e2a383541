"""Which numbers each node has on one ragged batch, and which numbers of its arguments meet in each of them.

Indices exist where there is something: a completion without tokens is absent from its list, a token from its completion.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from halo.compiler.graph import Node

Key = tuple[int, ...]
"""One number for each axis of a node, in their order: which example, completion, other completion, token."""


@dataclass(frozen=True)
class Row:
    """One completion: a number for each scored token. Floats stand for their exact value.

    columns   numbers from the data by name (`score` is one of them): one number, or one for each token; and the
              full-vocabulary words (`entropy`, ...), one for each token
    """

    logp: Sequence[Any]
    ref_logp: Sequence[Any] = ()
    old_logp: Sequence[Any] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ExactBatch:
    """One effective batch, ragged.

    rows       by slot, for each example its Row; for the slot `completion` of ranked and scored feedback a list of Rows
    desirable  labelled feedback: for each example whether it is
    ranks      ranked and scored feedback: for each example the rank of each completion
    columns    example columns by name: a number for each example
    vocab_size how many tokens the model's head chooses from
    """

    rows: Mapping[str, Sequence[Any]]
    desirable: Sequence[bool] = ()
    ranks: Sequence[Sequence[int]] = ()
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    vocab_size: int = 0

    @property
    def examples(self) -> int:
        """How many examples there are."""
        return len(next(iter(self.rows.values())))

    def holds(self, mask: str, key: Key) -> bool:
        """Whether a mask of the graph holds for a number: its label fits, or the ranks of its two completions."""
        if mask in ("mask", "present", "all"):  # indices exist only where this holds
            return True
        if mask in ("desirable", "undesirable"):
            return bool(self.desirable[key[0]]) == (mask == "desirable")
        own, other = (self.ranks[key[0]][k] for k in key[1:])
        found = {"pairs": own < other, "worse": own < other, "better": own > other, "suffix": own <= other, "others": key[1] != key[2]}
        return found[mask]


class Indices:
    """Of one batch, each found once: they depend on how many completions and tokens there are, not on their numbers."""

    def __init__(self, shape: ExactBatch) -> None:
        self.shape = shape
        self.present = [_present(rows) for rows in shape.rows.get("completion", [()] * shape.examples)]
        self._keys: dict[Node, list[Key]] = {}
        self._picks: dict[Node, Any] = {}

    def keys(self, node: Node) -> list[Key]:
        """Every index the node has a value at."""
        if node not in self._keys:
            self._keys[node] = self._found_keys(node)
        return self._keys[node]

    def _found_keys(self, node: Node) -> list[Key]:
        if node.op in ("view", "stop", "order"):
            return self.keys(node.args[0])
        if node.op == "select":
            where = node.args[0].axes.index("list")
            chosen = [self.selected(str(node.data), b) for b in range(self.shape.examples)]
            return [key[:where] + key[where + 1 :] for key in self.keys(node.args[0]) if key[where] == chosen[key[0]]]
        if node.op in ("input", "mask") and "token" in node.axes:
            outer = self.without_tokens(node.axes[:-1])
            return [(*key, t) for key in outer for t in range(len(row_of(self.shape, node.slot, key).logp))]
        return self.spread(node.axes, node.args)

    def without_tokens(self, axes: Sequence[str]) -> list[Key]:
        """Every index of axes that are not the tokens."""
        if not axes:
            return [()]
        return [(b, *rest) for b in range(self.shape.examples) for rest in itertools.product(*(self.present[b] for _ in axes[1:]))]

    def spread(self, axes: Sequence[str], args: Sequence[Node]) -> list[Key]:
        """Every index of what is made of `args` and has `axes`; the tokens are those of the argument that has some."""
        source = next((a for a in args if "token" in a.axes), None)
        if "token" not in axes or source is None:
            return self.without_tokens(axes)
        missing = [axis for axis in axes if axis not in source.axes]
        result = []
        for key in self.keys(source):
            at = dict(zip(source.axes, key, strict=True))
            for rest in itertools.product(*(self.present[key[0]] for _ in missing)):
                at.update(zip(missing, rest, strict=True))
                result.append(tuple(at[axis] for axis in axes))
        return result

    def selected(self, which: str, b: int) -> int:
        """Index of the first best or worst completion of an example."""
        ranks = self.shape.ranks[b]
        first = min if which == "best" else max  # both keep the first of equals
        return first(self.present[b], key=lambda k: ranks[k])

    def picks(self, node: Node) -> Any:
        """Where the arguments' numbers lie: for each number of an `apply` one of each, of a `reduce` a group of pairs."""
        if node not in self._picks:
            self._picks[node] = self._found_picks(node)
        return self._picks[node]

    def _found_picks(self, node: Node) -> Any:
        index = [{key: i for i, key in enumerate(self.keys(a))} for a in node.args]
        if node.op == "apply":
            return [tuple(at[key] for at, key in zip(index, _projected(node, key), strict=True)) for key in self.keys(node)]
        if node.op == "select":
            where = node.args[0].axes.index("list")
            return [index[0][(*key[:where], self.selected(str(node.data), key[0]), *key[where:])] for key in self.keys(node)]
        axes = [axis for axis in ("example", "list", "other", "token") if any(axis in a.axes for a in node.args)]
        groups: dict[Key, list[tuple[int, int | None]]] = {key: [] for key in self.keys(node)}
        for key in self.spread(axes, node.args):
            at = dict(zip(axes, key, strict=True))
            own = [places[tuple(at[axis] for axis in a.axes)] for places, a in zip(index, node.args, strict=True)]
            groups[tuple(at[axis] for axis in node.axes)].append((own[0], own[1] if len(own) > 1 else None))
        return list(groups.values())


def row_of(batch: ExactBatch, slot: str, key: Key) -> Row:
    """The completion that an index is of."""
    rows: Row | Sequence[Row] = batch.rows[slot][key[0]]
    if isinstance(rows, Row):
        return rows
    return rows[key[1]]


def _present(rows: Any) -> list[int]:
    """Which completions of one example's list have tokens; what is no list has none to tell apart."""
    if not isinstance(rows, Sequence):
        return []
    return [k for k, row in enumerate(rows) if len(row.logp)]


def _projected(node: Node, key: Key) -> list[Key]:
    at = dict(zip(node.axes, key, strict=True))
    return [tuple(at[axis] for axis in a.axes) for a in node.args]
