"""What an objective may read beside itself, and how large it may become: one message for everything else, soon, and no other file's text."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from refusals import refused_command

from halo.cli.main import main

SECRET = "root:x:0:0:the secret of another file"
DPO: dict[str, Any] = {
    "feedback": "paired", "parameters": {"beta": {"default": 0.1, "domain": "(0, inf)"}}, "reward": "sum(logp - ref_logp)",
    "reference_point": "rejected", "normalizer": "beta", "value": "logsigmoid(z)", "sign": -1,
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a good base in it and below it, and a secret beside it."""
    folder = tmp_path / "home"
    (folder / "below").mkdir(parents=True)
    for place in (folder, folder / "below", tmp_path):
        (place / "base.yaml").write_text(yaml.safe_dump({"name": "base", **DPO}))
    (tmp_path / "secret.yaml").write_text(SECRET)
    (folder / "not_yaml.yaml").write_text(SECRET + "\n  bad: [")
    return folder


def extending(home: Path, base: str) -> str:
    (home / "mine.yaml").write_text(f"name: mine\nextends: {yaml.safe_dump(base, default_style=chr(34)).strip()}\n")
    return str(home / "mine.yaml")


@pytest.mark.parametrize("base", ["./base.yaml", "base.yaml", "below/base.yaml", "./below/../base.yaml"])
def test_a_file_of_its_own_folder_is_extended_from_anywhere(base: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["show", extending(home, base)]) == 0


def fifo(home: Path) -> str:
    os.mkfifo(home / "fifo")
    return "./fifo"


def loop(home: Path) -> str:
    (home / "one").symlink_to("two")
    (home / "two").symlink_to("one")
    return "./one"


def out_by_a_link(home: Path) -> str:
    (home / "link.yaml").symlink_to("../secret.yaml")
    return "link.yaml"


def large(home: Path) -> str:
    (home / "large.yaml").write_text("name: large\n" + "# x\n" * 60_000)
    return "large.yaml"


def private(home: Path) -> str:
    (home / "private.yaml").write_text("name: private\n")
    (home / "private.yaml").chmod(0)
    if os.access(home / "private.yaml", os.R_OK):
        pytest.skip("nothing is forbidden to this user")
    return "private.yaml"


REFUSED: dict[str, Callable[[Path], str]] = {
    "a device": lambda home: "/dev/zero", "a pipe": fifo, "a loop of links": loop, "a folder": lambda home: "./below", "a link that leads out": out_by_a_link,
    "a file above": lambda home: "../secret.yaml", "a file of the system": lambda home: "/etc/passwd", "a NUL": lambda home: "./a\0b", "one too large": large,
    "one without permission": private, "none": lambda home: "./nothing.yaml", "no objective": lambda home: "./not_yaml.yaml", "a long name": lambda home: "./" + "a" * 5000,
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(REFUSED))
def test_anything_else_is_one_message(what: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = extending(home, REFUSED[what](home))
    begun = time.process_time()
    assert main(["show", file]) == 2
    assert time.process_time() - begun < 2
    out, err = capsys.readouterr()
    assert err.startswith("halo: mine.yaml:2:"), err
    assert err.count("halo: ") + out.count("halo: ") - err.count("look at it with halo ") <= 2
    assert "Traceback" not in err
    assert "secret of another" not in out + err


@pytest.mark.parametrize("file", ["/dev/zero", "/dev/stdin"])
def test_a_device_is_no_objective_and_no_settings(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    refused_command(capsys, "not-found", "show", file)
    refused_command(capsys, "not-found", "train", "dpo", "--settings", file)


def chained(count: int, link: str) -> dict[str, Any]:
    return {"let": {"a0": "sum(logp)", **{f"a{i}": link.format(i - 1) for i in range(1, count)}}, "reward": f"a{count - 1}"}


GROWING: dict[str, dict[str, Any]] = {
    "sixty lets that double": chained(60, "a{0} + a{0}"),
    "thirty lets that square": chained(30, "a{0} * a{0}"),
    "five hundred chained lets": chained(500, "tanh(a{0})"),
    "a tower of powers": chained(20, "a{0}**64"),
    "three thousand regularizers": {"regularizers": {f"r{i}": {"role": "chosen", "expression": "-sum(logp)"} for i in range(3_000)}},
    "three thousand terms": {"terms": {f"t{i}": {"weight": 1} for i in range(3_000)}},
    "many large lets in one": {**chained(10, "a{0} + a{0}"), "reward": " + ".join(["a9"] * 60)},
    "a reward in a value": {**chained(10, "a{0} + a{0}"), "margin": " + ".join(["reward"] * 60)},
}


@pytest.mark.parametrize("command", ["show", "check"])
@pytest.mark.parametrize("what", sorted(GROWING))
def test_a_few_lines_that_become_a_great_deal_are_one_message(what: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"name": "mine", **DPO, **GROWING[what]}, sort_keys=False))
    begun = time.process_time()
    assert main([command, str(tmp_path / "mine.yaml")]) == 2
    assert time.process_time() - begun < 2
    err = capsys.readouterr().err
    assert "[formula-limit]" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("text", [f"'{SECRET}': 1\n", yaml.safe_dump({"name": "base", **DPO, "reward": "secret_of_another"})])
def test_no_message_about_a_base_quotes_it(text: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "odd.yaml").write_text(text)
    assert main(["show", extending(home, "./odd.yaml")]) == 2
    said = capsys.readouterr().err
    assert "odd.yaml:" in said
    assert "secret" not in said


def test_a_columns_domain_is_read_with_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"name": "mine", **DPO, "columns": {"margin": {"level": "example", "domain": "(0 inf)"}}}))
    assert main(["show", str(tmp_path / "mine.yaml")]) == 2
    assert "'(0 inf)' is not an interval" in capsys.readouterr().err


def test_a_name_that_is_too_long_for_a_file_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "a" * 5000]) == 2
    assert "there is no objective named" in capsys.readouterr().err
