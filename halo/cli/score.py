"""`halo score FOLDER --scorer NAME`: a number for each completion of a folder of samples, beside them."""

from __future__ import annotations

from pathlib import Path

from halo.cli.arguments import one_word, split
from halo.cli.console import quieten, say
from halo.fields import described_flags, read_flags
from halo.grading.run import ScoringSettings, run_scoring
from halo.options import described
from halo.plugin.registry import collected

HELP = """halo score FOLDER --scorer NAME[:OPTION=VALUE,...] [--name NAME]

A number for each completion in a folder of samples, in FOLDER/scores/NAME.jsonl; the samples are not changed. What is scored is the text,
or the ids, that is trained on. Where a scorer fails there is no number but the reason, and the same command asks again. `function` and
`command` run code: yours, which only this command line names.
Exit code: 0; 1 if a disk is full or a scorer gave what is no score; 2 for bad input.
"""


def run(arguments: list[str]) -> int:
    """Fills the file, or goes on filling it."""
    given = split(arguments, ScoringSettings.model_fields, lambda name: name in ("trust_remote_code", "use_cpu"))
    if given.help:
        print(HELP + described_flags(ScoringSettings) + _scorers(), end="")
        return 0
    folder = Path(one_word(given.words, "folder of samples"))
    settings = read_flags(ScoringSettings, given.flags, {}, "score")
    quieten()
    file = run_scoring(folder, settings, say)
    say(f"scores in {file}: halo pair {folder} --by {file.stem}")
    return 0


def _scorers() -> str:
    lines = ["\n--scorer NAME or NAME:OPTION=VALUE,..."]
    for item in collected("scorer")[0]:
        lines.append(f"  {item.name:<20} {item.thing.meaning}")
        lines += [f"    {option:<24} {meaning}" for option, meaning in described(item.thing.options)]
    return "\n".join(lines) + "\n"
