"""`halo sheet SAMPLES [SAMPLES ...] --out FILE.csv`: a blind sheet for people, and its key apart."""

from __future__ import annotations

from pathlib import Path

from halo.cli.arguments import split
from halo.plugin import Place, SettingsError
from halo_judges.people.sheet import drawn, entries_of, write

HELP = """halo sheet SAMPLES [SAMPLES ...] --out FILE.csv [--seed N] [--rows N]

A sheet on which people write which of two answers is better: 1, 2 or tie, in the column `better`. Answers stand in an order that only the
key knows, FILE.key.json, which is yours alone to read: give away the sheet without it.
Of several folders of samples (of several models) the completions of the same prompt and index are compared, of one folder every two
completions of a prompt. Equal answers are not asked about.
  --out    a file ending in .csv; one that is there is never written over
  --seed   of the order of the answers, and of which rows are drawn; left out: 0
  --rows   at most so many comparisons, drawn from all; left out: all
Filled in, it scores: halo score SAMPLES --scorer human:sheet=FILE.csv, or halo eval with the same scorer.
"""


def run(words: list[str]) -> int:
    """Writes the sheet and its key. Raises HaloError."""
    given = split(words, ("out", "seed", "rows"))
    if given.help:
        print(HELP, end="")
        return 0
    if not given.words:
        raise SettingsError("missing-key", "there are no samples to compare", hint="halo sheet SAMPLES_A SAMPLES_B --out sheet.csv")
    flags = {flag.lstrip("-"): value or "" for flag, value in given.flags.items()}
    out = Path(flags.get("out", ""))
    if out.suffix != ".csv":
        raise SettingsError("missing-key", "a file that ends in .csv is wanted", place=Place("--out"), hint="--out sheet.csv")
    seed, count = _number("seed", flags), _number("rows", flags)
    entries, left_out = entries_of([Path(word) for word in given.words], seed)
    if not entries:
        message = f"there is nothing to compare: {left_out} comparisons are of equal answers or too long for a cell"
        raise SettingsError("no-rows", message, hint="samples of the same prompts, or several of each prompt (--n)")
    chosen = drawn(entries, count, seed)
    try:
        key = write(chosen, out, seed)
    except OSError as problem:
        message = f"{out} cannot be written: {problem.strerror or problem}"
        raise SettingsError("output-folder", message, place=Place("--out"), hint="choose another folder") from None
    rest = f", {len(entries) - len(chosen):,} not drawn" if len(chosen) < len(entries) else ""
    print(f"sheet      {len(chosen):,} comparisons in {out}{rest}; {left_out:,} of equal or too long answers left out")
    print(f"key        {key}: keep it; filled in, halo score {given.words[0]} --scorer human:sheet={out}")
    return 0


def _number(name: str, flags: dict[str, str]) -> int:
    text = flags.get(name, "0")
    if not text.isdecimal():
        raise SettingsError("wrong-value", f"{text!r} is no whole number", place=Place(f"--{name}"), hint=f"such as --{name} 100")
    return int(text)
