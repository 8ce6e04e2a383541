"""Log-probs as columns of the data: `ref_chosen_logps` and the like, one number for each scored token.

A mismatched completion is drawn from the data by the seed, so its column has the row's key beside it, and is taken by that key only.
"""

from __future__ import annotations

import json
import math
import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from halo.data.reading import rows_of
from halo.plugin import DataError, HaloError, Place, Row, SettingsError
from halo_references.filling import asked_for, assembled, check_kept, fill, of_cache, trained
from halo_references.store import Store, folder_of, row_key

DRAWN = "ref_mismatched_row"


def export(words: list[str]) -> None:
    """`halo reference export`: every row of the data, in order, with the log-probs of what a run reads of it."""
    compiled, settings, (name,) = asked_for(words, "file to write, such as out.jsonl")
    out = Path(name)
    if out.exists():
        raise SettingsError("output-folder", "there is such a file already", place=Place(name), hint="choose another name")
    if not out.parent.is_dir():
        raise SettingsError("not-found", f"there is no folder {out.parent}")
    run = assembled(compiled, of_cache(settings).model_copy(update={"eval_data": None}))
    examples = _by_place(run)
    fill(run, list(examples.values()))
    left_out, draft = 0, out.with_name(f".{out.name}.draft")
    with draft.open("w", encoding="utf-8") as file:
        for row, place in _rows(settings):
            left_out += place not in examples
            found = {}
            if place in examples:
                found = _columns(run, examples[place])
            file.write(json.dumps({**row, **found}, ensure_ascii=False) + "\n")
    os.replace(draft, out)
    names = ", ".join(_columns(run, next(iter(examples.values()))))
    said = f"{out}: log-probs in {names}"
    if left_out:
        said += f"; {left_out} rows that are left out have none"
    print(said)


def take(words: list[str]) -> None:
    """`halo reference import`: the columns of the data into the cache, all or none."""
    compiled, settings, _ = asked_for(words)
    settings = of_cache(settings).model_copy(update={"eval_data": None})
    # assembled with a reference that loads nothing: what is taken here is what the run's own check would have scored
    without = settings.model_copy(update={"reference": "uniform"})
    run = assembled(compiled, without, lambda line: None if line.startswith("reference") else print(line))
    from halo.training.run.references import reference_context

    run = replace(run, settings=settings)
    context = reference_context(run)
    store = Store(folder_of(context.options.folder), context.fingerprint(), context.numerics, context.name)
    check_kept(store)
    found: dict[bytes, array[float]] = {}
    examples = _by_place(run)
    for row, place in _rows(settings):
        if place in examples:
            found |= _taken(run, examples[place], row, place, store.type)
    if context.name == settings.model_name_or_path:
        _check_agreement(run, list(examples.values())[:2], found)
    before = len(store)
    store.put({key: numbers.tobytes() for key, numbers in found.items()})
    new = len(store) - before
    print(f"{store.path}: {len(found) - new} rows were there already, {new} taken")


def _rows(settings: Any) -> Iterator[tuple[Row, Place]]:
    """The rows of all sets, as they stand there."""
    for source in settings.sources(settings.data):
        yield from rows_of(source, settings.data_split)


def _by_place(run: Any) -> dict[Place, Any]:
    """The examples of the data by row. Raises SettingsError where a row became several."""
    found: dict[Place, Any] = {}
    for example in [*trained(run), *run.data.held_out]:
        if example.place in found:
            message = f"{run.compiled.graph.name} reads a row of {run.settings.data} as several examples, and columns belong to one"
            hint = "take an objective of the data's own kind, such as dpo for pairs: all share the cache"
            raise SettingsError("wrong-value", message, hint=hint)
        found[example.place] = example
    return found


# -- one row ---------------------------------------------------------------------------------------------------------


def _completions(run: Any, example: Any) -> Iterator[tuple[str, list[tuple[bytes, int]]]]:
    """Each slot whose reference log-probs are read, with the key and the number of scored tokens of its completions."""
    for slot in run.step.reference_slots:
        if slot == "prompt":
            following = next(iter(example.tails.values()))[0].ids[0]
            size = len(example.prefix)
            yield slot, [(row_key([*example.prefix, following], range(1, size + 1)), size)]
            continue
        keys = []
        for tail in example.tails[slot]:
            places = [len(example.prefix) + i for i, is_scored in enumerate(tail.scored) if is_scored]
            keys.append((row_key([*example.prefix, *tail.ids], places, tail.temperature), len(places)))
        yield slot, keys


def _column(run: Any, slot: str) -> tuple[str, bool]:
    """The column of a slot, and whether it holds a list for each of several completions."""
    if run.compiled.graph.feedback.several(slot):
        return "ref_completions_logps", True
    return f"ref_{slot}_logps", False


def _columns(run: Any, example: Any) -> dict[str, Any]:
    """What export adds to a row."""
    flat, found = run.step.referenced([example]), dict[str, Any]()
    for slot, keys in _completions(run, example):
        column, several = _column(run, slot)
        parts = [part.tolist() for part in flat[slot]["logp"].split([count for _, count in keys])]
        found[column] = parts if several else parts[0]
        if slot == "mismatched":
            found[DRAWN] = keys[0][0].hex()
    return found


def _taken(run: Any, example: Any, row: Row, place: Place, kind: str) -> dict[bytes, array[float]]:
    """What import takes of a row, by key. Raises DataError for a column that is missing or not what this row has."""
    found = {}
    for slot, keys in _completions(run, example):
        column, several = _column(run, slot)
        if column not in row:
            raise DataError("data-row", f"the column {column!r} is missing", place=place, hint="halo reference export writes it")
        lists = row[column] if several else [row[column]]
        if not isinstance(lists, list) or len(lists) != len(keys):
            raise DataError("data-row", f"{column} is no list of {len(keys)} lists", place=place, hint="one for each completion")
        if slot == "mismatched" and row.get(DRAWN) != keys[0][0].hex():
            message = f"{column} is of another mismatched completion than the one drawn here"
            raise DataError("data-row", message, place=place, hint="the same data, --seed, --eval-fraction and --max-length draw the same")
        for (key, count), numbers in zip(keys, lists, strict=True):
            found[key] = array(kind, _numbers(numbers, count, column, place))
    return found


def _numbers(numbers: Any, count: int, column: str, place: Place) -> list[float]:
    if isinstance(numbers, (int, float)):
        why = f"cannot be taken apart into the {count} log-probs of the tokens"
        message = f"{column} is one number: a sum over tokens, as TRL keeps it, {why}"
        raise DataError("data-row", message, place=place, hint="halo reference build computes them")
    if not isinstance(numbers, list) or not all(type(x) in (int, float) and math.isfinite(x) for x in numbers):
        raise DataError("data-row", f"{column} is no list of finite numbers", place=place, hint=f"one for each of {count} scored tokens")
    if len(numbers) != count:
        message = f"{column} has {len(numbers)} numbers and the completion {count} scored tokens"
        raise DataError("data-row", message, place=place, hint="they are of another tokenizer or chat template")
    return numbers


def _check_agreement(run: Any, examples: Sequence[Any], found: Mapping[bytes, array[float]]) -> None:
    """As a run does before its first step. Raises HaloError for log-probs of other weights, before they are kept."""
    from halo.training.run.references import AGREEMENT

    policy = run.step.measured(examples, run.step.reference_slots)
    for slot, flat in policy.items():
        keys = [key for example in examples for of, keys in _completions(run, example) if of == slot for key, _ in keys]
        theirs = [number for key in keys for number in found[key]]
        worst = max(abs(a - b) for a, b in zip(flat["logp"].tolist(), theirs, strict=True))
        if not worst <= AGREEMENT:
            message = f"the log-probs of {slot} differ from those of {run.settings.model_name_or_path} by {worst:.3g} nats in a token"
            raise HaloError("self-test", message, place=examples[0].place, hint="they are of other weights")
