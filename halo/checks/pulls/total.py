"""The pull on a completion as one scalar over the inputs, where the loss adds its parts up."""

from __future__ import annotations

from halo.checks.pulls.ways import outer_sign, pulls
from halo.checks.subject import Subject
from halo.compiler.graph import Node, Part, topological


def over_inputs(subject: Subject, part: Part, node: Node) -> Node:
    """A scalar over z as one over the inputs."""
    if part.z is None:
        return node
    return subject.view.s.substitute(node, {subject.z_of(part): subject.view.argument(part)})


def total_pull(subject: Subject, slot: str, parts: list[Part], label: str = "") -> Node | None:
    """d loss / d log-probability in a batch of one, if every way is direct and the loss adds its parts up."""
    s, total = subject.view.s, subject.view.s.number(0)
    for part in parts:
        ways = pulls(subject, part, slot, label)
        if len(ways) > 1 or not _plain_mean(subject, part):
            return None
        total = s.call("add", total, over_inputs(subject, part, ways[0]))
    return total


def _plain_mean(subject: Subject, part: Part) -> bool:
    """Whether the loss of one example is the sum of its parts' items: no token or list axis is averaged away."""
    declared = subject.compiled.declared
    if {"token", "list"} & set(part.item.axes) or outer_sign(declared, subject, part) != 1:
        return False
    through_batch = (node for node in topological([declared.loss]) if node.batch)
    return not any(part.item in topological([node]) for node in through_batch)
