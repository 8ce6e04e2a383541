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
from refusals import refused

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
    with refused(DataError, "data-row", at=file.name, theirs=r"(?<=: )[A-Z].*?(?=; |\.; | \[)"):
        list(read_rows(str(file)))


def test_a_ragged_csv_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("prompt,chosen,rejected\na,b,c\na,b\n")
    with refused(DataError, "data-row", at="rows.csv", theirs=r"CSV parse error.*?(?=;)"):
        list(read_rows(str(file)))


def test_nothing_is_read_ahead_of_a_stream(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(ROWS[0]) + "\nthis is no JSON\n")
    rows = read_rows(str(file))
    assert next(rows)[0] == ROWS[0]
    with refused(DataError, "data-row", at="rows.jsonl:2"):
        next(rows)


def test_columns_can_have_other_names(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"question": "q", "good": "a", "bad": "b", "prompt": "another"}) + "\n")
    columns = {"prompt": "question", "chosen": "good", "rejected": "bad"}
    examples, _, form = read_examples(Source(path=str(file), columns=columns), FORMATS)
    assert (form.name, examples[0].prompt, examples[0].completions) == ("pairs", "q", ("a", "b"))
    with refused(DataError, "data-row", at="rows.jsonl:1"):
        read_examples(Source(path=str(file), columns=columns | {"chosen": "godo"}), FORMATS)


def test_sets_are_named_and_weighed() -> None:
    one, two = named([Source.model_validate("data/a.jsonl@2"), Source.model_validate("org/set@0.5")])
    assert (one.path, one.name, one.weight, two.name, two.weight) == ("data/a.jsonl", "a", 2, "set", 0.5)
    assert Source.model_validate("org/set@main").path == "org/set@main"
    with refused(DataError, "duplicate-key", at="data"):
        named([Source(path="x/a.jsonl"), Source(path="y/a.jsonl")])
    with refused(DataError, "missing-key", at="data"):
        named([Source(path="a.jsonl", weight=1), Source(path="b.jsonl")])


def test_a_folder_of_files_is_read_by_split(tmp_path: Path) -> None:
    """Two parquet shards of the training split, and one of another that must not be trained on."""
    for name, part in {"train-00000": ROWS[:2], "train-00001": ROWS[2:4], "test-00000": ROWS[4:]}.items():
        pa.parquet.write_table(pa.Table.from_pylist(part), tmp_path / f"{name}-of-00002.parquet")
    assert [row for row, _ in read_rows(str(tmp_path))] == ROWS[:4]
    assert [row for row, _ in read_rows(str(tmp_path), "test")] == ROWS[4:]
    with refused(DataError, "not-found"):
        list(read_rows(str(tmp_path), "tran"))


def test_a_folder_without_data_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("nothing\n")
    with refused(DataError, "data-format", theirs=r"(?<=no data: ).*?(?=;)"):
        list(read_rows(str(tmp_path)))


def test_what_the_system_refuses_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **more: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    for ending, opened in ((".jsonl", "open"), (".json", "read_bytes")):
        file = written(tmp_path, ending)
        with monkeypatch.context() as patch:
            patch.setattr(Path, opened, refuse)
            with refused(DataError, "not-found", at=f"rows{ending}"):
                list(read_rows(file))
    with refused(DataError, "not-found", at="x" * 300 + ".jsonl"):
        list(read_rows("x" * 300 + ".jsonl"))


def test_damage_inside_a_gzip_file_is_named(tmp_path: Path) -> None:
    file = Path(written(tmp_path, ".jsonl.gz"))
    damaged = bytearray(file.read_bytes())
    damaged[10] = 0b111  # behind the header: a kind of block that there is not
    file.write_bytes(damaged)
    with refused(DataError, "data-row", at="rows.jsonl.gz", theirs=r"Error -3.*?(?= \[)"):
        list(read_rows(str(file)))


def test_a_damaged_datasets_folder_is_named(tmp_path: Path) -> None:
    for name in ("dataset_info.json", "state.json"):
        (tmp_path / name).write_text("{")
    with refused(DataError, "data-format", theirs=r"(?<=read: ).*?(?=;)"):
        list(read_rows(str(tmp_path)))


@pytest.mark.parametrize("ending", [".jsonl", ".json"])
@pytest.mark.parametrize("case", ["half a character", "not JSON"])
def test_json_that_no_tokenizer_takes_is_named(ending: str, case: str, tmp_path: Path) -> None:
    text = {"half a character": '{"prompt": "a\\ud83d"}', "not JSON": f'{{"score": 1{"0" * 5000}}}'}[case]
    file = tmp_path / f"rows{ending}"
    whole = r'{"prompt": "\ud83d\ude00"}'
    file.write_text(f"[{whole}, {text}]" if ending == ".json" else f"{whole}\n{text}\n")
    place = {".jsonl": ":2", ".json": " row 2" if case == "half a character" else ""}[ending]  # a list is read as a whole
    with refused(DataError, "data-row", at=f"{file.name}{place}", theirs=r"Exceeds .*?(?=; (each|one) )"):
        list(read_rows(str(file)))


@pytest.mark.parametrize("kind", ["parquet", "folder"])
def test_an_object_of_a_table_has_no_keys_of_another(kind: str, tmp_path: Path) -> None:
    """A table fills every call's arguments up with the other calls' names, as nulls, which a template would write."""
    import datasets

    calls = [{"calls": [{"name": name, "arguments": {name: 1}}], "column": column} for name, column in (("a", None), ("b", 2.5))]
    file = tmp_path / "rows.parquet"
    if kind == "parquet":
        pa.parquet.write_table(pa.Table.from_pylist(calls), file)
    else:
        datasets.Dataset.from_list(calls).save_to_disk(tmp_path / "rows")
    assert [row for row, _ in read_rows(str(file if kind == "parquet" else tmp_path / "rows"))] == calls


def test_a_mapped_column_of_csv_is_a_text_too(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("question,good,bad,score_gap\n1,007,8,0.5\n2,2020-01-01,true,1\n")
    columns = {"prompt": "question", "chosen": "good", "rejected": "bad"}
    examples, _, _ = read_examples(Source(path=str(file), columns=columns), FORMATS)
    assert [(e.prompt, e.completions, e.columns["score_gap"]) for e in examples] == [("1", ("007", "8"), 0.5), ("2", ("2020-01-01", "true"), 1.0)]


def test_a_bomb_of_gzip_is_one_message(tmp_path: Path) -> None:
    """Two hundred kilobytes, of which 200 MB come: no end of line among them."""
    import resource

    with gzip.open(tmp_path / "bomb.jsonl.gz", "wb") as file:
        for _ in range(200):
            file.write(bytes(1 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with refused(DataError, "data-row", at="bomb.jsonl.gz:1"):
        list(read_rows(str(tmp_path / "bomb.jsonl.gz")))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # kB: the line and its copies, not all of it
