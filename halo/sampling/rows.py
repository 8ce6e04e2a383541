"""The files of a folder of samples, and a completion as a row of JSON, which any tool reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from halo.completions.sampling import Request, Sample
from halo.sampling.plan import Prompt, Turn

SAMPLES, PROMPTS, LEFT_OUT, SCORES = "samples.jsonl", "prompts.jsonl", "left-out.jsonl", "scores"
"""A row for each completion; for each prompt that was asked; for each that was not, with why; the folder with a file for each scorer."""
DIGITS = 6
"""After the point, of log-probs in nats: float32 says no more of a token."""


@dataclass(frozen=True)
class Made:
    """What a row says of its making, each 12 hexadecimal digits: of all that the manifest says, and of the weights alone ("" without)."""

    digest: str
    weights: str = ""


def as_row(prompt: Prompt, request: Request, sample: Sample, made: Made) -> dict[str, Any]:
    """A completion as a line of samples.jsonl."""
    row: dict[str, Any] = {
        "prompt": prompt.text,
        "completion": sample.text,
        "finish": sample.finish,
        "prompt_id": prompt.key,
        "row": prompt.number,
        "sample": request.index,
        "sampler": made.digest,
    }
    if made.weights:
        row["weights"] = made.weights
    if prompt.turn is not None:
        row |= turn_columns(prompt.turn)
    if sample.ids is not None:
        row |= {"prompt_tokens": list(request.ids), "tokens": list(sample.ids)}
    if sample.logps is not None:
        row["logps"] = _rounded(sample.logps)
    if sample.kept is not None:
        row["kept"] = _rounded(sample.kept)
    return row


def turn_columns(turn: Turn) -> dict[str, Any]:
    """What a row says of its turn. From the second on: which first answer it goes on from, and how the earlier answers ended."""
    found: dict[str, Any] = {"turn": turn.number, "conversation": turn.conversation}
    if turn.first_sample is not None:
        found |= {"first_sample": turn.first_sample, "earlier": list(turn.earlier)}
    return found


def with_prompts_alike(rows: Callable[[], Iterable[Mapping[str, Any]]]) -> Callable[[], Iterator[Mapping[str, Any]]]:
    """The rows for a table, whose columns have one type: where some prompts are conversations, a text is one of a single question."""
    mixed = len({isinstance(row["prompt"], str) for row in rows()}) > 1

    def alike() -> Iterator[Mapping[str, Any]]:
        for row in rows():
            told = mixed and isinstance(row["prompt"], str)
            yield {**row, "prompt": [{"role": "user", "content": row["prompt"]}]} if told else row

    return alike


def _rounded(numbers: tuple[float, ...]) -> list[float]:
    return [round(number, DIGITS) for number in numbers]


def order(row: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Where a row stands in the finished file: prompts as in the data, their turns in order, their completions by index."""
    return row["row"], row.get("turn", 1), row.get("first_sample", 0), row["sample"]
