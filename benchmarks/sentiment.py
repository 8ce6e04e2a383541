"""From prompts to a judged model, for real: a 135 M model, a sentiment lexicon as the reward, and nothing human.

    pip install vaderSentiment
    python benchmarks/sentiment.py --model FOLDER --data FOLDER [--out FOLDER]

Every stage is one of halo's commands, printed before it runs; killed and started again, it goes on. `--data` holds
`alpaca_eval_ranked.jsonl` and `hh_harmless.jsonl`; their prompts are parted by hash, four fifths to train on and a fifth held out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

HH_PROMPTS, LONGEST = 120, 300
"""First questions of HH that are taken, and the characters of a prompt at most: the model writes forty tokens behind it."""
SAMPLED = ["--max-new-tokens", "40", "--sampler", "sample:temperature=0.8", "--use-cpu"]
TRAINED = ["--max-steps", "100", "--per-device-train-batch-size", "4", "--learning-rate", "1e-5", "--use-cpu"]


def compound(prompts: list[Any], completions: list[str], completion_ids: list[Any], **columns: Any) -> list[float]:
    """VADER's compound sentiment of each completion, from -1 to 1: the scorer."""
    return [_analyzer().polarity_scores(text)["compound"] for text in completions]


@cache
def _analyzer() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


def prompts_of(data: Path, out: Path) -> tuple[Path, Path]:
    """Two files of prompts, to train on and held out."""
    found = [json.loads(line)["prompt"] for line in (data / "alpaca_eval_ranked.jsonl").read_text().splitlines()]
    transcripts = [json.loads(line)["chosen"] for line in (data / "hh_harmless.jsonl").read_text().splitlines()]
    found += [text.split("\n\nHuman: ")[1].split("\n\nAssistant:")[0] for text in transcripts[:HH_PROMPTS]]
    short = [prompt for prompt in dict.fromkeys(found) if prompt.strip() and len(prompt) <= LONGEST]
    files = out / "train.jsonl", out / "held-out.jsonl"
    kept: tuple[list[str], list[str]] = ([], [])
    for prompt in short:
        kept[int(hashlib.sha256(prompt.encode()).hexdigest(), 16) % 5 == 0].append(prompt)
    for file, own in zip(files, kept, strict=True):
        file.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in own))
    print(f"{len(kept[0])} prompts to train on, {len(kept[1])} held out", flush=True)
    return files


def halo(*words: str | Path) -> None:
    """One of halo's commands, printed, and how long it took."""
    said = [str(word) for word in words]
    print(f"$ halo {' '.join(said)}", flush=True)
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "halo", *said], check=True)
    print(f"  {time.perf_counter() - begun:.0f} s", flush=True)


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--model", "--data"):
        given.add_argument(name, type=Path, required=True)
    given.add_argument("--out", type=Path, default=Path("sentiment"))
    asked = given.parse_args()
    out, model = asked.out, asked.model
    out.mkdir(parents=True, exist_ok=True)
    train, held_out = prompts_of(asked.data, out)
    scorer = ["--scorer", "function:name=benchmarks.sentiment.compound", "--name", "sentiment"]
    halo("sample", model, "--prompts", train, "--n", "4", *SAMPLED, "--out", out / "samples")
    halo("score", out / "samples", *scorer)
    if not (out / "pairs.jsonl").exists():
        halo("pair", out / "samples", "--by", "sentiment", "--gap", "0.2", "--keep-cut", "true", "--out", out / "pairs.jsonl")
    run = out / "run"
    if not (run / "model.safetensors").exists():
        halo("train", "dpo", "--model", model, "--data", out / "pairs.jsonl", *TRAINED, "--output-dir", run)
    against = ["--against", model, "--prompts", held_out, "--n", "4", *SAMPLED, *scorer]
    halo("eval", "win+reward+candidates+texts+best-of-n", run, *against, "--out", out / "judged")


if __name__ == "__main__":
    main()
