"""`halo score FOLDER --scorer NAME`: a number for each completion of a folder of samples, beside them."""

from __future__ import annotations

from pathlib import Path

from halo.cli.arguments import one_word, split
from halo.cli.console import quieten, say
from halo.cli.supplied import supplied_help
from halo.fields import described_flags, read_flags
from halo.grading.run import ScoringSettings, run_scoring

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
        print(HELP + described_flags(ScoringSettings) + "\n".join(supplied_help("scorer", "scorer")))
        return 0
    folder = Path(one_word(given.words, "folder of samples"))
    settings = read_flags(ScoringSettings, given.flags, {}, "score")
    quieten()
    file = run_scoring(folder, settings, say)
    say(f"scores in {file}: halo pair {folder} --by {file.stem}")
    return 0
