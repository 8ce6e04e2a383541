"""halo and TRL's DPO side by side: same model, same rows in the same order, same batch and precision.

    python -m venv peers && peers/bin/pip install trl torch
    python benchmarks/against_trl.py --model MODEL --data ../shared/data/hh_harmless.jsonl --peer-python peers/bin/python

Each run is a process of its own; the four settings are interleaved `--rounds` times. Prints pairs per second (the
reference's time is counted, loading is not) and peak resident memory, and the median over rounds of the paired ratios.
TRL runs with and without gradient checkpointing; halo with a second model for the reference (fast) and with the reference
scored ahead with checkpointing, in micro-batches of one pair (small).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CONTESTANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "trl": ("trl", {}),
    "trl, checkpointing": ("trl", {"checkpointing": True}),
    "halo, fast": ("halo", {}),
    "halo, small": ("halo", {"micro": 1, "precompute": True, "checkpointing": True}),
}


def shared_rows(data: str, model: str, max_length: int, count: int, folder: Path) -> Path:
    """The rows that both sides train on: those that fit whole, so that neither drops or cuts any."""
    from halo.compiler.pipeline import compile_source
    from halo.data.formats import FORMATS
    from halo.data.preparing import usable
    from halo.data.reading import read_examples
    from halo.data.text.template import Template
    from halo.data.tokenizing import Preparation
    from halo.plugin.objectives import find_objective
    from halo.training.model.loading import load_tokenizer
    from halo.training.settings import Settings

    template = Template.of(load_tokenizer(model, Settings()), "auto")
    how = Preparation.of(compile_source("dpo", None, find_objective), template, max_length, 0)
    rows = []
    for example in read_examples(data, FORMATS)[0]:
        if len(rows) == count:
            break
        if isinstance(usable(example, how), str):  # the reason why it is left out
            continue
        texts = dict(zip(("chosen", "rejected"), example.completions, strict=True))
        prompt = example.prompt if isinstance(example.prompt, str) else [dict(m) for m in example.prompt]
        rows.append({"prompt": prompt, **{k: [{"role": "assistant", "content": v}] for k, v in texts.items()}})
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def run(name: str, options: argparse.Namespace, rows: Path) -> dict[str, Any]:
    """One process; returns what its last line says."""
    side, more = CONTESTANTS[name]
    python = options.peer_python if side == "trl" else sys.executable
    fields = {
        "name": name, "model": options.model, "rows": str(rows), "batch": options.batch, "micro": options.batch, "steps": options.steps,
        "max_length": options.max_length, "precision": options.precision,
    }  # fmt: skip
    command = [python, str(HERE / f"side_{side}.py"), "--runs", json.dumps([fields | more])]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=rows.parent)
    found = (
        json.loads(done.stdout.strip().splitlines()[-1]) if done.returncode == 0 else {"error": done.stdout[-1500:] + done.stderr[-3000:]}
    )
    if "error" in found:
        raise SystemExit(f"{name} failed:\n{found['error']}")
    return {
        "pairs_per_second": options.steps * options.batch / sum(found["seconds"]),
        "peak_gb": found["peak_gb"],
        "losses": found["losses"],
    }


def fast_precision() -> tuple[str, str]:
    """The precision that is faster here, and why: halo's own measurement."""
    from halo.training.model.loading import LARGE, wants_bf16
    from halo.training.settings import Settings

    use, why = wants_bf16(Settings(), LARGE)
    return "bf16" if use else "float32", why


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """Medians of each contestant, then the paired ratios."""
    lines = [f"{'':<20}{'pairs/s':>9}{'peak GB':>9}   per round"]
    for name, rounds in results.items():
        speed, memory = ([r[key] for r in rounds] for key in ("pairs_per_second", "peak_gb"))
        shown = " ".join(f"{s:.3f}" for s in speed)
        lines.append(f"{name:<20}{statistics.median(speed):>9.3f}{statistics.median(memory):>9.2f}   {shown}")
    rounds_count = len(next(iter(results.values())))
    faster = [max(results[t][i]["pairs_per_second"] for t in results if t.startswith("trl")) for i in range(rounds_count)]
    smaller = [min(results[t][i]["peak_gb"] for t in results if t.startswith("trl")) for i in range(rounds_count)]
    for name in (n for n in results if n.startswith("halo")):
        speed = statistics.median(r["pairs_per_second"] / f for r, f in zip(results[name], faster, strict=True))
        memory = statistics.median(r["peak_gb"] / s for r, s in zip(results[name], smaller, strict=True))
        lines.append(
            f"{name}: {speed:.2f} x the speed of TRL's faster setting, {memory:.0%} of the memory of its smaller one (medians of paired ratios)"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--peer-python", required=True, help="python of the environment that has TRL")
    parser.add_argument("--steps", type=int, default=4, help="timed steps; one more warms up")
    parser.add_argument("--batch", type=int, default=4, help="pairs per step")
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--precision", choices=["bf16", "float32"], help="left out: what is faster on this machine, by a measurement")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    options.model, options.peer_python = str(Path(options.model).absolute()), str(Path(options.peer_python).absolute())
    why = "as set"
    if options.precision is None:
        options.precision, why = fast_precision()
    print(f"precision: {options.precision} ({why})", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        rows = shared_rows(options.data, options.model, options.max_length, options.batch * (options.steps + 1), Path(folder))
        results: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTESTANTS}
        for number in range(options.rounds):
            for name in CONTESTANTS:
                results[name].append(run(name, options, rows))
                print(f"round {number + 1}  {name:<20} {results[name][-1]}", flush=True)
    print(table(results))


if __name__ == "__main__":
    main()
