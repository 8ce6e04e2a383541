"""`halo new plugin`: what it writes is installed beside halo, is seen by it, and its own tests pass there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from refusals import refused_command

from halo.cli.main import main
from halo.cli.new import KINDS, TEMPLATES

ROOT = Path(__file__).parents[2]
NAMES = {kind: f"acme-{kind}" for kind in KINDS}


def ran(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def environment(folder: Path) -> Path:
    """An empty environment that also sees what this interpreter sees; its interpreter."""
    venv.create(folder, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    outer = [path for path in sys.path if path and Path(path).is_dir() and Path(path) != ROOT / "tests" / "support"]
    (packages / "outer.pth").write_text("".join(f"{path}\n" for path in outer))
    return folder / "bin" / "python"


@pytest.mark.workflow
def test_each_kind_installs_is_seen_and_passes_its_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for kind, name in NAMES.items():
        assert main(["new", "plugin", name, "--kind", kind]) == 0
    python = environment(tmp_path / "env")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    ran(*pip, *(tmp_path / name for name in NAMES.values()), cwd=tmp_path)
    told = json.loads(ran(python, "-m", "halo", "plugins", "--json", cwd=tmp_path / "env"))
    assert told["mistakes"] == []
    found = {entry["name"]: entry for entry in told["plugins"]}
    for kind, name in NAMES.items():
        thing = name.replace("-", "_") if kind == "objectives" else name
        assert found[name.replace("-", "_")]["supplies"] == {kind: [thing]}
        assert (found[name.replace("-", "_")]["distribution"], found[name.replace("-", "_")]["version"]) == (name, "0.1.0")
    where = ran(python, "-c", "import acme_objectives.hooks as h; print(h.FOLDER)", cwd=tmp_path / "env")
    assert str(tmp_path / "env") in where  # the installed one, with its YAML file
    for name in NAMES.values():
        (tmp_path / name / name.replace("-", "_")).rename(tmp_path / name / "moved")  # so that only the installed one can be tested
    said = ran(
        python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(tmp_path / name / "tests" for name in NAMES.values()), cwd=tmp_path
    )
    assert re.search(r"^(\d+) passed", said, flags=re.M), said
    assert "failed" not in said


def test_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "plugin", "my-words", "--kind", "format"]) == 0
    assert "pip install -e ./my-words" in capsys.readouterr().out
    files = sorted(str(file.relative_to(tmp_path / "my-words")) for file in (tmp_path / "my-words").rglob("*") if file.is_file())
    assert files == [
        "README.md",
        "my_words/__init__.py",
        "my_words/hooks.py",
        "my_words/reading.py",
        "pyproject.toml",
        "tests/test_my_words.py",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["my-words"]
    project = tomllib.loads((tmp_path / "my-words" / "pyproject.toml").read_text())
    assert project["project"]["name"] == "my-words"
    assert project["project"]["entry-points"]["halo"] == {"my_words": "my_words.hooks"}
    assert [f for f in files if re.search(r"my.format", (tmp_path / "my-words" / f).read_text())] == []


REFUSED = {  # the code, the place
    "my-format": ("wrong-value", "--kind"),
    "my-format --kind formats": ("wrong-value", "--kind"),
    "My-format --kind format": ("wrong-value", ""),
    "my_format --kind format": ("wrong-value", ""),
    "../mine --kind format": ("wrong-value", ""),
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa --kind format": ("wrong-value", ""),
    "json --kind format": ("wrong-value", ""),
    "class --kind format": ("wrong-value", ""),
    "halo --kind format": ("wrong-value", ""),
    "there --kind format": ("output-folder", "there"),
    "my-format --kind format --from dpo": ("unknown-setting", "--from"),
    "": ("missing-key", ""),
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_a_mistake_is_one_message(
    arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").write_text("keep")
    code, where = REFUSED[arguments]
    refused_command(capsys, code, "new", "plugin", *arguments.split(), at=where)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert (tmp_path / "there").read_text() == "keep"


def test_the_flag_of_the_other_kind(capsys: pytest.CaptureFixture[str]) -> None:
    refused_command(capsys, "unknown-setting", "new", "objective", "mine", "--kind", "format", at="--kind")


def test_the_wheel_holds_templates_kit_and_objectives(tmp_path: Path) -> None:
    ran(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    templates = {
        f"halo/templates/{file.relative_to(TEMPLATES)}"
        for file in TEMPLATES.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert len(templates) == 6 * len(KINDS)  # README, pyproject, hooks and what they call, a test, the package's own file
    assert templates | {"halo/py.typed", "halo/testing/__init__.py", "halo/objectives/dpo.yaml"} <= names
    assert not any("__pycache__" in name for name in names)
    assert os.listdir(tmp_path) == [wheel.name]
