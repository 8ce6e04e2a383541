"""Test settings that must stand before anything is imported, and what `pytest -m fast` runs."""

import os
import tempfile
from pathlib import Path
from uuid import uuid4

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: threads that wait for each other take minutes
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HALO_CHECK_SECONDS", "300")  # no verdict depends on how busy the machine is

session = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid4().hex
"""One for all processes of `pytest -n`: what one has examined another reads, and no test is answered by an earlier run."""
cache = Path(tempfile.gettempdir()) / f"halo-cache-{session}"
cache.mkdir(mode=0o700, exist_ok=True)
os.environ["HALO_CACHE"] = str(cache)


@pytest.fixture(scope="session", autouse=True)
def _folders_that_no_message_names(tmp_path_factory: pytest.TempPathFactory) -> None:
    from refusals import kept

    kept.append(tmp_path_factory.getbasetemp())


# -- pytest -m fast --------------------------------------------------------------------------------------------------------

TESTS = Path(__file__).resolve().parent

FAST = (
    "objective",
    "compiler",
    "analysis",
    "test_architecture.py",
    "test_messages.py",
    "docs/test_glossary.py",
    "docs/test_promises.py",
)
"""What a contributor runs at each save: the language, the compiler, the analysis, and the house's own rules."""

TOO_LONG = {
    "analysis/test_attack.py": "thousands of random questions",
    "analysis/test_limits.py::test_limits_of_random_expressions": "three hundred limits, each against values far out",
    "compiler/test_exact_evaluator.py": "every objective on five batches in 450 digits",
    "compiler/test_golden.py::test_nothing_heavy_is_imported": "three processes",
    "compiler/test_language_examples.py": "values and gradients of every objective of the page, in many digits",
    "compiler/test_vocabulary.py": "loads torch; analysis/numbers holds every word's value, image and enclosure without it",
    "objective/test_words.py": "checks, draws and trains with each of four added words",
}
"""Of these, the files and tests that take more than their share of the minute, and why."""


def is_fast(file: Path, test: str = "") -> bool:
    if not file.is_relative_to(TESTS):
        return False
    name = file.relative_to(TESTS).as_posix()
    return not {name, f"{name}::{test}"} & set(TOO_LONG) and any(name == part or name.startswith(f"{part}/") for part in FAST)


class OnlyFast:
    """Leaves other files alone: to import them all would take longer than to run what is fast."""

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        return True if collection_path.is_file() and not is_fast(collection_path) else None


def pytest_configure(config: pytest.Config) -> None:
    if config.option.markexpr == "fast":
        config.pluginmanager.register(OnlyFast())


PAGES = "docs"
"""What runs the pages: their examples, their commands, what is generated. `pytest -m pages`; CI does it after the suite."""


def is_page(file: Path) -> bool:
    return file.is_relative_to(TESTS / PAGES) and not is_fast(file)


def pytest_itemcollected(item: pytest.Item) -> None:
    if is_page(item.path):
        item.add_marker("pages")
    if is_fast(item.path, getattr(item, "originalname", item.name)) and item.get_closest_marker("slow") is None:
        item.add_marker("fast")
