"""What a run writes into its folder before its first step and after its last, and what becomes of what an abandoned branch left there."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from halo.errors import HaloError
from halo.files.lines import Lines
from halo.files.whole import write_text
from halo.training.run.run import Run
from halo.training.saving.card import model_card
from halo.training.saving.checkpoints import checkpoints, kept, save_model
from halo.training.saving.folder import Folder, unwritten
from halo.training.saving.ownership import remember
from halo.training.saving.published import private, public


def write_beginning(run: Run) -> None:
    """What the run is. Raises SettingsError where the disk has no room for what is known to come, RunFailed where it cannot be written."""
    run.output.mkdir(parents=True, exist_ok=True)
    run.folder.check_room(_written_bytes(run))
    try:
        write_text(run.output / "settings.yaml", yaml.safe_dump(public(run.settings), sort_keys=False))
        write_text(run.output / "objective.yaml", run.compiled.objective.to_yaml(run.compiled.parameters))
        write_text(run.output / "loss.py", run.compiled.source)
        remember(run.output, private(run.settings))
    except OSError as problem:
        raise unwritten("what the run is", run.output, problem, "nothing was trained") from None


def _written_bytes(run: Run) -> int:
    """Of the trained weights at the end, and of two checkpoints with the optimizer's two moments, as the older one goes last."""
    weights = sum(int(p.numel() * p.element_size()) for p in run.model.parameters() if p.requires_grad)
    checkpoints_kept = 2 if run.settings.save_steps else 0
    return weights * (1 + 3 * checkpoints_kept)


def set_apart(run: Run, metrics: Lines, step: int) -> None:
    """What the run wrote after a checkpoint goes to a folder of its own: it will be written again."""
    if metrics.mend():
        run.say(f"resume     the last line of {metrics.file} was torn off in writing and is dropped")
    later = [found for found in checkpoints(run.output) if int(found.name.split("-")[1]) > step]
    dropped = metrics.keep(lambda record: record["step"] <= step)
    if not later and not dropped:
        return
    apart = run.output / f"abandoned-after-{step}-{time.strftime('%Y%m%d-%H%M%S')}"
    apart.mkdir()
    for found in later:
        found.rename(apart / found.name)
    for record in dropped:
        Lines(apart / "metrics.jsonl").add(record)
    run.say(f"resume     what the run did after step {step} is in {apart}")


def write_end(run: Run, weights: Mapping[str, Any] | None, history: Sequence[Mapping[str, float]], about: Mapping[str, Any]) -> None:
    """The trained model, its card and the last metrics. Raises RunFailed where they cannot be written, and says where the model is."""
    run.model.config.use_cache = True
    results = final_results(history)
    try:
        save_model(run.model, run.tokenizer, run.output, weights)
        write_text(run.output / "README.md", model_card(run.compiled, run.settings, results, _facts(run, results, about)))
        write_text(run.output / "all_results.json", json.dumps(results, indent=1))
    except OSError as problem:
        raise unwritten("the trained model", run.output, problem, _rescued(run, weights)) from None


def final_results(history: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The metrics of training and those of the evaluation that were logged last."""
    found: dict[str, float] = {}
    for record in history:
        found |= record
    return found


def write_gold(run: Run, before: float, after: float) -> None:
    """What share of sampled answers was right before and after, beside the other results and in the card. Raises RunFailed."""
    results, card = run.output / "all_results.json", run.output / "README.md"
    told = json.loads(results.read_text()) | {"gold_before": before, "gold_after": after}
    share = f"\nSampled answers to held-out prompts that are exactly right: {before:.1%} before, {after:.1%} after.\n"
    try:
        write_text(results, json.dumps(told, indent=1))
        write_text(card, card.read_text() + share)
    except OSError as problem:
        raise unwritten("the gold metric", run.output, problem, f"the trained model is in {run.output}") from None


def rescue(run: Run, history: Sequence[Mapping[str, float]], save: Callable[[Path], Path]) -> str:
    """Where a run whose folder cannot be written stands, in the folder for temporary files: it can be resumed from there.

    save  writes a checkpoint into a folder. Returns what is safe, in words.
    """
    place = Path(tempfile.mkdtemp(prefix=f"halo-{run.compiled.graph.name}-"))
    try:
        write_beginning(replace(run, folder=Folder(place)))
        for record in history:
            Lines(place / "metrics.jsonl").add(record)
        save(place)
    except (HaloError, OSError):
        shutil.rmtree(place, ignore_errors=True)
        return kept(run.output)
    return f"the run is saved up to here in {place}; go on with halo train {run.compiled.graph.name} --resume {place}"


def _rescued(run: Run, weights: Mapping[str, Any] | None) -> str:
    """The trained model in the folder for temporary files, where there may be room: what is safe, in words."""
    place = Path(tempfile.mkdtemp(prefix=f"halo-{run.compiled.graph.name}-"))
    try:
        save_model(run.model, run.tokenizer, place, weights)
    except OSError:
        shutil.rmtree(place, ignore_errors=True)
        return kept(run.output)
    return f"it is in {place}; move it before the machine is restarted"


def _facts(run: Run, last: Mapping[str, float], about: Mapping[str, Any]) -> dict[str, str]:
    """What a reader of the model's card asks for beside the metrics."""
    examples = "a stream" if run.data.stream is not None else f"{len(run.data.train):,}"
    return {
        "steps": f"{last.get('step', 0):.0f}",
        "examples": examples,
        "examples in a step": str(about["batch"]),
        "processes": str(about["ranks"]),
        "seed": str(run.settings.seed),
        "versions": ", ".join(f"{name} {one}" for name, one in about["versions"].items()),
        "command": "halo train ./objective.yaml --settings ./settings.yaml",
    }
