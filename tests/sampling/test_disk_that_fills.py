"""A disk that fills while `halo sample`, `score`, `pair` and `export` work: one message, nothing lost, and with room again the same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from full_disk import fill, small_disk
from test_sampling import PROMPTS, held, prompts

from halo.cli.main import main

PAGE = 4096
"""Bytes in which a file system in memory gives room away."""
CONVERSATIONS = [{"turns": [row["prompt"], "sort 90210"]} for row in PROMPTS[10:13]]


def until_there_is_room(given: list[str], disk: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[int]:
    """Runs a command again and again, each time with a page more of room: the number of each run that failed."""
    for pages in range(200):
        (disk / "filler").unlink(missing_ok=True)
        fill(disk, pages * PAGE)
        code, err = main(given), capsys.readouterr().err
        if code == 0:
            return
        assert (code, len(err.splitlines())) == (1, 1), err
        assert "No space left on device" in err
        yield pages
    raise AssertionError(f"{given} never ended")


def test_whatever_a_full_disk_stops_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = prompts(tmp_path, [*PROMPTS[:10], *CONVERSATIONS])
    sample = ["sample", "--prompts", asked, "--n", "2", "--batch-size", "4", "--max-new-tokens", "8", "--use-cpu", "--out"]
    score, pair = ["--scorer", "gold"], ["--by", "gold", "--keep-cut", "--rule", "list", "--gap", "0", "--out"]
    whole = tmp_path / "whole"
    assert main([*sample, str(whole)]) == 0
    expected = held(whole)
    assert main(["score", str(whole), *score]) == 0
    assert main(["pair", str(whole), *pair, str(tmp_path / "pairs.jsonl")]) == 0
    with small_disk(tmp_path / "disk", "512k") as disk:
        folder, pairs = disk / "samples", disk / "pairs.jsonl"
        rows = 0
        for _ in until_there_is_room([*sample, str(folder)], disk, capsys):
            found = sum(file.read_bytes().count(b"\n") for file in folder.glob("*part-*.jsonl"))
            assert found >= rows, "what was written stays"
            assert not (folder / "stage.json").exists()
            rows = found
        assert rows
        assert held(folder) == expected
        assert list(until_there_is_room(["score", str(folder), *score], disk, capsys))
        assert (folder / "scores" / "gold.jsonl").read_bytes() == (whole / "scores" / "gold.jsonl").read_bytes()
        for _ in until_there_is_room(["pair", str(folder), *pair, str(pairs)], disk, capsys):
            assert not pairs.exists()
        assert pairs.read_bytes() == (tmp_path / "pairs.jsonl").read_bytes()
        assert [json.loads(line) for line in pairs.read_text().splitlines()]
        table = ["export", str(folder), "parquet", "--out"]
        assert main([*table, str(tmp_path / "whole.parquet")]) == 0
        for _ in until_there_is_room([*table, str(disk / "samples.parquet")], disk, capsys):
            assert not (disk / "samples.parquet").exists()
        assert (disk / "samples.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
        assert not [file for file in disk.rglob(".*") if file.name.endswith(".draft")]
