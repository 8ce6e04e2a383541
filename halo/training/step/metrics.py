"""What is logged: sums and counts under the names that dashboards know, so that means over ranks and steps are exact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from halo.loss.inputs import Completions, LossInputs, LossOutput
from halo.objective.feedback import Feedback

Sums = dict[str, tuple[float, float]]
"""metric -> (sum, count)"""


@torch.no_grad()
def measure(output: LossOutput, inputs: LossInputs, feedback: Feedback, sources: Sequence[str] = ()) -> Sums:
    """The metrics of one effective batch. Which there are depends on the objective only, never on the batch.

    Where the examples are of several named sets, those of each set stand under its name too (`rewards/margins/NAME`).
    """
    result: Sums = {"loss": (output.loss.item() * inputs.examples, inputs.examples)}
    for name, term in output.terms.items():
        if len(output.terms) > 1:
            result[f"loss/{name}"] = (term.item() * inputs.examples, inputs.examples)
    result |= _completions(output, inputs, feedback)
    for point in output.reference_points.values():
        if point.ndim == 0:
            result["reference_point"] = (point.item() * inputs.examples, inputs.examples)
    for name, value in output.statistics.items():
        result[f"statistics/{name}"] = (value.item() * inputs.examples, inputs.examples)
    mismatched = inputs.completions.get("mismatched")
    if mismatched is not None and mismatched.ref_token_logps is not None:
        ratio = torch.where(mismatched.mask, mismatched.token_logps - mismatched.ref_token_logps, 0.0).sum(-1)
        result["kl"] = _mean_of(ratio)
    for name in sorted(set(filter(None, sources))):
        rows = torch.tensor([i for i, source in enumerate(sources) if source == name], device=output.loss.device)
        own = _completions(_rewards_of(output, rows), _rows_of(inputs, rows), feedback)
        result |= {f"{metric}/{name}": value for metric, value in own.items()} | {f"examples/{name}": (float(len(rows)), 1.0)}
    return result


def _rows_of(inputs: LossInputs, rows: Tensor) -> LossInputs:
    """Some examples of a batch, as far as metrics read them."""
    roles = {slot: Completions(token_logps=c.token_logps[rows], mask=c.mask[rows]) for slot, c in inputs.completions.items()}
    desirable = inputs.desirable[rows] if inputs.desirable is not None else None
    return LossInputs(roles, desirable=desirable, ranks=inputs.ranks[rows] if inputs.ranks is not None else None)


def _rewards_of(output: LossOutput, rows: Tensor) -> LossOutput:
    """Their rewards; a reward that is sorted over the batch is no example's own and stays where it stands."""
    return replace(output, rewards={slot: reward[rows] for slot, reward in output.rewards.items()})


def _completions(output: LossOutput, inputs: LossInputs, feedback: Feedback) -> Sums:
    logps = {slot: torch.where(c.mask, c.token_logps, 0.0).sum(-1) for slot, c in inputs.completions.items() if slot != "mismatched"}
    rewards = output.rewards
    if feedback.is_pair:
        return _paired(logps, rewards)
    if feedback.labels and inputs.desirable is not None:
        good, bad = inputs.desirable, ~inputs.desirable
        sides = {"chosen": good, "rejected": bad}
        result = {f"logps/{side}": _mean_of(logps["completion"], mask) for side, mask in sides.items()}
        if "completion" in rewards:
            result |= {f"rewards/{side}": _mean_of(rewards["completion"], mask) for side, mask in sides.items()}
        return result
    if feedback.has_ranks:
        return _ranked(logps["completion"], rewards.get("completion"), inputs)
    return {f"logps/{slot}": _mean_of(value) for slot, value in logps.items()}


def _paired(logps: dict[str, Tensor], rewards: dict[str, Tensor]) -> Sums:
    result = {f"logps/{slot}": _mean_of(value) for slot, value in logps.items()}
    if "chosen" in rewards:
        chosen, rejected = rewards["chosen"], rewards["rejected"]
        result |= {"rewards/chosen": _mean_of(chosen), "rewards/rejected": _mean_of(rejected)}
        result |= {"rewards/margins": _mean_of(chosen - rejected), "rewards/accuracies": _mean_of(_ahead(chosen - rejected))}
    return result


def _ranked(logps: Tensor, rewards: Tensor | None, inputs: LossInputs) -> Sums:
    rows = torch.arange(inputs.examples, device=logps.device)
    ends = {"chosen": inputs.best, "rejected": inputs.worst}
    result = {f"logps/{side}": _mean_of(logps[rows, index]) for side, index in ends.items()}
    if rewards is not None:
        result |= {f"rewards/{side}": _mean_of(rewards[rows, index]) for side, index in ends.items()}
        gaps = rewards[:, :, None] - rewards[:, None, :]
        result |= {"rewards/margins": _mean_of(gaps, inputs.pairs), "rewards/accuracies": _mean_of(_ahead(gaps), inputs.pairs)}
    return result


def _ahead(gap: Tensor) -> Tensor:
    """1 where the better completion has the higher reward, 1/2 at a tie (policy = reference), else 0."""
    return (torch.sign(gap) + 1) / 2


def _mean_of(values: Tensor, mask: Tensor | None = None) -> tuple[float, float]:
    if mask is None:
        return values.sum().item(), float(values.numel())
    return torch.where(mask, values, 0.0).sum().item(), mask.sum().item()


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
