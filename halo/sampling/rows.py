"""The files of a folder of samples, and a completion as a row of JSON, which any tool reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from halo.completions.sampling import Request, Sample
from halo.sampling.plan import Prompt

SAMPLES, PROMPTS, LEFT_OUT, SCORES = "samples.jsonl", "prompts.jsonl", "left-out.jsonl", "scores"
"""A row for each completion; for each prompt that was asked; for each that was not, with why; the folder with a file for each scorer."""
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
