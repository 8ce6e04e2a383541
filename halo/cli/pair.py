"""`halo pair FOLDER... --by SCORE --rule RULE`: feedback from scored completions, in a file that `halo train --data` reads."""

from __future__ import annotations

from pathlib import Path

from halo.cli.arguments import split
from halo.cli.console import say
from halo.errors import SettingsError
from halo.fields import described_flags, read_flags
from halo.pairing.run import PairingSettings, run_pairing

HELP = """halo pair FOLDER... --by SCORE [--rule RULE] [--gap G] [--without NAME,...] [--out FILE]

Feedback from the completions in one folder of samples or several, by scores of `halo score`, or by columns of the data for completions
that it gives: good_SCORE beside good. Rules: best-worst, best-random, adjacent, all (pairs); list, group (ranked); threshold (labels);
best (the best alone).
Equal scores give no pair, equal texts stand once, empty and cut completions are left out; beside the file stand FILE.left-out.jsonl with a
reason for each, and FILE.manifest.json. Where completions were sampled, their ids stand in the rows, and halo trains on these.
--without leaves single sources out, a folder or a given column, as if it had not been there. --out FILE.parquet writes parquet.
Exit code: 0; 1 if a disk is full; 2 for bad input.
"""


def run(arguments: list[str]) -> int:
    """Writes the file."""
    given = split(arguments, PairingSettings.model_fields, lambda name: name == "keep_cut")
    if given.help:
        print(HELP + described_flags(PairingSettings), end="")
        return 0
    if not given.words:
        raise SettingsError("missing-key", "expected a folder of samples", hint="halo pair samples --by reward")
    settings = read_flags(PairingSettings, given.flags, {}, "pair")
    out = run_pairing([Path(word) for word in given.words], settings, say)
    say(f"feedback in {out}: halo train OBJECTIVE --data {out}")
    return 0
