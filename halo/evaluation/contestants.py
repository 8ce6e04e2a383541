"""Who is compared: folders of samples as they are, models sampled here, files of answers; or models that score what the data holds."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halo.errors import Place, SettingsError
from halo.evaluation.settings import EvaluationSettings
from halo.files.stage import read_made
from halo.grading.run import ScoringSettings, run_scoring
from halo.options import parts
from halo.sampling.run import run_sampling
from halo.sampling.settings import DrawingSettings, SamplingSettings
from halo.starter.defaults import HELD_OUT, model_named

Say = Callable[[str], None]
FILES = (".jsonl", ".json", ".jsonl.gz", ".json.gz", ".jsonl.zst", ".parquet", ".csv", ".arrow")


@dataclass(frozen=True)
class Contestant:
    """name: as the report has it; folder: its answers; scores: of which file of scores beside them, "" without any."""

    name: str
    folder: Path
    scores: str = ""


def named(targets: Sequence[str]) -> list[str]:
    """A name for each: the last part of its path, with as much before it as tells them apart."""
    cut = [Path(os.path.abspath(target)).parts if os.path.exists(target) else tuple(target.split("/")) for target in targets]
    for size in range(1, max(map(len, cut)) + 1):
        names = ["/".join(one[-size:]).removeprefix("//") for one in cut]
        if len(set(names)) == len(names):
            return names
    raise SettingsError("wrong-value", f"{targets[0]} stands twice", place=Place("halo eval"), hint="give each contestant once")


def writing(targets: Sequence[str], settings: EvaluationSettings, say: Say) -> list[Contestant]:
    """Every target with a folder of samples, and its scores. Models are sampled, with the same noise. Raises HaloError."""
    found = []
    if settings.prompts and all(_is_samples(Path(target)) for target in targets):
        say("eval       --prompts is of nobody: all contestants are folders of samples")
    for name, target in zip(named(targets), targets, strict=True):
        folder = Path(target)
        if _is_samples(folder):
            say(f"contestant {name}: the samples in {folder}")
        else:
            folder = Path(settings.out) / "samples" / _safe(name)
            run_sampling(_sampled(target, folder, settings), say)
        found.append(Contestant(name, folder, settings.by or ""))
    return found


def scored(found: Sequence[Contestant], settings: EvaluationSettings, say: Say) -> list[Contestant]:
    """The same, each folder scored by the scorer."""
    if settings.scorer is None:
        return list(found)
    name = score_name(settings)
    for one in found:
        run_scoring(one.folder, _scoring(settings.scorer, name, settings), say)
    return [Contestant(one.name, one.folder, name) for one in found]


def scoring(targets: Sequence[str], columns: str, settings: EvaluationSettings, say: Say) -> list[Contestant]:
    """Models that score texts of the data: likelihood, implied reward where a reference is named, and the scorer. Raises HaloError."""
    folder = Path(settings.out) / "texts"
    asked = SamplingSettings(**{**_drawing(settings), "sampler": {"name": "given", "columns": columns}, "out": str(folder)})
    run_sampling(asked, say)
    scorers: list[tuple[str, str | dict[str, Any]]] = []
    for name, target in zip(named(targets), targets, strict=True) if targets else ():
        model = model_named(target)
        scorers.append((name, {"name": "likelihood", "model": model}))
        if settings.reference:
            scorers.append((f"{name} implied", {"name": "implied", "model": model, "reference": model_named(settings.reference)}))
    if settings.scorer is not None:
        scorers.append((score_name(settings), settings.scorer))
    found = []
    for name, scorer in scorers:
        file = _safe(name)
        run_scoring(folder, _scoring(scorer, file, settings), say)
        found.append(Contestant(name, folder, file))
    if settings.by:
        found.append(Contestant(settings.by, folder, settings.by))
    twice = next((one.name for one in found if [other.name for other in found].count(one.name) > 1), None)
    if twice is not None:
        message = f"two contestants are called {twice}"
        raise SettingsError(
            "wrong-value", message, place=Place("halo eval"), hint="--name calls the scorer's scores; give a path otherwise"
        )
    return found


def score_name(settings: EvaluationSettings) -> str:
    """What the scorer's scores are called."""
    if settings.scorer is None:
        return settings.by or ""
    return settings.name or parts(settings.scorer)[0]


def _scoring(scorer: str | dict[str, Any], name: str, settings: EvaluationSettings) -> ScoringSettings:
    return ScoringSettings(scorer=scorer, name=name, trust_remote_code=settings.trust_remote_code, use_cpu=settings.use_cpu)


def _sampled(target: str, folder: Path, settings: EvaluationSettings) -> SamplingSettings:
    path, _, column = (target, "", "") if Path(target).is_file() else target.partition(":")
    if path.endswith(FILES) and Path(path).is_file():
        given = {"name": "given", "columns": column or "completion"}
        return SamplingSettings(**{**_drawing(settings), "prompts": path, "sampler": given, "out": str(folder)})
    if path.endswith(FILES) and not Path(target).is_dir():
        raise SettingsError(
            "not-found", f"there is no file {path}", place=Place("halo eval"), hint="a file of answers is FILE or FILE:COLUMN"
        )
    return SamplingSettings(**{**_drawing(settings), "model": model_named(target), "out": str(folder)})


def _drawing(settings: EvaluationSettings) -> dict[str, Any]:
    drawing = {name: getattr(settings, name) for name in DrawingSettings.model_fields}
    return {**drawing, "prompts": settings.prompts or str(HELD_OUT)}


def _is_samples(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    made = read_made(folder)
    return made is not None and made.get("kind") == "samples"


def _safe(name: str) -> str:
    """As a file's name: with digits of its hash where that is another, so that no two share one."""
    safe = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in name).strip("-.") or "one"
    return safe if safe == name else f"{safe}-{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:8]}"
