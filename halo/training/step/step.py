"""One optimizer step's gradient: score, evaluate the loss, go backward.

Score: rows become named numbers of tokens, their log-probs among them. Evaluate: the loss function sees the whole effective batch
once, the same on every rank, so batch means, sorts and counts are local tensor code. Backward: each micro-batch backpropagates
d loss / d number, for every number that its scorer gave.

Nothing here knows an objective. Which passes come first is the step's schedule (`passes`): what a batch quantity depends on is
measured before anything goes backward. Running statistics take the whole batch in once, before that, from the same numbers on every
rank.

Every rank runs the same number of passes, since a policy that is sharded is put together by all of them for each: a rank
whose share is smaller runs a filler example through, whose log-probs nothing reads and whose gradient is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from halo.data.tokenized import TokenizedExample
from halo.errors import DataError, ObjectiveError, RunFailed
from halo.loss.function import LossFunction
from halo.loss.inputs import LossInputs, LossOutput
from halo.reference.interface import FullReference, Reference
from halo.scoring.distributions import LOGP, Distributions, Scored
from halo.scoring.rows import RowBatch, build_rows
from halo.training.step.batch import EffectiveBatch, Facts
from halo.training.step.flat import Flat, gathered, joined, on_cpu, part_of, placed, tensors, unknown
from halo.training.step.passes import Plan, Schedule
from halo.training.step.world import Processes, World

NOTHING_UPDATED = "nothing was updated; lower the learning rate or look at these rows"

Micro = Sequence[TokenizedExample]
Score = Callable[[Micro, Sequence[str], RowBatch], Scored]
"""Examples, the slots that are scored together, and their rows -> what is scored of them."""


@dataclass
class StepOutput:
    """What a step saw: the loss on the whole effective batch, each example's set and round, and how many tokens this rank ran."""

    output: LossOutput
    inputs: LossInputs
    tokens: int
    sources: tuple[str, ...] = ()
    rounds: tuple[int, ...] = ()


@dataclass
class Seen:
    """What a step knows of its whole batch so far: what was scored by the policy (`known`) and by the reference.

    start  where this rank's own part of each slot begins
    """

    batch: EffectiveBatch
    known: Flat
    reference: Flat
    start: dict[str, int]

    def inputs(self, policy: Flat) -> LossInputs:
        """What the loss is given, for these numbers of the policy."""
        return self.batch.inputs(policy, self.reference)


class Step:
    """Accumulates the gradient of one effective batch into the policy's weights.

    score       the prepared scorer
    reference   None if the objective needs none
    vocab_size  what the model's head has
    filler      what a rank runs that has no example left, needed with several ranks
    gives       the names of what the scorer gives of its own accord (`Scorer.gives`)
    dtype       of log-probs in this run: float32, or float64 if the weights are

    Places of rows are named if the loss is not finite.
    """

    def __init__(
        self,
        loss: LossFunction,
        score: Callable[..., Scored],
        reference: Reference | None,
        device: torch.device,
        world: Processes | None = None,
        vocab_size: int | None = None,
        filler: TokenizedExample | None = None,
        gives: Sequence[str] = (),
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.loss, self.score, self.reference, self.device = loss, score, reference, device
        self.world: Processes = world or World()
        self.needs, self.vocab_size, self.filler, self.dtype = loss.needs, vocab_size, filler, dtype
        self.names = (LOGP, *self.needs.policy_words, *gives)
        self.reference_words = tuple(word.removeprefix("ref_") for word in self.needs.words if word not in self.needs.policy_words)
        self._states: dict[tuple[int, Sequence[str]], tuple[Micro, Distributions]] = {}  # a micro-batch that is held keeps its id

    def run(self, micros: Sequence[Micro], train: bool = True) -> StepOutput:
        """Scores, evaluates the loss and (if `train`) goes backward.

        Raises RunFailed before any backward if the loss or a log-prob is not finite, DataError for weights without a meaning.
        """
        try:
            return self._passes(micros, train)
        except ObjectiveError as problem:  # the rest of its inputs is made here, so it is a number that the loss cannot take
            rows = [example for micro in micros for example in micro]
            raise RunFailed("non-finite", f"{problem.message} on rows such as {_places(rows)}", hint=NOTHING_UPDATED) from problem

    def _passes(self, micros: Sequence[Micro], train: bool) -> StepOutput:
        in_parts = len(micros) > 1 or self.world.size > 1
        plan = Plan.of(self.needs, in_parts, train)
        fillers = self._fillers(micros)
        seen = self._ahead(micros, fillers, plan.ahead)
        if plan.schedule is Schedule.EVALUATE:
            self._states.clear()
            found = self._evaluated(seen)
        elif in_parts:
            found = self._trained_in_parts(micros, fillers, seen)
        else:
            found = self._trained_whole(micros[0], seen)
        found.sources = tuple(fact.source for fact in seen.batch.facts)
        found.rounds = tuple(fact.round for fact in seen.batch.facts)
        found.tokens = sum(self._tokens(example) for micro in micros for example in micro)
        return found

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
        """What the policy gives, log-probs and words, without a gradient."""
        return self._in_groups(micro, slots, self._policy)

    @torch.no_grad()
    def referenced(self, micro: Micro) -> Flat:
        """What the reference gives: log-probs that the examples carry, else its own."""
        slots = self.reference_slots
        if not slots:
            return {}
        if any(example.ref_logps is None for example in micro):
            return self._in_groups(micro, slots, self._reference)
        return {slot: self._carried([own for example in micro for own in (example.ref_logps or {})[slot]]) for slot in slots}

    def _carried(self, completions: Sequence[Mapping[str, Sequence[float]]]) -> Scored:
        """What was kept of completions, flat."""
        found: Scored = {}
        for name in (LOGP, *self.reference_words):
            flat = [number for own in completions for number in own[name]]
            found[name] = torch.tensor(flat, dtype=self.dtype, device=self.device)
        return found

    def _policy(self, micro: Micro, group: Sequence[str], rows: RowBatch) -> Scored:
        if not self.needs.policy_words:
            return self.score(rows)
        if not self.needs.divergences:
            return self.score(rows, self.needs.policy_words)
        return self.score(rows, self.needs.policy_words, self._distributions(micro, group, rows))

    def _reference(self, micro: Micro, group: Sequence[str], rows: RowBatch) -> Scored:
        if self.needs.divergences or self.reference_words:
            return self._distributions(micro, group, rows).scored(self.reference_words)
        assert self.reference is not None
        return {LOGP: self.reference.logps(rows)}

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
        named = score(micro, slots, rows.to(self.device))
        found: Flat = {}
        for slot in slots:
            where = layout.flat[slot].to(self.device)
            found[slot] = {name: x[where] for name, x in named.items()}
        return found

    # -- the loss --------------------------------------------------------------------------------------------------

    def _ahead(self, micros: Sequence[Micro], fillers: Sequence[Micro], slots: tuple[str, ...]) -> Seen:
        """The whole batch, with what the reference gives and what the policy gives of these slots; of others it is not known yet."""
        known = joined([self.measured(micro, slots) for micro in micros], [self.measured(micro, slots) for micro in fillers], slots)
        referenced = [self.referenced(micro) for micro in micros]
        reference = joined(referenced, [self.referenced(micro) for micro in fillers], self.reference_slots)
        seen = self._gathered(micros, known, reference)
        for slot in self.needs.slots:
            seen.known.setdefault(slot, unknown(self.names, seen.batch.size(slot), self.dtype, self.device))
        return seen

    def _gathered(self, micros: Sequence[Micro], known: Flat, reference: Flat) -> Seen:
        """What every rank has seen, put together."""
        own = [Facts.of(example, self.needs.slots) for micro in micros for example in micro]
        if self.world.size == 1:
            return Seen(self._batch(own), known, reference, dict.fromkeys(self.needs.slots, 0))
        parts = self.world.gather((own, on_cpu(known), on_cpu(reference)))
        everyone = [fact for facts, _, _ in parts for fact in facts]
        start = {slot: sum(fact.size(slot) for facts, _, _ in parts[: self.world.rank] for fact in facts) for slot in self.needs.slots}
        known = gathered([known for _, known, _ in parts], self.device)
        reference = gathered([reference for _, _, reference in parts], self.device)
        return Seen(self._batch(everyone), known, reference, start)

    def _batch(self, facts: list[Facts]) -> EffectiveBatch:
        batch = EffectiveBatch(facts, self.needs, self.loss.feedback, self.device, self.vocab_size)
        if batch.weighted:
            self._check_weights()
        return batch

    def _check_weights(self) -> None:
        try:
            self.loss.check_weights()
        except ObjectiveError as problem:
            raise DataError("data-row", f"examples have weights, and {problem.message}", hint=problem.hint) from problem

    @torch.no_grad()
    def _evaluated(self, seen: Seen) -> StepOutput:
        inputs = seen.inputs(seen.known)
        return StepOutput(self.loss(inputs), inputs, 0)

    # -- backward --------------------------------------------------------------------------------------------------

    def _trained_whole(self, micro: Micro, seen: Seen) -> StepOutput:
        """One pass on one process: the loss is evaluated, and its statistics updated, in the pass that goes backward."""
        found = self._trained(micro, seen, dict(seen.start), updates=True)
        self._states.clear()
        return found

    def _trained_in_parts(self, micros: Sequence[Micro], fillers: Sequence[Micro], seen: Seen) -> StepOutput:
        """Each micro-batch evaluates the whole batch, of which it makes its own part live. What was seen is evaluated at the end."""
        self.loss.update_statistics(seen.inputs(seen.known))
        cursor = dict(seen.start)
        for index, micro in enumerate([*micros, *fillers]):
            last = index == len(micros) + len(fillers) - 1
            with nullcontext() if last else self.world.no_sync():
                if index < len(micros):
                    self._trained(micro, seen, cursor)
                else:
                    live = tensors(self._scored(micro, self.needs.gradient, self._policy))
                    self.world.backward(live, [torch.zeros_like(x) for x in live])
            self._states.pop((id(micro), self.needs.gradient), None)
        if self.world.size > 1:
            self._exchange(seen, cursor)
        self._states.clear()
        return self._evaluated(seen)

    def _trained(self, micro: Micro, seen: Seen, cursor: dict[str, int], updates: bool = False) -> StepOutput:
        """Backpropagates one micro-batch, whose numbers are known from here on; `cursor` moves behind them.

        updates  whether these numbers are the whole batch, which the running statistics take in
        """
        live = self._scored(micro, self.needs.gradient, self._policy)
        leaves = {slot: {name: x.detach().requires_grad_() for name, x in named.items()} for slot, named in live.items()}
        policy = dict(seen.known)
        for slot, own in leaves.items():
            policy[slot] = placed(seen.known[slot], own, cursor[slot])
        inputs = seen.inputs(policy)
        if updates:
            self.loss.update_statistics(inputs)
        output = self.loss(inputs)
        self._check_finite(output, micro)
        self.world.backward(tensors(live), self._grads(output.loss, tensors(leaves)))
        for slot, own in leaves.items():
            seen.known[slot] = placed(seen.known[slot], {name: leaf.detach() for name, leaf in own.items()}, cursor[slot])
            cursor[slot] += len(own[LOGP])
        return StepOutput(output, inputs, 0)

    def _grads(self, loss: Tensor, leaves: Sequence[Tensor]) -> list[Tensor]:
        """d loss / d leaf, times the number of ranks: their mean is taken. Zero where the loss does not depend on a leaf."""
        if not loss.requires_grad:
            return [torch.zeros_like(leaf) for leaf in leaves]
        found = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
        return [grad * self.world.size for grad in found]

    def _exchange(self, seen: Seen, end: dict[str, int]) -> None:
        """Every rank learns the numbers that the others computed."""
        own = {slot: part_of(seen.known[slot], seen.start[slot], end[slot]) for slot in self.needs.gradient}
        seen.known |= gathered(self.world.gather(on_cpu(own)), self.device)

    def _check_finite(self, output: LossOutput, micro: Micro) -> None:
        if torch.isfinite(output.loss):
            return
        terms = ", ".join(f"{name} = {value.item():g}" for name, value in output.terms.items())
        raise RunFailed("non-finite", f"the loss is {output.loss.item()} ({terms}) on rows such as {_places(micro)}", hint=NOTHING_UPDATED)


def _places(examples: Sequence[TokenizedExample]) -> str:
    """Where the first five of them were read."""
    return ", ".join(str(example.place) for example in examples[:5])
