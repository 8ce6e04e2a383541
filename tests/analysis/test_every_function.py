"""Every public function of the analysis is called by name in a unit test of its own: a wrong verdict says nothing about where."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = [*sorted(ROOT.glob("halo/analysis/**/*.py")), ROOT / "halo/compiler/ranges.py"]
TESTS = [*sorted(ROOT.glob("tests/analysis/**/test_*.py")), ROOT / "tests/compiler/test_span.py"]


def public(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Functions, methods and properties, each with whether it is called. A protocol's methods are those of the classes that keep it."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, True
        if isinstance(node, ast.ClassDef) and not any("Protocol" in ast.unparse(base) for base in node.bases):
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    yield method.name, not any("property" in ast.unparse(mark) for mark in method.decorator_list)


def used(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Names that are called, and attributes that are read."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id, True
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr, True
        if isinstance(node, ast.Attribute):
            yield node.attr, False


@cache
def used_in_tests() -> frozenset[tuple[str, bool]]:
    return frozenset(pair for file in TESTS for pair in used(ast.parse(file.read_text())))


@pytest.mark.parametrize("module", MODULES, ids=lambda file: str(file.relative_to(ROOT / "halo")))
def test_every_public_function_is_called(module: Path) -> None:
    wanted = [pair for pair in public(ast.parse(module.read_text())) if not pair[0].startswith("_")]
    missing = [name for name, called in wanted if (name, called) not in used_in_tests()]
    assert missing == [], f"no unit test under tests/analysis calls these of {module.name}"
