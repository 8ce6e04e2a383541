"""What is on the disk after a write failed, a process died, a bit flipped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from full_disk import fill, small_disk

from halo.errors import DataError
from halo.files.lines import Lines
from halo.files.lock import LOCK, Held, Lock
from halo.files.manifest import MANIFEST, Damaged, read_manifest, verified, write_manifest
from halo.files.whole import draft_of, move_folder, sweep, whole, write_text

# -- whole or absent -------------------------------------------------------------------------------------------------------


def test_a_failed_block_leaves_what_was_there(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")

    def fails() -> None:
        with whole(tmp_path / "a.txt") as draft:
            draft.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk:
        write_text(disk / "a.txt", "old")
        fill(disk, 4096)
        with pytest.raises(OSError, match="No space left"):
            write_text(disk / "a.txt", "x" * 20_000)
        assert (disk / "a.txt").read_text() == "old"
        assert not draft_of(disk / "a.txt").exists()


def test_a_folder_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    for text in ("one", "two"):
        draft = draft_of(tmp_path / "done")
        draft.mkdir()
        (draft / "file").write_text(text)
        move_folder(draft, tmp_path / "done")
    assert [(path.name, (path / "file").read_text()) for path in tmp_path.iterdir()] == [("done", "two")]


def test_what_a_dead_process_left_unfinished_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".checkpoint-3.draft").mkdir()
    (tmp_path / ".checkpoint-3.draft" / "part").write_text("half")
    (tmp_path / ".a.txt.draft").write_text("half")
    (tmp_path / "kept.draft").write_text("a user's own")
    assert sweep(tmp_path) == [".a.txt.draft", ".checkpoint-3.draft"]
    assert [path.name for path in tmp_path.iterdir()] == ["kept.draft"]


# -- one at a time ---------------------------------------------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from halo.files.lock import Lock
lock = Lock.take(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


def test_a_lock_dies_with_the_process_that_holds_it(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(Held, match=f"process {other.pid} on .* has it since 20"):
            Lock.take(tmp_path)
    finally:
        other.send_signal(signal.SIGKILL)
        other.communicate()
    lock = Lock.take(tmp_path)
    assert json.loads((tmp_path / LOCK).read_text())["process"] == os.getpid()
    lock.release()
    lock.release()
    assert (tmp_path / LOCK).read_text() == ""  # nobody's host or process is published
    Lock.take(tmp_path).release()


# -- damage ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "b.bin").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "a.txt").write_text("text")
    write_manifest(tmp_path, {"step": 3})
    return tmp_path


def test_a_folder_is_as_it_was_written(folder: Path) -> None:
    found = verified(folder)
    assert found["step"] == 3
    assert {name: told["bytes"] for name, told in found["files"].items()} == {"a.txt": 4, "inner/b.bin": 10240}
    (folder / "later").write_text("more does not hurt")
    assert verified(folder) == found == read_manifest(folder)


@pytest.mark.parametrize("bit", [0, 7, 5000, 81919])
def test_every_flipped_bit_is_noticed(folder: Path, bit: int) -> None:
    file = folder / "inner" / "b.bin"
    data = bytearray(file.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    file.write_bytes(data)
    with pytest.raises(Damaged, match=r"inner/b\.bin is not as it was written"):
        verified(folder)


def test_what_is_missing_or_short_is_named(folder: Path) -> None:
    (folder / "inner" / "b.bin").write_bytes(b"")
    with pytest.raises(Damaged, match=r"b\.bin has 0 bytes and had 10,240"):
        verified(folder)
    (folder / "a.txt").unlink()
    with pytest.raises(Damaged, match=r"a\.txt is missing"):
        verified(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"files": 3}', "\0"])
def test_a_manifest_that_is_none(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text)
    with pytest.raises(Damaged, match=MANIFEST):
        verified(folder)
    (folder / MANIFEST).unlink()
    with pytest.raises(Damaged, match=f"has no {MANIFEST}"):
        verified(folder)


# -- lines that are added to -----------------------------------------------------------------------------------------------


def test_a_torn_last_line_is_dropped_and_named(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "m.jsonl")
    assert list(lines) == []
    assert lines.mend() == ""
    for step in range(3):
        lines.add({"step": step, "ä": "ö"}, durable=True)
    with lines.file.open("a") as stream:
        stream.write('{"step": 3, "lo')
    assert [record["step"] for record in lines] == [0, 1, 2]
    assert lines.mend() == '{"step": 3, "lo'
    lines.add({"step": 3})
    assert [record["step"] for record in lines] == [0, 1, 2, 3]
    assert [record["step"] for record in lines.keep(lambda record: record["step"] < 2)] == [2, 3]
    assert [record["step"] for record in lines] == [0, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["m.jsonl"]


def test_a_damaged_line_in_the_middle_is_no_torn_one(tmp_path: Path) -> None:
    file = tmp_path / "m.jsonl"
    file.write_text('{"step": 0}\n{"ste\n{"step": 2}\n')
    for ask in (Lines(file).mend, lambda: list(Lines(file))):
        with pytest.raises(DataError, match="a line that is no JSON object") as failed:
            ask()
        assert str(failed.value.place) == f"{file}:2"
    assert len(file.read_text().splitlines()) == 3


def test_a_full_disk_takes_no_half_line(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "16k") as disk:
        lines = Lines(disk / "m.jsonl")
        lines.add({"step": 0})
        fill(disk, 0)


        def endless() -> None:
            for step in range(1, 2000):
                lines.add({"step": step, "text": "x" * 100})

        with pytest.raises(OSError, match="No space left"):
            endless()
        steps = [record["step"] for record in lines]
        assert steps == list(range(len(steps)))
        assert lines.file.read_bytes().endswith(b"\n")
