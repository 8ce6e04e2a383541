"""Feedback as rows that any trainer reads: texts first, then scores, then what was sampled (ids, log-probs), side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from halo.data.columns import OLD_LOGP
from halo.data.ids.columns import FINISH, KEPT, PROMPT_IDS, TEMPERATURE, TOKENS, WEIGHTS
from halo.pairing.candidates import Candidate, Group

Made = Mapping[str, Mapping[str, Any]]
"""By folder, what its samples were made with."""


def pair_row(group: Group, better: Candidate, worse: Candidate, made: Made) -> dict[str, Any]:
    """`prompt, chosen, rejected`."""
    row: dict[str, Any] = {"prompt": group.prompt, "chosen": better.text, "rejected": worse.text}
    row |= {"chosen_score": better.score, "rejected_score": worse.score, "prompt_id": group.key}
    return row | _sampled({"chosen": better, "rejected": worse}, made)


def completion_row(group: Group, candidate: Candidate, made: Made) -> dict[str, Any]:
    """`prompt, completion`."""
    row: dict[str, Any] = {"prompt": group.prompt, "completion": candidate.text}
    return row | {"score": candidate.score, "prompt_id": group.key} | _sampled({"completion": candidate}, made)


def label_row(group: Group, candidate: Candidate, desirable: bool, made: Made) -> dict[str, Any]:
    """`prompt, completion, label`."""
    row = completion_row(group, candidate, made)
    return {"prompt": row.pop("prompt"), "completion": row.pop("completion"), "label": desirable, **row}


def list_row(group: Group, candidates: Sequence[Candidate], made: Made) -> dict[str, Any]:
    """`prompt, completions, scores`."""
    texts, scores = [one.text for one in candidates], [one.score for one in candidates]
    row: dict[str, Any] = {"prompt": group.prompt, "completions": texts, "scores": scores, "prompt_id": group.key}
    sides = [_sampled({"": one}, made) for one in candidates]
    if not all(sides) or any(side[PROMPT_IDS] != sides[0][PROMPT_IDS] for side in sides):
        return row
    lists = {f"completions_{name}": [side[f"_{name}"] for side in sides] for name in (TOKENS, FINISH, TEMPERATURE, WEIGHTS)}
    lists |= {name: [side[f"_{name}"] for side in sides] for name in (OLD_LOGP, KEPT) if all(f"_{name}" in side for side in sides)}
    return row | {PROMPT_IDS: list(sides[0][PROMPT_IDS])} | lists


def _sampled(sides: Mapping[str, Candidate], made: Made) -> dict[str, Any]:
    """Ids and what goes with them, where every side has them and they follow the same prompt; else nothing, and texts are trained on."""
    rows = [one.row for one in sides.values()]
    if not all("tokens" in row for row in rows) or len({tuple(row["prompt_tokens"]) for row in rows}) > 1:
        return {}
    found: dict[str, Any] = {PROMPT_IDS: rows[0]["prompt_tokens"]}
    for side, one in sides.items():
        told = made[one.folder]
        found |= {f"{side}_{TOKENS}": one.row["tokens"], f"{side}_{FINISH}": one.row["finish"]}
        found |= {f"{side}_{TEMPERATURE}": told["temperature"], f"{side}_{WEIGHTS}": told["weights"][:12]}
        if "logps" in one.row:
            found[f"{side}_{OLD_LOGP}"] = one.row["logps"]
        if "kept" in one.row:
            found[f"{side}_{KEPT}"] = one.row["kept"]
    return found
