"""What is kept so as not to be computed again: signed, said where it cannot be used, below a limit, listed and removed."""

from __future__ import annotations

import json
import logging
import os
import stat
import tempfile
import time
from pathlib import Path

import pytest

from halo import cache
from halo.cli.main import main


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HALO_CACHE", str(tmp_path / "kept"))
    for once in (cache._limited_once, cache._unwritten, cache._without_home):
        once.cache_clear()
    return tmp_path / "kept"


def aged(name: str, room: str, size: int, days: float) -> Path:
    cache.keep(room, name, "x" * size)
    file = cache.cache_folder(room) / name
    then = time.time() - days * 24 * 3600
    os.utime(file, (then, then))
    return file


def test_an_entry_is_read_as_it_was_written() -> None:
    cache.keep("weights", "one", "two\nlines")
    assert cache.kept("weights", "one") == "two\nlines"
    assert cache.kept("weights", "other") is None


@pytest.mark.parametrize("change", [b"", b"\xff\xfe", b"0" * 32 + b"\ntwo", b"two"])
def test_an_entry_that_somebody_wrote_counts_as_none_and_is_said(change: bytes, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache.keep("weights", "one", "two")
    (home / "weights" / "one").write_bytes(change)
    assert cache.kept("weights", "one") is None
    (said,) = caplog.messages
    assert f"{home}/weights/one" in said
    assert "it is computed again" in said


def test_another_entry_under_its_name_counts_as_none(home: Path) -> None:
    cache.keep("weights", "one", "two")
    (home / "weights" / "one").rename(home / "weights" / "other")
    assert cache.kept("weights", "other") is None


def test_a_folder_that_cannot_be_written_is_said_once(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    home.write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        cache.keep("weights", "one", "two")
        cache.keep("weights", "two", "two")
    assert [f"nothing can be kept in {home}/weights" in said for said in caplog.messages] == [True]


def test_the_limit_removes_what_nobody_read_for_longest(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, older = aged("old", "checks", 400_000, 3), aged("older", "weights", 400_000, 9)
    mine = aged("mine", "runs", 900_000, 99)
    monkeypatch.setenv("HALO_CACHE_LIMIT", "1")
    cache._limited_once.cache_clear()
    cache.keep("checks", "new", "x" * 400_000)
    assert old.exists()
    assert not older.exists()
    assert mine.exists()  # it cannot be computed again
    assert (home / "checks" / "new").exists()


def test_what_is_read_is_not_old() -> None:
    file = aged("one", "weights", 10, 9)
    cache.kept("weights", "one")
    assert time.time() - file.stat().st_mtime < 3600


def test_it_is_listed_and_removed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, days in (("old", 40.0), ("new", 2.0)):
        aged(name, "weights", 1000, days)
    aged("run", "runs", 10, 400)
    assert main(["cache", "list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {row["room"]: row["entries"] for row in told["rooms"]} == {"checks": 0, "weights": 2, "runs": 1, "reference": 0, "judges": 0}
    assert main(["cache", "prune", "--unused-for", "30"]) == 0
    assert "removed 1 entries" in capsys.readouterr().out
    assert not (home / "weights" / "old").exists()
    assert main(["cache", "prune"]) == 0
    assert {file.name for file in home.rglob("*") if file.is_file()} == {"run"}
    assert main(["cache", "prune", "--room", "runs"]) == 0
    assert [file for file in home.rglob("*") if file.is_file()] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "expected list or prune, found nothing"),
        (["empty"], "expected list or prune, found empty"),
        (["prune", "--unused-for", "-1"], "--unused-for: '-1' is no number of days"),
        (["prune", "--unused-for", "nan"], "--unused-for: 'nan' is no number of days"),
        (["prune", "--room", "check"], "did you mean 'checks'?"),
    ],
)
def test_what_is_typed_wrongly_is_one_message(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", *words]) == 2
    assert said in capsys.readouterr().err


def test_without_a_home_it_lies_in_a_folder_of_ones_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HALO_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", none)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = cache.cache_folder("checks").parent
    assert folder.parent == tmp_path
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.rmdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder.symlink_to(elsewhere)  # somebody was here before
    cache._without_home.cache_clear()
    other = cache.cache_folder("checks").parent
    assert other != folder
    assert other.resolve() != elsewhere
