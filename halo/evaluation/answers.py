"""Folders of samples side by side -> prompts with every contestant's answers; what not all have is left out, with why."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from halo.completions.evaluating import Answer, Asked
from halo.completions.scoring import Completed
from halo.errors import DataError, Place
from halo.evaluation.contestants import Contestant
from halo.files.lines import Lines
from halo.files.stage import check_finished
from halo.pairing.candidates import read_scores
from halo.sampling.rows import LEFT_OUT, PROMPTS, SAMPLES
from halo.sampling.scored import read_score_rows, score_file

Key = tuple[str, int]


@dataclass
class Answered:
    """prompts: those that every contestant answered; left_out: the others, with a reason; count: answers of one, at most."""

    prompts: list[Asked] = field(default_factory=list)
    left_out: list[dict[str, Any]] = field(default_factory=list)
    count: int = 0


def read_answers(contestants: Sequence[Contestant]) -> Answered:
    """Raises HaloError; DataError where there is no prompt in common."""
    answers = [_answers(one) for one in contestants]
    prompts = [{row["prompt_id"]: row for row in Lines(one.folder / PROMPTS)} for one in contestants]
    asked: dict[str, Mapping[str, Any]] = {}
    for rows in prompts:
        for key, row in rows.items():
            asked.setdefault(key, row)
    found, turns = Answered(), list[Any]()
    for key, prompt in asked.items():
        missing = [one.name for one, own in zip(contestants, answers, strict=True) if not own.get(key)]
        if missing:
            found.left_out.append({"prompt_id": key, "prompt": prompt["prompt"], "reason": f"without an answer of {', '.join(missing)}"})
            continue
        each = tuple(tuple(own[key][index] for index in sorted(own[key])) for own in answers)
        own_prompts = tuple(own[key]["prompt"] for own in prompts)
        same = all(one == own_prompts[0] for one in own_prompts)
        unit = str(prompt.get("conversation", key))
        row = {name: value for one in reversed(prompts) for name, value in one[key]["columns"].items()}
        found.prompts.append(Asked(key, own_prompts[0], each, row, () if same else own_prompts, unit))
        turns.append(prompt.get("turn"))
        found.count = max(found.count, *map(len, each))
    found.prompts = _with_shares(found.prompts, turns)
    found.left_out += _never_asked(contestants)
    if not found.prompts:
        names = " and ".join(one.name for one in contestants)
        raise DataError("no-rows", f"{names} have no prompt in common", hint="sample them from the same prompts")
    return found


def _with_shares(prompts: Sequence[Asked], turns: Sequence[Any]) -> list[Asked]:
    """Of a conversation all prompts of one turn count as one, however many answers were drawn. `turns`: of each prompt its own, if any;
    a column of the data may have that name too.
    """
    counts = Counter((asked.unit, turn) for asked, turn in zip(prompts, turns, strict=True))
    return [replace(asked, share=1 / counts[asked.unit, turn]) for asked, turn in zip(prompts, turns, strict=True)]


def _never_asked(contestants: Sequence[Contestant]) -> list[dict[str, Any]]:
    """Rows of the data that were left out before anybody was asked, each once."""
    found: dict[str, dict[str, Any]] = {}
    for folder in dict.fromkeys(one.folder for one in contestants):
        for row in Lines(folder / LEFT_OUT):
            found.setdefault(json.dumps(row, sort_keys=True, default=str), row)
    return list(found.values())


def _answers(one: Contestant) -> dict[str, dict[int, Answer]]:
    """By prompt and index."""
    made = check_finished(one.folder)
    scores: Mapping[Key, float | None] = read_scores(one.folder, one.scores) if one.scores else {}
    told = read_parts(one.folder, one.scores)
    found: dict[str, dict[int, Answer]] = {}
    for row in Lines(one.folder / SAMPLES):
        key, index = row["prompt_id"], row["sample"]
        completed = Completed(row["completion"], row["finish"], tuple(row["tokens"]) if "tokens" in row else None)
        drawn = drawn_logp(row, made)
        own = drawn is not None and "kept" not in row and made.get("temperature") == 1
        answer = Answer(completed, scores.get((key, index)), told.get((key, index), {}), drawn, own)
        found.setdefault(key, {})[index] = answer
    return found


def drawn_logp(row: Mapping[str, Any], made: Mapping[str, Any]) -> float | None:
    """Of a whole sample under what it was drawn from; None where nothing was drawn at random, or from what a penalty had changed."""
    if "logps" not in row or "seed" not in made or made["options"].get("repetition_penalty", 1) != 1:
        return None
    return float(sum(row["logps"]) - sum(row.get("kept", ())))


def read_parts(folder: Path, name: str) -> dict[Key, Mapping[str, float]]:
    """What a scorer said of each number beside it."""
    if not name or not (file := score_file(folder, name)).is_file():
        return {}
    return {key: row.get("parts", {}) for key, row in read_score_rows(file).items()}


def check_column(found: Answered, column: str) -> None:
    """Raises DataError where no prompt's row has the column that numbers are to be parted by."""
    if not any(column in asked.row for asked in found.prompts):
        known = sorted({name for asked in found.prompts for name in asked.row})
        hint = f"there are {', '.join(known)}" if known else "the prompts have no further column"
        raise DataError("data-format", f"no prompt has a column {column!r}", place=Place("--column"), hint=hint)
