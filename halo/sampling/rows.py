"""A completion as a row of JSON, which any tool reads, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from halo.sampling.interface import Request, Sample
from halo.sampling.plan import Prompt

DIGITS = 6
"""After the point, of log-probs in nats: float32 says no more of a token."""


def as_row(prompt: Prompt, request: Request, sample: Sample, made: str) -> dict[str, Any]:
    """`made` is the digest of what the folder was made with."""
    row: dict[str, Any] = {
        "prompt": prompt.text,
        "completion": sample.text,
        "finish": sample.finish,
        "prompt_id": prompt.key,
        "row": prompt.number,
        "sample": request.index,
        "sampler": made,
    }
    if sample.ids is not None:
        row |= {"prompt_tokens": list(request.ids), "tokens": list(sample.ids)}
    if sample.logps is not None:
        row["logps"] = _rounded(sample.logps)
    if sample.kept is not None:
        row["kept"] = _rounded(sample.kept)
    return row


def _rounded(numbers: tuple[float, ...]) -> list[float]:
    return [round(number, DIGITS) for number in numbers]


def order(row: Mapping[str, Any]) -> tuple[int, int]:
    """Where a row stands in the finished file: prompts as in the data, their completions by index."""
    return row["row"], row["sample"]
