"""Across HTTP against a server that others wrote: `transformers serve`, with the embedded policy."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from replying import folder_of, rows_of

import halo
from halo.starter.defaults import POLICY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("fastapi") is None or find_spec("uvicorn") is None, reason="pip install 'transformers[serving]'"),
]
PROMPTS = [{"prompt": f"sort {digits}"} for digits in (312, 9, 4477, 80, 5050)]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log"
    words = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(POLICY), "--port", str(port), "--device", "cpu"]
    with log.open("w") as stream:
        process = subprocess.Popen(words, stdout=stream, stderr=stream)
    try:
        for _ in range(240):
            if process.poll() is not None:
                pytest.fail(log.read_text()[-2000:])
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def test_it_writes_what_the_model_writes_here(url: str, tmp_path: Path) -> None:
    """At temperature 0, against core's own greedy sampler: the server's template and its end token are the model's too."""
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps(row) + "\n" for row in PROMPTS))
    given: dict[str, Any] = {"prompts": str(prompts), "max_new_tokens": 12, "use_cpu": True, "say": lambda line: None}
    there = halo.sample(sampler=f"endpoint:url={url},model={POLICY},temperature=0", out=str(tmp_path / "there"), **given)
    here = halo.sample(sampler="greedy", out=str(tmp_path / "here"), **given)
    found, wanted = ([json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()] for folder in (there, here))
    assert [(row["completion"], row["finish"]) for row in found] == [(row["completion"], row["finish"]) for row in wanted]
    assert {row["finish"] for row in found} == {"end"}


def test_a_judge_that_says_no_verdict_gives_no_number(url: str, tmp_path: Path) -> None:
    """The embedded policy sorts digits and judges nothing: each reply came across, was read, and is no verdict."""
    folder, said = folder_of(tmp_path / "samples", [{"prompt": "sort 21", "a": "12", "b": "21"}], "a+b"), list[str]()
    template = tmp_path / "template.txt"
    template.write_text("{prompt}{first}{second}")
    halo.score(folder, f"judge:url={url},model={POLICY},max_tokens=20,retries=0,template={template}", say=said.append)
    assert "2 questions to" in said[0]
    assert "2 asked: " in said[1]
    assert " 0 tokens in" not in said[1]  # the server counted them
    for row in rows_of(folder, "judge"):
        assert row["score"] is None
        assert row["reason"].startswith("the reply holds no verdict: it ends with") or row["reason"] == "the reply was cut after 20 tokens"
