"""Examinations kept on disk, by the content of the compiled objective and of the program that examined it.

A file holds one examination; nothing is ever changed, and a version of the checks has a folder of its own.
`HALO_CACHE` says where (`~/.cache/halo` if it does not). A folder that cannot be written keeps nothing and hurts nobody.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

from halo.cache import cache_folder
from halo.checks.results import Examination
from halo.compiler.graph_text import show
from halo.compiler.pipeline import CompiledObjective
from halo.objective.propositions import PROPOSITIONS

PROSE = {"title", "paper", "notes", "aliases"}
"""What of a declaration no check reads."""
VERSIONS_KEPT = 3
ROOMS = ("objective", "compiler", "analysis", "checks", "relations", "lint", "examine")
"""What takes part in a verdict: a change in one of them asks everything again."""


def key(compiled: CompiledObjective, known: str = "") -> str:
    """The fingerprint of everything that the checks look at; `known` is that of the objectives it is compared with."""
    declaration = compiled.objective.declaration.model_dump_json(exclude=PROSE)
    parameters = json.dumps(compiled.parameters, sort_keys=True)
    return _digest([declaration, parameters, show(compiled.declared, places=False), known, *PROPOSITIONS])


def read(fingerprint: str) -> Examination | None:
    """What was kept under the fingerprint. A file that cannot be read, or is not as it was written, counts as none."""
    try:
        digest, _, body = (_folder() / f"{fingerprint}.json").read_text(encoding="utf-8").partition("\n")
        if digest != _digest([fingerprint, body]):
            return None
        return Examination.from_json(json.loads(body))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(fingerprint: str, examination: Examination) -> None:
    """Keeps an examination: whole or not at all, so that readers beside us never see half of one."""
    folder = _folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".draft", delete=False, encoding="utf-8") as draft:
            body = json.dumps(examination.to_json(), ensure_ascii=False)
            draft.write(f"{_digest([fingerprint, body])}\n{body}")
        os.replace(draft.name, folder / f"{fingerprint}.json")
        _prune(folder)
    except OSError:
        pass


def _prune(current: Path) -> None:
    """Of the versions that are not in use, only the latest stay."""
    others = sorted((f for f in current.parent.iterdir() if f.is_dir() and f != current), key=lambda f: f.stat().st_mtime)
    for folder in others[: max(0, len(others) + 1 - VERSIONS_KEPT)]:
        for file in folder.iterdir():
            file.unlink(missing_ok=True)
        folder.rmdir()


def _folder() -> Path:
    return cache_folder("checks") / _program()


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
