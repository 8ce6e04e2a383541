"""`halo sample MODEL --prompts FILE --sampler NAME --n N`: completions for prompts, in a folder that goes on where it was killed."""

from __future__ import annotations

from halo.cli.arguments import Arguments, split
from halo.cli.console import quieten, say
from halo.cli.supplied import supplied_help
from halo.errors import SettingsError
from halo.fields import described_flags, read_flags
from halo.sampling.settings import SamplingSettings

HELP = """halo sample [MODEL] [--prompts FILE] [--sampler NAME] [--n N] [--out FOLDER] [--SETTING VALUE ...]

Completions for every prompt of a file, in a folder: samples.jsonl (a row for each completion, with its ids and log-probs), prompts.jsonl,
left-out.jsonl (what cannot be answered, and why), manifest.json (what all of it was made with). A completion depends on model, prompt,
its index and the seed alone: not on the batch, the other prompts, n, or the number of processes (accelerate launch shares the prompts).
A row of the file has a prompt, or turns: questions that are asked one after the other, each behind the model's own answers before it.
Killed and started again, the command goes on and gives the same bytes; with other options it says which and refuses.
Exit code: 0; 1 if a disk is full; 2 for bad input.
"""
BARE = ("trust_remote_code", "use_cpu")


def run(arguments: list[str]) -> int:
    """Fills the folder, or goes on filling it."""
    given = split(arguments, SamplingSettings.model_fields, lambda name: name in BARE)
    if given.help:
        print(HELP + described_flags(SamplingSettings) + "\n".join(supplied_help("sampler", "sampler")))
        return 0
    settings = _settings(given)
    quieten()
    from halo.sampling.run import run_sampling

    folder = run_sampling(settings, say)
    say(f"samples.jsonl, prompts.jsonl, left-out.jsonl and manifest.json in {folder}")
    return 0


def _settings(given: Arguments) -> SamplingSettings:
    """Raises SettingsError, naming the flag."""
    if len(given.words) > 1:
        raise SettingsError("wrong-value", f"expected one model, got {' '.join(given.words)}", hint="prompts follow --prompts")
    return read_flags(SamplingSettings, given.flags, {"model": given.words[0]} if given.words else {}, "sample")
