"""`halo sample MODEL --prompts FILE --sampler NAME --n N`: completions for prompts, in a folder that goes on where it was killed."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from halo.cli.arguments import Arguments, split
from halo.cli.console import quieten, say
from halo.errors import Place, SettingsError, nearest
from halo.options import described
from halo.plugin.registry import collected
from halo.sampling.settings import SamplingSettings

HELP = """halo sample [MODEL] [--prompts FILE] [--sampler NAME] [--n N] [--out FOLDER] [--SETTING VALUE ...]

Completions for every prompt of a file, in a folder: samples.jsonl (a row for each completion, with its ids and log-probs), prompts.jsonl,
left-out.jsonl (what cannot be answered, and why), manifest.json (what all of it was made with). A completion depends on model, prompt,
its index and the seed alone: not on the batch, the other prompts, n, or the number of processes (accelerate launch shares the prompts).
Killed and started again, the command goes on and gives the same bytes; with other options it says which and refuses.
Exit code: 0; 1 if a disk is full; 2 for bad input.
"""
BARE = ("trust_remote_code", "use_cpu")


def run(arguments: list[str]) -> int:
    """Fills the folder, or goes on filling it."""
    given = split(arguments, SamplingSettings.model_fields, lambda name: name in BARE)
    if given.help:
        print(HELP + _fields(), end="")
        return 0
    settings = _settings(given)
    quieten()
    from halo.sampling.run import run_sampling

    folder = run_sampling(settings, say)
    say(f"samples.jsonl, prompts.jsonl, left-out.jsonl and manifest.json in {folder}")
    return 0


def _settings(given: Arguments) -> SamplingSettings:
    """Raises SettingsError, naming the flag."""
    values: dict[str, Any] = {}
    for flag, text in given.flags.items():
        name = flag.lstrip("-").replace("-", "_")
        values[name] = text if text is not None else True
    if len(given.words) > 1:
        raise SettingsError("wrong-value", f"expected one model, got {' '.join(given.words)}", hint="prompts follow --prompts")
    if given.words:
        values["model"] = given.words[0]
    try:
        return SamplingSettings.model_validate(values)
    except ValidationError as problem:
        error = problem.errors()[0]
        name = str(error["loc"][0])
        place = Place(f"--{name.replace('_', '-')}")
        if error["type"] == "extra_forbidden":
            hint = nearest(name, SamplingSettings.model_fields)
            raise SettingsError("unknown-setting", "there is no such flag", place=place, hint=hint) from None
        raise SettingsError("wrong-value", error["msg"].removeprefix("Value error, "), place=place, hint="halo sample --help") from None


def _fields() -> str:
    lines = [""]
    for name, field in SamplingSettings.model_fields.items():
        default = "" if field.default is None else f"[{field.default}]"
        lines.append(f"  --{name.replace('_', '-'):<24}{default:<12} {field.description or ''}".rstrip())
    lines.append("\n--sampler NAME or NAME:OPTION=VALUE,...")
    for item in collected("sampler")[0]:
        lines.append(f"  {item.name:<20} {item.thing.meaning}")
        lines += [f"    {option:<24} {meaning}" for option, meaning in described(item.thing.options)]
    return "\n".join(lines) + "\n"
