"""Code in the docs runs, and what the docs list is what there is."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from halo.compiler.pipeline import compile_source
from halo.errors import CODES
from halo.objective.schema import Declaration
from halo.plugin.objectives import find_objective
from halo.plugin.spec import Hooks

ROOT = Path(__file__).resolve().parents[2]


def blocks(file: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / file).read_text(), flags=re.S)


@pytest.mark.parametrize(
    "text", blocks("docs/language.md", "yaml") + blocks("README.md", "yaml"), ids=lambda t: re.search(r"name: (\w+)", t)[1]
)
def test_every_objective_in_the_docs_compiles(text: str) -> None:
    assert "def loss" in compile_source(text, find=find_objective).source


@pytest.mark.parametrize("text", blocks("README.md", "python") + blocks("docs/plugins.md", "python"))
def test_every_python_block_runs(text: str) -> None:
    exec(compile(text, "docs", "exec"), {"__name__": "docs"})


def test_every_key_of_the_language_is_documented() -> None:
    text = (ROOT / "docs/language.md").read_text()
    assert [key for key in Declaration.model_fields if f"`{key}`" not in text] == []


def test_every_error_code_has_its_heading_and_every_heading_its_code() -> None:
    headings = re.findall(r"^## (\S+)$", (ROOT / "docs/errors.md").read_text(), flags=re.M)
    assert headings == list(CODES)


def test_every_hook_is_documented_with_its_signature() -> None:
    text = (ROOT / "docs/plugins.md").read_text()
    hooks = {name: f for name, f in vars(Hooks).items() if name.startswith("halo_")}
    for name, function in hooks.items():
        returned = str(inspect.signature(function).return_annotation)
        assert f"`{name}() -> {returned}`" in text


def test_the_readme_tree_names_every_room() -> None:
    text = (ROOT / "README.md").read_text()
    rooms = [p.name for p in (ROOT / "halo").iterdir() if p.is_dir() and (p / "__init__.py").exists()]
    assert [room for room in rooms if f"  {room}/" not in text and room != "testing"] == []


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
