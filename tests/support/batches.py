"""Random and extreme batches: the same numbers as halo's tensors and as the oracle's exact rows."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mpmath import mpf
from torch import Tensor

from halo.loss.inputs import Completions, LossInputs
from halo.objective.feedback import Feedback, kind_of
from halo.objective.schema import Column, Interval

Rows = list[list[tuple[float, float]]]
"""For each row, (logp, ref_logp) of every token."""

EXTRA = ("prompt", "gold", "retain")
"""Texts of an example beside its completions."""

VOCAB_SIZE = 50
WORDS = {
    "entropy": "(0, 3.9)",
    "ref_entropy": "(0, 3.9)",
    "log_sum_sq_probs": "(-3.9, 0)",
    "kl_ref_policy": "[0, inf)",
    "kl_policy_ref": "[0, inf)",
}
"""Full-vocabulary words, as numbers of a token: the loss does not see where they come from. log(50) is 3.91."""

Columns = Mapping[str, Column]
"""What the data supplies beside log-probs: numbers of an example, of a completion or of each token."""


def ordinary_row(rng: random.Random, length: int) -> list[tuple[float, float]]:
    return [(-rng.expovariate(0.7), -rng.expovariate(0.7)) for _ in range(length)]


def ratio_row(rng: random.Random, length: int, ratio: float) -> list[tuple[float, float]]:
    """A row whose log-ratios are all of one sign and add up to about `ratio`."""
    row = []
    for _ in range(length):
        share = ratio / length * rng.uniform(0.9, 1.1)
        base = -rng.uniform(0.1, 1.0)
        row.append((base + min(share, 0.0), base - max(share, 0.0)))
    return row


def sure_row(rng: random.Random, length: int, logp: float) -> list[tuple[float, float]]:
    """Probabilities that round to 1 (logp near -1e-30) or to 0 (logp near -1e4)."""
    return [(logp * rng.uniform(0.9, 1.1), -rng.uniform(0.1, 1.0)) for _ in range(length)]


class Both:
    """Rows by role, as tensors of `dtype` (leaves with gradient) and as exact numbers, all of them rounded to `grid` first."""

    def __init__(
        self,
        rows: dict[str, Any],
        dtype: torch.dtype,
        labels: list[bool] | None = None,
        ranks: list[list[int]] | None = None,
        columns: Columns | None = None,
        scores: list[list[float]] | None = None,
        grid: torch.dtype | None = None,
    ) -> None:
        grid = grid or dtype

        def tensor(values: Any) -> Tensor:
            return torch.tensor(values, dtype=grid).to(dtype)

        rng = random.Random(7)  # of its own: the rows of an objective without columns stay what they are
        by_level = {level: {k: c for k, c in (columns or {}).items() if c.level == level} for level in ("example", "completion", "token")}
        self.leaves: dict[str, Tensor] = {}
        roles: dict[str, Completions] = {}
        self.exact: dict[str, Any] = {}
        for role, role_rows in rows.items():
            flat = [row for group in role_rows for row in group] if ranks and role == "completion" else role_rows
            logp, ref, mask = padded(flat, grid)
            shape = (len(role_rows), -1) if not (ranks and role == "completion") else (len(role_rows), len(role_rows[0]), -1)
            logp, ref, mask = (x.reshape(*shape[:-1], logp.shape[-1]) for x in (logp.to(dtype), ref.to(dtype), mask))
            self.leaves[role] = logp.clone().requires_grad_()
            rounded = [exact_row(row, grid) for row in flat]
            old = between(logp, ref, grid)
            for exact, x, m in zip(rounded, old.double().flatten(0, -2).tolist(), mask.flatten(0, -2).sum(-1).tolist(), strict=True):
                exact["old"] = [mpf(t) for t in x[:m]]
            own: dict[str, Tensor] = {}
            for name, column in by_level["completion"].items():
                own[name] = tensor([inside(column, rng) for _ in flat])
                for exact, x in zip(rounded, own[name].double().tolist(), strict=True):
                    exact[name] = mpf(x)
                own[name] = own[name].reshape(shape[:-1])
            for name, column in by_level["token"].items():
                own[name] = tensor([[inside(column, rng) for _ in places] for places in mask.reshape(-1, mask.shape[-1])])
                for exact, x in zip(rounded, own[name].double().tolist(), strict=True):
                    exact[name] = [mpf(t) for t in x[: len(exact["logp"])]]
                own[name] = own[name].reshape(mask.shape)
            if scores is not None and role == "completion":
                own["score"] = tensor(scores)
                for exact, x in zip(rounded, own["score"].double().flatten().tolist(), strict=True):
                    exact["score"] = mpf(x)
            roles[role] = Completions(mask=mask, token_logps=self.leaves[role], ref_token_logps=ref, old_token_logps=old, columns=own)
            if ranks and role == "completion":
                size = len(role_rows[0])
                self.exact["lists"] = [rounded[i : i + size] for i in range(0, len(rounded), size)]
            else:
                self.exact[role] = rounded
        if labels is not None:
            self.exact["desirable"] = labels
        if ranks is not None:
            self.exact["ranks"] = ranks
        examples = {name: tensor([inside(column, rng) for _ in next(iter(rows.values()))]) for name, column in by_level["example"].items()}
        self.exact["columns"] = {name: [mpf(x) for x in values.double().tolist()] for name, values in examples.items()}
        desirable = torch.tensor(labels) if labels is not None else None
        self.inputs = LossInputs(roles, desirable=desirable, ranks=torch.tensor(ranks) if ranks is not None else None, columns=examples, vocab_size=VOCAB_SIZE)


def between(logp: Tensor, ref: Tensor, grid: torch.dtype) -> Tensor:
    """The sampler's log-probs: a quarter of the way from the reference's to the policy's, so that no two of the three differ by the same."""
    return (ref.double() + (logp.double() - ref.double()) / 4).to(grid).to(logp.dtype)


def inside(column: Column, rng: random.Random) -> float:
    """A number inside a column's domain, near the ends that are finite."""
    interval = Interval.parse(column.domain)
    low, high = (None if end is None else float(end) for end in (interval.low, interval.high))
    if low is not None and high is not None:
        return low + (high - low) * rng.uniform(0.05, 0.95)
    if low is not None:
        return low + rng.expovariate(1.0)
    return (0.0 if high is None else high) + (rng.gauss(0, 1) if high is None else -rng.expovariate(1.0))


def padded(rows: Rows, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    width = max(len(row) for row in rows) + 2
    logp, ref = torch.zeros(len(rows), width, dtype=dtype), torch.zeros(len(rows), width, dtype=dtype)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, row in enumerate(rows):
        logp[i, : len(row)] = torch.tensor([a for a, _ in row], dtype=dtype)
        ref[i, : len(row)] = torch.tensor([b for _, b in row], dtype=dtype)
        mask[i, : len(row)] = True
    return logp, ref, mask


def exact_row(row: list[tuple[float, float]], dtype: torch.dtype) -> dict[str, Any]:
    logp = torch.tensor([a for a, _ in row], dtype=dtype).double().tolist()
    ref = torch.tensor([b for _, b in row], dtype=dtype).double().tolist()
    return {"logp": [mpf(x) for x in logp], "ref": [mpf(x) for x in ref]}


def batch(
    feedback: Feedback | str,
    kind: str,
    dtype: torch.dtype,
    seed: int,
    extra: tuple[str, ...] = (),
    columns: Columns | None = None,
    words: Sequence[str] = (),
    grid: torch.dtype | None = None,
) -> Both:
    """A batch for `feedback`. kind: random, far_up, far_down, long, sure, impossible. `words` are of the full vocabulary.

    With a `grid` the numbers of every `dtype` are those of that type.
    """
    asked = kind_of(feedback)
    columns = {**(columns or {}), **{word: Column(level="token", domain=WORDS[word]) for word in words}}
    rng = random.Random(f"{feedback}{kind}{seed}")
    size = 2
    if kind == "random":
        size = 3 if asked.is_list else 5  # of lists of four

    def row(towards: int) -> list[tuple[float, float]]:
        if kind == "random":
            return ordinary_row(rng, rng.randint(1, 12))
        if kind in ("far_up", "far_down"):
            sign = towards if kind == "far_up" else -towards
            return ratio_row(rng, rng.choice([1, 4, 40]), 500.0 * sign)
        if kind == "long":
            longest = 256 if asked.has_scores else 1024  # TRL's default max_length; lists of rows so long take minutes in 450 digits
            return ratio_row(rng, rng.choice([1, longest]), 40.0 * towards)
        return sure_row(rng, rng.choice([1, 4, 60]), -1e-30 if kind == "sure" else -1e4 / 60)

    def rows(towards: int) -> Rows:
        return [row(towards) for _ in range(size)]

    extras: dict[str, Any] = {role: rows(1) for role in extra}
    if asked.is_pair:
        return Both({"chosen": rows(1), "rejected": rows(-1), **extras}, dtype, columns=columns, grid=grid)
    if asked.labels:
        labels = [bool(i % 2) for i in range(size)]
        completion = [row(1 if good else -1) for good in labels]
        mismatched = [ordinary_row(rng, rng.randint(1, 9)) for _ in range(size)]
        return Both({"completion": completion, "mismatched": mismatched}, dtype, labels=labels, columns=columns, grid=grid)
    if asked.is_list:
        lists = [[row(1 if k < 2 else -1) for k in range(4)] for _ in range(size)]
        ranks = [[rng.randint(1, 3) for _ in range(4)] for _ in range(size)]
        scores = [[2.75 - 0.75 * rank for rank in ranking] for ranking in ranks] if asked.has_scores else None
        return Both({"completion": lists}, dtype, ranks=ranks, columns=columns, scores=scores, grid=grid)
    return Both({"completion": rows(1), **extras}, dtype, columns=columns, grid=grid)
