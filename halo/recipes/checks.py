"""What can be known of every command before the first one runs: its settings, what it names, and what needs a word of the user's."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from halo.api.loading import load_objective
from halo.errors import HaloError, Place, SettingsError
from halo.evaluation.asked import check_evaluation
from halo.evaluation.settings import EvaluationSettings
from halo.fields import read_flags
from halo.grading.run import ScoringSettings
from halo.options import as_text, parts
from halo.pairing.run import PairingSettings
from halo.plugin.registry import choose
from halo.recipes.loading import Loaded
from halo.recipes.plan import Step, planned
from halo.sampling.settings import SamplingSettings
from halo.training.settings import ALIASES, Settings, read_settings, setting_name

OWN_BACKENDS = ("auto", "single", "ddp")
"""Backends that are core's: they take no code and no address from a recipe."""


def checked(loaded: Loaded, out: Path) -> list[Step]:
    """Every command in order, each with settings that it takes. Raises HaloError for the first that is not good, with its place."""
    steps, seen = planned(loaded, out), set[str]()
    for step in steps:
        if step.name not in seen:  # a further round has the settings of the first
            seen.add(step.name)
            _check(loaded, step)
    return steps


def _check(loaded: Loaded, step: Step) -> None:
    try:
        CHECKS[step.kind](step)
    except HaloError as problem:
        flag = problem.place.file if problem.place else ""
        option = flag.removeprefix("--").replace("-", "_") if flag.startswith("--") else ""
        place = loaded.place("stages", step.name, step.kind, *([option] if option else []))
        hint = f"say it with --set {step.name}.{option}=NAME" if problem.code == "missing-key" and option else problem.hint
        where = f"{flag}: " if flag else ""
        raise SettingsError(problem.code, f"{step.name}: {where}{problem.message}", place=place, hint=hint) from None


def _sample(step: Step) -> None:
    more = {"model": step.words[0]} if step.words else {}
    settings = read_flags(SamplingSettings, {}, {**step.flags, **more}, "sample")
    _choose("sampler", settings.sampler)


def _score(step: Step) -> None:
    _choose("scorer", read_flags(ScoringSettings, {}, step.flags, "score").scorer)


def _pair(step: Step) -> None:
    read_flags(PairingSettings, {}, step.flags, "pair")


def _train(step: Step) -> None:
    settings = _settings(step)
    for kind in ("reference", "backend"):
        if (given := getattr(settings, kind)) != "auto":
            _choose(kind, given)
    load_objective(step.words[0], numbers_of(step))


def _settings(step: Step) -> Settings:
    """Of a train step. Raises SettingsError, naming the setting as a flag."""
    given = {setting_name(name, Place(f"--{name}")): value for name, value in step.flags.items()}
    try:
        return read_settings(None, {}, given)
    except SettingsError as problem:
        name, colon, message = problem.message.partition(": ")
        if not colon or name not in given:
            raise
        written = next(one for one in step.flags if ALIASES.get(one, one) == name)
        raise SettingsError(problem.code, message, place=Place(f"--{written.replace('_', '-')}"), hint=problem.hint) from None


def _eval(step: Step) -> None:
    settings = read_flags(EvaluationSettings, {}, step.flags, "eval")
    _choose("sampler", settings.sampler)
    if settings.scorer is not None:
        _choose("scorer", settings.scorer)
    which, *targets = step.words
    for one in which.split("+"):
        _choose("evaluator", one)
    check_evaluation(which.split("+"), targets, settings)


CHECKS: Mapping[str, Callable[[Step], None]] = {"sample": _sample, "score": _score, "pair": _pair, "train": _train, "eval": _eval}
"""By kind of stage what its command would say at its very start."""


def numbers_of(step: Step) -> dict[str, float]:
    """The objective's parameters that a train step sets."""
    pairs = (word.removeprefix("--set=").partition("=") for word in step.words[1:])
    return {name: float(value) for name, _, value in pairs}


def _choose(kind: str, value: str | Mapping[str, Any]) -> Any:
    """What is named, once its options are good. Raises HaloError."""
    place = Place("--evaluators" if kind == "evaluator" else f"--{kind}")
    try:
        name, options = parts(value)
    except ValueError as problem:
        raise SettingsError("wrong-value", str(problem), place=place) from None
    try:
        found = choose(kind, name)
        found.with_options(options)
    except HaloError as problem:
        raise SettingsError(problem.code, problem.message, place=place, hint=problem.hint) from None
    return found


def check_allowed(steps: Sequence[Step], allowed: Sequence[str]) -> None:
    """A recipe is data: what runs code or talks to a service must be repeated on the command line. Raises SettingsError."""
    for step in steps:
        for word, what in _asked(step):
            if word not in allowed:
                hint = f"if you trust the recipe: --allow {shlex.quote(word)}"
                raise SettingsError("wrong-value", f"{step.name} {what}", place=Place("--allow"), hint=hint)


def _asked(step: Step) -> Iterator[tuple[str, str]]:
    """The words that the command line must repeat, and what the step does with each."""
    for name in ("scorer", "sampler"):
        value = step.flags.get(name)
        if value is not None and choose(name, parts(value)[0]).reaches_out:
            yield as_text(value), f"runs code or talks to a service: {as_text(value)}"
    if step.flags.get("trust_remote_code"):
        yield "trust_remote_code", "runs code that a model's folder holds"
    if step.kind != "train":
        return
    settings = _settings(step)
    if settings.report_to:
        yield "report_to", f"sends what it measures to {', '.join(settings.report_to)}"
    if parts(settings.backend)[0] not in OWN_BACKENDS:
        yield "backend", f"runs on a plugin's backend: {as_text(settings.backend)}"
