"""`halo new objective NAME`: a commented file to start from, and the schema that an editor checks it with."""

from __future__ import annotations

import json
import re
from pathlib import Path

from halo.cli.arguments import split
from halo.errors import Place, SettingsError, nearest
from halo.objective.loading import load
from halo.objective.schema import json_schema
from halo.objective.starting import SCHEMA_FILE, starting_text
from halo.plugin.objectives import find_objective

HELP = """halo new objective NAME [--from OBJECTIVE]

Writes NAME.yaml into this folder: OBJECTIVE (default dpo) written out under the new name, a comment on every key, beside
objective.schema.json, by which editors complete and check it. Then: halo check ./NAME.yaml
"""


def run(arguments: list[str]) -> int:
    """Writes the file. Raises SettingsError if there is one of that name."""
    given = split(arguments, ("from",))
    if given.help:
        print(HELP, end="")
        return 0
    if len(given.words) != 2 or given.words[0] != "objective":
        hint = nearest(given.words[0], ("objective",)) if given.words and given.words[0] != "objective" else "halo new objective my_loss"
        raise SettingsError("missing-key", "expected what to write and its name", hint=hint)
    name = given.words[1]
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        raise SettingsError("wrong-value", f"{name!r} is no name for an objective", hint="lower case letters, digits and _, such as my_loss")
    file = Path(f"{name}.yaml")
    if file.exists():
        raise SettingsError("output-folder", "there is such a file already", place=Place(str(file)), hint="choose another name")
    text = starting_text(name, load(given.flags.get("--from") or "dpo", find_objective))
    load(text)  # what is written can be read
    if not Path(SCHEMA_FILE).exists():
        Path(SCHEMA_FILE).write_text(json.dumps(json_schema(), indent=1) + "\n", encoding="utf-8")
    file.write_text(text, encoding="utf-8")
    print(f"{file} and {SCHEMA_FILE} written; next: halo check ./{file}")
    return 0
