"""Every published row: found to be of its format, read into the example it is, from JSON and from a datasets folder, and converted."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from published_rows import CORE, HERE, PUBLISHED

from halo.data.conversion import convert
from halo.data.reading import read_examples
from halo.objective.feedback import DEMONSTRATIONS, PAIRED, RANKED, kind_of
from halo.plugin import DataError, DataFormat, Example, Place
from halo.plugin.registry import supplied

FORMATS: list[DataFormat] = [item.thing for item in supplied("format")]
OURS = [item.name for item in supplied("format") if item.plugin == "formats"]


def read(folder: Path, *rows: dict[str, Any]) -> tuple[list[Example], list[DataError], DataFormat]:
    file = folder / "data.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_examples(str(file), FORMATS)


def test_every_format_has_a_row() -> None:
    assert {name.split("/")[0] for name in PUBLISHED} == set(OURS)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_row_is_told_and_read(name: str, tmp_path: Path) -> None:
    row, example = PUBLISHED[name]
    examples, left_out, form = read(tmp_path, row)
    assert (form.name, left_out) == (name.split("/")[0], [])
    assert examples == [replace(example, place=Place(str(tmp_path / "data.jsonl"), 1))]
    assert form.kind == example.kind


@pytest.mark.parametrize("name", CORE)
def test_rows_of_core_remain_cores(name: str, tmp_path: Path) -> None:
    assert read(tmp_path, CORE[name])[2].name == name.split("/")[0]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_datasets_folder_gives_the_same(name: str, tmp_path: Path) -> None:
    """Arrow fills in nulls where one turn lacks what another has."""
    import datasets

    row, example = PUBLISHED[name]
    datasets.Dataset.from_list([row, row]).save_to_disk(tmp_path / "set")
    examples, _, form = read_examples(str(tmp_path / "set"), FORMATS)
    assert form.name == name.split("/")[0]
    assert [replace(e, place=HERE) for e in examples] == [example, example]


REFUSED = {
    "a question beside the answers": {"system": "", "question": "Hi", "chosen": "Hello!", "rejected": "Hello there!"},
    "answers without their prompt": {"chosen": [{"role": "assistant", "content": "a"}], "rejected": [{"role": "assistant", "content": "b"}]},
    "a conversation and plain answers": {"conversations": [{"from": "human", "value": "Hi"}], "chosen": "a", "rejected": "b"},
    "an instruction with an output and a pair": {"instruction": "Hi", "output": "a", "chosen": "a", "rejected": "b"},
    "messages and an output": {"messages": [{"role": "user", "content": "Hi"}], "output": "a"},
    "a text beside a question": {"text": "Hi", "question": "Who?"},
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_row_of_which_half_would_be_read_is_of_no_format(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data.jsonl:1: the columns .* are of no known format; nearest are "):
        read(tmp_path, REFUSED[name])


def test_what_could_be_two_formats_is_asked(tmp_path: Path) -> None:
    row = CORE["ranked"] | {"ranks": [1, 2]}
    with pytest.raises(DataError, match="fit several formats: ranked, ranks; --data-format says which"):
        read(tmp_path, row)


@pytest.mark.parametrize("name", PUBLISHED)
def test_conversions_give_each_completion_what_is_its_own(name: str) -> None:
    example = PUBLISHED[name][1]
    own = dict(zip(map(str, example.completions), example.own, strict=bool(example.own)))
    wanted = [kind_of(name) for name in example.kind.conversions if not (name == "demonstrations" and example.desirable is False)]
    for want in wanted:
        for made in convert([example], want)[0]:
            assert made.kind is want
            assert made.prompt == example.prompt
            assert made.own == tuple(own[str(c)] for c in made.completions) if example.own else made.own == ()


def test_conversions_keep_the_order() -> None:
    lists = {name: example for name, (_, example) in PUBLISHED.items() if example.kind is RANKED}
    best = {name: convert([example], DEMONSTRATIONS)[0][0].completions[0] for name, example in lists.items()}
    assert best["ultrafeedback/openbmb"] == best["nectar/berkeley"] == best["ranks/plain"] == "7"
    assert [e.completions for e in convert([lists["nectar/berkeley"]], PAIRED)[0]] == [("7", "9"), ("7", "1"), ("1", "9")]
    disliked = PUBLISHED["sharegpt-labels/llama-factory"][1]
    with pytest.raises(DataError, match="the desirable completions are the demonstrations, and there is none"):
        convert([disliked], DEMONSTRATIONS)


def test_it_uses_nothing_that_a_stranger_could_not() -> None:
    for file in Path(__file__).parents[1].glob("halo_formats/*.py"):
        imported = re.findall(r"^\s*from (halo[.\w]*) import|^\s*import (halo[.\w]*)", file.read_text(), flags=re.M)
        assert {name.split(".")[0] if name.startswith("halo_formats") else name for pair in imported for name in pair if name} <= {
            "halo.plugin",
            "halo_formats",
        }


def test_the_readme_names_every_format_with_its_columns() -> None:
    """The example rows of the table are rows of their formats."""
    text = (Path(__file__).parents[1] / "README.md").read_text()
    rows = dict(re.findall(r"^\| `([\w-]+)` \|.*\| `(\{.*\})` \|", text, flags=re.M))
    assert set(rows) == set(OURS)
    for name, row in rows.items():
        form = next(form for form in FORMATS if form.name == name)
        assert isinstance(form.read(json.loads(row), HERE), Example)
        assert form.fits(json.loads(row))
