"""The pages on data and references: every command's words exist, and the commands run on small files of those names."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import tiny
import yaml

from halo.cli.main import main
from halo.data.files import READERS
from halo.data.formats import FORMATS
from halo.plugin.registry import supplied
from halo.starter.defaults import POLICY
from halo.training.settings import ALIASES, Settings

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {page: (DOCS / page).read_text() for page in ("data.md", "references.md")}
COMMANDS = [line for text in PAGES.values() for block in re.findall(r"```sh\n(.*?)```", text, flags=re.S) for line in block.splitlines()]
QUICK = ["--max-steps", "1", "--per-device-train-batch-size", "2", "--check", "false", "--learning-rate", "1e-4"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything that the pages name, small."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HALO_CACHE", str(tmp_path / "cache"))
    lines = tiny.FEEDBACK.read_text().splitlines()
    for name, part in {"old": lines[:8], "new": lines[8:14], "pairs": lines[:8]}.items():
        (tmp_path / f"{name}.jsonl").write_text("\n".join(part) + "\n")
    rows = [json.loads(line) for line in lines[:8]]
    (tmp_path / "answers.csv").write_text("question,good,bad\n" + "".join(f"{r['prompt']},x{r['chosen']},x{r['rejected']}\n" for r in rows))
    for name in ("base", "tuned"):
        (tmp_path / name).symlink_to(POLICY)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_run(command: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(command.replace("FOLDER_OR_HUB_NAME", str(POLICY)))[1:]
    if "--load-in-4bit" in words:
        pytest.importorskip("bitsandbytes")
    if words[0] == "export":
        assert main(["train", "dpo", "--model", "base", "--data", "pairs.jsonl", "--use-peft", *QUICK, "--output-dir", "runs/mine"]) == 0
    elif words[0] == "train" or words[:2] == ["reference", "build"]:
        words += [word for word in QUICK if word not in words] if "--learning-rate" not in words else QUICK[:-2]
    assert main(words) == 0, capsys.readouterr().err


def test_names_exist() -> None:
    known = {*Settings.model_fields, *ALIASES, "rows", "json", "objective"}
    for text in PAGES.values():
        flags = {flag.replace("-", "_") for flag in re.findall(r"`--([a-z0-9-]+)", text)}
        assert flags - known == set()
    assert {f"`{ending}`" for ending in READERS} <= set(re.findall(r"`\.[a-z.]+`", PAGES["data.md"]))
    for form in FORMATS:
        assert f"| `{form.name}` | {', '.join(form.columns[:2])}" in PAGES["data.md"]
    strategies = {item.name for item in supplied("reference")}
    assert {"auto"} | strategies == set(re.findall(r"^\| `(\w+)` \|", PAGES["references.md"], flags=re.M))


def test_the_settings_of_the_page_are_settings() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGES["data.md"], flags=re.S)
    old, hub = (lambda s: s.sources(s.data))(Settings.model_validate(yaml.safe_load(text)))
    assert (old.name, old.weight, hub.name, hub.split, hub.columns) == ("old", 1, "hub", "train_prefs", {"prompt": "question"})
