"""Times of single operations, and the ceilings of the machine that they are held against. Prints one JSON line for each.

python benchmarks/kernels.py machine|attention|head [--tiny]
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attention
import head
import made
import torch
from steps import synchronize
from torch import Tensor

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
HALF = torch.bfloat16 if DEVICE == "cuda" else torch.float32  # bfloat16 products are a hundred times slower on some CPUs
GROUPS = {  # name -> (prompt, completion, completions of a prompt, prompts)
    "pair 256/256": (256, 256, 2, 8),
    "pair 1024/256": (1024, 256, 2, 4),
    "pair 4096/512": (4096, 512, 2, 1),
    "list of 8, 512/256": (512, 256, 8, 2),
}
HEADS = {"hidden 2048": (2048, 128_256), "hidden 4096": (4096, 128_256)}
HEAD_TOKENS = (512, 4096, 16_384)


def milliseconds(work: Callable[[], Any], repeats: int = 10) -> float:
    """The median of `repeats` runs after two to warm up."""
    for _ in range(2):
        work()
    times = []
    for _ in range(repeats):
        synchronize()
        start = time.perf_counter()
        work()
        synchronize()
        times.append(time.perf_counter() - start)
    return 1000 * sorted(times)[repeats // 2]


def peak(work: Callable[[], Any]) -> float:
    """GiB that a run allocates beyond what stood before; 0 without a GPU."""
    if DEVICE == "cpu":
        return 0.0
    synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**30


def error(found: Tensor, exact: Tensor) -> float:
    """||found - exact|| / ||exact||, in float64."""
    return float((found.double() - exact.double()).norm() / exact.double().norm())


# -- the machine ---------------------------------------------------------------------------------------------------


def machine(tiny: bool) -> Iterator[dict[str, Any]]:
    """Versions, and three ceilings: matrix products, copies, launches."""
    import accelerate
    import transformers

    name = torch.cuda.get_device_name() if DEVICE == "cuda" else platform.processor() or platform.machine()
    versions = {"python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__}
    yield {"name": "card", "card": name, **versions, "accelerate": accelerate.__version__}
    size = 256 if tiny else 8192
    a, b = (torch.randn(size, size, device=DEVICE, dtype=HALF) for _ in range(2))
    yield {"name": "product", "size": size, "tflops": 2 * size**3 / milliseconds(lambda: a @ b) / 1e9}
    source = torch.empty((1 if tiny else 1024) * 2**20, dtype=torch.uint8, device=DEVICE)
    target = torch.empty_like(source)
    yield {"name": "copy", "tb_per_second": 2 * source.numel() / milliseconds(lambda: target.copy_(source)) / 1e9}
    small = torch.zeros(1, device=DEVICE)
    yield {"name": "launch", "microseconds": milliseconds(lambda: [small.add_(1) for _ in range(1000)])}


# -- attention -----------------------------------------------------------------------------------------------------


def attention_rows(tiny: bool) -> Iterator[dict[str, Any]]:
    """Forward and backward of one layer's attention over packed rows, by variant."""
    cases = {name: attention.packing([(prompt, [tail] * k)] * n) for name, (prompt, tail, k, n) in GROUPS.items()}
    cases["pairs of HH, 8"] = attention.packing([(p, [c, r]) for p, c, r in made.lengths("hh", 8)])
    if tiny:
        cases = {"tiny": attention.packing([(5, [3, 4]), (0, [2]), (7, [1, 2, 6])])}
    for width in (16,) if tiny else (128, 64):
        heads, kv_heads = (4, 2) if tiny else (32, 8)
        for case, plan in cases.items():
            tokens = sum(plan.sizes)
            shapes = ((heads, tokens, width), (kv_heads, tokens, width), (kv_heads, tokens, width))
            torch.manual_seed(0)
            inputs = [torch.randn(1, *shape, device=DEVICE, dtype=HALF) for shape in shapes]
            upstream = torch.randn(1, tokens, heads, width, device=DEVICE, dtype=HALF)
            exact = _attended(attention.PACKED["as is"], plan, [x.double() for x in inputs], upstream.double())
            flops = 3.5 * 4 * heads * width * attention.seen(plan)  # a backward pass of flash attention does five products, forward two
            for name, function in attention.PACKED.items():
                yield {"case": f"{case} x {width}", "name": name, **_one_attention(function, plan, inputs, upstream, exact, flops)}


def _attended(function: Any, plan: Any, inputs: Sequence[Tensor], upstream: Tensor) -> list[Tensor]:
    leaves = [x.detach().requires_grad_() for x in inputs]
    out, _ = function(None, *leaves, None, packing=plan)
    return [out.detach(), *torch.autograd.grad(out, leaves, upstream)]


def _one_attention(
    function: Any, plan: Any, inputs: Sequence[Tensor], upstream: Tensor, exact: Sequence[Tensor], flops: float
) -> dict[str, Any]:
    def forward() -> None:
        with torch.no_grad():
            function(None, *inputs, None, packing=plan)

    def both() -> list[Tensor]:
        return _attended(function, plan, inputs, upstream)

    try:
        found = both()
        took = milliseconds(both)
        return {
            "forward_ms": milliseconds(forward), "both_ms": took, "tflops": flops / took / 1e9, "peak_gb": peak(both),
            "error": max(error(f, e) for f, e in zip(found, exact, strict=True)),
        }  # fmt: skip
    except (RuntimeError, NotImplementedError, ValueError, TypeError) as problem:  # a kernel that this card or torch does not have
        return {"error": f"{type(problem).__name__}: {str(problem).splitlines()[0][:200]}"}


# -- head ----------------------------------------------------------------------------------------------------------


def head_rows(tiny: bool) -> Iterator[dict[str, Any]]:
    """Forward and backward of the head, by variant: trained and frozen."""
    for case, (hidden, vocabulary) in ({"tiny": (32, 512)} if tiny else HEADS).items():
        for count in (64,) if tiny else HEAD_TOKENS:
            torch.manual_seed(0)
            states = torch.randn(count, hidden, device=DEVICE, dtype=HALF)
            weight = torch.randn(vocabulary, hidden, device=DEVICE) / hidden**0.5
            targets = torch.randint(vocabulary, (count,), device=DEVICE)
            upstream = torch.randn(count, device=DEVICE)
            for trained in (True, False):
                floor = (8 if trained else 4) * count * hidden * vocabulary  # four products, or two where the head is frozen
                for name, function in head.VARIANTS.items():
                    label = f"{case}, {count} tokens, {'trained' if trained else 'frozen'}"
                    row = _one_head(function, states, targets, weight, upstream, trained, floor)
                    if name == head.SUM:
                        row.pop("error", None) if "both_ms" in row else None
                    yield {"case": label, "name": name, **row}


def _one_head(
    function: Any, states: Tensor, targets: Tensor, weight: Tensor, upstream: Tensor, trained: bool, floor: float
) -> dict[str, Any]:
    def both() -> list[Tensor]:
        leaves = [states.detach().requires_grad_(), weight.detach().requires_grad_(trained)]
        logps = function(leaves[0], targets, leaves[1])
        return [logps.detach(), *torch.autograd.grad(logps, leaves if trained else leaves[:1], upstream)]

    try:
        found = both()
        took = milliseconds(both, 5)
        exact = torch.log_softmax(states[:64].double() @ weight.double().T, -1).gather(-1, targets[:64, None])[:, 0]
        wrong = error(found[0][:64], exact)
        return {"both_ms": took, "tflops": floor / took / 1e9, "peak_gb": peak(both), "error": wrong}
    except (RuntimeError, ImportError, TypeError) as problem:  # too little memory for the naive one, or a peer that is not installed
        torch.cuda.empty_cache()
        return {"error": f"{type(problem).__name__}: {str(problem).splitlines()[0][:200]}"}


STAGES = {"machine": machine, "attention": attention_rows, "head": head_rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    for row in STAGES[options.stage](options.tiny):
        print(json.dumps({"stage": options.stage, **row}), flush=True)


if __name__ == "__main__":
    main()
