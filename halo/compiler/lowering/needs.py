"""What a loss reads, slot by slot, and what couples its examples: inferred from the graph."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from halo.compiler.graph import Needs, Node, coupled_slots, policy_slots, topological
from halo.compiler.lowering.context import Context
from halo.objective.vocabulary import FULL_VOCABULARY


def needs_of(of: Context, loss: Node, rewards: Iterable[Node]) -> Needs:
    """The needs of a whole objective: of its loss, of the rewards that are reported, and of its statistics."""
    observed = [statistic.observed for statistic in of.statistics.values()]
    nodes = topological([loss, *rewards, *observed])
    reads = {node.data for node in nodes if node.op == "input"}
    columns = tuple(sorted(reads & {name for name, column in of.declaration.columns.items() if column.level == "example"}))
    coupled = coupled_slots(loss).union(*map(policy_slots, observed))
    slots = {node.slot for node in nodes if node.op in ("input", "mask") and node.slot}
    referenced = {node.slot for node in nodes if node.op == "input" and node.data == "ref_logp"}
    gradient = policy_slots(loss, through_stop=False)
    order = [*of.feedback.slots, "prompt", *of.declaration.roles]
    return Needs(
        slots=tuple(s for s in order if s in slots),
        gradient=tuple(s for s in order if s in gradient),
        coupled=tuple(s for s in order if s in coupled),
        reference_slots=tuple(s for s in order if s in referenced),
        moving=of.declaration.reference == "moving",
        sampler="old_logp" in reads,
        vocab_size="vocab_size" in reads,
        scores="score" in reads and "score" not in of.declaration.columns,
        columns=columns,
        control=dict(of.declaration.control),
        own_columns=_read_by_slot(nodes, order, {*of.declaration.columns, "score"}),
        vocabulary=_read_by_slot(nodes, order, FULL_VOCABULARY),
    )


def _read_by_slot(nodes: list[Node], slots: list[str], names: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Which of the names are read, by slot."""
    read: dict[str, set[str]] = {}
    for node in nodes:
        if node.op == "input" and node.slot and node.data in names:
            read.setdefault(node.slot, set()).add(node.data)
    return {slot: tuple(sorted(read[slot])) for slot in slots if slot in read}
