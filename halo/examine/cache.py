"""Examinations kept on disk, by the content of the compiled objective and of the program that examined it.

A file holds one examination; a version of the checks has a folder of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

from halo.cache import keep, kept
from halo.checks.results import Examination
from halo.compiler.graph_text import show
from halo.compiler.pipeline import CompiledObjective
from halo.objective.propositions import PROPOSITIONS

PROSE = {"title", "paper", "notes", "aliases"}
"""What of a declaration no check reads."""
ROOMS = ("objective", "compiler", "analysis", "checks", "relations", "lint", "examine")
"""What takes part in a verdict: a change in one of them asks everything again."""


def key(compiled: CompiledObjective, known: str = "") -> str:
    """The fingerprint of everything that the checks look at; `known` is that of the objectives it is compared with."""
    declaration = compiled.objective.declaration.model_dump_json(exclude=PROSE)
    parameters = json.dumps(compiled.parameters, sort_keys=True)
    return _digest([declaration, parameters, show(compiled.declared, places=False), known, *PROPOSITIONS])


def read(fingerprint: str) -> Examination | None:
    """What was kept under the fingerprint. An entry that cannot be read, or is not as it was written, counts as none."""
    body = kept(_room(), f"{fingerprint}.json")
    if body is None:
        return None
    try:
        return Examination.from_json(json.loads(body))
    except (ValueError, KeyError, TypeError):
        return None


def write(fingerprint: str, examination: Examination) -> None:
    """Keeps an examination."""
    keep(_room(), f"{fingerprint}.json", json.dumps(examination.to_json(), ensure_ascii=False))


def _room() -> str:
    return f"checks/{_program()}"


@cache
def _program() -> str:
    """The version of the checks: the text of the rooms that a verdict depends on, and the algebra libraries."""
    package = Path(__file__).resolve().parents[1]
    files = sorted(f for room in ROOMS for f in (package / room).rglob("*.py"))
    texts = (f"{file.relative_to(package)}\n{file.read_text(encoding='utf-8')}" for file in files)
    return _digest([version("sympy"), version("mpmath"), *texts])


def _digest(texts: Iterable[str]) -> str:
    result = hashlib.sha256()
    for text in texts:
        result.update(text.encode() + b"\0")
    return result.hexdigest()[:32]
