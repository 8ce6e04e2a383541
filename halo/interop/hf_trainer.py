"""A halo objective as the loss of transformers' `Trainer`.

    kit = for_trainer(halo.compile_objective("simpo", {"gamma": 0.5}), tokenizer)
    Trainer(model, args, train_dataset=kit.dataset(rows), data_collator=kit.collate, compute_loss_func=kit.loss)

The Trainer runs the model on whole rows; the loss takes the scored tokens' log-probs from the logits that come back. Given a
`compute_loss_func`, the Trainer divides no loss by its accumulation steps: the function is told how many items all
micro-batches of the step have, on all processes, and weighs its own part by that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from halo.data.tokenized import TokenizedExample
from halo.errors import DataError, ModelError, Place, SettingsError
from halo.interop.examples import Reader, Rows
from halo.interop.parts import check_whole, compiled_loss, processes, weighed_by
from halo.loss.function import LossFunction
from halo.scoring.distributions import LOGP, SUMS, Scored, sums_of
from halo.scoring.head import wide
from halo.scoring.rows import PROMPT, scored_counts
from halo.training.step.batch import EffectiveBatch, Facts
from halo.training.step.metrics import Sums, added, means, measure

IGNORED = -100


def for_trainer(
    loss: Any,
    tokenizer: Any,
    parameters: Mapping[str, float] | None = None,
    *,
    reference: Any = None,
    max_length: int | None = 1024,
    chat_template: str = "auto",
    seed: int = 42,
    per_micro_batch: bool = False,
    say: Callable[[str], None] = print,
) -> Kit:
    """A loss, or the source of an objective (see `halo.compile_objective`), for use in a `Trainer`. Raises HaloError.

    parameters       those of an objective that is compiled here; a loss has its own
    reference        a model, scored beside the policy in every step; `Kit.with_reference` scores ahead instead
    per_micro_batch  accepts that means, sorts and statistics over a batch are over one micro-batch of one process
    max_length, chat_template and seed are those of `halo train`.
    """
    reader = Reader(tokenizer, chat_template, max_length, seed, say)
    return Kit(compiled_loss(loss, parameters), reader, reference, per_micro_batch)


class Labels(dict[str, Any]):
    """What the loss needs of a batch beside the model's output.

    A mapping, so that the Trainer moves its tensors. The Trainer counts the items of a step as the sum of
    `labels[..., 1:].ne(-100).sum()` over its micro-batches: here these are what the parts of a batch are weighed by.
    """

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return super().__getitem__(key)
        return self

    def ne(self, ignored: int) -> Tensor:
        """(B,) the weight of each example."""
        weights: Tensor = self["weights"]
        return weights


class Kit:
    """What a `Trainer` is given: `dataset`, `collate` and `loss`. `objective` is the loss function; its running statistics
    are its `state_dict`, which the Trainer does not save."""

    def __init__(self, objective: LossFunction, reader: Reader, reference: Any, per_micro_batch: bool) -> None:
        self.objective, self.reader, self.reference, self.per_micro_batch = objective, reader, reference, per_micro_batch
        self.needs, self.name = objective.needs, objective.compiled.graph.name
        self.weighed = weighed_by(objective.compiled.graph)
        self._reference_words = tuple(word.removeprefix("ref_") for word in self.needs.words if word not in self.needs.policy_words)
        self._sums: Sums = {}

    def dataset(self, rows: Rows, data_format: str | None = None) -> list[TokenizedExample]:
        """Rows as the examples that `collate` takes; what is too long is left out, never cut. Raises DataError or ModelError."""
        return self.reader.tokenized(rows, self.objective.compiled, data_format)

    @torch.no_grad()
    def with_reference(self, examples: Sequence[TokenizedExample], model: Any, batch_size: int = 8) -> list[TokenizedExample]:
        """The examples with their log-probs under `model`, which may be the policy before its first step. Raises SettingsError."""
        from accelerate.utils import send_to_device

        if self.needs.divergences or self._reference_words or self.needs.moving:
            message = f"{self.name} needs more of its reference than log-probs known ahead"
            raise SettingsError("wrong-value", message, place=Place("with_reference"), hint="for_trainer(..., reference=model)")
        training, result = model.training, []
        model.eval()
        for start in range(0, len(examples), batch_size):
            chosen = examples[start : start + batch_size]
            labels = send_to_device(self._labels(chosen), next(model.parameters()).device)
            flat = self._flat(_log_probs(model, labels), labels)
            numbers = {slot: iter(named[LOGP].tolist()) for slot, named in flat.items()}
            for example in chosen:
                rows = {s: tuple({LOGP: tuple(islice(numbers[s], n))} for n in scored_counts(example, s)) for s in self.needs.slots}
                result.append(replace(example, ref_logps=rows))
        model.train(training)
        return result

    def collate(self, examples: Sequence[TokenizedExample]) -> dict[str, Any]:
        """The inputs of the model and the `labels` of `loss`. Raises DataError or SettingsError."""
        if not all(isinstance(example, TokenizedExample) for example in examples):
            raise DataError("data-format", f"{self.name} is given rows that are not tokenized", hint="train_dataset=kit.dataset(rows)")
        if self.needs.reference and self.reference is None and any(example.ref_logps is None for example in examples):
            hint = "kit.with_reference(kit.dataset(rows), model), or for_trainer(..., reference=model)"
            raise SettingsError("missing-key", f"{self.name} needs a reference", hint=hint)
        for example in examples:
            self._check(example)
        labels = self._labels(examples)
        return {**labels["inputs"], "labels": labels}

    def _check(self, example: TokenizedExample) -> None:
        """Raises ObjectiveError for a weight without a meaning, DataError for what the Trainer's own pass over rows does not know."""
        if example.weight != 1.0:
            self.objective.check_weights()
        asks = list(example.tensors)
        if any(tail.temperature != 1.0 for tails in example.tails.values() for tail in tails):
            asks.append("a temperature")
        if asks:
            message = f"the example has {', '.join(asks)} beside its ids, and a Trainer scores ids"
            raise DataError("data-row", message, place=example.place, hint="halo train knows them")

    def loss(self, outputs: Any, labels: Labels, num_items_in_batch: Any = None) -> Tensor:
        """This micro-batch's share of the loss of a step; a `compute_loss_func`. Raises SettingsError."""
        log_q = None
        if self.reference is not None and self.needs.reference:
            self.reference.to(outputs.logits.device).eval()
            with torch.no_grad():
                log_q = _log_probs(self.reference, labels)
        policy = self._flat(_scored(outputs.logits, labels), labels, self.needs.policy_words, log_q)
        reference = labels["reference"]
        if log_q is not None:
            reference = self._flat(log_q, labels, self._reference_words)
        device, vocabulary = outputs.logits.device, outputs.logits.shape[-1]
        inputs = EffectiveBatch(labels["facts"], self.needs, self.objective.feedback, device, vocabulary).inputs(policy, reference)
        share = self._share(labels, num_items_in_batch)
        training = torch.is_grad_enabled()  # an evaluation leaves the running statistics as they are
        if training:
            self.objective.update_statistics(inputs)
        output = self.objective(inputs)
        if training:
            self._sums = added([self._sums, measure(output, inputs, self.objective.feedback)])
        loss: Tensor = output.loss * share
        return loss

    def metrics(self) -> dict[str, float]:
        """Rewards, margins, log-probs and the like, averaged over this process's training batches since the last call."""
        sums, self._sums = self._sums, {}
        return means(sums)

    def _share(self, labels: Labels, items: Any) -> Any:
        """The weight of these examples over that of all examples of the step."""
        own = labels["weights"].sum()
        if items is None:
            return 1.0
        if getattr(items, "ndim", 0):
            hint = "launch with `accelerate launch` or `torchrun`, or set CUDA_VISIBLE_DEVICES"
            raise SettingsError("wrong-value", "a halo loss does not run under nn.DataParallel", hint=hint)
        if self.weighed is None and not self.per_micro_batch:
            check_whole(self.name, self.objective.compiled.graph, processes() == 1 and bool(own == items))
        return own / items

    def _labels(self, examples: Sequence[TokenizedExample]) -> Labels:
        """Whole rows, right-padded: what is scored of them (`targets`) and where each slot's tokens stand in that."""
        slots = self.needs.slots
        rows: list[Tensor] = []
        targets: list[Tensor] = []
        places: dict[str, list[int]] = {slot: [] for slot in slots}
        cursor = 0
        for example in examples:
            prompt = {}
            if PROMPT in slots:
                prompt[PROMPT] = list(range(1, len(example.prefix) + 1))
            for slot, tail in ((name, tail) for name in slots if name != PROMPT for tail in example.tails[name]):
                ids = torch.tensor([*example.prefix, *tail.ids])
                scored = {**prompt, slot: [len(example.prefix) + i for i, counts in enumerate(tail.scored) if counts]}
                prompt = {}  # scored in the first row of its example
                target = torch.full_like(ids, IGNORED)
                for name, where in scored.items():
                    places[name].extend(range(cursor, cursor + len(where)))
                    target[where] = ids[where]
                    cursor += len(where)
                rows.append(ids)
                targets.append(target)
        real = [torch.ones_like(ids) for ids in rows]
        return Labels(
            weights=torch.tensor([example.weight * self._size(example) for example in examples]),
            inputs={"input_ids": pad_sequence(rows, True), "attention_mask": pad_sequence(real, True)},
            targets=pad_sequence(targets, True, IGNORED),
            places={slot: torch.tensor(where, dtype=torch.long) for slot, where in places.items()},
            reference=self._known(examples),
            facts=[Facts.of(example, slots) for example in examples],
        )

    def _size(self, example: TokenizedExample) -> int:
        """What an example weighs among the others: itself, or its scored tokens of a slot."""
        if self.weighed in self.needs.slots:
            return sum(scored_counts(example, str(self.weighed)))
        return 1

    def _known(self, examples: Sequence[TokenizedExample]) -> dict[str, Scored]:
        """Reference log-probs that the examples carry, flat by slot."""
        if not self.needs.reference or any(example.ref_logps is None for example in examples):
            return {}
        known: dict[str, Scored] = {}
        for slot in self.needs.slots:
            flat = [logp for example in examples for own in (example.ref_logps or {})[slot] for logp in own[LOGP]]
            known[slot] = {LOGP: torch.tensor(flat)}
        return known

    def _flat(self, log_p: Tensor, labels: Labels, words: Sequence[str] = (), log_q: Tensor | None = None) -> dict[str, Scored]:
        """By slot, log-probs of the scored tokens, and the full-vocabulary words beside them."""
        targets = labels["targets"][:, 1:]
        if log_q is None and any(SUMS[word].compares for word in words):
            raise ModelError("model", f"{', '.join(words)} needs the reference's distributions: for_trainer(..., reference=model)")
        named = sums_of(log_p, targets[targets != IGNORED], words, log_q)
        return {slot: {name: x[where] for name, x in named.items()} for slot, where in labels["places"].items()}


def _log_probs(model: Any, labels: Labels) -> Tensor:
    return _scored(model(**labels["inputs"]).logits, labels)


def _scored(logits: Tensor, labels: Labels) -> Tensor:
    """(n, V) log-probs, in float32 or float64, at the positions that predict a scored token."""
    chosen = logits[:, :-1][labels["targets"][:, 1:] != IGNORED]
    return torch.log_softmax(chosen.to(wide(chosen.dtype)), -1)
