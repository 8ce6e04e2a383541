"""Every kind of file gives the same rows; what is damaged is named and gives nothing wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from halo.data.files import read_rows
from halo.data.formats import FORMATS
from halo.data.reading import Source, named, read_examples
from halo.errors import DataError

ROWS: list[dict[str, Any]] = [{"prompt": f"p{i}", "completion": f"{i:03}", "label": i % 2 == 0, "weight": i / 4} for i in range(5)]


def written(folder: Path, ending: str) -> str:
    file, table = folder / f"rows{ending}", pa.Table.from_pylist(ROWS)
    lines = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    if ending == ".parquet":
        pa.parquet.write_table(table, file)
    elif ending == ".csv":
        pa.csv.write_csv(table, file)
    elif ending == ".arrow":
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    elif ending == ".stream.arrow":
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    else:
        file.write_bytes({".jsonl.gz": gzip.compress(lines), ".json": json.dumps(ROWS).encode()}.get(ending, lines))
    return str(file)


ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".csv", ".parquet", ".arrow", ".stream.arrow")


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_same_rows_from_every_kind_of_file(ending: str, tmp_path: Path) -> None:
    assert [row for row, _ in read_rows(written(tmp_path, ending))] == ROWS  # "003" stays a text in CSV, true a truth value


@pytest.mark.parametrize("ending", [e for e in ENDINGS if e not in (".jsonl", ".csv")])
def test_a_file_that_is_cut_short_is_named(ending: str, tmp_path: Path) -> None:
    file = Path(written(tmp_path, ending))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(DataError, match=r"rows\.") as caught:
        list(read_rows(str(file)))
    assert str(file) in str(caught.value)


def test_a_ragged_csv_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("prompt,chosen,rejected\na,b,c\na,b\n")
    with pytest.raises(DataError, match="cannot be read"):
        list(read_rows(str(file)))


def test_nothing_is_read_ahead_of_a_stream(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(ROWS[0]) + "\nthis is no JSON\n")
    rows = read_rows(str(file))
    assert next(rows)[0] == ROWS[0]
    with pytest.raises(DataError, match=r"rows\.jsonl:2: not JSON"):
        next(rows)


def test_columns_can_have_other_names(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"question": "q", "good": "a", "bad": "b", "prompt": "another"}) + "\n")
    columns = {"prompt": "question", "chosen": "good", "rejected": "bad"}
    examples, _, form = read_examples(Source(path=str(file), columns=columns), FORMATS)
    assert (form.name, examples[0].prompt, examples[0].completions) == ("pairs", "q", ("a", "b"))
    with pytest.raises(DataError, match=r"no column 'godo' to read chosen from; did you mean 'good'"):
        read_examples(Source(path=str(file), columns=columns | {"chosen": "godo"}), FORMATS)


def test_sets_are_named_and_weighed() -> None:
    one, two = named([Source.model_validate("data/a.jsonl@2"), Source.model_validate("org/set@0.5")])
    assert (one.path, one.name, one.weight, two.name, two.weight) == ("data/a.jsonl", "a", 2, "set", 0.5)
    assert Source.model_validate("org/set@main").path == "org/set@main"
    with pytest.raises(DataError, match="two sets are called 'a'"):
        named([Source(path="x/a.jsonl"), Source(path="y/a.jsonl")])
    with pytest.raises(DataError, match="the set 'b' has no weight"):
        named([Source(path="a.jsonl", weight=1), Source(path="b.jsonl")])


def test_a_folder_of_files_is_read_by_split(tmp_path: Path) -> None:
    """Two parquet shards of the training split, and one of another that must not be trained on."""
    for name, part in {"train-00000": ROWS[:2], "train-00001": ROWS[2:4], "test-00000": ROWS[4:]}.items():
        pa.parquet.write_table(pa.Table.from_pylist(part), tmp_path / f"{name}-of-00002.parquet")
    assert [row for row, _ in read_rows(str(tmp_path))] == ROWS[:4]
    assert [row for row, _ in read_rows(str(tmp_path), "test")] == ROWS[4:]
    with pytest.raises(DataError, match="has no split 'tran'; did you mean 'train'"):
        list(read_rows(str(tmp_path), "tran"))


def test_a_folder_without_data_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("nothing\n")
    with pytest.raises(DataError, match="holds no data"):
        list(read_rows(str(tmp_path)))
