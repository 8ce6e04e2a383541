"""`halo.list_objectives`: what can be used by name, and what is said of each. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from halo.compiler.features import FEATURES, features
from halo.compiler.pipeline import compile_source
from halo.errors import Place, SettingsError, nearest
from halo.objective.feedback import FEEDBACK
from halo.objective.propositions import HALO
from halo.plugin.objectives import find_objective

VERDICTS = ("proved", "refuted")


@dataclass(frozen=True)
class Entry:
    """What the list says of one objective; `uses` are words of `halo list --help`, `halo` is what its file expects."""

    name: str
    title: str
    feedback: str
    reference: bool
    halo: str | None
    year: int | None
    arxiv: str | None
    uses: tuple[str, ...]
    text: str


def list_objectives(
    *,
    words: Sequence[str] = (),
    feedback: str | None = None,
    reference: bool | None = None,
    halo: str | None = None,
    year: int | None = None,
    uses: Sequence[str] = (),
) -> tuple[Entry, ...]:
    """Every shipped or plugged-in objective that fits all that is given, by name.

    words   each is looked for in name, title, paper and notes
    halo    `proved` or `refuted`: whether it is a human-aware loss
    uses    what it makes use of beyond the plain equation, such as `running` or `sorted`
    Raises SettingsError for a value that nothing can have.
    """
    if feedback is not None:
        check_choices("feedback", [feedback], FEEDBACK)
    if halo is not None:
        check_choices("halo", [halo], VERDICTS)
    check_choices("uses", uses, FEATURES)

    def fits(entry: Entry) -> bool:
        return (
            all(word.lower() in entry.text for word in words)
            and feedback in (None, entry.feedback)
            and reference in (None, entry.reference)
            and halo in (None, entry.halo)
            and year in (None, entry.year)
            and all(word in entry.uses for word in uses)
        )

    return tuple(filter(fits, map(entry_of, find_objective.names())))


def check_choices(place: str, words: Iterable[str], known: Iterable[str]) -> None:
    """Refuses a value that nothing can have, rather than finding nothing. Raises SettingsError."""
    for word in words:
        if word not in known:
            raise SettingsError("wrong-value", f"{word!r} is no choice", place=Place(place), hint=nearest(word, known))


def entry_of(name: str) -> Entry:
    """An objective as the list shows it."""
    compiled = compile_source(name, None, find_objective)
    declared = compiled.objective.declaration
    halo = (declared.expect or {}).get(HALO.name)
    words, year, arxiv = [name, declared.title, declared.notes], None, None
    if declared.paper:
        words.append(declared.paper.title)
        year, arxiv = declared.paper.year, declared.paper.arxiv
    text = " ".join(filter(None, words)).lower()
    reference = bool(compiled.declared.needs.reference)
    return Entry(name, declared.title or "", declared.feedback, reference, halo, year, arxiv, tuple(features(compiled)), text)
