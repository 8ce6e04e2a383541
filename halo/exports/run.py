"""`halo export SAMPLES FORMAT`: a finished folder of samples as a file that another tool reads, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from halo.errors import DataError, Place, RunFailed, SettingsError, nearest
from halo.exports.answered import questions_of
from halo.exports.formats import FORMATS, Format, Named, Records
from halo.files.lines import Lines, as_line
from halo.files.parquet import write_parquet
from halo.files.stage import STAGE, check_finished
from halo.files.whole import whole
from halo.pairing.candidates import read_scores
from halo.sampling.rows import SAMPLES, SCORES, with_prompts_alike

Say = Callable[[str], None]
TABLE = "parquet"
"""The format that holds the rows as they are."""


class ExportSettings(BaseModel):
    """The settings of one `halo export SAMPLES FORMAT`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    out: str | None = Field(None, min_length=1, description="the file; of arena-hard and mt-bench the folder it goes to")
    name: str | None = Field(None, min_length=1, description="what the tool calls the model; left out: the model's own name")


def is_samples(folder: Path) -> bool:
    """Whether a command of halo's made this folder of samples."""
    try:
        return bool(json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["kind"] == "samples")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def export_samples(folder: Path, kind: str, settings: ExportSettings, say: Say) -> Path:
    """Writes the file; returns it. Raises HaloError."""
    if kind != TABLE and kind not in FORMATS:
        known = [*FORMATS, TABLE]
        hint = f"{nearest(kind, known)}; known are {', '.join(known)}"
        raise SettingsError("wrong-value", f"samples are not exported as {kind!r}", place=Place("halo export"), hint=hint)
    made = check_finished(folder)
    if kind == TABLE:
        out = _free(Path(settings.out or "samples.parquet"))
        _written(out, lambda draft: write_parquet(draft, with_prompts_alike(lambda: scored_rows(folder)), Place(str(folder / SAMPLES))))
        say(f"export     {folder} as a table in {out}")
        return out
    chosen, name = FORMATS[kind], settings.name or Path(str(made.get("model", folder.name))).name.replace(" ", "-")
    if not chosen.array and name != Path(name).name:
        raise SettingsError("wrong-value", f"{name!r} is no name of a file", place=Place("--name"), hint="give one without a /")
    out = _free(_place(chosen, settings.out or chosen.out, name))
    questions = questions_of(folder)
    records = chosen.records(questions, Named(name, _made(folder), round((folder / STAGE).stat().st_mtime, 3)))
    if not records.rows:
        said = "; ".join(f"{count} {reason}" for reason, count in records.left_out.items())
        raise DataError(
            "no-rows", f"nothing is left to write: {said}", place=Place(str(folder)), hint="sample a file of questions of that tool"
        )
    _written(out, lambda draft: _write(draft, chosen, records))
    left = "".join(f"; left out: {count} {reason}" for reason, count in records.left_out.items())
    say(f"export     {len(records.rows):,} answers of {name} as {kind} in {out}{left}")
    return out


def _place(chosen: Format, given: str, name: str) -> Path:
    if chosen.array or given.endswith(".jsonl"):
        return Path(given)
    return Path(given) / f"{name}.jsonl"


def _free(out: Path) -> Path:
    """Raises SettingsError for a file that is there."""
    if out.exists():
        raise SettingsError("output-folder", f"{out} is there already", place=Place("--out"), hint="choose another, or remove it")
    return out


def _made(folder: Path) -> str:
    return str(next(iter(Lines(folder / SAMPLES)), {}).get("sampler", ""))


def _write(draft: Path, chosen: Format, records: Records) -> None:
    if chosen.array:
        draft.write_text(json.dumps(records.rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return
    with draft.open("wb") as stream:
        stream.writelines(map(as_line, records.rows))


def _written(out: Path, fill: Callable[[Path], None]) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with whole(out) as draft:
            fill(draft)
    except OSError as problem:
        message = f"{out} cannot be written: {problem.strerror or problem}"
        raise RunFailed("output-folder", message, hint="make room and run the same command again, or choose another --out") from None


def scored_rows(folder: Path) -> Iterator[Mapping[str, Any]]:
    """The rows of samples.jsonl, each with a column `score_NAME` for every file of scores."""
    names = sorted(file.stem for file in (folder / SCORES).glob("*.jsonl")) if (folder / SCORES).is_dir() else []
    scores = {name: read_scores(folder, name) for name in names}
    for row in Lines(folder / SAMPLES):
        yield {**row, **{f"score_{name}": scores[name].get((row["prompt_id"], row["sample"])) for name in names}}
