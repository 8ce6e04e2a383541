"""The completions of a prompt, from one folder of samples or several, each with its score; what cannot be used, with why."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halo.errors import DataError, Place, SettingsError, nearest
from halo.files.lines import Lines
from halo.files.stage import check_finished
from halo.sampling.rows import PROMPTS, SAMPLES, SCORES
from halo.sampling.scored import read_score_rows, score_file


@dataclass(frozen=True)
class Candidate:
    """One completion: its row in samples.jsonl, the folder it is of, and its score."""

    row: Mapping[str, Any]
    folder: str
    score: float

    @property
    def text(self) -> str:
        return str(self.row["completion"])

    def draw(self, seed: int) -> str:
        """Hexadecimal digits that decide between equals: of what it says, not of where it stands."""
        return hashlib.sha256(f"{seed} {self.text}".encode(errors="surrogatepass")).hexdigest()


@dataclass
class Group:
    """A prompt with its candidates; left_out: rows with a reason."""

    key: str
    prompt: Any
    candidates: list[Candidate] = field(default_factory=list)
    left_out: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Wanted:
    """Which completions may be used, and by what they are compared.

    by        names of scores with their weights: files of `halo score`, or columns of the prompts' rows (of given completions
              `NAME_COLUMN`)
    keep_cut  whether completions that were cut at their length may be used
    without   sources that are left out: folders, by their name, or columns of given completions
    repeated  whether a text stands as often as it was sampled
    """

    by: Mapping[str, float]
    keep_cut: bool = False
    without: Sequence[str] = ()
    repeated: bool = False


def read_groups(folders: Sequence[Path], wanted: Wanted, seed: int) -> Iterator[Group]:
    """Every prompt of all folders, in the order in which they are met. Raises SettingsError, DataError.

    Of a later turn of a conversation two models have one prompt_id and answers to different conversations: these are two prompts.
    """
    groups: dict[tuple[str, str], Group] = {}
    left_out = sources_left_out(folders, wanted.without)
    for folder in folders:
        check_finished(folder)
        without = left_out[folder]
        scores = {} if None in without else {name: read_scores(folder, name) for name in wanted.by}
        for number, row in enumerate(Lines(folder / SAMPLES), 1):
            group = groups.setdefault((row["prompt_id"], _said(row["prompt"])), Group(row["prompt_id"], row["prompt"]))
            place = Place(str(folder / SAMPLES), number)
            source = without.get(None) or without.get(row["sample"])
            if source is not None:
                group.left_out.append(_left(row, f"of {source}, which --without leaves out", place))
                continue
            found = {name: scores[name].get((row["prompt_id"], row["sample"])) for name in wanted.by}
            _enter(group, row, folder, found, wanted, place)
    for group in groups.values():
        yield _ordered(_normalised(group, wanted.by), seed, wanted.repeated)


def _said(prompt: Any) -> str:
    """The same for a text and for a conversation of this one question."""
    if isinstance(prompt, list) and len(prompt) == 1 and prompt[0].keys() == {"role", "content"} and prompt[0]["role"] == "user":
        prompt = prompt[0]["content"]
    return prompt if isinstance(prompt, str) else json.dumps(prompt, sort_keys=True)


def sources_left_out(folders: Sequence[Path], names: Sequence[str]) -> dict[Path, dict[int | None, str]]:
    """For each folder the sources that are left out, by the index of their completions; None: the whole folder.

    Raises SettingsError for a name that is no source's, or that several folders have.
    """
    found: dict[Path, dict[int | None, str]] = {folder: {} for folder in folders}
    columns = {folder: _given_columns(folder) for folder in folders}
    for name in names:
        whole = [folder for folder in folders if name in (str(folder), folder.name)]
        if len(whole) > 1:
            message = f"{len(whole)} folders are called {name!r}"
            raise SettingsError("wrong-value", message, place=Place("--without"), hint=f"give the path, as {whole[0]}")
        of_columns = [folder for folder in folders if name in columns[folder]]
        if not whole and not of_columns:
            known = [folder.name for folder in folders] + [column for folder in folders for column in columns[folder]]
            hint = nearest(name, known)
            raise SettingsError("not-found", f"no folder and no given column is called {name!r}", place=Place("--without"), hint=hint)
        for folder in whole or of_columns:
            found[folder][None if whole else columns[folder].index(name)] = name
    return found


def _enter(group: Group, row: Mapping[str, Any], folder: Path, found: Mapping[str, float | None], wanted: Wanted, place: Place) -> None:
    missing = next((name for name, score in found.items() if score is None), None)
    reason = ""
    if not str(row["completion"]).strip():
        reason = "an empty completion"
    elif row["finish"] == "length" and not wanted.keep_cut:
        reason = "cut at its length"
    elif missing is not None:
        reason = f"without a {missing}"
    if reason:
        group.left_out.append(_left(row, reason, place))
        return
    total = sum(wanted.by[name] * float(score) for name, score in found.items() if score is not None)
    group.candidates.append(Candidate({**row, "parts": dict(found)}, str(folder), total))


def _normalised(group: Group, by: Mapping[str, float]) -> Group:
    """Of several scores, each over its spread within the prompt before it is weighed, since their scales have nothing in common."""
    if len(by) < 2:
        return group
    spread = {}
    for name in by:
        values = [candidate.row["parts"][name] for candidate in group.candidates]
        mean = sum(values) / max(1, len(values))
        spread[name] = (mean, (sum((value - mean) ** 2 for value in values) / max(1, len(values))) ** 0.5)
    mixed = []
    for candidate in group.candidates:
        total = 0.0
        for name, weight in by.items():
            mean, deviation = spread[name]
            total += weight * (candidate.row["parts"][name] - mean) / deviation if deviation else 0.0
        mixed.append(Candidate(candidate.row, candidate.folder, total))
    return Group(group.key, group.prompt, mixed, group.left_out)


def _ordered(group: Group, seed: int, repeated: bool) -> Group:
    """Best first, each text once unless they may be `repeated`. Neither the order of rows nor that of folders decides."""
    ordered = sorted(group.candidates, key=lambda one: (-one.score, one.draw(seed), one.folder, one.row["sample"]))
    if repeated:
        return Group(group.key, group.prompt, ordered, group.left_out)
    kept: dict[str, Candidate] = {}
    left = list(group.left_out)
    for candidate in ordered:
        text = candidate.text.strip()
        if text in kept:
            left.append(_left(candidate.row, "the same text as another of its prompt", None))
        else:
            kept[text] = candidate
    return Group(group.key, group.prompt, list(kept.values()), left)


def _left(row: Mapping[str, Any], reason: str, place: Place | None) -> dict[str, Any]:
    found = {"prompt_id": row["prompt_id"], "sample": row["sample"], "completion": row["completion"], "reason": reason}
    return found | ({"place": str(place)} if place else {})


def read_scores(folder: Path, name: str) -> dict[tuple[str, int], float | None]:
    """By prompt and index, of a file of scores, or of a column of the prompts' rows. Raises SettingsError where there is neither."""
    file = score_file(folder, name)
    if file.is_file():
        return {key: row["score"] for key, row in read_score_rows(file).items()}
    columns, found = _given_columns(folder), dict[tuple[str, int], float | None]()
    for prompt in Lines(folder / PROMPTS):
        for index, keys in enumerate(_keys(name, columns)):
            value = next((prompt["columns"][key] for key in keys if key in prompt["columns"]), None)
            if value is not None:
                found[(prompt["prompt_id"], index)] = _number(value, name, folder)
    if not found:
        known = sorted(path.stem for path in (folder / SCORES).glob("*.jsonl")) if (folder / SCORES).is_dir() else []
        hint = nearest(name, known) if known else "halo score gives each completion one"
        raise SettingsError("not-found", f"{folder} has no scores {name!r}", place=Place("--by"), hint=hint)
    return found


def _given_columns(folder: Path) -> list[str]:
    """The columns that given completions are of, in their order; none where a model wrote them."""
    made = check_finished(folder)
    return str(made["options"].get("columns", "")).split("+") if made["sampler"] == "given" else []


def _keys(name: str, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """For each given completion the columns that may hold its score: `chosen_score`, `score_chosen`."""
    return [(f"{column}_{name}", f"{name}_{column}") for column in columns]


def _number(value: Any, name: str, folder: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise DataError("data-row", f"{name} is {json.dumps(value)}, not a finite number", place=Place(str(folder / PROMPTS)))
    return float(value)
