"""The file of log-probs: whole rows or none, whoever writes at once and however it ends; damage and full disks are messages."""

from __future__ import annotations

import errno
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from halo_references.store import NAME, Store, Unusable, about, files, row_key

from halo.plugin import DataError, SettingsError

PRINT = sha256(b"weights").hexdigest()
ROWS = {row_key([1, 2, 3], [1]): b"abcd", row_key([1, 2, 3], [1, 2]): b"abcdefgh"}
WRITER = """
import sys
from hashlib import sha256
from pathlib import Path
from halo_references.store import Store
folder, first, count, size, fingerprint = Path(sys.argv[1]), *map(int, sys.argv[2:5]), sys.argv[5]
store = Store(folder, fingerprint, "float32", "m")
for batch in range(first, first + count):
    keys = [sha256(f"{batch} {i}".encode()).digest() for i in range(size)]
    print("begin", flush=True)
    store.put({key: key * 20 for key in keys})
    print("done", flush=True)
"""


def opened(folder: Path, numerics: str = "float32 sdpa packed cpu") -> Store:
    return Store(folder, PRINT, numerics, "the model")


def writer(folder: Path, first: int, count: int, size: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", WRITER, str(folder), str(first), str(count), str(size), PRINT]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def test_rows_come_back_and_the_first_ones_stay(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.put(ROWS)
    store.put(dict.fromkeys(ROWS, b"else") | {b"new": b""})
    again = opened(tmp_path)
    assert again.get([*ROWS, b"none", b"new"]) == [b"abcd", b"abcdefgh", None, b""]
    assert len(again) == 3
    told = about(again.path)
    assert (told.model, told.fingerprint, told.numerics, told.rows) == ("the model", PRINT, "float32 sdpa packed cpu", 3)
    assert files(tmp_path) == [again.path]
    assert NAME.fullmatch(again.path.name)


def test_the_key_is_the_ids_and_what_is_scored() -> None:
    keys = [row_key([1, 2], [1]), row_key([1, 2], [0]), row_key([1, 2, 1], []), row_key([1], [2, 1]), row_key([], [1, 2, 1]), row_key([258], [])]
    assert len(set(keys)) == len(keys)
    assert row_key((1, 2), iter([1])) == keys[0]


def test_other_weights_or_numerics_are_another_file(tmp_path: Path) -> None:
    opened(tmp_path).put(ROWS)
    for other in (opened(tmp_path, "float64 sdpa packed cpu"), Store(tmp_path, sha256(b"trained").hexdigest(), "float32 sdpa packed cpu", "m")):
        assert other.get(list(ROWS)) == [None, None]
    assert len(files(tmp_path)) == 3


def test_a_killed_writer_leaves_whole_rows(tmp_path: Path) -> None:
    """Killed while it writes, at another place each time: what it had finished is there, the rest is whole batches or none."""
    size = 500
    for turn in range(4):
        process = writer(tmp_path, 1000 * turn, 1000, size)
        assert process.stdout is not None
        finished = 0
        for line in process.stdout:
            finished += line == "done\n"
            if finished >= turn and line == "begin\n":
                break
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
        store = Store(tmp_path, PRINT, "float32", "m")
        there = []
        for batch in range(1000 * turn, 1000 * turn + finished + 2):
            keys = [sha256(f"{batch} {i}".encode()).digest() for i in range(size)]
            found = store.get(keys)
            assert found in ([None] * size, [key * 20 for key in keys])
            there.append(found[0] is not None)
        assert there[:finished] == [True] * finished
    assert sqlite3.connect(store.path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_several_write_at_once(tmp_path: Path) -> None:
    processes = [writer(tmp_path, first, 20, 10) for first in (0, 10, 20)]  # every second batch is written by two
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(Store(tmp_path, PRINT, "float32", "m")) == 40 * 10


def test_a_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.put(ROWS)
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own way to run out of room
    with pytest.raises(Unusable, match=r"cannot be kept here .*full"):
        store.put({row_key([i], []): b"x" * 1000 for i in range(100)})
    assert len(store) == 2
    assert opened(tmp_path).get(list(ROWS)) == list(ROWS.values())


def test_a_read_only_file_is_read(tmp_path: Path) -> None:
    opened(tmp_path).put(ROWS)
    store = opened(tmp_path)
    store._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(Unusable, match="readonly"):
        store.put({b"new": b"x"})
    assert store.get(list(ROWS)) == list(ROWS.values())


def test_where_no_folder_can_be_made_rows_live_as_long_as_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refused)
    store = opened(tmp_path / "new")
    store.put(ROWS)
    assert store.get(list(ROWS)) == list(ROWS.values())
    assert "Read-only file system" in store.trouble
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "reference"):
        with pytest.raises(SettingsError, match="is to be a folder") as caught:
            opened(folder)
        assert caught.value.place is not None
        assert caught.value.place.file == str(tmp_path / "file")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def no_database(path: Path) -> None:
    path.write_text("log-probs " * 1000)


def of_another_program(path: Path) -> None:
    path.unlink()
    sqlite3.connect(path).execute("CREATE TABLE songs (title TEXT)")


def of_other_weights(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE about SET fingerprint = 'x'")
    connection.commit()


def a_changed_number(path: Path) -> None:
    data = path.read_bytes()
    assert data.count(b"abcdefgh") == 1
    path.write_bytes(data.replace(b"abcdefgh", b"abcdefgi"))


def rows_exchanged(path: Path) -> None:
    connection = sqlite3.connect(path)
    (one, first), (two, second) = connection.execute("SELECT rowid, logps FROM rows").fetchall()
    connection.execute("UPDATE rows SET logps = ? WHERE rowid = ?", (second, one))
    connection.execute("UPDATE rows SET logps = ? WHERE rowid = ?", (first, two))
    connection.commit()


@pytest.mark.parametrize("damage", [cut, no_database, of_another_program, of_other_weights, a_changed_number, rows_exchanged])
def test_a_damaged_file_is_one_message(damage: Callable[[Path], None], tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.put(ROWS)
    store._connection.close()
    damage(store.path)
    with pytest.raises(DataError, match="remove the file") as caught:
        opened(tmp_path).get(list(ROWS))
    assert str(store.path) in str(caught.value)


def test_an_empty_file_is_a_beginning(tmp_path: Path) -> None:
    path = opened(tmp_path).path
    path.write_bytes(b"")  # killed between the file's creation and its first row
    opened(tmp_path).put(ROWS)
    assert opened(tmp_path).get(list(ROWS)) == list(ROWS.values())
