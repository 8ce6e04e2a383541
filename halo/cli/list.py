"""`halo list`: the objectives that can be used by name, and how to find one among them."""

from __future__ import annotations

import json
from dataclasses import asdict

from halo.api.listing import VERDICTS, Entry, check_choices, list_objectives
from halo.cli.arguments import Arguments, split
from halo.compiler.features import FEATURES
from halo.errors import Place, SettingsError
from halo.objective.feedback import FEEDBACK
from halo.plugin.objectives import find_objective
from halo.visible import visible

_WIDTH = max(map(len, FEATURES))
HELP = f"""halo list [WORD ...] [--feedback KIND] [--reference yes|no] [--halo proved|refuted] [--year YEAR] [--uses FEATURE] [--json]

Every shipped or plugged-in objective that fits all that is given. A WORD is looked for in name, title, paper and notes.
  --feedback    {", ".join(FEEDBACK)}
  --reference   whether a reference model is needed
  --halo        whether it is a human-aware loss, as its file states and the tests hold
  --year        of the paper
  --uses        what it makes use of beyond the plain equation (several with commas):
{chr(10).join(f"                {word:<{_WIDTH}}  {meaning}" for word, (meaning, _) in FEATURES.items())}
"""
FLAGS = ("feedback", "reference", "halo", "year", "uses", "json")


def run(arguments: list[str]) -> int:
    """Prints one line for each objective that fits."""
    given = split(arguments, FLAGS, is_bare=lambda name: name == "json")
    if given.help:
        print(HELP, end="")
        return 0
    found = _found(given)
    if "--json" in given.flags:
        print(json.dumps([{k: v for k, v in asdict(entry).items() if k != "text"} for entry in found], indent=1, ensure_ascii=False))
        return 0
    for entry in found:
        reference = "ref" if entry.reference else "-"
        human_aware = "HALO" if entry.halo == "proved" else "-"
        print(visible(f"{entry.name:<24} {entry.feedback:<15}{reference:<4}{human_aware:<5}{entry.year or '-':<5}{entry.title}"))
    print(f"{len(found)} of {len(find_objective.names())} objectives")
    return 0


def _found(given: Arguments) -> tuple[Entry, ...]:
    """The entries that fit. Raises SettingsError, naming the flag, for a value that nothing can have."""
    flags = {flag.removeprefix("--"): value or "" for flag, value in given.flags.items()}
    choices = {"feedback": list(FEEDBACK), "reference": ["yes", "no"], "halo": list(VERDICTS)}
    for name, known in choices.items():
        if name in flags:
            check_choices(f"--{name}", [flags[name]], known)
    if "uses" in flags:
        check_choices("--uses", flags["uses"].split(","), list(FEATURES))
    year = None
    if "year" in flags:
        year = _year(flags["year"])
    return list_objectives(
        words=given.words,
        feedback=flags.get("feedback"),
        reference={"yes": True, "no": False}.get(flags.get("reference", "")),
        halo=flags.get("halo"),
        year=year,
        uses=[word for word in flags.get("uses", "").split(",") if word],
    )


def _year(text: str) -> int:
    if not text.isdigit():
        raise SettingsError("wrong-value", f"{text!r} is no year", place=Place("--year"), hint="such as 2024")
    return int(text)
