"""Whether everything that is declared influences the loss."""

from __future__ import annotations

from collections.abc import Iterator

from halo.analysis.identity import is_free_of
from halo.analysis.scalar import Scalars, inner_variables, variables
from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding
from halo.checks.check import Check
from halo.checks.scalars.inputs import SUM_OF, SUMMED
from halo.checks.scalars.view import View
from halo.checks.subject import Subject
from halo.compiler.graph import Node, Part, topological
from halo.objective.propositions import REACH


def ask(subject: Subject) -> Iterator[Finding]:
    """Every declared role, parameter, column and term influences the loss."""
    items = {part: subject.view.unstopped(subject.view.whole(part)) for part in subject.parts}
    idle, doubtful = [], []
    for what, kind, names in _declared(subject):
        carried, unsure = _carried(subject, names)
        names = names | carried
        verdicts = [_reaches(subject, items[part], part, names) for part in items]
        if verdicts.count(True) > 1:
            verdicts = [_reaches_the_sum(subject, items, names)]
        nowhere = all(verdict is False for verdict in verdicts)
        if nowhere and unsure:
            doubtful.append(f"{kind} {what} (in a statistic)")
        elif nowhere and _outside(subject, what, list(subject.parts)):
            doubtful.append(f"{kind} {what} (outside the items)")
        elif nowhere:
            idle.append(f"{kind} {what}")
        elif True not in verdicts:
            doubtful.append(f"{kind} {what}")
    idle += [f"term {part.name}" for part, item in items.items() if not inner_variables(item)]
    idle = list(dict.fromkeys(idle))
    if idle:
        yield Finding(REACH.name, REFUTED, f"nothing reaches the loss from {', '.join(idle)}", ", ".join(idle))
    elif doubtful:
        yield Finding(REACH.name, UNDECIDED, f"no point was found where {', '.join(doubtful)} matters")
    else:
        yield Finding(REACH.name, PROVED, "every declared role, parameter and term influences the loss")


def _carried(subject: Subject, names: set[str]) -> tuple[set[str], bool]:
    """The running statistics that something goes into, and whether that is unsure of others: what it carries reaches the loss with it."""
    view, found, unsure = subject.view, set[str](), False
    for name, statistic in subject.compiled.declared.statistics.items():
        observed = view.unstopped(view.scalar(statistic.observed.args[0], view.generic(subject.parts[0])))
        depends = _depends(view.s, view, observed, names | found)
        if statistic.decay in names or depends is True:
            found.add(name)
        unsure = unsure or depends is None
    return found, unsure


def _outside(subject: Subject, name: str, parts: list[Part]) -> bool:
    """Whether a parameter stands in what is done with the items, such as an outer function over the batch."""
    inner = set(topological([part.item for part in parts]))
    return any(n.op == "parameter" and n.data == name and n not in inner for n in topological([subject.compiled.declared.loss]))


def _declared(subject: Subject) -> Iterator[tuple[str, str, set[str]]]:
    declaration = subject.compiled.objective.declaration
    for name in declaration.parameters:
        yield name, "the parameter", {name}
    for name in declaration.columns:
        yield name, "the column", {name}
    if subject.feedback.is_pair:
        for role in subject.feedback.completions:
            yield role, "the role", {f"{role}."}
    for role in declaration.roles:
        yield role, "the role", {f"{role}."}


def _reaches(subject: Subject, item: Node, part: Part, names: set[str]) -> bool | None:
    """As `_depends`; what reductions hide is asked of a batch of one example whose completions have one token each.

    So is what a batch shares: the mean of a batch is no free number beside the example it is compared with.
    """
    s, view = subject.view.s, subject.view
    found = _depends(s, view, item, names)
    hidden = [v for v in variables(item) if v.op == "reduce"]
    if (found is None and hidden) or (found and any(v.batch for v in hidden)):
        alone = view.variant(alone=True)
        found = _depends(s, view, _one_token(s, alone.unstopped(alone.whole(part))), names) or None
    return found


def _reaches_the_sum(subject: Subject, items: dict[Part, Node], names: set[str]) -> bool | None:
    """As `_depends`, of all parts together: what reaches several of them may cancel in their sum.

    The loss of one example is asked. It says nothing against what a batch shares, whose mean is then the example's own.
    """
    s, view = subject.view.s, subject.view
    if any(v.batch for item in items.values() for v in variables(item)):
        return True
    verdicts = []
    for label in subject.labels:
        loss = view.unstopped(view.alone_loss(label))
        found = _depends(s, view, loss, names)
        if found is None:
            found = _depends(s, view, _one_token(s, loss), names) or None
        if found:
            return True
        verdicts.append(found)
    if None in verdicts:
        return None
    return False


def _one_token(s: Scalars, item: Node) -> Node:
    """The item where every completion has one token: a sum over tokens is its only summand."""
    summed = {name: word for word, name in SUMMED.items()}
    swap: dict[Node, Node] = {}
    for v in variables(item):
        if v.op == "reduce" and v.slot and v.data in ("total", "mean", "largest", "smallest"):
            swap[v] = _one_token(s, v.args[0])
        elif v.op == "input" and v.data == "length":
            swap[v] = s.number(1)
        elif v.op == "input" and (v.data in summed or v.data.startswith(SUM_OF)):
            swap[v] = s.variable(summed.get(v.data, v.data.removeprefix(SUM_OF)), v.slot, ("token",))
    return s.substitute(item, swap)


def _depends(s: Scalars, view: View, item: Node, names: set[str]) -> bool | None:
    """True: a point where it matters; False: it provably does not; None: neither."""
    result: bool | None = False
    for v in variables(item):
        if v.op == "reduce":
            result = _through(s, view, item, v, names, result)
            if result:
                return True
            continue
        if not _named(v, names):
            continue
        verdict = is_free_of(s, item, v, view.box)
        if verdict is False:
            return True
        if verdict is None:
            result = None
    return result


def _through(s: Scalars, view: View, item: Node, reduction: Node, names: set[str], so_far: bool | None) -> bool | None:
    """As `_depends`, through an opaque reduction alone: what stands elsewhere too may cancel, as in the sign of beta (r - mean)."""
    if not any(_named(w, names) for w in inner_variables(reduction)):
        return so_far
    alone = not any(_named(w, names) for v in variables(item) if v is not reduction for w in [v, *inner_variables(v)])
    if alone and is_free_of(s, item, reduction, view.box) is False:
        return True
    return None


def _named(variable: Node, names: set[str]) -> bool:
    return variable.data in names or f"{variable.slot}." in names


CHECK = Check(REACH, ask)
