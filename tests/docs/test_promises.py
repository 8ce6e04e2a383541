"""What the front pages promise is counted: the README, CONTRIBUTING, the pages on checks, the starter and the pipeline."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from halo.analysis.values import PRECISIONS
from halo.checks.catalogue import CHECKS
from halo.cli.main import COMMANDS, MODULES
from halo.compiler.pipeline import compile_source
from halo.grading.run import ScoringSettings
from halo.pairing.run import PairingSettings
from halo.plugin.objectives import find_objective
from halo.sampling.settings import SamplingSettings
from halo.training.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
README, CONTRIBUTING = ((ROOT / page).read_text() for page in ("README.md", "CONTRIBUTING.md"))
ON_CHECKS, STARTER, PIPELINE, MEASURED = (
    (ROOT / page).read_text() for page in ("docs/checks.md", "docs/starter.md", "docs/pipeline.md", "benchmarks/README.md")
)
IN_WORDS = {7: "seven", 18: "eighteen"}


# -- the README ------------------------------------------------------------------------------------------------------------


def test_ten_lines_say_what_dpo_is() -> None:
    """They stand in the shipped file, which adds what no loss depends on: a title, a paper, expectations."""
    text = re.findall(r"```yaml\n(.*?)```", README, flags=re.S)[0]
    assert len(text.splitlines()) <= 10
    shown, shipped = yaml.safe_load(text), yaml.safe_load((ROOT / "objectives" / "dpo.yaml").read_text())
    assert set(shipped) - set(shown) <= {"title", "paper", "notes", "expect"}
    for key in set(shown) - {"parameters"}:
        assert shown[key] == shipped[key]
    code = [re.sub(r"  # .*", "", compile_source(source, find=find_objective).source) for source in (text, "dpo")]
    assert _statements(code[0]) == _statements(code[1])


def _statements(source: str) -> list[str]:
    """Without comments and the docstring, which name the file and its lines."""
    plain = re.sub(r'""".*?"""', "", re.sub(r"\s*#.*", "", source), flags=re.S)
    return [line for line in plain.splitlines() if line.strip() and not line.startswith(("def ", "import "))]


def test_objectives_that_are_named_are_shipped() -> None:
    names = set(find_objective.names())
    assert f"DiscoPOP's {IN_WORDS[len([n for n in names if n.startswith('discopop_')])]}" in README
    assert {"ipo_mean", "orpo_code"} <= names
    assert {word.lower() for word in ("DPO", "IPO", "KTO", "CPO", "ORPO", "SimPO", "RRHF", "NPO", "SPPO")} | {
        "slic_hf",
        "ppo_offline",
    } <= names


def test_every_page_is_named_in_the_readme() -> None:
    pages = [page.stem for page in (ROOT / "docs").iterdir()]
    assert [page for page in sorted(pages) if not re.search(rf"\b{page}\b", README)] == []


def test_every_path_in_the_readme_exists() -> None:
    for path in re.findall(r"`((?:docs|benchmarks|objectives|plugins|halo|tests)/[\w./-]*)`", README + CONTRIBUTING + ON_CHECKS):
        assert (ROOT / path).exists() or (ROOT / f"{path}.md").exists(), path


def test_the_road_in_one_line_names_modules() -> None:
    road = re.search(r"`objectives/kto.yaml -> (.*?)`", README)
    assert road
    for stop in re.split(r" -> |, ", road[1]):
        parts = stop.split(".")
        places = [ROOT.joinpath("halo", *parts), ROOT.joinpath("halo", "compiler", *parts)]
        assert any(place.is_dir() or place.with_suffix(".py").exists() for place in places), stop


def commands_in(text: str) -> Iterator[tuple[str, str]]:
    """Every `halo COMMAND ...` of a block or of inline code."""
    yield from re.findall(r"(?:^|`|-m )halo (\w+)([^`\n]*)", text, flags=re.M)


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", "docs/checks.md", "docs/starter.md", "docs/tutorial.md", "docs/pipeline.md"]
)
def test_commands_and_flags_exist(page: str) -> None:
    fields = [*Settings.model_fields, *SamplingSettings.model_fields, *ScoringSettings.model_fields, *PairingSettings.model_fields]
    flags = {f"--{name.replace('_', '-')}" for name in fields}
    own = "".join(file.read_text() for file in (ROOT / "halo" / "cli").glob("*.py"))
    for command, words in commands_in((ROOT / page).read_text()):
        assert command in {*COMMANDS, "reference", "COMMAND"}, command
        for flag in re.findall(r"--[a-z][a-z-]+", words):
            assert flag in flags or re.search(rf"""["'](--)?{flag[2:].replace("-", "[-_]")}["']""", own), (command, flag)


def test_where_it_was_run_is_said_as_it_is() -> None:
    """The table of GPU measurements is empty as long as the README says so, and no longer."""
    section = MEASURED.split("### Predictions, and what was measured")[1]
    cells = [row.split("|")[3].strip() for row in section.splitlines() if row.startswith("| ") and "---" not in row][1:]
    assert len(cells) > 5
    assert ("Nothing has been run on a GPU yet" in README) == (not any(cells))
    assert ("Not run so far" in MEASURED) == (not any(cells))


def test_a_command_is_a_file() -> None:
    """As the README's tree says of `cli/`."""
    for command in COMMANDS:
        assert (ROOT / "halo" / "cli" / f"{MODULES.get(command, command)}.py").exists(), command


SPEED = re.compile(
    r"\b\d[\d.,]*\s*(?:seconds?|minutes?|ms|pairs/s|tokens/s|times (?:as fast|the speed|faster))|under a minute|in seconds", flags=re.I
)


@pytest.mark.parametrize("page", ["README.md", *(str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs").glob("*.md")))])
def test_a_speed_names_the_benchmark_that_measures_it(page: str) -> None:
    claims = [line for line in (ROOT / page).read_text().splitlines() if SPEED.search(line)]
    assert [line for line in claims if "benchmarks/" not in line] == []


# -- the contributor's page ------------------------------------------------------------------------------------------------


def test_what_the_contributor_runs_is_registered() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    for marker in re.findall(r"pytest .*?-m (\w+)", CONTRIBUTING):
        assert f'"{marker}: ' in project
    for variable in re.findall(r"`(HALO_\w+)=1`", CONTRIBUTING):
        assert any(variable in file.read_text() for file in ROOT.glob("tests/**/*.py")), variable


# -- the page on checks ----------------------------------------------------------------------------------------------------


def test_the_page_asks_the_checks_that_there_are() -> None:
    rows = [row.split(".")[0] for row in re.findall(r"^\| `([\w.<>]+)` \|", ON_CHECKS, flags=re.M)]
    assert rows == list(CHECKS)
    assert f"asks {IN_WORDS[len(CHECKS)]} questions" in ON_CHECKS


def test_the_page_says_how_far_an_evaluation_goes() -> None:
    first, *more = PRECISIONS
    assert f"intervals of {first} bits, or of {' or '.join(f'{bits:,}' for bits in more)} where those are too wide" in ON_CHECKS


def test_the_page_says_how_large_the_trusted_part_is() -> None:
    """To a fifth: lines move every day, and a reader wants to know whether it can be read in an afternoon."""
    said = [int(number.replace(",", "")) for number in re.findall(r"about ([\d,]+) (?:lines )?that (?:decide|say)", ON_CHECKS)]
    deciding = [*(ROOT / "halo" / "analysis").rglob("*.py"), ROOT / "halo" / "compiler" / "ranges.py"]
    asking = (ROOT / "halo" / "checks").rglob("*.py")
    counted = [sum(len(file.read_text().splitlines()) for file in files) for files in (deciding, asking)]
    assert len(said) == 2
    assert all(abs(count - number) <= 0.2 * number for count, number in zip(counted, said, strict=True)), (counted, said)


def test_the_page_names_the_files_that_decide() -> None:
    section = ON_CHECKS.split("## How it is decided")[1].split("\n## ")[0]
    for name in re.findall(r"`([\w/]+\.py|algebra/)`", section):
        assert any((ROOT / "halo" / part / name).exists() for part in ("analysis", ".")), name


def test_the_page_says_how_many_are_decided() -> None:
    """Of the frozen verdicts, which tests/behaviour holds."""
    found = re.findall(r"^\w+: (?:monotone|concave_on_gains)[^=]* = (\w+)", (ROOT / "tests/behaviour/verdicts.txt").read_text(), flags=re.M)
    decided = 100 * sum(verdict != "undecided" for verdict in found) / len(found)
    said = re.search(r"more than (\d+) in a hundred are decided", ON_CHECKS)
    assert said
    assert int(said[1]) == math.ceil(decided) - 1


# -- the starter -----------------------------------------------------------------------------------------------------------


def test_the_starter_is_as_large_as_its_page_says() -> None:
    folder = ROOT / "halo" / "starter"
    with (folder / "policy" / "model.safetensors").open("rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    weights = sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
    assert f"({round(weights / 1000)} thousand parameters" in STARTER
    for name, what in (("feedback", "embedded\npairs"), ("lists", "embedded lists")):
        assert f"{len((folder / f'{name}.jsonl').read_text().splitlines()):,} {what}" in STARTER
    settings = yaml.safe_load((folder / "settings.yaml").read_text())
    said = f"learning rate 5e-5, {settings['max_steps']} steps of {settings['per_device_train_batch_size']} examples"
    assert said in STARTER
    assert settings["learning_rate"] == 5e-5
    graded = re.search(r"^PROMPTS = (\d+)", (folder / "evaluation.py").read_text(), flags=re.M)
    assert graded
    assert f"grades {graded[1]} sampled answers" in STARTER


# -- the pipeline ----------------------------------------------------------------------------------------------------------


def test_every_stage_is_where_the_page_says() -> None:
    rows = re.findall(r"^\| \w+ \|[^|]*\| ([^|]*) \|", PIPELINE, flags=re.M)[1:]
    paths = [path for row in rows for path in re.findall(r"`([\w/.]+)`", row)]
    assert len(paths) >= 10
    room = ""
    for path in paths:
        room = path.partition("/")[0] if "/" in path else room
        assert (ROOT / "halo" / path).exists() or (ROOT / "halo" / room / path).exists(), path


def test_a_function_of_the_tutorial_is_as_long_as_it_says() -> None:
    text = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/tutorial.md").read_text(), flags=re.S)[0]
    assert "A function of twenty lines" in (ROOT / "docs/tutorial.md").read_text()
    assert len(compile_source(text, find=find_objective).source.splitlines()) in range(18, 31)
