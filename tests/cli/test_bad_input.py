"""Bad input, typed at the real command line: one message with a place and a hint, exit code 2, nothing written."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import pytest
from refusals import refused_command

from halo.cli.main import main

DPO = """\
name: mine
feedback: paired
parameters:
  beta: {default: 0.1, domain: "(0, inf)"}
reward: sum(logp - ref_logp)
normalizer: beta
reference_point: rejected
value: logsigmoid(z)
sign: -1
"""
PAIR = {"prompt": "2 + 2 =", "chosen": " 4", "rejected": " 5"}
LABEL = {"prompt": "2 + 2 =", "completion": " 4", "label": True}


def edited(old: str, new: str) -> str:
    assert old in DPO
    return DPO.replace(old, new)


def refused(capsys: pytest.CaptureFixture[str], folder: Path, code: str, *arguments: str, at: str = "") -> str:
    """Runs halo, checks what holds for every refusal and that nothing was written, and returns the message."""
    before = sorted(folder.rglob("*"))
    message = refused_command(capsys, code, *arguments, at=at)
    assert sorted(folder.rglob("*")) == before
    return message


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(folder: Path, *lines: Any, name: str = "data.jsonl") -> str:
    """A data file; texts are written as they stand, everything else as JSON."""
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    (folder / name).write_text(text)
    return name


# (the file, the code, line:column)
FILES = {
    "unknown key": (edited("value:", "vaule:"), "unknown-key", "8:1"),
    "unknown key of a parameter": (edited("default:", "defualt:"), "unknown-key", "4:10"),
    "unknown key of a parameter named like a type": (
        edited("normalizer: beta", "normalizer: strength").replace("beta: {default", "strength: {defualt"),
        "unknown-key", "4:14",
    ),
    "missing key": (edited("value: logsigmoid(z)\n", ""), "missing-key", "1:1"),
    "misspelt function": (edited("logsigmoid(z)", "logsigmoidd(z)"), "unknown-name", "8:8"),
    "misspelt name": (edited("- ref_logp", "- ref_lopg"), "unknown-name", "5:20"),
    "misspelt parameter": (edited("normalizer: beta", "normalizer: betta"), "unknown-name", "6:13"),
    "misspelt role": (edited("reference_point: rejected", "reference_point: rejcted"), "unknown-role", "7:18"),
    "misspelt role in a formula": (edited("value: logsigmoid(z)", "value: logsigmoid(z) * choosen.length"), "unknown-role", "8:24"),
    "misspelt feedback": (edited("feedback: paired", "feedback: pairs"), "wrong-value", "2:11"),
    "default outside its domain": (edited("default: 0.1", "default: -0.1"), "out-of-domain", "4:19"),
    "search value outside its domain": (edited("default: 0.1", "default: 0.1, search: [0.1, 0]"), "out-of-domain", "4:38"),
    "column's default outside its domain": (DPO + "columns: {c: {level: example, domain: '[0, 1]', default: 2}}\nweight: c\n",
        "out-of-domain", "10:58"),
    "domain that is none": (edited("(0, inf)", "0 to inf"), "wrong-value", "4:33"),
    "domain too large to compute": (edited("(0, inf)", "(0, 1e999999999)"), "wrong-value", "4:33"),
    "duplicate key": (DPO + "sign: +1\n", "duplicate-key", "10:1"),
    "duplicate parameter": (edited("reward:", "  beta: {default: 1}\nreward:"), "duplicate-key", "5:3"),
    "no": (DPO + "title: no\n", "yaml-trap", "10:8"),
    "octal": (edited("default: 0.1", "default: 010"), "yaml-trap", "4:19"),
    "base 60": (DPO + "margin: 1:30\n", "yaml-trap", "10:9"),
    "arXiv number": (DPO + "paper: {title: T, arxiv: 2305.18290}\n", "yaml-trap", "10:26"),
    "old arXiv number": (DPO + "paper: {title: T, arxiv: 1706.0374}\n", "wrong-value", "10:26"),
    "tag": (DPO + "margin: !!python/object/apply:os.system ['true']\n", "yaml-trap", "10:9"),
    "anchor": (DPO + "margin: &a 1\n", "yaml-trap", "10:9"),
    "comma in a flow map": (DPO + "terms: {a: {value: min(0, z)}}\n", "yaml-trap", "10:27"),
    "not YAML": (DPO + "margin: [1\n", "yaml-syntax", "11:1"),
    "tab": (DPO + "let:\n\ta: 1\n", "yaml-syntax", "11:1"),
    "import": (edited("sum(logp - ref_logp)", "__import__('os').system('true')"), "formula-syntax", "5:20"),
    "import without quotes": (edited("sum(logp - ref_logp)", "__import__(os)"), "formula-syntax", "5:9"),
    "attribute": (edited("sum(logp - ref_logp)", "sum(logp).real"), "formula-syntax", "5:9"),
    "dunder attribute": (edited("sum(logp - ref_logp)", "logp.__class__"), "formula-syntax", "5:9"),
    "lambda": (edited("sum(logp - ref_logp)", "'(lambda z = 0)()'"), "formula-syntax", "5:11"),
    "unquoted lambda": (edited("sum(logp - ref_logp)", "(lambda: 0)()"), "yaml-syntax", "5:16"),
    "lambda as a parameter": (edited("beta:", "lambda:").replace("normalizer: beta", "normalizer: 1"), "wrong-value", "4:3"),
    "subscript": (edited("value: logsigmoid(z)", "value: z[0]"), "formula-syntax", "8:9"),
    "conditional": (edited("value: logsigmoid(z)", "value: z if 1 else 0"), "formula-syntax", "8:10"),
    "parentheses": (edited("logsigmoid(z)", "(" * 900 + "z" + ")" * 900), "formula-limit", "8:48"),
    "10,000 parentheses": (edited("logsigmoid(z)", "(" * 10_000 + "z" + ")" * 10_000), "formula-limit", "8:8"),
    "10,000 minus signs": (edited("logsigmoid(z)", "-" * 1990 + "z"), "formula-limit", "8:49"),
    "tower of powers": (edited("logsigmoid(z)", "z * 9**9**9"), "formula-limit", "8:15"),
    "large exponent": (edited("logsigmoid(z)", "z * 9**999"), "formula-limit", "8:15"),
    "huge number": (edited("logsigmoid(z)", "z * 1e200 / 1e200 + 1e200 / 1e-200"), "formula-limit", "8:28"),
    "division by zero": (edited("logsigmoid(z)", "z / 0"), "formula-syntax", "8:12"),
    "comparison as a number": (edited("logsigmoid(z)", "z > 0"), "formula-syntax", "8:8"),
    "not ASCII": (edited("logsigmoid(z)", "logsigmoid(β * z)"), "formula-syntax", "8:19"),
    "name that would be code": (DPO + 'terms: {"x = 1; print(2) #": {role: chosen}}\n', "wrong-value", "10:9"),
    "role that would be code": (DPO + 'roles: ["gold; import os"]\n', "wrong-value", "10:10"),
    "parameter named batch": (edited("beta:", "batch:").replace("normalizer: beta", "normalizer: batch"), "wrong-value", "4:3"),
    "regularizer named like a term": (DPO + "regularizers: {main: {role: chosen, expression: length}}\n", "wrong-value", "10:16"),
    "empty file": ("", "empty-file", ""),
    "only a comment": ("# nothing\n", "empty-file", ""),
    "a list": ("- name: dpo\n", "wrong-value", "1:1"),
}  # fmt: skip


@pytest.mark.parametrize("command", ["show", "train"])
@pytest.mark.parametrize("case", FILES)
def test_objective_file(case: str, command: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, code, where = FILES[case]
    (here / "mine.yaml").write_text(text)
    refused(capsys, here, code, command, "mine.yaml", at=f"mine.yaml:{where}".rstrip(":"))


def test_scientific_notation_is_a_number(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mine.yaml").write_text(edited("default: 0.1", "default: 1e-6"))
    assert main(["show", "mine.yaml", "--stage", "objective"]) == 0
    assert "default: 1.0e-06" in capsys.readouterr().out


# (arguments, the code, the place)
COMMAND_LINES = {
    "no such command": (["tarin", "kto"], "unknown-setting", ""),
    "no objective": (["train"], "missing-key", ""),
    "two objectives": (["train", "dpo", "kto"], "missing-key", ""),
    "no such objective": (["train", "ktoo"], "not-found", ""),
    "no such file": (["train", "ktoo.yaml"], "not-found", ""),
    "a folder": (["show", "."], "not-found", ""),
    "a folder with a slash": (["show", "./"], "not-found", ""),
    "misspelt flag": (["train", "kto", "--learning-rat", "1e-5"], "unknown-setting", "--learning-rat"),
    "misspelt flag of show": (["show", "kto", "--stge", "graph"], "unknown-setting", "--stge"),
    "flag without a value": (["train", "kto", "--learning-rate"], "wrong-value", "--learning-rate"),
    "flag twice": (["train", "kto", "--seed", "1", "--seed", "2"], "duplicate-key", "--seed"),
    "flag twice in two spellings": (["train", "kto", "--max-steps", "1", "--max_steps", "2"], "duplicate-key", "--max_steps"),
    "not a number": (["train", "kto", "--learning-rate", "fast"], "wrong-value", "--learning-rate"),
    "not a whole number": (["train", "kto", "--max-steps", "1.5"], "wrong-value", "--max-steps"),
    "setting out of range": (["train", "kto", "--learning-rate", "-1"], "wrong-value", "--learning-rate"),
    "wrong choice": (["train", "kto", "--dtype", "float8"], "wrong-value", "--dtype"),
    "no such stage": (["show", "kto", "--stage", "grpah"], "wrong-value", "--stage"),
    "no such schema": (["schema", "objectiv"], "wrong-value", ""),
    "--set outside the domain": (["train", "kto", "--set", "beta=-1"], "out-of-domain", "kto.yaml"),
    "--set of a word": (["train", "kto", "--set", "beta=high"], "wrong-value", "--set"),
    "--set of nan": (["show", "kto", "--set", "beta=nan"], "wrong-value", "--set"),
    "--set of infinity": (["show", "kto", "--set", "beta=inf"], "out-of-domain", "kto.yaml"),
    "--set without a number": (["train", "kto", "--set", "beta"], "wrong-value", "--set"),
    "--set of an unknown parameter": (["train", "kto", "--set", "betta=1"], "unknown-name", "kto.yaml"),
    "--set twice": (["train", "kto", "--set", "beta=1", "--set", "beta=2"], "duplicate-key", "--set"),
    "list by what is not": (["list", "--feedback", "pared"], "wrong-value", "--feedback"),
    "list by no year": (["list", "--year", "soon"], "wrong-value", "--year"),
    "no such reference": (["train", "dpo", "--reference", "frozn"], "plugin", ""),
    "no such backend": (["train", "dpo", "--backend", "dpp"], "plugin", ""),
    "a reference that is none": (["train", "dpo", "--reference", "none"], "plugin", ""),
    "no such settings file": (["train", "dpo", "--settings", "none.yaml"], "not-found", ""),
    "no such data file": (["train", "dpo", "--data", "none.jsonl"], "not-found", ""),
    "no such model folder": (["train", "dpo", "--model", "./no-model"], "not-found", ""),
    "nothing to resume": (["train", "dpo", "--resume", "nowhere"], "resume", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", COMMAND_LINES)
def test_command_line(case: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, code, where = COMMAND_LINES[case]
    refused(capsys, here, code, *arguments, at=where)


# (the file, the code, line:column)
SETTINGS = {
    "misspelt": ("seed: 1\nlearning_rat: 1e-5\n", "unknown-setting", "2:1"),
    "wrong type": ("seed: 1\nlearning_rate: fast\n", "wrong-value", "2:16"),
    "twice": ("seed: 1\nseed: 2\n", "duplicate-key", "2:1"),
    "trap": ("seed: 010\n", "yaml-trap", "1:7"),
    "empty": ("", "empty-file", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_file(case: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, code, where = SETTINGS[case]
    (here / "s.yaml").write_text(text)
    refused(capsys, here, code, "train", "dpo", "--settings", "s.yaml", at=f"s.yaml:{where}".rstrip(":"))


# (objective, the lines, the code, file:line)
DATA = {
    "unknown columns": ("kto", [{"prompt": "a", "completed": "b", "label": True}], "data-format", "data.jsonl:1"),
    "wrong kind": ("dpo", [LABEL], "data-format", "data.jsonl:1"),
    "no rows": ("kto", [], "empty-file", "data.jsonl"),
    "only empty lines": ("kto", ["", "  "], "empty-file", "data.jsonl"),
    "not JSON": ("kto", [LABEL, LABEL, "{'prompt': 1}"], "data-row", "data.jsonl:3"),
    "cut line": ("kto", [LABEL, '{"prompt": "a", "compl'], "data-row", "data.jsonl:2"),
    "a list": ("kto", [LABEL, [1, 2]], "data-row", "data.jsonl:2"),
    "deep": ("kto", [LABEL, "[" * 100_000], "data-row", "data.jsonl:2"),
    "mixed types": ("kto", [LABEL, LABEL | {"completion": 4}], "data-row", "data.jsonl:2"),
    "null": ("dpo", [PAIR, PAIR, PAIR | {"rejected": None}], "data-row", "data.jsonl:3"),
    "null label": ("kto", [LABEL, LABEL | {"label": None}], "data-row", "data.jsonl:2"),
    "label as a text": ("kto", [LABEL, LABEL | {"label": "yes"}], "data-row", "data.jsonl:2"),
    "label as a number": ("kto", [LABEL, LABEL | {"label": 1}], "data-row", "data.jsonl:2"),
    "missing label": ("kto", [LABEL, {"prompt": "a", "completion": "b"}], "data-format", "data.jsonl:2"),
    "missing completion": ("dpo", [PAIR, {"prompt": "a", "chosen": "b"}], "data-row", "data.jsonl:2"),
    "score that is none": ("rrhf", [{"prompt": "a", "completions": ["b", "c"], "scores": [1, None]}], "data-row", "data.jsonl:1"),
    "NaN score": ("rrhf", ['{"prompt": "a", "completions": ["b", "c"], "scores": [1, NaN]}'], "data-row", "data.jsonl:1"),
    "one completion": ("rrhf", [{"prompt": "a", "completions": ["b"], "scores": [1]}], "data-row", "data.jsonl:1"),
    "empty prompts only": ("dpo", [PAIR | {"prompt": ""}], "data-row", "data.jsonl:1"),
    "one prompt for kto": ("kto", [LABEL, LABEL | {"label": False}], "no-rows", "data.jsonl:1"),
    "missing text role": ("slic_hf_gold", [PAIR], "data-row", "data.jsonl:1"),
    "ties only": ("dpo", [{"prompt": "a", "completions": ["b", "c"], "scores": [1, 1]}], "no-rows", "data.jsonl:1"),
}  # fmt: skip


@pytest.mark.parametrize("case", DATA)
def test_data_file(case: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    objective, lines, code, where = DATA[case]
    refused(capsys, here, code, "train", objective, "--data", rows(here, *lines), at=where)


def test_not_utf8(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "data.jsonl").write_bytes(json.dumps(PAIR).encode() + b'\n{"prompt": "\xff"}\n')
    refused(capsys, here, "data-row", "train", "dpo", "--data", "data.jsonl", at="data.jsonl:2")


def test_unknown_ending(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, here, "data-format", "train", "dpo", "--data", rows(here, "a,b", name="data.txt"), at="data.txt")


@pytest.mark.parametrize("objective", ["dpo", "kto", "sft"])
def test_every_prompt_longer_than_the_limit(objective: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, here, "no-rows", "train", objective, "--max-length", "3", at="halo/starter/feedback.jsonl:1")


def test_output_folder_in_use(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "out").mkdir()
    (here / "out" / "notes.txt").write_text("mine")
    refused(capsys, here, "output-folder", "train", "dpo", "--output-dir", "out")


def test_output_folder_is_a_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "out").write_text("mine")
    refused(capsys, here, "output-folder", "train", "dpo", "--output-dir", "out")


def test_model_folder_without_a_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "model").mkdir()
    refused(capsys, here, "model", "train", "dpo", "--model", "./model", "--data", rows(here, PAIR))


def test_spinner_package(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0.31" if name == "halo" else real(name))
    refused(capsys, here, "wrong-package", "train", "kto")


def test_a_bug_shows_its_traceback(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import halo.cli.list

    def broken(arguments: list[str]) -> int:
        raise ValueError("a bug")

    monkeypatch.setattr(halo.cli.list, "run", broken)
    with pytest.raises(ValueError, match="a bug"):
        main(["list"])


def test_training_holds_the_expectations_first(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mine.yaml").write_text(DPO.replace("sign: -1", "sign: +1") + "expect: {direction: {chosen: up}}\n")
    assert main(["train", "./mine.yaml", "--model", "no/such/folder"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("halo: mine.yaml: expect.direction.chosen is up, found down; halo check mine.yaml -v says why")
    assert said.rstrip().endswith("[expectation]")
    assert main(["train", "./mine.yaml", "--model", "no/such/folder", "--check", "false"]) == 2
    assert sorted(f.name for f in here.iterdir()) == ["mine.yaml"]


@pytest.mark.parametrize(
    "words",
    [
        ["train", "dpo", "--resume", "./" + "a" * 5000], ["train", "dpo", "--model", "./" + "a" * 5000], ["data", "a" * 5000, "--objective", "dpo"],
        ["score", "a" * 5000, "--scorer", "gold"], ["pair", "a" * 5000, "--by", "gold"], ["export", "a" * 5000, "out"],
        ["sample", "--prompts", "a" * 5000], ["check", "./" + "a" * 5000],
    ],
)  # fmt: skip
def test_a_name_that_is_too_long_is_one_message(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("halo: ")
    assert len(said) < 1500
    assert "Traceback" not in said
