"""Which known objectives a new one is, or is a special case of: a new loss is often an old one in disguise."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from halo.analysis.algebra.factors import OutOfReach
from halo.checks.results import Relative
from halo.compiler.pipeline import CompiledObjective, compile_loaded
from halo.errors import HaloError
from halo.objective.loading import load
from halo.relations.relation import mutual_word, sentence, special_case
from halo.relations.rewriting import Unreadable
from halo.relations.rows import Rows, ways
from halo.relations.signature import MARK, Side, signal


@dataclass(frozen=True)
class Known:
    """The objectives that have a name: by name their files, and how a name is found."""

    files: Mapping[str, Path]
    find: Callable[[str], Path | None]

    @cached_property
    def fingerprint(self) -> str:
        """Of the texts of all files: other known objectives, other relatives."""
        texts = (f"{name}\0{path.read_text(encoding='utf-8')}" for name, path in sorted(self.files.items()))
        return hashlib.sha256("\0".join(texts).encode()).hexdigest()

    def like(self, compiled: CompiledObjective) -> Iterator[CompiledObjective]:
        """Those that take the same examples. One that does not compile is its author's business."""
        needs = compiled.declared.needs
        for name in sorted(self.files):
            try:
                loaded = load(name, self.find)
                if loaded.declaration.kind is not compiled.declared.feedback:
                    continue
                other = compile_loaded(loaded)
            except HaloError:
                continue
            if (other.declared.needs.control, other.declared.needs.moving) == (needs.control, needs.moving):
                yield other


def relatives(compiled: CompiledObjective, known: Known) -> tuple[Relative, ...]:
    """The known objectives that this one is, or is a special case of; what is the same comes first."""
    found = [relative for other in known.like(compiled) if (relative := _relative(Side(compiled), Side(other)))]
    same = [k for k in found if k.relation != "special-case"]
    return tuple(same or found)


def _relative(side: Side, other: Side) -> Relative | None:
    try:
        return next(filter(None, (_by(rows, side, other) for rows in ways(side.columns, other.columns))), None)
    except (Unreadable, OutOfReach):
        return None


def _by(rows: Rows, side: Side, other: Side) -> Relative | None:
    if not rows.forward:
        return None
    mine = signal(side, "own", rows)
    general = signal(other, "own", rows, mine.view, MARK)
    proved, _ = special_case(mine, general)
    if proved is None:
        return None
    word = "special-case"
    if rows.backward and special_case(general, mine)[0]:
        word = mutual_word(proved)
    notes = rows.notes("this", other.name)
    return Relative(other.name, word, ", ".join([sentence("this", general, proved), *notes]))
