"""A refusal, asserted by its class, its code and its place; how it is worded stands in one snapshot, `messages.json`.

HALO_UPDATE_MESSAGES=1 writes the wordings of the tests that run anew; read the difference before it is committed.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from filelock import FileLock

from halo.cli.main import main
from halo.errors import CODES, HaloError

SNAPSHOT = Path(__file__).with_name("messages.json")
UPDATING = os.environ.get("HALO_UPDATE_MESSAGES") == "1"
ROOT = Path(__file__).resolve().parents[2]

Wordings = dict[str, dict[str, list[str]]]
"""By test file and test, in the order in which the test meets them."""

kept: list[Path] = []
"""Where pytest keeps the tests' folders: `conftest` says it."""

seen: Counter[str] = Counter()
"""How many refusals each test has met so far."""


@contextmanager
def refused(error: type[HaloError], code: str, at: str = "", theirs: str = "") -> Iterator[pytest.ExceptionInfo[HaloError]]:
    """What is inside raises just this class with this code at this place, written `file:line:column` (nothing: at no place).

    `theirs`, a regular expression, is what another library words, in its own way in each version: it is not recorded.
    """
    assert code in CODES
    with pytest.raises(error) as caught:
        yield caught
    found = caught.value
    assert (type(found), found.code, plain(str(found.place or ""))) == (error, code, at), found
    hold(re.sub(theirs, "...", str(found)) if theirs else str(found))


def refused_command(capsys: pytest.CaptureFixture[str], code: str, *arguments: str, at: str = "", silent: bool = False) -> str:
    """Runs halo, which says one message with this code at this place, and nothing else if `silent`; returns its first line."""
    assert main(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == "" or not silent
    assert "Traceback" not in out + err
    assert err.count("halo: ") == 1, err
    first, *excerpt = err.splitlines()
    assert first.endswith(f" [{code}]"), err
    assert code in CODES
    assert len(excerpt) in (0, 2), err  # nothing, or the line and its caret
    placed = re.match(r"halo: \S+: ", first)
    assert plain(first).startswith(f"halo: {at}: ") if at else placed is None, err
    hold(err.rstrip("\n"))
    return first


MANY = 8
"""Of a longer list of known names only the first are recorded: a new objective is to change no message."""


def plain(text: str) -> str:
    """The text as if the test's own folder, or else the repository, were the current one: no machine's names are recorded."""
    for folder in kept:
        own = rf"{re.escape(str(folder))}/[^/\s:'\"]+"
        text = re.sub(own, ".", re.sub(f"{own}/", "", text))
    text = re.sub(r"(?<=halo-align )\d+\.\d[\w.]*", "VERSION", text.replace(f"{ROOT}/", ""))
    return re.sub(rf"known: ((?:[\w-]+, ){{3}})(?:[\w-]+, ){{{MANY - 3},}}[\w-]+", r"known: \1...", text)


def hold(message: str) -> None:
    """Fails where the test that runs met another wording than the one recorded, or records it."""
    test = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0]  # "tests/a/test_b.py::test_c[d] (call)"
    count, wording = seen[test], plain(message)
    seen[test] += 1
    file, _, name = test.partition("::")
    if UPDATING:
        record(file, name, count, wording)
        return
    known = recorded().get(file, {}).get(name, [])
    was = known[count] if count < len(known) else "nothing"
    assert wording == was, f"HALO_UPDATE_MESSAGES=1 accepts this wording:\n{wording}\nrecorded is:\n{was}"


@cache
def recorded() -> Wordings:
    if not os.path.exists(SNAPSHOT):
        return {}
    with open(SNAPSHOT, encoding="utf-8") as file:  # not by a Path's methods: tests of full disks replace these
        wordings: Wordings = json.load(file)
    return wordings


def record(file: str, name: str, count: int, wording: str) -> None:
    with FileLock(Path(tempfile.gettempdir()) / "halo-messages.lock"):  # several processes may write at once, with -n
        recorded.cache_clear()
        wordings = recorded()
        tests = wordings.setdefault(file, {})
        tests[name] = [*tests.get(name, [])[:count], wording]  # what a longer test said before is gone
        write(wordings)


def write(wordings: Wordings) -> None:
    """The snapshot, sorted by test."""
    ordered = {file: dict(sorted(tests.items())) for file, tests in sorted(wordings.items())}
    with open(SNAPSHOT, "w", encoding="utf-8") as file:
        file.write(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n")
