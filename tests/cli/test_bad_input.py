"""Bad input, typed at the real command line: one message with a place and a hint, exit code 2, nothing written."""

from __future__ import annotations

import importlib.metadata
import json
import re
from pathlib import Path
from typing import Any

import pytest

from halo.cli.main import main
from halo.errors import CODES

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


def refused(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> str:
    """Runs halo, checks what holds for every refusal, and returns the message."""
    before = sorted(folder.rglob("*"))
    assert main(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert err.count("halo: ") == 1
    assert err.startswith("halo: ")
    first, *excerpt = err.splitlines()
    code = re.search(r"\[([a-z-]+)\]$", first)
    assert code, first
    assert code[1] in CODES
    assert len(excerpt) in (0, 2), err  # nothing, or the line and its caret
    assert sorted(folder.rglob("*")) == before
    return first


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(folder: Path, *lines: Any, name: str = "data.jsonl") -> str:
    """A data file; texts are written as they stand, everything else as JSON."""
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    (folder / name).write_text(text)
    return name


# (the file, line:column, a piece of the message, a piece of the hint)
FILES = {
    "unknown key": (edited("value:", "vaule:"), "8:1", "unknown key 'vaule'", "did you mean 'value'?"),
    "unknown key of a parameter": (edited("default:", "defualt:"), "4:10", "unknown key 'defualt'", "did you mean 'default'?"),
    "unknown key of a parameter named like a type": (
        edited("normalizer: beta", "normalizer: strength").replace("beta: {default", "strength: {defualt"), "4:14", "unknown key",
            "'default'?",
    ),
    "missing key": (edited("value: logsigmoid(z)\n", ""), "1:1", "'value' is missing", "such as value"),
    "misspelt function": (edited("logsigmoid(z)", "logsigmoidd(z)"), "8:8", "unknown function 'logsigmoidd'", "did you mean 'logsigmoid'?"),
    "misspelt name": (edited("- ref_logp", "- ref_lopg"), "5:20", "unknown name 'ref_lopg'", "did you mean 'ref_logp'?"),
    "misspelt parameter": (edited("normalizer: beta", "normalizer: betta"), "6:13", "unknown name 'betta'", "did you mean 'beta'?"),
    "misspelt role": (edited("reference_point: rejected", "reference_point: rejcted"), "7:18", "no role 'rejcted'",
        "did you mean 'rejected'?"),
    "misspelt role in a formula": (edited("value: logsigmoid(z)", "value: logsigmoid(z) * choosen.length"), "8:24", "no role 'choosen'",
        "did you mean 'chosen'?"),
    "misspelt feedback": (edited("feedback: paired", "feedback: pairs"), "2:11", "feedback", "'paired'"),
    "default outside its domain": (edited("default: 0.1", "default: -0.1"), "4:19", "beta = -0.1 is outside its domain (0, inf)",
        "default"),
    "domain that is none": (edited("(0, inf)", "0 to inf"), "4:33", "is not an interval", "such as (0, inf)"),
    "domain too large to compute": (edited("(0, inf)", "(0, 1e999999999)"), "4:33", "the ends are numbers", "inf"),
    "duplicate key": (DPO + "sign: +1\n", "10:1", "the key 'sign' stands twice", "YAML would keep only the last"),
    "duplicate parameter": (edited("reward:", "  beta: {default: 1}\nreward:"), "5:3", "the key 'beta' stands twice", "keep only the last"),
    "no": (DPO + "title: no\n", "10:8", "no is ambiguous", 'write "no"'),
    "octal": (edited("default: 0.1", "default: 010"), "4:19", "010 is ambiguous", "leading 0"),
    "base 60": (DPO + "margin: 1:30\n", "10:9", "1:30 is ambiguous", "base 60"),
    "arXiv number": (DPO + "paper: {title: T, arxiv: 2305.18290}\n", "10:26", "2305.18290 is ambiguous", 'write "2305.18290"'),
    "old arXiv number": (DPO + "paper: {title: T, arxiv: 1706.0374}\n", "10:26", "read as a number", "quote it"),
    "tag": (DPO + "margin: !!python/object/apply:os.system ['true']\n", "10:9", "tags are not read", "quote"),
    "anchor": (DPO + "margin: &a 1\n", "10:9", "anchors", "write the value out"),
    "comma in a flow map": (DPO + "terms: {a: {value: min(0, z)}}\n", "10:27", "without a value", "quoted inside { }"),
    "not YAML": (DPO + "margin: [1\n", "11:1", "not YAML", "']'"),
    "tab": (DPO + "let:\n\ta: 1\n", "11:1", "not YAML", "quote"),
    "import": (edited("sum(logp - ref_logp)", "__import__('os').system('true')"), "5:20", "a text is not allowed", "without quotes"),
    "import without quotes": (edited("sum(logp - ref_logp)", "__import__(os)"), "5:9", "'__import__' is not a name", "letter"),
    "attribute": (edited("sum(logp - ref_logp)", "sum(logp).real"), "5:9", "the only dotted form is role.name", "chosen.length"),
    "dunder attribute": (edited("sum(logp - ref_logp)", "logp.__class__"), "5:9", "'__class__' is not a name", "letter"),
    "lambda": (edited("sum(logp - ref_logp)", "'(lambda z = 0)()'"), "5:11", "'lambda' is a word of Python's", "lambda_nll"),
    "unquoted lambda": (edited("sum(logp - ref_logp)", "(lambda: 0)()"), "5:16", "not YAML: mapping values", "quote the formula"),
    "lambda as a parameter": (edited("beta:", "lambda:").replace("normalizer: beta", "normalizer: 1"), "4:3", "'lambda' cannot be a name",
        "lambda_nll"),
    "subscript": (edited("value: logsigmoid(z)", "value: z[0]"), "8:9", "'[' is not allowed", "no subscripts"),
    "conditional": (edited("value: logsigmoid(z)", "value: z if 1 else 0"), "8:10", "'if' is a word of Python's", "name"),
    "parentheses": (edited("logsigmoid(z)", "(" * 900 + "z" + ")" * 900), "8:48", "nested more than 40 deep", ""),
    "10,000 parentheses": (edited("logsigmoid(z)", "(" * 10_000 + "z" + ")" * 10_000), "8:8", "20001 characters", "at most 2000"),
    "10,000 minus signs": (edited("logsigmoid(z)", "-" * 1990 + "z"), "8:", "nested", ""),
    "tower of powers": (edited("logsigmoid(z)", "z * 9**9**9"), "8:15", "a power in a power", "write its value"),
    "large exponent": (edited("logsigmoid(z)", "z * 9**999"), "8:15", "an exponent past 64", ""),
    "huge number": (edited("logsigmoid(z)", "z * 1e200 / 1e200 + 1e200 / 1e-200"), "8:28", "past the range of a float", ""),
    "division by zero": (edited("logsigmoid(z)", "z / 0"), "8:12", "division by zero", ""),
    "comparison as a number": (edited("logsigmoid(z)", "z > 0"), "8:8", "a comparison stands only first in where", "where(z > 0, 1, 0)"),
    "not ASCII": (edited("logsigmoid(z)", "logsigmoid(β * z)"), "8:19", "is not ASCII", "spell it out"),
    "name that would be code": (DPO + 'terms: {"x = 1; print(2) #": {role: chosen}}\n', "10:9", "cannot be a name", "letters"),
    "role that would be code": (DPO + 'roles: ["gold; import os"]\n', "10:10", "cannot be a name", "letters"),
    "parameter named batch": (edited("beta:", "batch:").replace("normalizer: beta", "normalizer: batch"), "4:3", "cannot be declared",
        "choose another"),
    "regularizer named like a term": (DPO + "regularizers: {main: {role: chosen, expression: length}}\n", "10:16",
        "'main' cannot be declared", "another"),
    "empty file": ("", "", "the file is empty", "needs at least a name"),
    "only a comment": ("# nothing\n", "", "the file is empty", "needs at least a name"),
    "a list": ("- name: dpo\n", "1:1", "expected a mapping", ""),
}  # fmt: skip


@pytest.mark.parametrize("command", ["show", "train"])
@pytest.mark.parametrize("case", FILES)
def test_objective_file(case: str, command: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, where, what, hint = FILES[case]
    (here / "mine.yaml").write_text(text)
    message = refused(capsys, here, command, "mine.yaml")
    assert message.startswith(f"halo: mine.yaml:{where}"), message
    assert what in message, message
    assert hint in message, message


def test_scientific_notation_is_a_number(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mine.yaml").write_text(edited("default: 0.1", "default: 1e-6"))
    assert main(["show", "mine.yaml", "--stage", "objective"]) == 0
    assert "default: 1.0e-06" in capsys.readouterr().out


# (arguments, a piece of the message, a piece of the hint)
COMMAND_LINES = {
    "no such command": (["tarin", "kto"], "there is no command 'tarin'", "did you mean 'train'?"),
    "no objective": (["train"], "expected one objective, got 0", "give one objective"),
    "two objectives": (["train", "dpo", "kto"], "expected one objective, got 2", "not dpo kto"),
    "no such objective": (["train", "ktoo"], "no objective named 'ktoo'", "did you mean 'kto'?"),
    "no such file": (["train", "ktoo.yaml"], "no objective file ktoo.yaml", ""),
    "a folder": (["show", "."], "no objective named '.'", ""),
    "a folder with a slash": (["show", "./"], "a folder", ""),
    "misspelt flag": (["train", "kto", "--learning-rat", "1e-5"], "--learning-rat: there is no such flag", "did you mean 'learning_rate'?"),
    "misspelt flag of show": (["show", "kto", "--stge", "graph"], "--stge: there is no such flag", "did you mean 'stage'?"),
    "flag without a value": (["train", "kto", "--learning-rate"], "--learning-rate: a value is missing", ""),
    "flag twice": (["train", "kto", "--seed", "1", "--seed", "2"], "--seed: the flag stands twice", ""),
    "flag twice in two spellings": (["train", "kto", "--max-steps", "1", "--max_steps", "2"], "the flag stands twice", ""),
    "not a number": (["train", "kto", "--learning-rate", "fast"], "--learning-rate: 'fast' is not a number", ""),
    "not a whole number": (["train", "kto", "--max-steps", "1.5"], "--max-steps: '1.5' is not a whole number", ""),
    "setting out of range": (["train", "kto", "--learning-rate", "-1"], "--learning-rate", "greater than 0"),
    "wrong choice": (["train", "kto", "--dtype", "float8"], "--dtype", "'float32'"),
    "no such stage": (["show", "kto", "--stage", "grpah"], "there is no stage 'grpah'", "did you mean 'graph'?"),
    "no such schema": (["schema", "objectiv"], "there is no schema 'objectiv'", "did you mean 'objective'?"),
    "--set outside the domain": (["train", "kto", "--set", "beta=-1"], "beta = -1 is outside its domain (0, inf)", "the default is 0.1"),
    "--set of a word": (["train", "kto", "--set", "beta=high"], "'beta=high' is not name=number", "such as --set beta=0.2"),
    "--set of nan": (["show", "kto", "--set", "beta=nan"], "'beta=nan' is not name=number", "such as"),
    "--set of infinity": (["show", "kto", "--set", "beta=inf"], "beta = inf is outside its domain", "default"),
    "--set without a number": (["train", "kto", "--set", "beta"], "'beta' is not name=number", "such as"),
    "--set of an unknown parameter": (["train", "kto", "--set", "betta=1"], "kto has no parameter 'betta'", "did you mean 'beta'?"),
    "--set twice": (["train", "kto", "--set", "beta=1", "--set", "beta=2"], "beta is set twice", ""),
    "list by what is not": (["list", "--feedback", "pared"], "--feedback: 'pared' is no choice", "did you mean 'paired'?"),
    "list by no year": (["list", "--year", "soon"], "--year: 'soon' is no year", "such as 2024"),
    "no such reference": (["train", "dpo", "--reference", "frozn"], "no reference named 'frozn'", "did you mean 'frozen'?"),
    "no such backend": (["train", "dpo", "--backend", "dpp"], "no backend named 'dpp'", "did you mean 'ddp'?"),
    "a reference that is none": (["train", "dpo", "--reference", "none"], "dpo needs a reference", "--reference frozen"),
    "no such settings file": (["train", "dpo", "--settings", "none.yaml"], "no settings file none.yaml", ""),
    "no such data file": (["train", "dpo", "--data", "none.jsonl"], "no data file none.jsonl", ""),
    "no such model folder": (["train", "dpo", "--model", "./no-model"], "no model folder ./no-model", ""),
    "nothing to resume": (["train", "dpo", "--resume", "nowhere"], "nowhere", ""),
}


@pytest.mark.parametrize("case", COMMAND_LINES)
def test_command_line(case: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, what, hint = COMMAND_LINES[case]
    message = refused(capsys, here, *arguments)
    assert what in message, message
    assert hint in message, message


# (the file, line:column, a piece of the message, a piece of the hint)
SETTINGS = {
    "misspelt": ("seed: 1\nlearning_rat: 1e-5\n", "2:1", "there is no setting 'learning_rat'", "did you mean 'learning_rate'?"),
    "wrong type": ("seed: 1\nlearning_rate: fast\n", "2:16", "learning_rate", "number"),
    "twice": ("seed: 1\nseed: 2\n", "2:1", "the key 'seed' stands twice", "last"),
    "trap": ("seed: 010\n", "1:7", "010 is ambiguous", "octal"),
    "empty": ("", "", "the file is empty", ""),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_file(case: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, where, what, hint = SETTINGS[case]
    (here / "s.yaml").write_text(text)
    message = refused(capsys, here, "train", "dpo", "--settings", "s.yaml")
    assert message.startswith(f"halo: s.yaml:{where}"), message
    assert what in message, message
    assert hint in message, message


# (objective, the lines, file:line, a piece of the message, a piece of the hint)
DATA = {
    "unknown columns": ("kto", [{"prompt": "a", "completed": "b", "label": True}], "data.jsonl:1",
        "the columns prompt, completed, label are of no known format", "nearest are labels: prompt, completion, label"),
    "wrong kind": ("dpo", [LABEL], "data.jsonl:1", "the objective wants paired feedback, the data is labelled", "data of kind"),
    "no rows": ("kto", [], "data.jsonl", "there are no rows", ""),
    "only empty lines": ("kto", ["", "  "], "data.jsonl", "there are no rows", ""),
    "not JSON": ("kto", [LABEL, LABEL, "{'prompt': 1}"], "data.jsonl:3", "not JSON", "each line is one JSON object"),
    "cut line": ("kto", [LABEL, '{"prompt": "a", "compl'], "data.jsonl:2", "not JSON", "each line is one JSON object"),
    "a list": ("kto", [LABEL, [1, 2]], "data.jsonl:2", "a list, not a JSON object", ""),
    "deep": ("kto", [LABEL, "[" * 100_000], "data.jsonl:2", "not JSON", "each line is one JSON object"),
    "mixed types": ("kto", [LABEL, LABEL | {"completion": 4}], "data.jsonl:2", "completion is int", "a text or a list"),
    "null": ("dpo", [PAIR, PAIR, PAIR | {"rejected": None}], "data.jsonl:3", "rejected is null", "a text or a list"),
    "null label": ("kto", [LABEL, LABEL | {"label": None}], "data.jsonl:2", "label is null", "true for desirable"),
    "label as a text": ("kto", [LABEL, LABEL | {"label": "yes"}], "data.jsonl:2", "label is 'yes'", "true for desirable"),
    "label as a number": ("kto", [LABEL, LABEL | {"label": 1}], "data.jsonl:2", "label is 1", "true for desirable"),
    "missing label": ("kto", [LABEL, {"prompt": "a", "completion": "b"}], "data.jsonl:2", "the column 'label' is missing", ""),
    "missing completion": ("dpo", [PAIR, {"prompt": "a", "chosen": "b"}], "data.jsonl:2", "the column 'rejected' is missing", ""),
    "score that is none": ("rrhf", [{"prompt": "a", "completions": ["b", "c"], "scores": [1, None]}], "data.jsonl:1", "not all finite", ""),
    "NaN score": ("rrhf", ['{"prompt": "a", "completions": ["b", "c"], "scores": [1, NaN]}'], "data.jsonl:1", "not all finite", ""),
    "one completion": ("rrhf", [{"prompt": "a", "completions": ["b"], "scores": [1]}], "data.jsonl:1", "at least 2", ""),
    "empty prompts only": ("dpo", [PAIR | {"prompt": ""}], "data.jsonl:1", "the prompt is empty", ""),
    "one prompt for kto": ("kto", [LABEL, LABEL | {"label": False}], "data.jsonl:1", "needs a second prompt", ""),
    "missing text role": ("slic_hf_gold", [PAIR], "data.jsonl:1", "needs the text column 'gold'", ""),
    "ties only": ("dpo", [{"prompt": "a", "completions": ["b", "c"], "scores": [1, 1]}], "data.jsonl:1", "no row gives paired feedback", "ties"),
}  # fmt: skip


@pytest.mark.parametrize("case", DATA)
def test_data_file(case: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    objective, lines, where, what, hint = DATA[case]
    message = refused(capsys, here, "train", objective, "--data", rows(here, *lines))
    assert message.startswith(f"halo: {where}"), message
    assert what in message, message
    assert hint in message, message


def test_not_utf8(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "data.jsonl").write_bytes(json.dumps(PAIR).encode() + b'\n{"prompt": "\xff"}\n')
    message = refused(capsys, here, "train", "dpo", "--data", "data.jsonl")
    assert message.startswith("halo: data.jsonl:2: not UTF-8 text"), message


def test_unknown_ending(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, here, "train", "dpo", "--data", rows(here, "a,b", name="data.txt"))
    assert "files ending in .txt are not read" in message
    assert "these are: .jsonl" in message


@pytest.mark.parametrize("objective", ["dpo", "kto", "sft"])
def test_every_prompt_longer_than_the_limit(objective: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, here, "train", objective, "--max-length", "3")
    assert "no example is left to train on" in message
    assert "with a prompt longer than max_length 3" in message
    assert "raise --max-length" in message


def test_output_folder_in_use(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "out").mkdir()
    (here / "out" / "notes.txt").write_text("mine")
    message = refused(capsys, here, "train", "dpo", "--output-dir", "out")
    assert "the output folder out is not empty" in message
    assert "choose another, or continue it with --resume out" in message


def test_output_folder_is_a_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "out").write_text("mine")
    assert "out is a file" in refused(capsys, here, "train", "dpo", "--output-dir", "out")


def test_model_folder_without_a_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "model").mkdir()
    message = refused(capsys, here, "train", "dpo", "--model", "./model", "--data", rows(here, PAIR))
    assert "the folder ./model has no config.json" in message
    assert "save_pretrained" in message


def test_spinner_package(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0.31" if name == "halo" else real(name))
    message = refused(capsys, here, "train", "kto")
    assert "the package halo 0.0.31 (terminal spinners) is installed" in message
    assert "pip uninstall halo" in message


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
