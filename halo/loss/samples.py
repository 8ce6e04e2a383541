"""The points at which generated code is validated: the same small batch as exact rows and as torch's padded tensors.

Kinds: `ordinary`; `at_reference` (policy = reference = sampler); `far_up` and `far_down` (log-ratios of +-500, good
answers up or down); `sure` and `impossible` (probabilities that round to 1, and of exp(-1e4)).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor

from halo.compiler.exact import evaluate
from halo.compiler.indices import ExactBatch, Row
from halo.compiler.pipeline import CompiledObjective
from halo.loss.inputs import Completions, LossInputs
from halo.objective.schema import Interval
from halo.objective.vocabulary import INPUTS

KINDS = ("ordinary", "at_reference", "far_up", "far_down", "sure", "impossible")
RANKS = ((1, 2, 2), (2, 1), (1, 3, 2))  # ties, and lists of different lengths
VOCABULARY = 11
GARBAGE = 3.0  # padding: no log-probability, and inside few domains


Leaf = tuple[str, str]


@dataclass(frozen=True)
class Sample:
    """One batch twice.

    `leaves` are the tensors that have a gradient, by slot and name (`logp`, and full-vocabulary words of the policy);
    `places` where each row's tokens lie in its padded row; `statistics` values for the running statistics such as this
    batch would lead to.
    """

    kind: str
    exact: ExactBatch
    inputs: LossInputs
    leaves: dict[Leaf, Tensor]
    places: dict[str, list[Any]]
    statistics: dict[str, float]


def sample(compiled: CompiledObjective, kind: str) -> Sample:
    """The batch of a kind for an objective: what its graph says it needs, and no more. The same one every time."""
    maker = _Maker(compiled, kind)
    rows = {slot: maker.slot(slot) for slot in compiled.declared.needs.slots}
    maker.add_words(rows)
    exact = maker.exact(rows)
    return maker.padded(exact, _statistics(compiled, exact))


def _statistics(compiled: CompiledObjective, exact: ExactBatch) -> dict[str, float]:
    """Between where each starts and what the batch shows."""
    found: dict[str, float] = {}
    for name, running in compiled.declared.statistics.items():
        shown = float(evaluate([running.observed], exact, {**compiled.parameters, **found})[running.observed])
        if not math.isfinite(shown):
            shown = 0.0
        found[name] = 0.25 * float(running.start) + 0.75 * shown
    return found


class _Maker:
    def __init__(self, compiled: CompiledObjective, kind: str) -> None:
        self.kind, self.rng = kind, Random(f"halo {kind}")
        self.feedback, self.needs = compiled.declared.feedback, compiled.declared.needs
        self.columns = {name: (c.level, Interval.parse(c.domain)) for name, c in compiled.objective.declaration.columns.items()}
        self.examples = {"ordinary": 3}.get(kind, 2)

    # -- exact rows ------------------------------------------------------------------------------------------------

    def exact(self, rows: dict[str, list[Any]]) -> ExactBatch:
        labels = [b % 2 == 0 for b in range(self.examples) if self.feedback.labels]
        ranks = [own for own in RANKS[: self.examples] if self.feedback.has_ranks]
        columns = {
            name: [self.inside(interval, 0) for _ in range(self.examples)]
            for name, (level, interval) in self.columns.items()
            if level == "example"
        }
        return ExactBatch(rows, labels, ranks, columns, VOCABULARY * self.needs.vocab_size)

    def slot(self, slot: str) -> list[Any]:
        """For each example a row, or a list of rows."""
        if self.feedback.several(slot):
            return [[self.row(rank == 1, rank, k) for k, rank in enumerate(RANKS[b])] for b in range(self.examples)]
        if self.feedback.labels and slot in self.feedback.completions:
            return [self.row(b % 2 == 0, 0, b) for b in range(self.examples)]
        return [self.row(slot != "rejected", 0, b) for b in range(self.examples)]

    def row(self, good: bool, rank: int, index: int) -> Row:
        """A `good` one should become likelier; the first row has one token, the others several."""
        towards, length = 2 * good - 1, 1
        if index:
            length = self.rng.randint(2, 4)
        tokens = [self.token(towards, length) for _ in range(length)]
        columns: dict[str, Any] = {}
        for name, (level, interval) in self.columns.items():
            if level == "completion":
                columns[name] = self.inside(interval, towards)
            elif level == "token":
                columns[name] = [self.inside(interval, 0) for _ in tokens]
        if self.needs.scores:
            columns["score"] = 0.25 - 0.75 * rank
        logp = [own for own, _, _ in tokens]
        ref = [of_reference for _, of_reference, _ in tokens if self.needs.reference]
        old = [of_sampler for _, _, of_sampler in tokens if self.needs.sampler]
        return Row(logp, ref, old, columns)

    def token(self, towards: int, length: int) -> tuple[float, float, float]:
        """log-probs of one token under the policy, the reference and the sampler."""
        ordinary = [-self.rng.expovariate(0.7) - 0.01 for _ in range(3)]
        if self.kind == "at_reference":
            return (ordinary[0],) * 3
        if self.kind in ("far_up", "far_down"):
            share = {"far_up": 500, "far_down": -500}[self.kind] * towards / length * self.rng.uniform(0.9, 1.1)
            return ordinary[0] + min(share, 0.0), ordinary[1] - max(share, 0.0), ordinary[2] - max(share, 0.0)
        if self.kind == "sure":
            return -1e-30 * self.rng.uniform(0.5, 2), ordinary[1], ordinary[2]
        if self.kind == "impossible":
            return -1e4 / length * self.rng.uniform(0.9, 1.1), ordinary[1], ordinary[2]
        return ordinary[0], ordinary[1], ordinary[2]

    def add_words(self, rows: dict[str, list[Any]]) -> None:
        """Gives rows their full-vocabulary words; last, so that no other number depends on whether there are any."""
        for slot, words in self.needs.vocabulary.items():
            for row in _flat(rows[slot]):
                tokens = [self.words() for _ in row.logp]
                assert isinstance(row.columns, dict)
                row.columns.update({word: [token[word] for token in tokens] for word in words})

    def words(self) -> dict[str, float]:
        """The words of one token, as one model could give them: 0 < entropy, KL >= 0, all near 0 where the policy is sure."""
        scale, far = {"sure": 1e-28}.get(self.kind, 1.0), 1.0
        entropy, ref_entropy, *kls = (self.rng.expovariate(0.7) + 0.01 for _ in range(4))
        if self.kind == "at_reference":
            ref_entropy, far = entropy, 0.0
        if self.kind in ("far_up", "far_down", "impossible"):
            far = 500.0
        return {
            "entropy": entropy * scale,
            "ref_entropy": ref_entropy,
            "log_sum_sq_probs": -0.5 * entropy * scale,
            "kl_ref_policy": kls[0] * far,
            "kl_policy_ref": kls[1] * far,
        }

    def inside(self, interval: Interval, towards: int) -> float:
        """A number inside a column's domain, larger for what is better."""
        low, high = interval.low, interval.high
        if low is not None and high is not None:
            return float(low) + (float(high) - float(low)) * (0.5 + 0.3 * towards + self.rng.uniform(-0.1, 0.1))
        if low is not None:
            return float(low) + math.exp(towards + self.rng.uniform(-0.5, 0.5))
        if high is not None:
            return float(high) - math.exp(-towards + self.rng.uniform(-0.5, 0.5))
        return 1.5 * towards + self.rng.uniform(-1, 1)

    # -- tensors ---------------------------------------------------------------------------------------------------

    def padded(self, exact: ExactBatch, statistics: dict[str, float]) -> Sample:
        roles, places = {}, {}
        leaves: dict[Leaf, Tensor] = {}
        for slot, rows in exact.rows.items():
            roles[slot], places[slot] = self.completions(rows)
            leaves[slot, "logp"] = roles[slot].token_logps
            for word in self.needs.vocabulary.get(slot, ()):
                if INPUTS[word].policy:
                    leaves[slot, word] = roles[slot].columns[word].requires_grad_()
        width = max((len(ranks) for ranks in exact.ranks), default=0)
        ranks = desirable = None
        if exact.ranks:
            ranks = torch.tensor([_filled(list(own), width, 1) for own in exact.ranks], device="cpu")
        if exact.desirable:
            desirable = torch.tensor(exact.desirable, device="cpu")
        columns = {name: _tensor(list(values)) for name, values in exact.columns.items()}
        vocabulary = exact.vocab_size or None
        inputs = LossInputs(roles, desirable=desirable, ranks=ranks, columns=columns, vocab_size=vocabulary)
        return Sample(self.kind, exact, inputs, leaves, places, statistics)

    def completions(self, rows: Any) -> tuple[Completions, list[Any]]:
        """Tensors of one slot: tokens lie scattered in their padded rows, absent completions at the end of their list."""
        single = isinstance(rows[0], Row)
        lists = [rows] if single else rows
        flat = [row for group in lists for row in group]
        width, size = max(len(row.logp) for row in flat) + 1, max(len(group) for group in lists)
        chosen = {id(row): sorted(self.rng.sample(range(width), len(row.logp))) for row in flat}

        def tensor(values: Any, padding: Any) -> Tensor:
            """From what `values` says of a row: a number for each token, or one number."""
            empty = padding
            if isinstance(values(flat[0]), list):
                empty = [padding] * width
            whole = [_filled([_laid(values(row), chosen[id(row)], width, padding) for row in group], size, empty) for group in lists]
            return _tensor(whole[0] if single else whole)

        logp = tensor(lambda row: row.logp, GARBAGE).requires_grad_()
        mask = tensor(lambda row: [1.0] * len(row.logp), 0.0) > 0
        ref = old = None
        if flat[0].ref_logp:
            ref = tensor(lambda row: row.ref_logp, GARBAGE)
        if flat[0].old_logp:
            old = tensor(lambda row: row.old_logp, GARBAGE)
        columns: Mapping[str, Tensor] = {name: tensor(lambda row, name=name: row.columns[name], GARBAGE) for name in flat[0].columns}
        places = [[chosen[id(row)] for row in group] for group in lists]
        completions = Completions(token_logps=logp, mask=mask, ref_token_logps=ref, old_token_logps=old, columns=columns)
        return completions, places[0] if single else places


def _flat(groups: list[Any]) -> Iterator[Row]:
    """The rows of a slot, in lists or not."""
    for group in groups:
        if isinstance(group, Row):
            yield group
        else:
            yield from group


def _laid(values: Any, places: list[int], width: int, padding: Any) -> Any:
    """A row's numbers at their places among padding; a single number as it is."""
    if not isinstance(values, list):
        return values
    row = [padding] * width
    for place, value in zip(places, values, strict=True):
        row[place] = value
    return row


def _filled(values: list[Any], size: int, padding: Any) -> list[Any]:
    return [*values, *[padding] * (size - len(values))]


def _tensor(values: list[Any]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device="cpu")
