"""`halo reference`: build, list, remove, export, import, and what each says to a mistake."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import tiny
from halo_references.store import Store, Unusable, files

from halo.cli.main import main
from halo.reference.fingerprint import weights_fingerprint
from halo.training.data.mixing import order
from halo.training.model import loading
from halo.training.run import references

Say = Callable[..., str]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache and a working folder of the test's own, and six pairs to read, the last of them too long for some."""
    monkeypatch.setenv("HALO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    rows = [json.loads(line) for line in tiny.FEEDBACK.read_text().splitlines()[:6]]
    rows[-1]["chosen"] *= 5
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row | {"id": i}) + "\n" for i, row in enumerate(rows)))
    labelled = [{"prompt": r["prompt"], "completion": r["chosen"], "label": i % 2 == 0} for i, r in enumerate(rows[:5])]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in labelled))


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found, real = list[str](), references.load_model
    for module in (references, loading):  # the reference's and the policy's
        monkeypatch.setattr(module, "load_model", lambda name, settings: found.append(name) or real(name, settings))
    return found


@pytest.fixture
def say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs a command on the embedded policy and gives what it said, on the stream that its exit code stands for."""

    def said(*words: str, data: str = "pairs.jsonl", code: int = 0) -> str:
        model = [] if words[1] in ("list", "remove") else ["--model", str(tiny.POLICY), "--data", str(tmp_path / data)]
        assert main([*words, *model]) == code
        out, err = capsys.readouterr()
        return err if code else out

    return said


def kept() -> Path:
    (file,) = files(Path("../cache/reference"))
    return file


def trained(say: Say, objective: str, *more: str, data: str = "pairs.jsonl") -> None:
    output = ["--output-dir", str(Path("../runs") / str(len(list(Path("..").glob("runs/*")))))]
    say("train", objective, "--reference", "cached", "--check", "false", "--batch-size", "2", *more, *output, data=data)


def test_build_scores_once_what_a_run_reads_and_writes_nothing_else(say: Say, loads: list[str]) -> None:
    first = 2 * len({0, 1, *order(6, 42, 0)[:2]})  # the pairs of the check before the first step, and those of the step
    assert f": 0 rows were there already, {first} scored" in say("reference", "build", "dpo", "--max-steps", "1", "--batch-size", "2")
    said = say("reference", "build", "ipo", "--eval-fraction", "0.4", "--set", "tau=0.3")
    assert f": {first} rows were there already, {12 - first} scored" in said
    assert ": 12 rows were there already, 0 scored" in say("reference", "build", "dpo", "--reference", "cached")
    drawn = re.search(r": 11 rows were there already, (\d+) scored", say("reference", "build", "kto", "--max-length", "40"))
    assert drawn is not None
    assert 1 <= int(drawn[1]) <= 11  # the mismatched completions: all but the long answer are known
    loads.clear()
    trained(say, "dpo", "--eval-fraction", "0.4", "--eval-strategy", "epoch")
    assert loads == [str(tiny.POLICY)]
    assert list(Path().iterdir()) == []
    assert len(files(Path("../cache/reference"))) == 1


def test_build_stops_where_nothing_can_be_kept(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Store, rows: object) -> None:
        raise Unusable("output-folder", "the disk is full")

    monkeypatch.setattr(Store, "put", full)
    assert "halo: ../" not in (message := say("reference", "build", "dpo", code=2))
    assert message.splitlines()[-1].endswith("the disk is full [output-folder]")


def test_list_and_remove(say: Say, tmp_path: Path) -> None:
    assert "0 files" in say("reference", "list")
    say("reference", "build", "dpo")
    say("reference", "build", "dpo", "--dtype", "float64")
    print_of = weights_fingerprint(str(tiny.POLICY))
    told = json.loads(say("reference", "list", "--json"))
    assert {(t["model"], t["fingerprint"], t["rows"]) for t in told} == {(str(tiny.POLICY), print_of, 12)}
    assert {t["numerics"] for t in told} == {"float32 sdpa packed cpu", "float64 sdpa packed cpu"}
    assert all(t["bytes"] == Path(t["path"]).stat().st_size for t in told)
    assert re.search(rf"^{print_of[:12]} +12 rows .* float64 sdpa packed cpu +{re.escape(str(tiny.POLICY))}$", say("reference", "list"), flags=re.M)

    folder = tmp_path / "cache" / "reference"
    others = [print_of[:6] + "0" * 58, "f" * 64 if print_of[0] != "f" else "0" * 64]
    for other in others:
        Store(folder, other, "float32", "another")
    (folder / "notes.txt").write_text("mine")
    assert f"several fingerprints begin with {print_of[:6]}" in say("reference", "remove", print_of[:6], code=2)
    assert f"nothing is kept for weights {sha256(b'x').hexdigest()}" in say("reference", "remove", sha256(b"x").hexdigest(), code=2)
    assert len(files(folder)) == 4
    assert "2 files removed" in say("reference", "remove", print_of)
    assert "1 files removed" in say("reference", "remove", print_of[:6])
    (folder / files(folder)[0]).write_text("damaged")
    assert "remove the file" in say("reference", "list", code=2)
    assert "1 files removed" in say("reference", "remove", "all")
    assert [file.name for file in folder.iterdir()] == ["notes.txt"]
    assert "0 files" in say("reference", "list", "--folder", str(tmp_path / "none"))


def values(file: Path) -> dict[bytes, bytes]:
    return dict(sqlite3.connect(file).execute("SELECT key, logps FROM rows").fetchall())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_export_and_import_give_the_same_bits(dtype: str, say: Say, loads: list[str]) -> None:
    flags = ("--dtype", dtype, "--max-length", "40")
    said = say("reference", "export", "dpo", "out.jsonl", *flags)
    assert "out.jsonl: log-probs in ref_chosen_logps, ref_rejected_logps; 1 rows that are left out have none" in said
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    data = [json.loads(line) for line in Path("../pairs.jsonl").read_text().splitlines()]
    assert [{k: v for k, v in row.items() if not k.startswith("ref_")} for row in rows] == data
    tokens = tiny.template().tokenizer
    for row in rows[:5]:
        assert len(row["ref_chosen_logps"]) == len(tokens(row["chosen"], add_special_tokens=False)["input_ids"]) + 1  # and the end
        assert all(x <= 0 for x in row["ref_chosen_logps"])
    before = values(kept())
    assert len(before) == 10
    assert "1 files removed" in say("reference", "remove", "all")
    loads.clear()
    said = say("reference", "import", "dpo", *flags, data="here/out.jsonl")
    assert ": 0 rows were there already, 10 taken" in said
    assert "uniform" not in said
    assert values(kept()) == before
    assert ": 10 rows were there already, 0 taken" in say("reference", "import", "dpo", *flags, data="here/out.jsonl")
    trained(say, "ipo", *flags)
    assert loads == [str(tiny.POLICY)] * 3  # the policy of each command, no reference


def test_labels_bring_their_mismatched_completions(say: Say, loads: list[str]) -> None:
    objective, columns = "kto", {"ref_completion_logps", "ref_mismatched_logps", "ref_mismatched_row"}
    say("reference", "export", objective, "out.jsonl", data="labels.jsonl")
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert all({name for name in row if name.startswith("ref_")} == columns for row in rows)
    before = values(kept())
    say("reference", "remove", "all")
    message = say("reference", "import", objective, "--seed", "43", data="here/out.jsonl", code=2)
    assert "another mismatched completion than the one drawn here" in message
    assert values(kept()) == {}
    say("reference", "import", objective, data="here/out.jsonl")
    assert values(kept()) == before
    loads.clear()
    trained(say, objective, data="labels.jsonl")
    assert loads == [str(tiny.POLICY)]


def test_lists_have_a_list_for_each_completion(say: Say, loads: list[str], tmp_path: Path) -> None:
    tiny.write_lists(tmp_path / "lists.jsonl", 3)
    say("reference", "export", "dpo_pl", "out.jsonl", data="lists.jsonl")
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [[len(x) > 1 for x in row["ref_completions_logps"]] for row in rows] == [[True] * 4] * 3
    before = values(kept())
    say("reference", "remove", "all")
    say("reference", "import", "dpo_pl", data="here/out.jsonl")
    assert values(kept()) == before
    loads.clear()
    trained(say, "dpo_pl", data="lists.jsonl")
    assert loads == [str(tiny.POLICY)]


def changed(row: dict[str, Any], value: Any) -> dict[str, Any]:
    return row | {"ref_rejected_logps": value(row["ref_rejected_logps"])}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (sum, "ref_rejected_logps is one number: a sum over tokens, as TRL keeps it, cannot be taken apart into the"),
        (lambda x: x[1:], "numbers and the completion"),
        (lambda x: [*x[1:], None], "is no list of finite numbers"),
        (lambda x: [*x[1:], float("nan")], "is no list of finite numbers"),
        (lambda x: [x], "is no list of finite numbers"),
        (lambda x: [y - 0.5 for y in x], "the log-probs of rejected differ from those of"),
    ],
)
def test_columns_that_cannot_be_taken(value: Callable[[Any], Any], said: str, say: Say) -> None:
    say("reference", "export", "dpo", "out.jsonl")
    say("reference", "remove", "all")
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    Path("bad.jsonl").write_text("".join(json.dumps(changed(row, value) if i == 1 else row) + "\n" for i, row in enumerate(rows)))
    message = say("reference", "import", "dpo", data="here/bad.jsonl", code=2)
    assert said in message
    assert "bad.jsonl:" in message
    assert values(kept()) == {}


def test_mistakes(say: Say, tmp_path: Path) -> None:
    assert "'ref_chosen_logps' is missing" in say("reference", "import", "dpo", code=2)
    assert "simpo needs no reference" in say("reference", "build", "simpo", code=2)
    assert "--reference uniform keeps no log-probs" in say("reference", "build", "dpo", "--reference", "uniform", code=2)
    assert "as several examples" in say("reference", "export", "kto", "out.jsonl", code=2)
    assert not Path("out.jsonl").exists()
    assert "expected one objective and one file to write, such as out.jsonl, got 1" in say("reference", "export", "dpo", code=2)
    shutil.copy(tmp_path / "pairs.jsonl", "out.jsonl")
    assert "there is such a file already" in say("reference", "export", "dpo", "out.jsonl", code=2)
    assert "there is no folder" in say("reference", "export", "dpo", "none/out.jsonl", code=2)
    assert "does not know 'bild'" in say("reference", "bild", "dpo", code=2)


def test_help_loads_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["reference"], ["reference", "--help"], ["reference", "build", "--help"]):
        assert main(words) == 0
        assert "halo reference build OBJECTIVE" in capsys.readouterr().out
    assert main(["--help"]) == 0
    assert "halo reference the log-probs that --reference cached keeps" in capsys.readouterr().out
