"""The house's own rules: how large a file, a function and a room may be, how dense, and which way imports go."""

from __future__ import annotations

import ast
import importlib.util
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from halo.objective.feedback import FEEDBACK

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (ROOT / "halo", *sorted((ROOT / "plugins").glob("*/halo_*")))

FILE, FUNCTION, WIDTH, ROOM = 350, 50, 140, 13
"""Lines of a file, lines of a function, characters of a line, modules of a folder."""

TERNARIES = 15
"""For each 1,000 lines of halo."""

HEAVY = {"torch", "transformers", "accelerate", "datasets", "peft", "trl", "sympy", "mpmath", "numpy", "matplotlib"}
"""Libraries that take longer to load than a command that does without them takes to answer.

The border: an import of halo's own stands inside a function (or behind TYPE_CHECKING) only where the module that is imported
loads one of these and the module that imports must not. `halo/__init__.py` imports nothing but errors: every part of halo
loads it, so all that it offers is imported where it is asked for. (A plugin's hooks import what they describe when it is asked for.)
"""


# -- what there is ---------------------------------------------------------------------------------------------------------


@cache
def files() -> dict[str, str]:
    """The text of every module of halo and of its own plugins, by path. Templates are other people's packages."""
    found = [file for package in PACKAGES for file in sorted(package.rglob("*.py")) if ROOT / "halo" / "templates" not in file.parents]
    return {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in found}


@cache
def trees() -> dict[str, ast.Module]:
    return {name: ast.parse(text, name) for name, text in files().items()}


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """What stands directly in it and may hold a definition or an import: no expression does."""
    return (node for node in ast.iter_child_nodes(tree) if not isinstance(node, ast.expr))


def functions(tree: ast.AST, inside: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function by its qualified name."""
    for node in statements(tree):
        named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        name = f"{inside}.{node.name}".lstrip(".") if named else inside  # type: ignore[union-attr]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield name, node
        yield from functions(node, name)


def nested_ternaries(tree: ast.AST) -> int:
    """Ternaries that stand within another one."""
    inner = {id(node) for outer in ast.walk(tree) if isinstance(outer, ast.IfExp) for node in ast.walk(outer) if node is not outer}
    return sum(isinstance(node, ast.IfExp) and id(node) in inner for node in ast.walk(tree))


# -- size ------------------------------------------------------------------------------------------------------------------


def test_no_file_is_long() -> None:
    lengths = {name: len(text.splitlines()) for name, text in files().items()}
    assert {name: count for name, count in lengths.items() if count > FILE} == {}, f"a file has at most {FILE} lines"


def test_no_function_is_long() -> None:
    lengths = {
        f"{name}:{function}": (node.end_lineno or 0) - node.lineno + 1 for name, tree in trees().items() for function, node in functions(tree)
    }
    assert {name: count for name, count in lengths.items() if count > FUNCTION} == {}, f"a function has at most {FUNCTION} lines"


def test_no_line_is_wide() -> None:
    wide = {name: sum(len(line) > WIDTH for line in text.splitlines()) for name, text in files().items()}
    assert {name: count for name, count in wide.items() if count} == {}, f"a line has at most {WIDTH} characters"


def test_no_ternary_stands_in_a_ternary() -> None:
    nested = {name: nested_ternaries(tree) for name, tree in trees().items()}
    assert {name: count for name, count in nested.items() if count} == {}, "a ternary holds no other"


def test_ternaries_are_few() -> None:
    own = [name for name in files() if name.startswith("halo/")]
    count = sum(isinstance(node, ast.IfExp) for name in own for node in ast.walk(trees()[name]))
    share = 1000 * count / sum(len(files()[name].splitlines()) for name in own)
    assert share <= TERNARIES, f"{share:.2f} ternaries for each 1,000 lines, at most {TERNARIES} are allowed"


# -- rooms -----------------------------------------------------------------------------------------------------------------


def test_no_room_is_full() -> None:
    modules = Counter(str(Path(name).parent) for name in files() if not name.endswith("__init__.py"))
    full = {room for room, count in modules.items() if count > ROOM}
    assert full <= {"halo/cli"}, f"a room has at most {ROOM} modules; the commands have one each"


@pytest.mark.parametrize("room", sorted({str(Path(name).parent) for name in files()}))
def test_a_room_says_what_it_is_for(room: str) -> None:
    """In one line: a newcomer guesses from it what is inside."""
    tree = trees().get(f"{room}/__init__.py")
    assert tree is not None, "a room is a package"
    said = (ast.get_docstring(tree) or "").splitlines()
    assert said, f"{room}/__init__.py has no docstring"
    assert 20 <= len(said[0]) <= WIDTH


@pytest.mark.parametrize("name", sorted(name for name in files() if not name.endswith("__init__.py")))
def test_a_file_says_what_it_is(name: str) -> None:
    assert ast.get_docstring(trees()[name]), f"{name} has no docstring"


# -- kinds of feedback -----------------------------------------------------------------------------------------------------

KIND_FILES = 8
"""Files of halo and its plugins in which the name of a kind of feedback may stand as a string."""


def names_a_kind(node: ast.AST) -> bool:
    """Whether this is the name of a kind of feedback, or a display with one in it."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return any(names_a_kind(element) for element in node.elts)
    if isinstance(node, ast.Dict):
        return any(names_a_kind(key) for key in node.keys if key is not None)
    return isinstance(node, ast.Constant) and node.value in FEEDBACK


def compared(tree: ast.AST) -> Iterator[tuple[int, ast.AST]]:
    """What stands in a comparison, is matched, or is a table in which something is looked up: its line, and the expression."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            yield from ((node.lineno, side) for side in (node.left, *node.comparators))
        elif isinstance(node, ast.MatchValue):
            yield node.lineno, node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            yield node.lineno, node.func.value


def test_no_code_compares_the_name_of_a_kind() -> None:
    """What a kind means is a field or method of its `Feedback`."""
    found = [f"{name}:{line}" for name, tree in trees().items() for line, side in compared(tree) if names_a_kind(side)]
    assert found == [], "ask the object: halo/objective/feedback.py"


def test_names_of_kinds_stand_in_few_files() -> None:
    found = [name for name, tree in trees().items() if any(isinstance(n, ast.Constant) and names_a_kind(n) for n in ast.walk(tree))]
    assert len(found) <= KIND_FILES, found


# -- imports ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Import:
    """One import of a module of ours: `at_once` when the importing module is loaded, or later, or for types only."""

    source: str
    target: str
    at_once: bool
    line: int


def module_of(name: str) -> str:
    parts = Path(name).with_suffix("").parts
    parts = parts[2:] if parts[0] == "plugins" else parts
    return ".".join(parts).removesuffix(".__init__")


@cache
def modules() -> dict[str, ast.Module]:
    return {module_of(name): tree for name, tree in trees().items()}


def imported(source: str, tree: ast.AST, at_once: bool = True) -> Iterator[tuple[str, bool, int]]:
    """Every imported module of ours and of others, with whether loading `source` loads it."""
    for node in statements(tree):
        later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        now = at_once and not later and not typing
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, now, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}:{node.lineno} is a relative import"
            home = str(node.module)
            for alias in node.names:
                whole = f"{home}.{alias.name}"
                yield whole if whole in modules() else home, now, node.lineno
        yield from imported(source, node, now)


@cache
def imports() -> tuple[Import, ...]:
    """Of our own modules."""
    rows = ((source, *row) for source, tree in modules().items() for row in imported(source, tree))
    return tuple(Import(source, target, now, line) for source, target, now, line in rows if target in modules())


@cache
def loaded(module: str) -> frozenset[str]:
    """The heavy libraries that loading a module loads, by itself, by what it imports and by the packages around it."""
    found, seen, left = set[str](), set[str](), [module]
    while left:
        here = left.pop()
        if here in seen or here not in modules():
            continue
        seen.add(here)
        left.append(here.rpartition(".")[0])
        for target, now, _ in imported(here, modules()[here]):
            if now:
                found |= {target.partition(".")[0]} & HEAVY
                left.append(target)
    return frozenset(found)


def test_no_import_circle() -> None:
    """Counting imports inside functions and those for types."""
    edges: dict[str, set[str]] = {}
    for one in imports():
        edges.setdefault(one.source, set()).add(one.target)
    while leaves := [source for source, targets in edges.items() if not targets & edges.keys()]:
        for leaf in leaves:  # nothing that it imports can lead back
            del edges[leaf]
    assert {source: sorted(targets & edges.keys()) for source, targets in edges.items()} == {}, "these import each other, or lead there"


def test_own_modules_are_imported_at_the_top_except_at_the_border() -> None:
    inside = [one for one in imports() if not one.at_once and one.source.startswith("halo.")]
    wrong = [f"{one.source}:{one.line} {one.target}" for one in inside if not loaded(one.target) - loaded(one.source)]
    assert wrong == [], "these load nothing heavy that the module does not load anyway: import them at the top"


def test_the_front_door_loads_nothing() -> None:
    at_once = [one.target for one in imports() if one.source == "halo" and one.at_once]
    assert at_once == ["halo.errors"]


def test_heavy_libraries_are_spelt_right() -> None:
    needed = {"torch", "transformers", "accelerate", "datasets", "sympy", "mpmath", "numpy", "matplotlib"}
    assert [name for name in needed if importlib.util.find_spec(name) is None] == []
