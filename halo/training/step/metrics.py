"""What is logged: sums and counts under the names that dashboards know, so that means over ranks and steps are exact."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from halo.loss.inputs import Completions, LossInputs, LossOutput
from halo.objective.feedback import Feedback

Sums = dict[str, tuple[float, float]]
"""metric -> (sum, count)"""


@torch.no_grad()
def measure(output: LossOutput, inputs: LossInputs, feedback: Feedback, sources: Sequence[str] = (), rounds: Sequence[int] = ()) -> Sums:
    """The metrics of one effective batch, in which an example counts as often as its weight says. Which there are depends on the
    objective only, never on the batch.

    Where the examples are of several named sets, those of each set stand under its name too (`rewards/margins/NAME`); where they
    were sampled in a recipe's rounds, `round` is the mean one.
    """
    count = _count(inputs)

    def of_batch(values: Mapping[str, Tensor]) -> Sums:
        return {name: (value.item() * count, count) for name, value in values.items()}

    result = of_batch({"loss": output.loss})
    if len(output.terms) > 1:
        result |= of_batch({f"loss/{name}": term for name, term in output.terms.items()})
    result |= _completions(output, inputs, feedback)
    for point in output.reference_points.values():
        if point.ndim == 0:
            result |= of_batch({"reference_point": point})
    result |= of_batch({f"statistics/{name}": value for name, value in output.statistics.items()})
    mismatched = inputs.completions.get("mismatched")
    if mismatched is not None and mismatched.ref_token_logps is not None:
        ratio = torch.where(mismatched.mask, mismatched.token_logps - mismatched.ref_token_logps, 0.0).sum(-1)
        result["kl"] = _mean_of(ratio, inputs.weights)
    if any(rounds):
        result["round"] = _mean_of(torch.tensor(rounds, dtype=torch.float64, device=output.loss.device), inputs.weights)
    for name in sorted(set(filter(None, sources))):
        rows = torch.tensor([i for i, source in enumerate(sources) if source == name], device=output.loss.device)
        some = _rows_of(inputs, rows)
        own = _completions(_rewards_of(output, rows), some, feedback)
        result |= {f"{metric}/{name}": value for metric, value in own.items()} | {f"examples/{name}": (_count(some), 1.0)}
    return result


def _count(inputs: LossInputs) -> float:
    """How many examples there are."""
    if inputs.weights is None:
        return float(inputs.examples)
    return float(inputs.weights.sum())


def _some(x: Tensor | None, rows: Tensor) -> Tensor | None:
    return x[rows] if x is not None else None


def _rows_of(inputs: LossInputs, rows: Tensor) -> LossInputs:
    """Some examples of a batch, as far as metrics read them."""
    roles = {slot: Completions(token_logps=c.token_logps[rows], mask=c.mask[rows]) for slot, c in inputs.completions.items()}
    desirable, ranks, weights = (_some(mark, rows) for mark in (inputs.desirable, inputs.ranks, inputs.weights))
    return LossInputs(roles, desirable=desirable, ranks=ranks, weights=weights)


def _rewards_of(output: LossOutput, rows: Tensor) -> LossOutput:
    """Their rewards; a reward that is sorted over the batch is no example's own and stays where it stands."""
    return replace(output, rewards={slot: reward[rows] for slot, reward in output.rewards.items()})


def _completions(output: LossOutput, inputs: LossInputs, feedback: Feedback) -> Sums:
    logps = {slot: torch.where(c.mask, c.token_logps, 0.0).sum(-1) for slot, c in inputs.completions.items() if slot != "mismatched"}
    rewards, weights = output.rewards, inputs.weights
    if feedback.is_pair:
        return _paired(logps, rewards, weights)
    if feedback.labels and inputs.desirable is not None:
        good, bad = inputs.desirable, ~inputs.desirable
        sides = {"chosen": good, "rejected": bad}
        result = {f"logps/{side}": _mean_of(logps["completion"], weights, mask) for side, mask in sides.items()}
        if "completion" in rewards:
            result |= {f"rewards/{side}": _mean_of(rewards["completion"], weights, mask) for side, mask in sides.items()}
        return result
    if feedback.has_ranks:
        return _ranked(logps["completion"], rewards.get("completion"), inputs)
    return {f"logps/{slot}": _mean_of(value, weights) for slot, value in logps.items()}


def _paired(logps: dict[str, Tensor], rewards: dict[str, Tensor], weights: Tensor | None) -> Sums:
    values = {f"logps/{slot}": value for slot, value in logps.items()}
    if "chosen" in rewards:
        chosen, rejected = rewards["chosen"], rewards["rejected"]
        values |= {"rewards/chosen": chosen, "rewards/rejected": rejected}
        values |= {"rewards/margins": chosen - rejected, "rewards/accuracies": _ahead(chosen - rejected)}
    return {name: _mean_of(value, weights) for name, value in values.items()}


def _ranked(logps: Tensor, rewards: Tensor | None, inputs: LossInputs) -> Sums:
    rows, weights = torch.arange(inputs.examples, device=logps.device), inputs.weights
    ends = {"chosen": inputs.best, "rejected": inputs.worst}
    result = {f"logps/{side}": _mean_of(logps[rows, index], weights) for side, index in ends.items()}
    if rewards is not None:
        result |= {f"rewards/{side}": _mean_of(rewards[rows, index], weights) for side, index in ends.items()}
        gaps = rewards[:, :, None] - rewards[:, None, :]
        pairs = {"rewards/margins": gaps, "rewards/accuracies": _ahead(gaps)}
        result |= {name: _mean_of(value, weights, inputs.pairs) for name, value in pairs.items()}
    return result


def _ahead(gap: Tensor) -> Tensor:
    """1 where the better completion has the higher reward, 1/2 at a tie (policy = reference), else 0."""
    return (torch.sign(gap) + 1) / 2


def _mean_of(values: Tensor, weights: Tensor | None = None, mask: Tensor | None = None) -> tuple[float, float]:
    """The sum of what the mask holds, and how many that is; the first dimension of the values is that of the weights."""
    if weights is not None:
        return _weighed(values, weights.reshape(-1, *[1] * (values.ndim - 1)).expand(values.shape), mask)
    if mask is None:
        return values.sum().item(), float(values.numel())
    return torch.where(mask, values, 0.0).sum().item(), mask.sum().item()


def _weighed(values: Tensor, weights: Tensor, mask: Tensor | None) -> tuple[float, float]:
    if mask is not None:
        weights = torch.where(mask, weights, 0.0)
    return torch.where(weights > 0, values * weights, 0.0).sum().item(), weights.sum().item()


def added(parts: Iterable[Sums]) -> Sums:
    """Sums and counts added up by name."""
    total: Sums = {}
    for part in parts:
        for name, (value, count) in part.items():
            before = total.get(name, (0.0, 0.0))
            total[name] = (before[0] + value, before[1] + count)
    return total


def means(sums: Sums) -> dict[str, float]:
    """sum / count; labelled margins are the difference of the two sides' means."""
    result = {name: value / count for name, (value, count) in sums.items() if count}
    for name in list(result):
        end = name.removeprefix("rewards/chosen")
        if end != name and f"rewards/rejected{end}" in result and f"rewards/margins{end}" not in sums:
            result[f"rewards/margins{end}"] = result[name] - result[f"rewards/rejected{end}"]
    return result
