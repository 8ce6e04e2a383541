"""`halo pair`: folders of samples, scores and a rule -> a file of feedback, and beside it what was left out and why."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from halo.errors import DataError, Place, RunFailed, SettingsError, nearest
from halo.files.lines import as_line
from halo.files.parquet import PARQUET, write_parquet
from halo.files.stage import check_finished
from halo.files.whole import whole, write_text
from halo.pairing.candidates import Group, Wanted, read_groups
from halo.pairing.rows import completion_row, label_row, list_row, pair_row
from halo.pairing.rules import BEST, GROUP, LIST, PAIRS, RULES, THRESHOLD, Choice
from halo.sampling.rows import with_prompts_alike

Say = Callable[[str], None]


class PairingSettings(BaseModel):
    """The settings of one `halo pair`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: dict[str, float] = Field(description="SCORE, or SCORE=WEIGHT,...: several are put on one scale within each prompt")
    rule: str = Field("best-worst", description=f"one of {', '.join(RULES)}")
    gap: float = Field(0.0, ge=0, allow_inf_nan=False, description="scores of a pair are apart by more than this")
    threshold: str = Field("median", description="of the rule threshold: desirable from this score on; a number, mean or median")
    keep_cut: bool = Field(False, description="use completions that were cut at their length too")
    without: list[str] = Field([], description="NAME,...: leave out a folder, by its name, or a column of given completions")
    seed: int = Field(0, description="of what is drawn at random, and between equals")
    out: str = Field("pairs.jsonl", min_length=1, description="the file: .jsonl, or .parquet")

    @field_validator("by", mode="before")
    @classmethod
    def _as_weights(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = [part.partition("=") for part in value.split(",") if part]
        if not pairs:
            raise ValueError("it names no score")
        return {name: weight if equals else 1.0 for name, equals, weight in pairs}

    @field_validator("without", mode="before")
    @classmethod
    def _as_names(cls, value: Any) -> Any:
        return [name for name in value.split(",") if name] if isinstance(value, str) else value

    @field_validator("rule")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in RULES:
            raise ValueError(f"there is no rule {value!r}; {nearest(value, RULES)}")
        return value

    @field_validator("threshold")
    @classmethod
    def _number_or_name(cls, value: str) -> str:
        if value not in ("mean", "median"):
            float(value)
        return value


@dataclass
class Paired:
    """rows: the feedback; left_out: completions and prompts that gave none, with a reason."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[dict[str, Any]] = field(default_factory=list)


def run_pairing(folders: Sequence[Path], settings: PairingSettings, say: Say) -> Path:
    """Writes the file, whole or not at all; returns it. Raises HaloError."""
    out = Path(settings.out)
    if out.exists():
        raise SettingsError("output-folder", f"{out} is there already", place=Place("--out"), hint="choose another, or remove it")
    made = {str(folder): check_finished(folder) for folder in folders}
    wanted = Wanted(settings.by, settings.keep_cut, settings.without, repeated=settings.rule == GROUP)
    groups = list(read_groups(folders, wanted, settings.seed))
    found = paired(groups, made, settings)
    reasons = Counter(row["reason"] for row in found.left_out)
    said = "; ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    if not found.rows:
        message = f"no feedback: {said or 'there is no completion'}"
        raise DataError("no-rows", message, place=Place(str(folders[0])), hint="another --by or --rule, a smaller --gap, or --keep-cut")
    _write(out, found, made, settings)
    say(f"pair       {len(found.rows):,} rows of {len(groups):,} prompts by {settings.rule}" + (f"; left out: {said}" if said else ""))
    return out


def paired(groups: Sequence[Group], made: dict[str, dict[str, Any]], settings: PairingSettings) -> Paired:
    """The feedback of all prompts."""
    found = Paired()
    limit = _threshold(groups, settings) if settings.rule == THRESHOLD else 0.0
    for group in groups:
        found.left_out += group.left_out
        rows = list(_rows(group, made, settings, limit))
        found.rows += rows
        if not rows and group.candidates:
            reason = "prompts with one completion" if len(group.candidates) == 1 else "prompts whose completions have scores too close"
            found.left_out.append({"prompt_id": group.key, "prompt": group.prompt, "reason": reason})
    return found


def _rows(group: Group, made: dict[str, dict[str, Any]], settings: PairingSettings, limit: float) -> Iterator[dict[str, Any]]:
    ordered = group.candidates
    if settings.rule == THRESHOLD:
        for one in ordered:
            if abs(one.score - limit) >= settings.gap:
                yield label_row(group, one, one.score >= limit, made)
        return
    if settings.rule == BEST and ordered:
        if not settings.gap or ordered[0].score - ordered[-1].score > settings.gap:
            yield completion_row(group, ordered[0], made)
        return
    if len(ordered) < 2:
        return
    if settings.rule in (LIST, GROUP):
        tied_too = settings.rule == GROUP and not settings.gap  # an average over prompts counts them, although they teach nothing
        if tied_too or ordered[0].score - ordered[-1].score > settings.gap:
            yield list_row(group, ordered, made)
        return
    for better, worse in PAIRS[settings.rule](ordered, Choice(settings.gap, settings.seed)):
        yield pair_row(group, better, worse, made)


def _threshold(groups: Sequence[Group], settings: PairingSettings) -> float:
    scores = [candidate.score for group in groups for candidate in group.candidates]
    if not scores:
        return 0.0
    if settings.threshold == "mean":
        return fmean(scores)
    if settings.threshold == "median":
        return median(scores)
    return float(settings.threshold)


def _write(out: Path, found: Paired, made: dict[str, dict[str, Any]], settings: PairingSettings) -> None:
    told = {"kind": "pairs", **settings.model_dump(exclude={"out"}), "samples": {Path(name).name: one for name, one in made.items()}}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(_beside(out, "manifest.json"), json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        with whole(_beside(out, "left-out.jsonl")) as draft, draft.open("wb") as stream:
            stream.writelines(map(as_line, found.left_out))
        with whole(out) as draft:
            _write_rows(draft, out, found.rows)
    except OSError as problem:
        message = f"{out} cannot be written: {problem.strerror or problem}"
        raise RunFailed("output-folder", message, hint="make room and run the same command again, or choose another --out") from None


def _write_rows(draft: Path, out: Path, rows: list[dict[str, Any]]) -> None:
    if out.suffix == PARQUET:
        write_parquet(draft, with_prompts_alike(lambda: rows), Place(str(out)))
        return
    with draft.open("wb") as stream:
        stream.writelines(map(as_line, rows))


def _beside(out: Path, what: str) -> Path:
    """pairs.left-out.jsonl beside pairs.jsonl."""
    return out.with_name(f"{out.stem}.{what}")
