"""Whether each completion is pulled one way only.

The pull on a role is d loss / d log-probability of any one of its tokens, for all data and all declared parameter values.
It is a sum over the ways in which a token reaches the loss; a direction is proved when each of them has the same sign.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from halo.analysis.identity import named, number, shown
from halo.analysis.kinks import jumps
from halo.analysis.numbers.doubles import DOUBLES
from halo.analysis.points import at_kink, points
from halo.analysis.scalar import variables
from halo.analysis.sign import sign_in_cases, sign_of
from halo.analysis.values import sure_value, values
from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding
from halo.checks.check import Check
from halo.checks.pulls.in_batches import both_ways
from halo.checks.pulls.total import over_inputs, total_pull
from halo.checks.pulls.ways import is_policy_of, outer_sign, pulls, reached_by_gradient, roles, slot_of
from halo.checks.results import Expectation
from halo.checks.scalars.inputs import is_moved_word
from halo.checks.scalars.made_of import MadeOf
from halo.checks.scalars.occurring import can_occur
from halo.checks.subject import Subject
from halo.compiler.graph import Node, Part
from halo.objective.propositions import DIRECTION

POINTS = 200
"""Tried for two of opposite sign. Most losses that pull both ways do so among the first dozen."""
SURELY = 1e-20
"""A slope below this, of a value known to 60 digits, may as well be 0 where large terms cancel."""


def ask(subject: Subject) -> Iterator[Finding]:
    """Of each role: `up` where raising its log-probability never raises the loss."""
    for role, slot, parts in roles(subject):
        yield _of_role(subject, role, slot, parts)


def held(subject: Subject, wanted: dict[str, str], found: Sequence[Finding]) -> Iterator[Expectation]:
    """The way that is expected of each role, against the way that was found."""
    ways = {finding.check: finding.value or finding.verdict for finding in found}
    for role, way in wanted.items():
        name = _name(role)
        value = ways.get(name, "no such direction")
        yield Expectation(name, way, value, value == way)


def _name(role: str) -> str:
    return f"{DIRECTION.name}.{role}"


def _of_role(subject: Subject, role: str, slot: str, parts: list[Part]) -> Finding:
    check, words = _name(role), _moved_words(subject, slot, parts)
    if words:
        reason = f"{role} also moves {', '.join(words)}, with a gradient: the sign of d loss / d log π({role}) alone is no direction"
        return Finding(check, UNDECIDED, reason, None, role)
    both = _both_ways(subject, role, slot, parts)  # two points are found sooner than a proof that there are none
    if both:
        reason = f"pulled both ways: d loss/d log π({role}) = {both['slope up']} and {both['slope down']} at two points"
        return Finding(check, REFUTED, reason, "both", role, both)
    signs, steps = _signs(subject, role, slot, parts)
    if signs <= {0}:
        way, reason = "none", f"the loss has no gradient in {role}"
    elif signs <= {0, -1}:
        way, reason = "up", f"raising log π({role}) never raises the loss"
    elif signs <= {0, 1}:
        way, reason = "down", f"raising log π({role}) never lowers the loss"
    else:
        both = both_ways(subject, role, slot)
        if both:
            reason = (
                f"pulled both ways: d loss/d log π({role}) = {both['slope up']} and {both['slope down']} in two batches, or of two tokens"
            )
            return Finding(check, REFUTED, reason, "both", role, both)
        return Finding(check, UNDECIDED, f"no proof that {role} is pulled one way, and no two points that pull it both ways", None, role)
    if any(_jumps(subject, part, slot) for part in parts):
        reason += "; at a jump, which no gradient sees, the loss may go either way"
    return Finding(check, PROVED, reason, way, role, steps=steps)


def _jumps(subject: Subject, part: Part, slot: str) -> bool:
    """Whether the item may jump as the completion's log-probability moves."""
    view, slot = subject.view, slot_of(part, slot)
    return jumps(view.s, view.unstopped(view.whole(part)), lambda v: is_policy_of(v, slot) or v.op == "reduce", view.box)


def _signs(subject: Subject, role: str, slot: str, parts: list[Part]) -> tuple[set[int | None], tuple[str, ...]]:
    """The sign of every way in which the role pulls, and how it was found; None alone, as soon as one is not decided."""
    box, signs, steps = subject.view.box, set[int | None](), list[str]()
    for part in parts:
        outer = outer_sign(subject.compiled.declared, subject, part)
        of = part.name if part.role == role else f"{part.name} ({part.role})"
        for pull in pulls(subject, part, slot, role):
            found = sign_in_cases(subject.view.s, pull, box)
            if found is None:
                found = _sign_over_inputs(subject, over_inputs(subject, part, pull))
            if found is None or outer is None:
                return {None}, ()
            signs.add(found * outer)
            steps.append(f"d {of}/d log π({role}) = {shown(pull)}: {_SAID[found]}")
    return signs, tuple(steps)


def _sign_over_inputs(subject: Subject, pull: Node) -> int | None:
    """The sign of a pull, for what its reductions are made of."""
    forms = MadeOf(subject.view).rewritten(subject.view.unstopped(pull))
    return next((sign for sign in (sign_of(form, box) for form, box in forms) if sign is not None), None)


_SAID = {1: ">= 0", -1: "<= 0", 0: "0", None: "not decided"}


def _moved_words(subject: Subject, slot: str, parts: list[Part]) -> list[str]:
    """The full-vocabulary words of a completion that have a gradient in the loss: raising its log-probability moves them too."""
    found: dict[str, None] = {}
    for part in parts:
        pending = [subject.view.whole(part)]
        while pending:
            for leaf in reached_by_gradient(pending.pop()):
                if leaf.op == "reduce":
                    pending.append(leaf.args[0])
                if is_moved_word(leaf) and (leaf.slot == slot_of(part, slot) or subject.view.is_list):
                    found[shown(leaf)] = None
    return list(found)


# -- two points ------------------------------------------------------------------------------------------------------------


def _both_ways(subject: Subject, role: str, slot: str, parts: list[Part]) -> dict[str, str]:
    """Two points with pulls of opposite sign: of the whole where that is one scalar, else of a single part's items."""
    pull = total_pull(subject, slot, parts, role)
    if pull is None and len(parts) == 1:
        ways = pulls(subject, parts[0], slot, role)
        if len(ways) == 1:
            pull = over_inputs(subject, parts[0], ways[0])
    if pull is None:
        return {}
    items = [subject.view.unstopped(subject.view.whole(part)) for part in parts]
    return _opposite(subject, subject.view.unstopped(pull), items)


def _opposite(subject: Subject, pull: Node, items: list[Node]) -> dict[str, str]:
    """Two points where the loss has a value and the slope is surely above and below 0."""
    names = list(dict.fromkeys(v for node in (pull, *items) for v in variables(node)))
    seen: dict[int, tuple[dict[Node, Any], Any]] = {}
    for point in points(subject.view.box, names, POINTS, subject.view.first):
        if not can_occur(point, subject.view.box):
            continue
        rough = float(values([pull], point, DOUBLES)[pull])
        if rough == 0 or (1 if rough > 0 else -1) in seen or rough != rough:
            continue
        if any(at_kink(node, point) for node in (pull, *items)):  # the slope there is a convention
            continue
        value = sure_value(pull, point)
        if value is not None and abs(value) > SURELY and all(sure_value(item, point) is not None for item in items):
            seen.setdefault(1 if value > 0 else -1, (dict(point), value))
        if len(seen) == 2:
            return _witness(*seen[-1], *seen[1])
    return {}


def _witness(up: dict[Node, Any], slope_up: Any, down: dict[Node, Any], slope_down: Any) -> dict[str, str]:
    both = {f"{name} (up)": value for name, value in named(up).items()}
    both |= {f"{name} (down)": value for name, value in named(down).items()}
    return both | {"slope up": number(slope_up), "slope down": number(slope_down)}


CHECK = Check(DIRECTION, ask, held=held)
