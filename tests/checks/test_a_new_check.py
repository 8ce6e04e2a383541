"""A check that is added while halo runs appears everywhere: the example of docs/how-to-write-a-check.md, as it stands there."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from checks_page import table

from halo.checks.catalogue import CHECKS, register
from halo.checks.subject import Subject
from halo.cli.main import main
from halo.compiler.pipeline import compile_source
from halo.errors import ObjectiveError
from halo.objective import propositions
from halo.objective.propositions import PROPOSITIONS
from halo.objective.schema import json_schema
from halo.plugin.objectives import find_objective

ROOT = Path(__file__).resolve().parents[2]
HALO, PAGE = ROOT / "halo", ROOT / "docs" / "how-to-write-a-check.md"
ROW, FILE, _ = (re.sub(r"^   ", "", text, flags=re.M) for text in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S))
MINE = "name: mine\nextends: dpo\nvalue: {value}\nexpect: {{{expected}}}\n"


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The check of the page, known while the test runs."""
    known, checks = dict(PROPOSITIONS), dict(CHECKS)
    monkeypatch.setenv("HALO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(propositions, "ODD", eval(ROW.partition(" = ")[2], vars(propositions)), raising=False)
    namespace: dict[str, Any] = {"__name__": "odd"}
    exec(compile(FILE, "odd.py", "exec"), namespace)
    register(namespace["CHECK"])
    yield namespace["CHECK"]
    for table_of, before in ((PROPOSITIONS, known), (CHECKS, checks)):
        table_of.clear()
        table_of.update(before)  # type: ignore[arg-type]


def compiled(value: str, expected: str = "") -> Any:
    return compile_source(MINE.format(value=value, expected=expected), None, find_objective)


@pytest.mark.parametrize(("value", "verdict"), [("tanh(z)", "proved"), ("logsigmoid(z)", "refuted")])
def test_it_answers(odd: Any, value: str, verdict: str) -> None:
    (finding,) = odd.findings(Subject(compiled(value)))
    assert finding.verdict == verdict


def test_it_appears_everywhere(odd: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(MINE.format(value="logsigmoid(z)", expected="odd: refuted"))
    assert main(["check", str(file)]) == 0
    text = capsys.readouterr().out
    assert re.search(r"  Value function v\(z\)\n(    .*\n)+    not so    odd ", text)
    assert "1 of 1 expectation met" in text
    assert main(["check", str(file), "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert [f["verdict"] for f in report["findings"] if f["check"] == "odd"] == ["refuted"]
    assert report["expectations"] == [{"check": "odd", "expected": "refuted", "found": "refuted", "met": True}]
    for form in (["--format", "md"], ["--format", "latex"]):
        assert main(["check", str(file), *form]) == 0
        assert "v(z) + v(-z) is not 0" in capsys.readouterr().out
    assert main(["check", str(file), "--report", str(tmp_path / "pages")]) == 0
    assert "v(-z) is -v(z)" in (tmp_path / "pages" / "mine.html").read_text()
    assert "| `odd` | v(-z) is -v(z); gains and losses weigh the same |\n" in table()
    assert json_schema()["properties"]["expect"]["anyOf"][0]["properties"]["odd"]["anyOf"][0] == {"enum": ["proved", "refuted"], "type": "string"}


@pytest.mark.parametrize(("expected", "code", "place", "hint"), [
    ("odd: even", "wrong-value", "objective:4:15", "'proved' or 'refuted'"), ("ood: proved", "unknown-key", "objective:4:10", "did you mean 'odd'?"),
])  # fmt: skip
def test_errors_in_what_is_expected_know_it(odd: Any, expected: str, code: str, place: str, hint: str) -> None:
    with pytest.raises(ObjectiveError) as caught:
        compiled("z", expected)
    assert (caught.value.code, str(caught.value.place)) == (code, place)
    assert hint in str(caught.value)


def test_an_expectation_that_it_does_not_bear_out_fails(odd: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(MINE.format(value="logsigmoid(z)", expected="odd: proved"))
    assert main(["check", str(file)]) == 1
    assert re.search(r"  What fails\n    FAILS     odd +expected to hold, it does not: ", capsys.readouterr().out)


def test_without_it_nothing_knows_it() -> None:
    assert "odd" not in {*PROPOSITIONS, *CHECKS, *json_schema()["properties"]["expect"]["anyOf"][0]["properties"]}
    with pytest.raises(ObjectiveError, match="unknown-key"):
        compiled("z", "odd: proved")


@pytest.mark.parametrize("name", PROPOSITIONS)
def test_a_check_stands_in_a_file_of_its_name(name: str) -> None:
    (file,) = (HALO / "checks").glob(f"*/{name}.py")
    module = import_module(f"halo.checks.{file.parent.name}.{name}")
    assert module.CHECK is CHECKS[name]
    assert module.CHECK.proposition is PROPOSITIONS[name]


def test_the_name_of_a_check_is_written_in_one_place() -> None:
    """Elsewhere it is that of the row. `halo` and `domain` are words of the language too."""
    names = set(PROPOSITIONS) - {"halo", "domain"}
    rooms = ("objective", "compiler", "checks", "relations", "lint", "examine", "report", "api", "cli")
    files = [file for room in rooms for file in (HALO / room).rglob("*.py") if file.name != "propositions.py"]
    found = [
        f"{file.relative_to(HALO)}:{node.lineno} {node.value}"
        for file in files for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant) and node.value in names
    ]  # fmt: skip
    assert found == []
