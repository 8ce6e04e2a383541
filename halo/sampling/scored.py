"""Scores beside samples, as they are read: each row is what a scorer may say, and they belong to the samples that they lie beside."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from halo.errors import DataError, Place, SettingsError
from halo.files.lines import Lines
from halo.files.manifest import digest
from halo.files.regular import read_regular
from halo.sampling.rows import SAMPLES, SCORES

NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
"""Of scores: the file is called so."""
Key = tuple[str, int]


def score_file(folder: Path, name: str) -> Path:
    """Where scores of that name lie. Raises SettingsError for what is no name: it may lead nowhere else."""
    if not NAME.fullmatch(name):
        hint = "letters, digits, '_', '.' and '-', such as reward"
        raise SettingsError("wrong-value", f"{name!r} is no name of scores", place=Place("--by"), hint=hint)
    return folder / SCORES / f"{name}.jsonl"


def read_score_rows(file: Path) -> dict[Key, dict[str, Any]]:
    """By prompt and index the last row of a file of scores. Raises DataError for a row that is none, SettingsError for others' scores."""
    check_samples(file)
    found = {}
    for number, row in enumerate(Lines(file), 1):
        if wrong := _wrong(row):
            raise DataError(
                "data-row", wrong, place=Place(str(file), number), hint="score them again: remove the file, or use another --name"
            )
        found[row["prompt_id"], row["sample"]] = row
    return found


def check_samples(file: Path) -> None:
    """Raises SettingsError where the manifest of the scores says that they are of other samples."""
    told = read_claim(file).get("samples")
    if isinstance(told, str) and told != digest(file.parent.parent / SAMPLES):
        message = f"{file} has scores of other samples than those that it lies beside"
        raise SettingsError("output-folder", message, place=Place(str(file)), hint="halo score gives these samples scores of their own")


def read_claim(file: Path) -> dict[str, Any]:
    """What scores were made with; nothing where nothing says it. Raises SettingsError for a manifest that cannot be read."""
    manifest = file.with_suffix(".manifest.json")
    if not manifest.exists():
        return {}
    try:
        found = json.loads(read_regular(manifest))
    except (OSError, ValueError) as problem:
        raise SettingsError("output-folder", f"{manifest} cannot be read: {problem}", hint="remove it with its scores") from None
    if not isinstance(found, dict):
        raise SettingsError("output-folder", f"{manifest} is no manifest", hint="remove it with its scores")
    return found


def _wrong(row: Mapping[str, Any]) -> str:
    """What is not as it must be in a row of scores."""
    if not isinstance(row.get("prompt_id"), str):
        return "a score without a prompt_id"
    if isinstance(row.get("sample"), bool) or not isinstance(row.get("sample"), int):
        return f"sample is {json.dumps(row.get('sample'), default=str)}, not a whole number"
    if "score" not in row:
        return "a row without a score"
    parts = row.get("parts", {})
    if not isinstance(parts, dict):
        return f"parts is {json.dumps(parts, default=str)}, not numbers by name"
    for name, value in {"score": row["score"], **parts}.items():
        if value is None and name == "score":
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
            return f"{name} is {json.dumps(value, default=str)}, not a finite number"
    return ""
