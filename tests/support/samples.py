"""Folders of samples as `halo sample` writes them, with scores, made without a model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from halo.files.lines import Lines
from halo.files.stage import StageFolder
from halo.sampling.plan import prompt_key
from halo.sampling.rows import LEFT_OUT, PROMPTS, SAMPLES, SCORES

MADE = {"kind": "samples", "sampler": "sample", "options": {}, "temperature": 1.3, "weights": "f" * 64}


def folder_of(
    path: Path, prompts: Mapping[str, Sequence[Mapping[str, Any]]], columns: Mapping[str, Mapping[str, Any]] | None = None, **made: Any
) -> Path:
    """`prompts`: by text, the completions; what a completion does not say is filled in. `score` of one goes to scores/reward.jsonl."""
    folder = StageFolder(path, {**MADE, **made}, {})
    folder.take()
    samples, asked, scores = Lines(path / SAMPLES), Lines(path / PROMPTS), []
    (path / LEFT_OUT).touch()
    for number, (prompt, completions) in enumerate(prompts.items(), 1):
        key = prompt_key(prompt)
        asked.add({"prompt_id": key, "row_number": number, "prompt": prompt, "columns": dict((columns or {}).get(prompt, {}))})
        for index, told in enumerate(completions):
            row = {"prompt": prompt, "finish": "end", "prompt_id": key, "row": number, "sample": index, "sampler": "0" * 12, **told}
            score = row.pop("score", None)
            samples.add(row)
            scores.append({"prompt_id": key, "sample": index, "score": score})
    folder.finish({}, [])
    folder.give_back()
    (path / SCORES).mkdir()
    (path / SCORES / "reward.jsonl").write_text("".join(json.dumps(row) + "\n" for row in scores))
    return path
