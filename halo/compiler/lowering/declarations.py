"""What a file may declare: names that generated source can carry, each with one meaning, and each of them used."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection

from halo.compiler.lowering.context import Context
from halo.compiler.lowering.expansion import check_expansion
from halo.errors import ObjectiveError
from halo.objective.document import Path
from halo.objective.propositions import PROPOSITIONS
from halo.objective.vocabulary import INPUTS, known_words

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
GENERATED = frozenset({"batch", "words", "torch", "math", "F", "LossInputs", "LossOutput", "float"})
"""What generated source calls its own things."""
TENSORS = frozenset({"mask", "columns", "prepared", "present"})
"""What a completion's tensors are called at run time; a column of that name could not be reached."""


def _check_remarks(of: Context) -> None:
    """Aliases and expectations change no loss, but a formula or role in them is read all the same."""
    for name, text in of.declaration.aliases.items():
        of.objective.formula(("aliases", name), text)
    for name, wanted in (of.declaration.expect or {}).items():
        path: Path = ("expect", name)
        entries = {path: wanted}
        if isinstance(wanted, dict):
            entries = {(*path, role): one for role, one in wanted.items()}
            for role in wanted:
                of.check_role(role, (*path, role))
        if PROPOSITIONS[name].expects.formula:
            for place, text in entries.items():
                of.objective.formula(place, text)


def check_declarations(of: Context) -> None:
    """Names end up in generated source, so only plain ones may be declared; a name has one meaning."""
    declared = of.declaration
    for index, role in enumerate(declared.roles):
        own = {*of.feedback.slots, *of.feedback.roles, "prompt", *GENERATED, *INPUTS, *declared.roles[:index]}
        _check_name(of, role, ("roles", index), own)
    for role in declared.control:
        of.check_role(role, ("control", role))
    _check_remarks(of)
    seen = known_words() | set(of.roles) | GENERATED
    for group, names in of.declared_names().items():
        for name in names:
            taken = seen
            if group == "columns":
                taken = (seen | TENSORS) - {"score"}
            _check_name(of, name, (group, name), taken)
            seen = seen | {name}
    parts = set() if declared.terms else {"main"}
    for group, names in (("terms", declared.terms), ("regularizers", declared.regularizers)):
        for name in names:
            _check_name(of, name, (group, name), parts)
            parts = parts | {name}
    check_expansion(of)


def _check_name(of: Context, name: str, path: Path, taken: Collection[str]) -> None:
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        hint = "letters, digits and _, and no word of Python's"
        if name == "lambda":
            hint = "a paper's lambda is spelt lambda_nll and the like"
        raise ObjectiveError("wrong-value", f"{name!r} cannot be a name", place=of.objective.key_place(path), hint=hint)
    if name in taken:
        hint = "it is a word or a name already, choose another"
        raise ObjectiveError("wrong-value", f"{name!r} cannot be declared", place=of.objective.key_place(path), hint=hint)


def check_unused(of: Context) -> None:
    """Refuses what is declared and read by nothing."""
    for group, names in of.declared_names().items():
        for name in names:
            if name not in of.used:
                place, hint = of.objective.key_place((group, name)), "remove it, or `none` where it is inherited"
                if group == "parameters" and of.declaration.normalizer is None and of.declaration.reward is not None:
                    hint = f"is `normalizer: {name}` missing? else {hint}"
                raise ObjectiveError("unused", f"{name!r} is declared but nothing uses it", place=place, hint=hint)
