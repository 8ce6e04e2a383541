"""`halo new objective|recipe|plugin NAME`: something complete to start from, which halo reads and whose tests pass."""

from __future__ import annotations

import json
import keyword
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from halo.cli.arguments import Arguments, split
from halo.errors import Place, SettingsError, nearest
from halo.objective.loading import load
from halo.objective.schema import json_schema
from halo.objective.starting import SCHEMA_FILE, starting_text
from halo.plugin.objectives import find_objective
from halo.plugin.recipes import find_recipe

TEMPLATES = Path(__file__).parents[1] / "templates"
KINDS = ("format", "reference", "backend", "sampler", "scorer", "evaluator", "objectives")
"""A folder of templates for each, in which my-KIND and my_KIND stand for the new name."""

HELP = """halo new objective NAME [--from OBJECTIVE]

Writes NAME.yaml into this folder: OBJECTIVE (default dpo) written out under the new name, a comment on every key, beside
objective.schema.json, by which editors complete and check it. Then: halo check ./NAME.yaml

halo new recipe NAME [--from RECIPE]

Writes NAME.yaml into this folder: RECIPE (default simpo_on_policy) under the new name. Then: halo loop ./NAME.yaml --plan

halo new plugin NAME --kind format|reference|backend|sampler|scorer|evaluator|objectives

Writes the folder NAME, a package that works: pyproject.toml, a module with the hook and a small example of the kind, README and tests
built on halo.testing. Then: pip install -e ./NAME, halo plugins, python -m pytest NAME. docs/plugins.md is the guide.
"""


def run(arguments: list[str]) -> int:
    """Writes what is asked for. Raises SettingsError if there is something of that name."""
    given = split(arguments, ("from", "kind"))
    if given.help:
        print(HELP, end="")
        return 0
    makers = {"objective": (_objective, "--kind"), "plugin": (_plugin, "--from"), "recipe": (_recipe, "--kind")}
    if len(given.words) != 2 or given.words[0] not in makers:
        hint = "halo new objective my_loss, or halo new plugin my-format --kind format"
        if given.words and given.words[0] not in makers:
            hint = nearest(given.words[0], makers)
        raise SettingsError("missing-key", "expected what to write and its name", hint=hint)
    make, others = makers[given.words[0]]
    if others in given.flags:
        raise SettingsError("unknown-setting", f"halo new {given.words[0]} has no such flag", place=Place(others), hint="halo new --help")
    print(make(given.words[1], given))
    return 0


def _objective(name: str, given: Arguments) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        hint = "lower case letters, digits and _, such as my_loss"
        raise SettingsError("wrong-value", f"{name!r} is no name for an objective", hint=hint)
    file = Path(f"{name}.yaml")
    if file.exists():
        raise SettingsError("output-folder", "there is such a file already", place=Place(str(file)), hint="choose another name")
    text = starting_text(name, load(given.flags.get("--from") or "dpo", find_objective))
    load(text)  # what is written can be read
    if not Path(SCHEMA_FILE).exists():
        Path(SCHEMA_FILE).write_text(json.dumps(json_schema(), indent=1) + "\n", encoding="utf-8")
    file.write_text(text, encoding="utf-8")
    return f"{file} and {SCHEMA_FILE} written; next: halo check ./{file}"


def _recipe(name: str, given: Arguments) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        raise SettingsError("wrong-value", f"{name!r} is no name for a recipe", hint="lower case letters, digits and _, such as my_loop")
    file, base = Path(f"{name}.yaml"), given.flags.get("--from") or "simpo_on_policy"
    if file.exists():
        raise SettingsError("output-folder", "there is such a file already", place=Place(str(file)), hint="choose another name")
    source = find_recipe(base)
    if source is None:
        hint = nearest(base, find_recipe.names())
        raise SettingsError("not-found", f"there is no recipe named {base!r}", place=Place("--from"), hint=hint)
    text = re.sub(rf"^recipe: {base}$", f"recipe: {name}", source.read_text(encoding="utf-8"), flags=re.M)
    file.write_text(text, encoding="utf-8")
    return f"{file} written; next: halo loop ./{file} --plan"


def _plugin(name: str, given: Arguments) -> str:
    kind = given.flags.get("--kind")
    if kind is None:
        raise SettingsError("wrong-value", "what it supplies is missing", place=Place("--kind"), hint=nearest("", KINDS))
    if kind not in KINDS:
        raise SettingsError("wrong-value", f"there is no kind {kind!r}", place=Place("--kind"), hint=nearest(kind, KINDS))
    module = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > 40:
        hint = "lower case letters, digits and -, at most 40, such as my-format"
        raise SettingsError("wrong-value", f"{name!r} is no name for a plugin", hint=hint)
    if keyword.iskeyword(module) or module in sys.stdlib_module_names or module in ("halo", "builtin", "tests", "torch"):
        message = f"{name!r} is no name for a plugin: its module would be {module}, which is Python's or halo's own"
        raise SettingsError("wrong-value", message, hint="such as my-format")
    if os.path.lexists(name):
        raise SettingsError("output-folder", "there is such a file or folder already", place=Place(name), hint="choose another name")
    with tempfile.TemporaryDirectory(dir=".", prefix=f".{name}-") as draft:  # whole or not at all
        _write(TEMPLATES / kind, Path(draft) / name, {f"my-{kind}": name, f"my_{kind}": module})
        shutil.move(Path(draft) / name, name)
    return f"{name}/ written; next: pip install -e ./{name}, halo plugins, python -m pytest {name}"


def _write(template: Path, folder: Path, names: dict[str, str]) -> None:
    """The template's files, the new names in their paths and texts."""

    def named(text: str) -> str:
        for old, new in names.items():
            text = text.replace(old, new)
        return text

    for file in sorted(template.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            target = folder / named(str(file.relative_to(template)))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(named(file.read_text(encoding="utf-8")), encoding="utf-8")
