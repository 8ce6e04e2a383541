"""The `reduce` chain: items of one or several roles -> one number.

`reduce` lists axes, finest first, each `sum` or `mean`. A mean divides by the count of the term's own items at that step,
except `examples`, which counts every example of the batch. Weights never enter a denominator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from halo.compiler.graph import AXES, Builder, Node
from halo.errors import ObjectiveError

STEPS = ("tokens", "pairs", "completions", "examples")
Fail = Callable[..., ObjectiveError]


@dataclass(frozen=True)
class Group:
    """The items of one role: `item` is 0 where there is none, `mask` says which exist (None: all)."""

    role: str
    item: Node
    mask: Node | None


def reduce_groups(
    build: Builder, groups: list[Group], chain: dict[str, str] | None, several: bool, fail: Fail, last_step: Callable[[str, Node], Node]
) -> Node:
    """One number from all groups. `several`: the items of one example are several completions, in groups of their own."""
    level = _level(groups, several)
    if "example" not in {axis for g in groups for axis in g.item.axes}:
        raise fail("wrong-level", "the formula does not depend on any completion")
    steps = list((chain or {"examples": "mean"}).items())
    _check(steps, level, fail)
    for (step, way), following in zip(steps, [*(step for step, _ in steps[1:]), None], strict=True):
        target = _target_axes(following, groups)
        if following in ("completions", "pairs"):
            groups = [_within(build, group, way, target) for group in groups]
        elif step == "examples" and way not in ("sum", "mean"):
            per_example = _merged(build, groups, "sum", ("example",), False)
            result = last_step(way, per_example)
            if result.axes:
                raise fail("wrong-level", f"examples: {way!r} leaves one number for each example", "take mean(...) or sum(...) of it")
            return result
        else:
            merged = _merged(build, groups, way, target, step == "examples")
            groups = [Group("", merged, None)]
    return groups[0].item


def _level(groups: list[Group], several: bool) -> str:
    """The level of an item, as `reduce` names it."""
    axes = {axis for group in groups for axis in group.item.axes} | {a for g in groups if g.mask for a in g.mask.axes}
    for axis, name in (("token", "tokens"), ("other", "pairs"), ("list", "completions")):
        if axis in axes:
            return name
    if several:
        return "completions"
    return "examples"


def _check(steps: list[tuple[str, str]], level: str, fail: Fail) -> None:
    names = [step for step, _ in steps]
    if names != sorted(names, key=STEPS.index):
        raise fail("wrong-level", f"reduce lists axes finest first, not {', '.join(names)}", "such as {tokens: mean, examples: mean}")
    if names[0] != level:
        what = {"tokens": "one number for each token", "pairs": "one number for each pair", "completions": "one number for each completion"}
        hint = f"start reduce with {level}"
        if level == "tokens":
            hint = f"is a sum(...) or mean(...) over tokens missing, as in sum(logp - ref_logp)? else {hint}"
        message = f"an item is {what.get(level, 'one number for each example')}, but reduce starts with {names[0]}"
        raise fail("wrong-level", message, hint)
    for step, way in steps:
        if way not in ("sum", "mean") and step != "examples":
            raise fail("wrong-value", f"{step}: {way!r} is neither sum nor mean", "only examples takes a formula in loss")


def _target_axes(following: str | None, groups: list[Group]) -> tuple[str, ...]:
    """The axes that are left when the next step begins."""
    if following is None:
        return ()
    present = {axis for group in groups for axis in group.item.axes}
    wanted = {"examples": ("example",), "completions": ("example", "list"), "pairs": ("example", "list", "other")}[following]
    return tuple(axis for axis in wanted if axis in present)


def _within(build: Builder, group: Group, way: str, target: tuple[str, ...]) -> Group:
    over = [axis for axis in AXES if axis not in target]
    if way == "mean":
        value = build.reduce("mean", group.item, group.mask, over)
    else:
        value = build.reduce("total", group.item, None, over)  # items that do not exist are 0 already
    mask = build.reduce("any", group.mask, None, over) if group.mask else None
    return Group(group.role, value, mask)


def _merged(build: Builder, groups: list[Group], way: str, target: tuple[str, ...], counts_examples: bool) -> Node:
    """Sum of all groups' items down to `target`, divided by their count for a mean."""
    over = [axis for axis in AXES if axis not in target]
    if len(groups) == 1 and way == "mean" and not counts_examples:
        return build.reduce("mean", groups[0].item, groups[0].mask, over)
    total = _added(build, [build.reduce("total", group.item, None, over) for group in groups])
    if way == "sum":
        return total
    if counts_examples:
        return build.apply("div", total, build.make(op="examples"))
    counts = _added(build, [build.reduce("count", group.item, group.mask, over) for group in groups])
    return build.apply("div", total, build.apply("at_least_one", counts))


def _added(build: Builder, nodes: list[Node]) -> Node:
    total = nodes[0]
    for node in nodes[1:]:
        total = build.apply("add", total, node)
    return total
