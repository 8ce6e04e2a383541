"""The GPU benchmark's whole logic on tiny models, and that its variants compute what halo computes."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of the benchmarks by name; they are scripts beside one another."""
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


GROUPS = {
    "pairs": [(5, [3, 4]), (7, [2, 6])],
    "a list, a single completion": [(4, [3, 1, 5]), (6, [2])],
    "no prompt": [(0, [3, 2]), (1, [4])],
}


@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
@pytest.mark.parametrize("name", ["varlen", "dense mask"])
def test_attention_variants_are_halos_attention(bench: Any, name: str, groups: list[tuple[int, list[int]]]) -> None:
    """In float64, values and gradients. On a CPU `varlen` runs its plan through sdpa, one sequence at a time."""
    attention = bench("attention")
    tokens = sum(prompt + sum(tails) for prompt, tails in groups)
    torch.manual_seed(0)
    inputs = [torch.randn(1, heads, tokens, 8, dtype=torch.float64, requires_grad=True) for heads in (4, 2, 2)]
    upstream = torch.randn(1, tokens, 4, 8, dtype=torch.float64)
    outputs = []
    for variant in ("as is", name):
        out, _ = attention.PACKED[variant](None, *inputs, None, packing=attention.packing(groups))
        outputs.append([out, *torch.autograd.grad(out, inputs, upstream)])
    for expected, found in zip(*outputs, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)  # float64 rounds at 1e-16; sums of at most 20 terms


@pytest.mark.parametrize("trained", [True, False])
def test_tiles_are_log_probs(bench: Any, trained: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against log_softmax in float64; tiles small enough that there are many of both kinds."""
    head = bench("head")
    monkeypatch.setattr(head, "TOKENS", 7)
    monkeypatch.setattr(head, "TILE_BYTES", 4 * 7 * 130)
    torch.manual_seed(0)
    hidden, weight = torch.randn(30, 16, requires_grad=True), torch.randn(700, 16, requires_grad=trained)
    targets, upstream = torch.randint(700, (30,)), torch.randn(30)
    leaves = [hidden, weight] if trained else [hidden]
    found = head.tiled(hidden, targets, weight)
    exact = torch.log_softmax(hidden.double() @ weight.double().T, -1).gather(-1, targets[:, None])[:, 0]
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-5)  # log-probs near 20 in float32: 16 roundings of 1e-6 at most
    gradients = zip(torch.autograd.grad(found, leaves, upstream), torch.autograd.grad(exact, leaves, upstream.double()), strict=True)
    for ours, theirs in gradients:
        assert (ours - theirs).norm() < 1e-5 * theirs.norm()


def test_the_bound_counts_each_prompt_once(bench: Any) -> None:
    """By hand, for one layer: 2 x weights x tokens, 4 d x pairs that see each other, 2 x V x H x completion tokens."""
    made = bench("made")
    size = made.Size(hidden=8, layers=1, heads=2, kv_heads=1, intermediate=16, vocabulary=32)
    weights = 8 * 8 + 2 * 8 * 4 + 8 * 8 + 3 * 8 * 16
    pairs_that_see = 3 * 3 / 2 + (2 * 3 + 2 * 2 / 2) + (4 * 3 + 4 * 4 / 2)
    by_hand = 2 * weights * (3 + 2 + 4) + 4 * 8 * pairs_that_see + 2 * 32 * 8 * (2 + 4)
    assert made.forward_flops(size, [(3, 2, 4)]) == by_hand
    assert made.step_flops(size, [(3, 2, 4)] * 2) == 8 * by_hand


@pytest.mark.parametrize("stages", [["machine", "halo", "trl"], pytest.param(["machine", "halo", "trl", "head", "attention"], marks=pytest.mark.slow)], ids=len)
@pytest.mark.workflow
def test_the_stages_run_without_a_gpu(stages: list[str], tmp_path: Path) -> None:
    """Both sides; losses of halo's variants and of TRL agree with halo's in float32. The others time what the tests above compare."""
    pytest.importorskip("trl")
    command = [sys.executable, str(FOLDER / "gpu.py"), "--tiny", "--out", str(tmp_path), "--stages", *stages]
    subprocess.run(command, check=True, capture_output=True, timeout=550)
    rows = [json.loads(line) for line in (tmp_path / "measurements.jsonl").read_text().splitlines()]
    assert not [row for row in rows if row["name"] in ("ended early", "left out")]
    summary = {(row["side"], row["name"]): row for row in rows if row["stage"] == "summary"}
    main = summary["halo", "dpo, micro 4"]
    assert main["tokens_per_second"] > 0
    assert main["mfu"] > 0  # a share of what one product measured, which another process may have slowed down
    assert main["kernels"] > main["host_reads"] > 0
    assert main["to_trl"] > 0
    compared = [row for row in summary.values() if "difference" in row]
    assert {(row["side"], row["name"]) for row in compared} == {("halo", "device"), ("halo", "device, varlen and tiles"), ("trl", "device")}
    for row in compared:
        assert row["difference"] < 1e-3 * row["moved"]  # float32 losses near 0.7 are exact to 1e-7; they move by 5e-3
    if "attention" in stages:
        variants = {(row["case"], row["name"]): row for row in rows if row["stage"] == "attention" and "case" in row}
        assert variants["tiny x 16", "varlen"]["error"] < 1e-5
        assert "NotImplementedError" in variants["tiny x 16", "flex"]["error"]
    assert "of halo's in float32" in (tmp_path / "table.txt").read_text()
