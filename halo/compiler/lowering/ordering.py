"""Words that keep the element: its rank or share among the completions of its list, its place in the sorted batch.

A share of a list needs no node of its own: with R the logsumexp over the *other* completions, softmax(x) is
sigmoid(x - R) and its logarithm logsigmoid(x - R). Written so it keeps its digits where one completion has everything
(1e-200 of a share is no 0), and whatever knows sigmoid and list_logsumexp knows it.
"""

from __future__ import annotations

from collections.abc import Iterable

from halo.compiler.graph import Node
from halo.compiler.lowering.context import Context, Site
from halo.objective.feedback import list_kinds
from halo.objective.formula import Call
from halo.objective.vocabulary import PLACINGS, Placing


def placed(of: Context, formula: Call, site: Site) -> Node:
    """Lowers a word of `PLACINGS`. Raises ObjectiveError where its argument is not one number for each element."""
    of.check_arity(formula, (1, 1), site)
    word = PLACINGS[formula.function]
    if word.over == "list":
        return _in_list(of, word, formula, site)
    return _in_batch(of, word, formula, site)


def _in_list(of: Context, word: Placing, formula: Call, site: Site) -> Node:
    name = formula.function
    if not of.is_list:
        raise of.fail("wrong-level", f"{name}() needs {list_kinds()} feedback", site.path, formula.offset, "there is no list to stand in")
    populations: set[str] = set()
    value = of.expression(formula.arguments[0], of.inner_site(site, populations))
    if populations or value.axes != ("example", "list"):
        what = f"not one {_counted(value)}"
        if populations:
            what = f"and {', '.join(sorted(populations))} ranges over others"
        message = f"{name}() wants one number for each completion of the list, {what}"
        hint = f"write it of the completion at hand, as in let: {{place: {name}(reward)}}, and then place, rejected.place, worse.place"
        raise of.fail("wrong-level", message, site.path, formula.offset, hint)
    present = of.member_mask("completion")
    if word.order:
        rank = of.build.order(word.order, value, present, "list")
        return of.build.make(op="stop", args=(rank,), axes=rank.axes)  # a count: ties included, nothing pulls on it
    others = of.build.make(op="mask", data="others", axes=("example", "list", "other"))
    rest = of.build.reduce("logsumexp", of.build.view(value), others, ("other",))
    odds = of.build.apply("sub", value, rest)
    return of.build.make(op="apply", args=(odds,), data=word.function, slot=name, axes=odds.axes)


def _in_batch(of: Context, word: Placing, formula: Call, site: Site) -> Node:
    value = of.expression(formula.arguments[0], site)
    if value.axes != ("example",) or rowless([value]):
        what = f"one {_counted(value)}"
        if rowless([value]):
            what = "what is sorted already"
        hint = "such as batch_sort(sum(logp)); in a list name one completion: best.reward"
        raise of.fail("wrong-level", f"{formula.function}() wants one number for each example, not {what}", site.path, formula.offset, hint)
    return of.build.order(word.order, value, None, "example")


def _counted(value: Node) -> str:
    """What there is one number for."""
    other = "pair" if "list" in value.axes else "other completion"
    for axis, name in (("token", "token"), ("other", other), ("list", "completion"), ("example", "example")):
        if axis in value.axes:
            return f"for each {name}"
    return "for the whole batch"


def rowless(nodes: Iterable[Node]) -> bool:
    """Whether one of the nodes is in the order of a sort."""
    return any((node.op == "order" and node.data == "sort") or (node.op in ("apply", "stop") and rowless(node.args)) for node in nodes)


def of_rows(nodes: Iterable[Node]) -> bool:
    """Whether one of the nodes has a number for each row, in the rows' own order."""
    return any("example" in node.axes and not rowless([node]) for node in nodes)
