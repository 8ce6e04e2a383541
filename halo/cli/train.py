"""`halo train OBJECTIVE ...`: settings from a file and flags, the embedded default, the run, the report at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import yaml

from halo.api.running import assembled, completed
from halo.cli.arguments import Arguments, all_words, split
from halo.cli.console import Progress, quieten, say
from halo.cli.supplied import supplied_help
from halo.compiler.pipeline import CompiledObjective, compile_source
from halo.plugin.objectives import find_objective
from halo.starter.defaults import CONTROL_FOR_GOOD, is_starter
from halo.training.settings import ALIASES, GROUPS, Settings, about, is_flag, read_settings

if TYPE_CHECKING:
    from halo.starter.evaluation import Gold
    from halo.training.run.run import Run

HELP = """halo train OBJECTIVE [--settings FILE] [--set NAME=VALUE ...] [--SETTING VALUE ...]

OBJECTIVE is a shipped or plugged-in name, or a file (with a '/' or ending in .yaml).
With no model and no data the embedded policy trains on the embedded feedback, and its answers are graded.

  halo train kto
  halo train dpo --set beta=0.2 --max-steps 50
  halo train objectives/dpo.yaml --model FOLDER_OR_HUB_NAME --data pairs.jsonl --learning-rate 5e-7
  halo train kto --resume runs/kto-20260101-120000      with the settings of that run, which had --save-steps

Settings (flags take - or _ alike; `halo schema settings` has types and defaults):
"""

OPTIONED = {"reference": "reference", "backend": "backend", "format": "data-format"}
"""Kinds of what plugins supply that have options, and the setting that names one."""


def run(arguments: list[str]) -> int:
    """Trains; returns 0."""
    found = asked(arguments)
    if found is None:
        print(HELP + _fields(), end="")
        return 0
    compiled, settings, _ = found
    _train(assembled(compiled, settings, say, quieten), compiled)
    return 0


def asked(arguments: list[str], more: Sequence[str] = ()) -> tuple[CompiledObjective, Settings, list[str]] | None:
    """The objective and the settings that a command line names, and its further words, one for each of `more`.

    None where it asks for help. Raises HaloError. Imports no torch, so that a mistake answers at once.
    """
    known = {*Settings.model_fields, *ALIASES, "settings", "config"}
    given = split(arguments, known, lambda name: name in Settings.model_fields and is_flag(name))
    if given.help:
        return None
    source, *words = all_words(given.words, "objective", *more)
    compiled = compile_source(source, given.parameters, find_objective)
    return compiled, settings_of(given, compiled), words


def settings_of(given: Arguments, compiled: CompiledObjective) -> Settings:
    """The settings of a file, with flags over it, and the embedded defaults below."""
    file = given.flags.pop("--settings", None) or given.flags.pop("--config", None)
    first = read_settings(file, given.flags)
    return completed(first, compiled, say)


def _train(run: Run, compiled: CompiledObjective) -> None:
    from halo.training.run.loop import train
    from halo.training.run.written import write_gold

    graded = is_starter(run.settings.model_name_or_path, run.settings.data) and run.placement.is_main
    if graded:
        before = _gold(run, str(run.settings.model_name_or_path))  # as it stands: a control text would be new to it
    with Progress() as progress:
        result = train(run, progress)
    if graded:
        after = _gold(run, result.folder, compiled.graph.needs.control.get(CONTROL_FOR_GOOD, ""))
        write_gold(run, before.share, after.share)
        _report_gold(before, after)
    if run.placement.is_main:
        where = f"model, tokenizer, metrics.jsonl, settings and loss in {result.folder}"
        say(f"\n{len(result.history)} records in {result.seconds:.0f} s; {where}")


def _gold(run: Run, folder: str, control: str = "") -> Gold:
    """Grades the policy, or what `folder` holds where the policy is sharded and one process alone cannot run it."""
    from halo.starter.evaluation import gold
    from halo.training.model.loading import load_model

    policy = load_model(folder, run.settings) if run.placement.sharded else run.model
    return gold(policy, run.template, control)


def _report_gold(before: Gold, after: Gold) -> None:
    say(f"\ngold metric: {before.share:.1%} -> {after.share:.1%} of {after.count} sampled answers to held-out prompts are exactly right")
    said = {True: "right", False: "wrong"}
    for (prompt, old, was), (_, new, now) in zip(before.shown, after.shown, strict=True):
        say(f"  {prompt:<14} before {old:<10} {said[was]}   after {new:<10} {said[now]}")


def _fields() -> str:
    """Every setting under its group's heading."""
    lines = []
    for group in GROUPS:
        lines.append(f"\n{group}")
        lines += [_field(name) for name in Settings.model_fields if about(name, "group") == group]
    for kind, setting in OPTIONED.items():
        lines += supplied_help(kind, setting, " (in a settings file: {name: NAME, OPTION: VALUE})")
    return "\n".join(lines) + "\n"


def _field(name: str) -> str:
    info, default = Settings.model_fields[name], ""
    if info.default is not None:
        default = f"[{yaml.safe_dump(info.default, default_flow_style=True).splitlines()[0]}]"
    return f"  --{name.replace('_', '-'):<32}{default:<12} {info.description or ''}".rstrip()
