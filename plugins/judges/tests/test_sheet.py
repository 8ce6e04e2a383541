"""Blind sheets: who wrote an answer is not on them, what comes back is read as it was meant, and what was edited wrongly is one message."""

from __future__ import annotations

import csv
import io
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from replying import folder_of, rows_of

from halo.cli.main import main

ROWS = [
    {"prompt": f"Prompt {number}?", "a": f"=1+{number}", "b": f'answer b{number},\nof "two" lines', "c": f"é{number}"}
    for number in range(12)
]


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    """Of two models' folders."""
    for name, column in (("model-one", "a"), ("model-two", "b")):
        folder_of(tmp_path / name, ROWS, column)
    file = tmp_path / "sheet.csv"
    assert main(["sheet", str(tmp_path / "model-one"), str(tmp_path / "model-two"), "--out", str(file)]) == 0
    return file


def read(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig"), newline="")))


def fill(file: Path, verdict: Callable[[dict[str, str]], str], separator: str = ",", encoding: str = "utf-8-sig") -> None:
    """As a spreadsheet saves it."""
    rows, stream = read(file), io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), delimiter=separator)
    writer.writeheader()
    writer.writerows([{**row, "better": verdict(row)} for row in rows])
    file.write_bytes(stream.getvalue().encode(encoding))


def likes_b(row: dict[str, str]) -> str:
    return "1" if "answer b" in row["answer 1"] else "2"


def test_a_sheet_says_nothing_of_whose_the_answers_are(sheet: Path, tmp_path: Path) -> None:
    rows = read(sheet)
    assert [row["prompt"] for row in rows] == [row["prompt"] for row in ROWS]
    assert {row["better"] for row in rows} == {""}
    assert "model-" not in sheet.read_text()
    assert {"answer b" in row["answer 1"] for row in rows} == {True, False}  # twelve coins of the seed
    assert sheet.read_bytes().startswith(b"\xef\xbb\xbf")
    assert all(cell[:1] not in ("=", "+", "-", "@") for row in rows for cell in row.values())
    assert {row["answer 1"] for row in rows} >= {"'=1+0"} or {row["answer 2"] for row in rows} >= {"'=1+0"}
    key = tmp_path / "sheet.key.json"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    for row, told in zip(rows, json.loads(key.read_text())["rows"], strict=True):
        assert [text.lstrip("'") for text in (row["answer 1"], row["answer 2"])] == told["answers"]
        assert ["model-two" in whose for whose in told["whose"]] == ["answer b" in text for text in told["answers"]]


def test_seed_and_texts_decide_the_order_of_answers(sheet: Path, tmp_path: Path) -> None:
    other, seeded = tmp_path / "other.csv", tmp_path / "seeded.csv"
    folders = [str(tmp_path / "model-two"), str(tmp_path / "model-one")]
    assert main(["sheet", *folders, "--out", str(other)]) == 0
    assert other.read_text() == sheet.read_text()
    assert main(["sheet", *folders, "--out", str(seeded), "--seed", "1"]) == 0
    assert seeded.read_text() != sheet.read_text()


def together(tmp_path: Path, columns: str = "a+b") -> Path:
    return folder_of(tmp_path / "together", ROWS, columns)


@pytest.mark.parametrize(("separator", "encoding"), [(",", "utf-8-sig"), (";", "utf-8"), ("\t", "utf-8-sig"), (";", "cp1252")])
def test_verdicts_come_back(separator: str, encoding: str, sheet: Path, tmp_path: Path) -> None:
    fill(sheet, likes_b, separator, encoding)
    folder = together(tmp_path)
    assert main(["score", str(folder), "--scorer", f"human:sheet={sheet}"]) == 0
    assert [row["score"] for row in rows_of(folder, "human")] == [0, 1] * 12


def test_ties_and_what_is_not_filled_in(sheet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = {"1": "Tie", "2": " 1 ", "3": "2.0"}
    fill(sheet, lambda row: said.get(row["row"], ""))
    folder, rows = together(tmp_path), read(sheet)
    assert main(["score", str(folder), "--scorer", f"human:sheet={sheet}"]) == 0
    found = [row["score"] for row in rows_of(folder, "human")]
    assert found[:2] == [0.5, 0.5]
    assert found[2:4] == ([0, 1] if "answer b" in rows[1]["answer 1"] else [1, 0])
    assert found[4:6] == ([1, 0] if "answer b" in rows[2]["answer 1"] else [0, 1])
    assert set(found[6:]) == {None}
    assert "18 have none: the sheet has no verdict on it yet" in capsys.readouterr().out
    fill(sheet, lambda row: said.get(row["row"], likes_b(row)))  # the rest of it
    assert main(["score", str(folder), "--scorer", f"human:sheet={sheet}"]) == 0
    assert [row["score"] for row in rows_of(folder, "human")] == [*found[:6], *[0, 1] * 9]


def test_a_completion_that_was_not_on_the_sheet_has_no_score(sheet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(sheet, likes_b)
    folder = together(tmp_path, "a+b+c")
    assert main(["score", str(folder), "--scorer", f"human:sheet={sheet}"]) == 0
    assert {row["score"] for row in rows_of(folder, "human")} == {None}
    assert "36 have none: the sheet does not compare it with all the others" in capsys.readouterr().out


def test_all_completions_of_one_folder(tmp_path: Path) -> None:
    folder, sheet = together(tmp_path, "a+b+c"), tmp_path / "all.csv"
    assert main(["sheet", str(folder), "--out", str(sheet)]) == 0
    rows = read(sheet)
    assert len(rows) == 36
    rank = {"'": 0, "é": 1, "a": 2}  # = < é < answer b
    fill(sheet, lambda row: "1" if rank[row["answer 1"][0]] > rank[row["answer 2"][0]] else "2")
    assert main(["score", str(folder), "--scorer", f"human:sheet={sheet}"]) == 0
    assert [row["score"] for row in rows_of(folder, "human")] == [0, 1, 0.5] * 12


def test_fewer_rows_are_drawn(sheet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = tmp_path / "few.csv"
    folders = [str(tmp_path / "model-one"), str(tmp_path / "model-two")]
    assert main(["sheet", *folders, "--out", str(few), "--rows", "5"]) == 0
    assert "5 comparisons" in capsys.readouterr().out
    whole = [(row["prompt"], row["answer 1"]) for row in read(sheet)]
    drawn = [(row["prompt"], row["answer 1"]) for row in read(few)]
    assert drawn == [row for row in whole if row in drawn]
    assert len(drawn) == 5


def without(number: str) -> Callable[[list[dict[str, str]]], list[dict[str, str]]]:
    return lambda rows: [row for row in rows if row["row"] != number]


def changed(number: str, **cells: str) -> Callable[[list[dict[str, str]]], list[dict[str, str]]]:
    named = {name.replace("_", " "): value for name, value in cells.items()}
    return lambda rows: [row | named if row["row"] == number else row for row in rows]


def one_column_sorted(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    texts = sorted(row["answer 1"] for row in rows)
    return [row | {"answer 1": text} for row, text in zip(rows, texts, strict=True)]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (without("3"), "sheet.csv: 1 of 12 rows are missing, the first is row 3"),
        (changed("2", better="both"), "better is 'both'; 1, 2 or tie, or nothing"),
        (changed("2", better="0"), "better is '0'"),
        (changed("2", row="13"), "the key has no row 13"),
        (changed("2", row="1"), "row 1 stands twice"),
        (changed("2", row="two"), "row is 'two', no number"),
        (changed("2", answer_2="another answer"), "answer 2 of row 2 is not what was written there; sort whole rows only"),
        (one_column_sorted, "answer 1 of row 1 is not what was written there"),
        (lambda rows: [{key: cell for key, cell in row.items() if key != "better"} for row in rows], "there is no column 'better'"),
    ],
)  # fmt: skip
def test_what_was_edited_wrongly_is_one_message(
    edit: Callable[[list[dict[str, str]]], list[dict[str, Any]]], said: str, sheet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, stream = edit(read(sheet)), io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    sheet.write_text(stream.getvalue(), encoding="utf-8-sig", newline="")
    capsys.readouterr()
    assert main(["score", str(together(tmp_path)), "--scorer", f"human:sheet={sheet}"]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1


def test_rows_may_be_sorted(sheet: Path, tmp_path: Path) -> None:
    fill(sheet, likes_b)
    head, *rows = csv.reader(io.StringIO(sheet.read_text(encoding="utf-8-sig"), newline=""))
    stream = io.StringIO()
    csv.writer(stream).writerows([head, *sorted(rows, key=lambda row: row[2])])
    sheet.write_text(stream.getvalue(), encoding="utf-8-sig", newline="")
    folder = together(tmp_path)
    assert main(["score", str(folder), "--scorer", f"human:sheet={sheet}"]) == 0
    assert [row["score"] for row in rows_of(folder, "human")] == [0, 1] * 12


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model-one", "model-two", "--out", "sheet.csv"], "sheet.csv is there already, and may hold verdicts"),
        (["model-one", "model-two", "--out", "sheet.txt"], "a file that ends in .csv is wanted"),
        (["model-one", "nowhere", "--out", "new.csv"], "nowhere is no finished folder of samples"),
        (["model-one", "model-one", "--out", "new.csv"], "there is nothing to compare: 12 comparisons are of equal answers"),
        (["model-one", "model-two", "--out", "new.csv", "--rows", "many"], "--rows: 'many' is no whole number"),
        (["--out", "new.csv"], "there are no samples to compare"),
    ],
)
def test_a_wrong_command_is_one_message(
    words: list[str], said: str, sheet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    before = sheet.read_bytes()
    assert main(["sheet", *words]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1
    assert sheet.read_bytes() == before
    assert not (tmp_path / "new.csv").exists()


def test_a_sheet_without_its_key_is_one_message(sheet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sheet.key.json").rename(tmp_path / "elsewhere.json")
    folder = together(tmp_path)
    assert main(["score", str(folder), "--scorer", f"human:sheet={sheet}"]) == 2
    assert "a sheet and its key lie in one folder" in capsys.readouterr().err
    assert main(["score", str(folder), "--scorer", "human"]) == 2
    assert "human names no sheet; human:sheet=FILE.csv" in capsys.readouterr().err
