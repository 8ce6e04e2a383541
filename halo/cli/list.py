"""`halo list`: the objectives that can be used by name, and how to find one among them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from halo.cli.arguments import Arguments, split
from halo.compiler.features import FEATURES, features
from halo.compiler.pipeline import compile_source
from halo.errors import Place, SettingsError, nearest
from halo.objective.feedback import FEEDBACK
from halo.plugin.objectives import find_objective

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


@dataclass(frozen=True)
class Entry:
    """What the list says of one objective."""

    name: str
    title: str
    feedback: str
    reference: bool
    halo: str | None
    year: int | None
    arxiv: str | None
    uses: tuple[str, ...]
    text: str


def run(arguments: list[str]) -> int:
    """Prints one line for each objective that fits."""
    given = split(arguments, FLAGS, is_bare=lambda name: name == "json")
    if given.help:
        print(HELP, end="")
        return 0
    _check(given)
    found = [entry for entry in map(entry_of, find_objective.names()) if _fits(entry, given)]
    if "--json" in given.flags:
        print(json.dumps([{k: v for k, v in asdict(entry).items() if k != "text"} for entry in found], indent=1, ensure_ascii=False))
        return 0
    for entry in found:
        marks = f"{'ref' if entry.reference else '-':<4}{'HALO' if entry.halo == 'proved' else '-':<5}{entry.year or '-':<5}"
        print(f"{entry.name:<24} {entry.feedback:<15}{marks}{entry.title}")
    print(f"{len(found)} of {len(find_objective.names())} objectives")
    return 0


def entry_of(name: str) -> Entry:
    """An objective as the list shows it."""
    compiled = compile_source(name, None, find_objective)
    declared = compiled.objective.declaration
    paper, halo = declared.paper, declared.expect.halo if declared.expect else None
    text = " ".join(filter(None, (name, declared.title, declared.notes, paper.title if paper else "")))
    needs, year = compiled.declared.needs, paper.year if paper else None
    arxiv = paper.arxiv if paper else None
    return Entry(name, declared.title or "", declared.feedback, bool(needs.reference), halo, year, arxiv, tuple(features(compiled)), text.lower())


def _check(given: Arguments) -> None:
    """Refuses a value that nothing can have, rather than finding nothing."""
    choices = {"--feedback": list(FEEDBACK), "--reference": ["yes", "no"], "--halo": ["proved", "refuted"]}
    for flag, value in given.flags.items():
        words = (value or "").split(",") if flag == "--uses" else [value or ""]
        known = list(FEATURES) if flag == "--uses" else choices.get(flag)
        for word in words if known else ():
            if word not in (known or ()):
                raise SettingsError("wrong-value", f"{word!r} is no choice", place=Place(flag), hint=nearest(word, known or ()))
        if flag == "--year" and not (value or "").isdigit():
            raise SettingsError("wrong-value", f"{value!r} is no year", place=Place(flag), hint="such as 2024")


def _fits(entry: Entry, given: Arguments) -> bool:
    wanted = {flag.removeprefix("--"): value or "" for flag, value in given.flags.items()}
    return (
        all(word.lower() in entry.text for word in given.words)
        and wanted.get("feedback", entry.feedback) == entry.feedback
        and wanted.get("reference", "") in ("", "yes" if entry.reference else "no")
        and wanted.get("halo", entry.halo) == entry.halo
        and wanted.get("year", str(entry.year)) == str(entry.year)
        and all(word in entry.uses for word in wanted.get("uses", "").split(",") if word)
    )
