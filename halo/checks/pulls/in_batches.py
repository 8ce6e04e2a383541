"""Two tokens of whole batches whose log-probs pull the loss opposite ways: what one scalar of an example does not show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import islice
from typing import Any

from halo.analysis.identity import number, shown
from halo.analysis.numbers.doubles import DOUBLES
from halo.analysis.points import at_kink, points
from halo.analysis.scalar import variables
from halo.analysis.values import sure_value, values
from halo.checks.scalars.batch.inside import batches
from halo.checks.scalars.batch.whole_batch import WholeBatch
from halo.checks.subject import Subject
from halo.compiler.graph import Node

BATCHES, POINTS, TOKENS = 8, 24, 4
"""Small batches that are written out, points of each, and tokens whose slopes are looked at there."""
SURELY, CLEAR = 1e-20, 1e-9
"""As in `direction`: of a value known to 40 digits. What autograd shows in float64 as well is told first."""

Seen = dict[int, dict[str, str]]
RANKS = {"best": 1, "worst": 2}


def both_ways(subject: Subject, role: str, slot: str) -> dict[str, str]:
    """The witness of two slopes of opposite sign, or nothing."""
    view, seen, clear = subject.view, Seen(), Seen()
    label = role if role in subject.feedback.labels else ""
    lists_of = 2 if role in RANKS else None
    for batch in islice(batches(view, label=label, lists_of=lists_of), BATCHES):
        own = subject.feedback.completions[0] if view.is_list and slot in ("chosen", "rejected", "completion") else slot
        tokens = list(islice(batch.tokens(own, label, RANKS.get(role, 0)), TOKENS))
        for sign, witness in _slopes(batch, tokens):
            seen.setdefault(sign, witness)
            if abs(float(witness["slope"])) > CLEAR:
                clear.setdefault(sign, witness)
            if len(clear) == 2:
                return _told(clear)
    if len(seen) == 2:
        return _told({**seen, **clear})
    return {}


def _told(seen: Seen) -> dict[str, str]:
    up, down = ({f"{name} ({way})": x for name, x in seen[sign].items()} for way, sign in (("up", -1), ("down", 1)))
    return up | down | {"slope up": seen[-1]["slope"], "slope down": seen[1]["slope"]}


def _slopes(batch: WholeBatch, tokens: list[Node]) -> Iterator[tuple[int, dict[str, str]]]:
    """The sign of a token's slope, wherever it surely has one."""
    view, loss = batch.view, batch.loss
    value, slopes = view.unstopped(loss), {token: view.unstopped(view.s.derivative(loss, token)) for token in tokens}
    names = list(dict.fromkeys(v for node in (value, *slopes.values()) for v in variables(node)))
    for point in points(batch.box, names, POINTS, view.first):
        rough = values(list(slopes.values()), point, DOUBLES)
        for token, slope in slopes.items():
            if abs(rough[slope]) > 0 and not at_kink(value, point):  # the slope at a kink is a convention
                yield from _sign(batch, token, slope, value, point)


def _sign(batch: WholeBatch, token: Node, slope: Node, loss: Node, point: Mapping[Node, Fraction]) -> Iterator[tuple[int, dict[str, str]]]:
    found: Any = sure_value(slope, point)
    if found is None or abs(found) <= SURELY or sure_value(loss, point) is None:
        return
    yield 1 if found > 0 else -1, batch.told(dict(point)) | {"token": shown(token), "slope": number(found)}
