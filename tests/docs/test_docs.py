"""Code in the docs runs, and what the docs list is what there is."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import halo
import halo.testing
from halo.cli.main import main
from halo.cli.new import KINDS
from halo.compiler.pipeline import compile_source
from halo.errors import CODES
from halo.objective.schema import Declaration
from halo.plugin import (
    Answer,
    Asked,
    Backend,
    BackendContext,
    Command,
    CompletionScorer,
    DataFormat,
    EvaluationContext,
    Evaluator,
    Example,
    Measure,
    ReferenceContext,
    ReferenceStrategy,
    Request,
    Sample,
    Sampler,
    SamplerContext,
    ScoreGroup,
    ScorerContext,
    Verdict,
)
from halo.plugin.objectives import find_objective
from halo.plugin.registry import given
from halo.plugin.spec import Hooks

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "halo" / "templates"


def blocks(file: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / file).read_text(), flags=re.S)


@pytest.mark.parametrize(
    "text", blocks("docs/language.md", "yaml") + blocks("README.md", "yaml"), ids=lambda t: re.search(r"name: (\w+)", t)[1]
)
def test_every_objective_in_the_docs_compiles(text: str) -> None:
    assert "def loss" in compile_source(text, find=find_objective).source


@pytest.mark.parametrize("text", blocks("README.md", "python") + blocks("docs/plugins.md", "python"))
def test_every_python_block_runs(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in TEMPLATES.iterdir():
        monkeypatch.syspath_prepend(folder)  # the guide's examples are modules of these packages
    exec(compile(text, "docs", "exec"), {"__name__": "docs", "__file__": "docs"})


def test_the_page_of_the_library_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Its blocks one after the other, as a reader would type them."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    for text in blocks("docs/api.md", "python(?: figure| run)?"):
        exec(compile(text, "docs/api.md", "exec"), namespace)
    assert (tmp_path / "figure.svg").is_file()
    assert (tmp_path / "run" / "metrics.jsonl").is_file()
    assert "objective  dpo: beta=0.2" in capsys.readouterr().out


def test_the_page_of_the_library_names_everything() -> None:
    text = (ROOT / "docs/api.md").read_text()
    assert [name for name in halo.__all__ if f"`{name}" not in text and f"halo.{name}" not in text] == []


QUOTED = re.findall(r"^`([\w/]+\.\w+)`\n\n```\w+\n(.*?)```", (ROOT / "docs/plugins.md").read_text(), flags=re.S | re.M)


def test_the_guide_has_an_example_of_each_kind() -> None:
    """What `halo new plugin` writes, which tests/cli/test_new_plugin.py installs and runs."""
    assert {file.split("/")[0] for file, _ in QUOTED} == {*(f"my_{kind}" for kind in KINDS), "tests"}


@pytest.mark.parametrize(("file", "text"), QUOTED, ids=[file for file, _ in QUOTED])
def test_the_guide_quotes_what_is_written(file: str, text: str) -> None:
    (written,) = TEMPLATES.glob(f"*/{file}")
    assert text == written.read_text()


def test_the_command_of_the_guide(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, Any] = {}
    exec(next(text for text in blocks("docs/plugins.md", "python") if "halo_commands" in text), namespace)
    (command,) = namespace["halo_commands"]()
    file = tmp_path / "rows.jsonl"
    file.write_text('{"a": 1, "b": 2}\n{"a": 3}\n')
    with given("command", command):
        assert main(["rows", str(file)]) == 0
        assert capsys.readouterr().out == "2 rows: a in 2, b in 1\n"
        file.write_text('{"a": 1}\n7\n')
        assert main(["rows", str(file)]) == 2
        assert capsys.readouterr().err == f"halo: {file}:2: no JSON object [data-row]\n"
        assert main(["rows"]) == 2
        assert main(["--help"]) == 0
        assert "halo rows      how many rows a file has" in capsys.readouterr().out


def test_every_key_of_the_language_is_documented() -> None:
    text = (ROOT / "docs/language.md").read_text()
    assert [key for key in Declaration.model_fields if f"`{key}`" not in text] == []


def test_every_error_code_has_its_heading_and_every_heading_its_code() -> None:
    headings = re.findall(r"^## (\S+)$", (ROOT / "docs/errors.md").read_text(), flags=re.M)
    assert headings == list(CODES)


FILLED_IN = [DataFormat, Example, ReferenceStrategy, ReferenceContext, Backend, BackendContext, Command, Sampler, SamplerContext]
FILLED_IN += [Request, Sample, CompletionScorer, ScorerContext, ScoreGroup, Verdict, Evaluator, EvaluationContext, Measure, Asked, Answer]


def test_every_hook_is_documented_with_its_signature() -> None:
    text = (ROOT / "docs/plugins.md").read_text()
    hooks = {name: f for name, f in vars(Hooks).items() if name.startswith("halo_")}
    for name, function in hooks.items():
        returned = str(inspect.signature(function).return_annotation)
        assert f"`{name}() -> {returned}`" in text


@pytest.mark.parametrize("kind", FILLED_IN)
def test_every_field_that_an_author_fills_in_is_documented(kind: Any) -> None:
    section = re.search(rf"^### {kind.__name__}\n(.*?)^##", (ROOT / "docs/plugins.md").read_text(), flags=re.S | re.M)
    assert section, kind
    assert [field.name for field in dataclasses.fields(kind) if f"`{field.name}`" not in section[1]] == []


def test_the_guide_names_the_whole_kit() -> None:
    text = (ROOT / "docs/plugins.md").read_text()
    assert [name for name in halo.testing.__all__ if f"`{name}(" not in text] == []


def test_the_readme_tree_names_every_room() -> None:
    text = (ROOT / "README.md").read_text()
    rooms = [p.name for p in (ROOT / "halo").iterdir() if p.is_dir() and (p / "__init__.py").exists()]
    assert [room for room in rooms if f"  {room}/" not in text] == []


def test_the_readme_counts_the_objectives() -> None:
    assert f"the {len(find_objective.names())} objectives that are shipped" in (ROOT / "README.md").read_text()


def test_the_readme_says_an_error_as_it_is(tmp_path: Path) -> None:
    quoted = re.search(r"halo: (mine.yaml:.*)\n", (ROOT / "README.md").read_text())[1]
    text = next(t for t in blocks("README.md", "yaml") if "name: mine" in t)
    file = tmp_path / "mine.yaml"
    file.write_text(text.replace("rejected.length", "rejcted.length"))
    with pytest.raises(Exception, match="rejcted") as caught:
        compile_source(file, find=find_objective)
    assert str(caught.value).splitlines()[0] == quoted
