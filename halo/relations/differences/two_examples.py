"""Two losses on a batch of two examples, one token a completion: what examples do to each other is not seen on one alone."""

from __future__ import annotations

from collections.abc import Sequence

from halo.checks.scalars.batch.outlines import Outline
from halo.checks.scalars.batch.whole_batch import WholeBatch
from halo.checks.scalars.batch_form import form_of
from halo.checks.scalars.infinite import NoValue
from halo.checks.scalars.inputs import SUMMED
from halo.compiler.graph import Node
from halo.relations.rewriting import rewritten
from halo.relations.signature import Signal

Losses = tuple[tuple[Node, ...], tuple[Node, ...]]


def on_two_examples(left: Signal, right: Signal) -> Losses | None:
    """The losses of such a batch, or None: in neither an example matters to another, or they are not written out here.

    Not lists, running statistics, replaced references, columns of other names or words over the vocabulary, which a place fixes together.
    """
    graphs = [signal.side.compiled.declared for signal in (left, right)]
    if all(form_of(graph.loss) == "examples" for graph in graphs) or graphs[0].feedback is not graphs[1].feedback:
        return None
    if any(graph.feedback.is_list or graph.statistics or any(graph.needs.vocabulary.values()) for graph in graphs):
        return None
    if any(signal.side.reference or signal.view.names for signal in (left, right)):
        return None
    slots = dict.fromkeys([*graphs[0].feedback.completions, *graphs[0].needs.slots, *graphs[1].needs.slots])
    labels = graphs[0].feedback.labels or ("", "")
    examples = [Outline(dict.fromkeys(slots, (1,)), label) for label in labels]
    try:
        return (_loss(left, examples),), (_loss(right, examples),)
    except NoValue:
        return None


def _loss(signal: Signal, examples: Sequence[Outline]) -> Node:
    """The loss of the batch, whose tokens are called as the sums that they are."""
    batch, view = WholeBatch(signal.view, examples), signal.view
    loss, names = batch.loss, {}
    for variable, span in batch.box.items():
        word = str(variable.data).removesuffix("[1]")
        if word != variable.data:
            names[variable] = view.declare(view.s.variable(SUMMED.get(word, word), variable.slot), span)
        else:
            view.declare(variable, span)
    return rewritten(view, loss, names)
