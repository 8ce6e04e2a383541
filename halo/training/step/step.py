"""One optimizer step's gradient: score, judge, pull back.

Score: rows become token log-probs. Judge: the loss function sees the whole effective batch once, the same on every rank,
so batch means, sorts and counts are local tensor code. Pull back: each micro-batch backpropagates d loss / d log-prob.

Nothing here knows an objective. Which passes come first is the step's schedule (`passes`): what a batch quantity depends on is
measured before anything is pulled back. Running statistics take the whole batch in once, before anything is pulled back, from the
same numbers on every rank.

Every rank runs the same number of passes, since a policy that is sharded is put together by all of them for each: a rank
whose share is smaller runs a filler example through, whose log-probs nothing reads and whose slope is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from halo.data.tokenizing import TokenizedExample
from halo.errors import ObjectiveError, RunFailed
from halo.loss.function import LossFunction
from halo.loss.inputs import PADDING, LossInputs, LossOutput
from halo.reference.interface import FullReference, Reference
from halo.scoring.distributions import Distributions
from halo.scoring.rows import RowBatch, build_rows
from halo.training.step.batch import EffectiveBatch, Facts
from halo.training.step.passes import Plan, Schedule

NOTHING_UPDATED = "nothing was updated; lower the learning rate or look at these rows"

Micro = Sequence[TokenizedExample]
Flat = dict[str, Tensor]
Score = Callable[[Micro, Sequence[str], RowBatch], Tensor]
"""Examples, the slots that are scored together, and their rows -> flat log-probs (with columns for words)."""


class Processes(Protocol):
    """The processes of a run, as far as a step asks for them: `halo.backends.Placement`, or a `World`."""

    rank: int
    size: int

    def gather(self, value: Any) -> list[Any]:
        """What every rank gave, in rank order."""

    def no_sync(self) -> AbstractContextManager[Any]:
        """Around every micro-batch but the last."""

    def pull_back(self, outputs: Sequence[Any], slopes: Sequence[Any]) -> None:
        """Backpropagates slopes from log-probs."""


@dataclass
class World:
    """Processes as plain values: one, unless they say otherwise."""

    rank: int = 0
    size: int = 1
    gather: Callable[[Any], list[Any]] = lambda value: [value]
    no_sync: Callable[[], AbstractContextManager[Any]] = nullcontext
    pull_back: Callable[[Sequence[Tensor], Sequence[Tensor]], None] = torch.autograd.backward


@dataclass
class Judged:
    """What a step saw: the loss on the whole effective batch, each example's set, and how many tokens this rank ran."""

    output: LossOutput
    inputs: LossInputs
    tokens: int
    sources: tuple[str, ...] = ()


@dataclass
class Seen:
    """What a step knows of its whole batch so far: log-probs of the policy (`known`) and the reference, by slot.

    start  where this rank's own part of each slot begins
    """

    batch: EffectiveBatch
    known: Flat
    reference: Flat
    start: dict[str, int]

    def inputs(self, logps: Flat) -> LossInputs:
        """What the loss is given, for these log-probs of the policy."""
        return self.batch.inputs(logps, self.reference)


class Step:
    """Accumulates the gradient of one effective batch into the policy's weights.

    score       the prepared scorer
    reference   None if the objective needs none
    vocab_size  what the model's head has
    filler      what a rank runs that has no example left, needed with several ranks

    Places of rows are named if the loss is not finite. Where the objective reads full-vocabulary words, flat log-probs have a column
    for each of them beside the log-prob: (n, 1 + words).
    """

    def __init__(
        self,
        loss: LossFunction,
        score: Callable[..., Tensor],
        reference: Reference | None,
        device: torch.device,
        world: Processes | None = None,
        vocab_size: int | None = None,
        filler: TokenizedExample | None = None,
    ) -> None:
        self.loss, self.score, self.reference, self.device = loss, score, reference, device
        self.world: Processes = world or World()
        self.needs, self.vocab_size, self.filler = loss.needs, vocab_size, filler
        self.reference_words = tuple(word.removeprefix("ref_") for word in self.needs.words if word not in self.needs.policy_words)
        self._states: dict[tuple[int, Sequence[str]], tuple[Micro, Distributions]] = {}  # a micro-batch that is held keeps its id

    def run(self, micros: Sequence[Micro], train: bool = True) -> Judged:
        """Scores, judges and (if `train`) pulls back. Raises RunFailed before any backward if the loss or a log-prob is not finite."""
        try:
            return self._passes(micros, train)
        except ObjectiveError as problem:  # the rest of its inputs is made here, so it is a number that the loss cannot take
            rows = [example for micro in micros for example in micro]
            raise RunFailed("non-finite", f"{problem.message} on rows such as {_places(rows)}", hint=NOTHING_UPDATED) from problem

    def _passes(self, micros: Sequence[Micro], train: bool) -> Judged:
        in_parts = len(micros) > 1 or self.world.size > 1
        plan = Plan.of(self.needs, in_parts, train)
        fillers = self._fillers(micros)
        seen = self._ahead(micros, fillers, plan.ahead)
        if plan.schedule is Schedule.EVALUATE:
            self._states.clear()
            judged = self._judged(seen)
        elif in_parts:
            judged = self._pulled_in_parts(micros, fillers, seen)
        else:
            judged = self._pulled_whole(micros[0], seen)
        judged.sources = tuple(fact.source for fact in seen.batch.facts)
        judged.tokens = sum(self._tokens(example) for micro in micros for example in micro)
        return judged

    def _fillers(self, micros: Sequence[Micro]) -> list[Micro]:
        """As many passes as this rank has fewer than the one with the most."""
        if self.world.size == 1:
            return []
        missing = max(self.world.gather(len(micros))) - len(micros)
        assert not missing or self.filler is not None, "ranks with unequal shares need a filler"
        return [[self.filler] for _ in range(missing) if self.filler is not None]

    def _tokens(self, example: TokenizedExample) -> int:
        """Tokens of an example, its prompt counted once."""
        return len(example.prefix) + sum(
            len(tail.ids) for slot, tails in example.tails.items() if slot in self.needs.slots for tail in tails
        )

    @property
    def reference_slots(self) -> tuple[str, ...]:
        """The completions whose reference log-probs or `ref_entropy` are read."""
        needs, words = self.needs, {f"ref_{word}" for word in self.reference_words}
        return tuple(s for s in needs.slots if s in needs.reference_slots or words & set(needs.vocabulary.get(s, ())))

    # -- score -----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def measured(self, micro: Micro, slots: Sequence[str]) -> Flat:
        """Policy log-probs without a gradient."""
        return self._in_groups(micro, slots, self._policy)

    @torch.no_grad()
    def referenced(self, micro: Micro) -> Flat:
        """Reference log-probs: those the examples carry, else the reference's."""
        slots = self.reference_slots
        if not slots:
            return {}
        if all(example.ref_logps is not None for example in micro):
            return {s: torch.tensor([x for e in micro for row in (e.ref_logps or {})[s] for x in row], device=self.device) for s in slots}
        return self._in_groups(micro, slots, self._reference)

    def _policy(self, micro: Micro, group: Sequence[str], rows: RowBatch) -> Tensor:
        if not self.needs.policy_words:
            return self.score(rows)
        return self.score(rows, self.needs.policy_words, self._distributions(micro, group, rows) if self.needs.divergences else None)

    def _reference(self, micro: Micro, group: Sequence[str], rows: RowBatch) -> Tensor:
        if self.needs.divergences or self.reference_words:
            return self._distributions(micro, group, rows).scored(self.reference_words)
        assert self.reference is not None
        return self.reference.logps(rows)

    def _distributions(self, micro: Micro, group: Sequence[str], rows: RowBatch) -> Distributions:
        """The reference's distributions on these rows. Divergences read them again, so they are kept until the step is over."""
        key = (id(micro), group)
        if key not in self._states:
            assert isinstance(self.reference, FullReference), "assembly checks that the strategy gives distributions"
            with torch.no_grad():
                found = self.reference.states(rows)
            if not self.needs.divergences:
                return found
            self._states[key] = (micro, found)
        return self._states[key][1]

    def _in_groups(self, micro: Micro, slots: Sequence[str], score: Score) -> Flat:
        """Scores slots in the rows that a training pass uses, so that equal weights give equal bits."""
        found: Flat = {}
        for group in (self.needs.gradient, self.needs.measured):
            if set(group) & set(slots):
                found |= self._scored(micro, group, score)
        return {slot: found[slot] for slot in slots}

    def _scored(self, micro: Micro, slots: Sequence[str], score: Score) -> Flat:
        rows, layout = build_rows(micro, slots)
        flat = score(micro, slots, rows.to(self.device))
        return {slot: flat[layout.flat[slot].to(self.device)] for slot in slots}

    # -- judge -----------------------------------------------------------------------------------------------------

    def _ahead(self, micros: Sequence[Micro], fillers: Sequence[Micro], slots: tuple[str, ...]) -> Seen:
        """The whole batch, with the reference's log-probs and the policy's of these slots; the policy's others are not known yet."""
        known = _joined([self.measured(micro, slots) for micro in micros], [self.measured(micro, slots) for micro in fillers], slots)
        referenced = [self.referenced(micro) for micro in micros]
        reference = _joined(referenced, [self.referenced(micro) for micro in fillers], self.reference_slots)
        seen = self._gathered(micros, known, reference)
        columns = [1 + len(self.needs.policy_words)] if self.needs.policy_words else []
        for slot in self.needs.slots:
            seen.known.setdefault(slot, torch.full((seen.batch.size(slot), *columns), PADDING, device=self.device))
        return seen

    def _gathered(self, micros: Sequence[Micro], known: Flat, reference: Flat) -> Seen:
        """What every rank has seen, put together."""
        own = [Facts.of(example, self.needs.slots) for micro in micros for example in micro]
        if self.world.size == 1:
            return Seen(self._batch(own), known, reference, dict.fromkeys(self.needs.slots, 0))
        parts = self.world.gather((own, _on_cpu(known), _on_cpu(reference)))
        everyone = [fact for facts, _, _ in parts for fact in facts]
        start = {slot: sum(fact.size(slot) for facts, _, _ in parts[: self.world.rank] for fact in facts) for slot in self.needs.slots}
        known = {slot: torch.cat([k[slot] for _, k, _ in parts]).to(self.device) for slot in known}
        reference = {slot: torch.cat([r[slot] for _, _, r in parts]).to(self.device) for slot in reference}
        return Seen(self._batch(everyone), known, reference, start)

    def _batch(self, facts: list[Facts]) -> EffectiveBatch:
        return EffectiveBatch(facts, self.needs, self.loss.feedback, self.device, self.vocab_size)

    @torch.no_grad()
    def _judged(self, seen: Seen) -> Judged:
        inputs = seen.inputs(seen.known)
        return Judged(self.loss(inputs), inputs, 0)

    # -- pull back -------------------------------------------------------------------------------------------------

    def _pulled_whole(self, micro: Micro, seen: Seen) -> Judged:
        """One pass on one process: the batch is judged, and taken into the running statistics, in the pass that is pulled back."""
        judged = self._pulled(micro, seen, dict(seen.start), updates=True)
        self._states.clear()
        return judged

    def _pulled_in_parts(self, micros: Sequence[Micro], fillers: Sequence[Micro], seen: Seen) -> Judged:
        """Each micro-batch judges the whole batch, of which it makes its own part live. What was seen is judged at the end."""
        self.loss.update_statistics(seen.inputs(seen.known))
        cursor = dict(seen.start)
        for index, micro in enumerate([*micros, *fillers]):
            last = index == len(micros) + len(fillers) - 1
            with nullcontext() if last else self.world.no_sync():
                if index < len(micros):
                    self._pulled(micro, seen, cursor)
                else:
                    live = self._scored(micro, self.needs.gradient, self._policy)
                    self.world.pull_back(list(live.values()), [torch.zeros_like(x) for x in live.values()])
            self._states.pop((id(micro), self.needs.gradient), None)
        if self.world.size > 1:
            self._exchange(seen, cursor)
        self._states.clear()
        return self._judged(seen)

    def _pulled(self, micro: Micro, seen: Seen, cursor: dict[str, int], updates: bool = False) -> Judged:
        """Backpropagates one micro-batch, whose log-probs are known from here on; `cursor` moves behind them.

        updates  whether these log-probs are the whole batch, which the running statistics take in
        """
        live = self._scored(micro, self.needs.gradient, self._policy)
        leaves = {slot: x.detach().requires_grad_() for slot, x in live.items()}
        logps = {slot: _placed(seen.known[slot], leaves[slot], cursor[slot]) if slot in leaves else x for slot, x in seen.known.items()}
        inputs = seen.inputs(logps)
        if updates:
            self.loss.update_statistics(inputs)
        output = self.loss(inputs)
        self._check_finite(output, micro)
        self.world.pull_back(list(live.values()), self._slopes(output.loss, list(leaves.values())))
        for slot, leaf in leaves.items():
            seen.known[slot] = _placed(seen.known[slot], leaf.detach(), cursor[slot])
            cursor[slot] += len(leaf)
        return Judged(output, inputs, 0)

    def _slopes(self, loss: Tensor, leaves: Sequence[Tensor]) -> list[Tensor]:
        """d loss / d leaf, times the number of ranks: their mean is taken. Zero where the loss does not depend on a leaf."""
        if not loss.requires_grad:
            return [torch.zeros_like(leaf) for leaf in leaves]
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
        return [torch.zeros_like(leaf) if g is None else g * self.world.size for leaf, g in zip(leaves, gradients, strict=True)]

    def _exchange(self, seen: Seen, end: dict[str, int]) -> None:
        """Every rank learns the log-probs that the others computed."""
        own = {slot: seen.known[slot][seen.start[slot] : end[slot]].cpu() for slot in self.needs.gradient}
        parts = self.world.gather(own)
        for slot in self.needs.gradient:
            seen.known[slot] = torch.cat([part[slot] for part in parts]).to(self.device)

    def _check_finite(self, output: LossOutput, micro: Micro) -> None:
        if torch.isfinite(output.loss):
            return
        terms = ", ".join(f"{name} = {value.item():g}" for name, value in output.terms.items())
        raise RunFailed("non-finite", f"the loss is {output.loss.item()} ({terms}) on rows such as {_places(micro)}", hint=NOTHING_UPDATED)


def _places(examples: Sequence[TokenizedExample]) -> str:
    """Where the first five of them were read."""
    return ", ".join(str(example.place) for example in examples[:5])


def _joined(parts: list[Flat], unread: list[Flat], slots: Sequence[str]) -> Flat:
    """The parts one behind the other. What fillers gave says only of which type and width no log-probs at all are."""
    return {slot: torch.cat([part[slot] for part in parts] + [part[slot][:0] for part in unread]) for slot in slots}


def _placed(whole: Tensor, part: Tensor, start: int) -> Tensor:
    return torch.cat([whole[:start].to(part.dtype), part, whole[start + len(part) :].to(part.dtype)])


def _on_cpu(flat: Flat) -> Flat:
    return {slot: x.cpu() for slot, x in flat.items()}
