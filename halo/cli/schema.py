"""`halo schema objective|settings|recipe`: JSON Schema for editors."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

from pydantic import BaseModel

from halo.cli.arguments import one_word, split
from halo.errors import SettingsError, nearest
from halo.objective.schema import json_schema
from halo.recipes.schema import Recipe
from halo.training.settings import Settings

HELP = """halo schema objective|settings|recipe

Prints the JSON Schema. Save it and put this line on top of a file to have an editor check it while you type:
  # yaml-language-server: $schema=objective.schema.json
"""


def run(arguments: list[str]) -> int:
    """Prints the schema of one kind of file."""
    given = split(arguments, ())
    if given.help:
        print(HELP, end="")
        return 0
    which = one_word(given.words, "kind of file (objective, settings or recipe)")
    schemas: dict[str, Callable[[], dict[str, object]]] = {
        "objective": json_schema,
        "settings": partial(_of, Settings),
        "recipe": partial(_of, Recipe),
    }
    if which not in schemas:
        raise SettingsError("wrong-value", f"there is no schema {which!r}", hint=nearest(which, schemas))
    print(json.dumps(schemas[which](), indent=1))
    return 0


def _of(model: type[BaseModel]) -> dict[str, object]:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}
