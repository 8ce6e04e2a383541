"""The present behaviour, asked for through the command line only, so that it stays the same question whatever is moved inside."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from double import as_shipped

from halo.cli.main import main

FOLDER = Path(__file__).resolve().parent
ANSWERS = ("at_reference", "bounded", "direction", "finite_optimum", "lipschitz", "preference_link", "saturates", "units")
"""Checks whose value is an answer, or the condition under which it holds. `monotone` and `halo` print v itself, as the source does."""

RUNS: Mapping[str, list[str]] = {
    "dpo": ["--data", "pairs.jsonl", "--per-device-train-batch-size", "6"],
    "kto": ["--data", "pairs.jsonl", "--per-device-train-batch-size", "8"],
    "bco": ["--data", "pairs.jsonl", "--per-device-train-batch-size", "8"],
    "dpo_pl": ["--data", "lists.jsonl", "--per-device-train-batch-size", "3", "--gradient-accumulation-steps", "2"],
}
"""One run for each way that a step is arranged: pass by pass, the reference point measured first, running statistics, lists."""

SETTINGS = [
    "--dtype", "float64", "--bf16", "false", "--use-cpu", "--seed", "7", "--max-steps", "8",
    "--learning-rate", "1e-4", "--warmup-steps", "0",
]  # fmt: skip
METRICS = ("loss", "grad_norm", "learning_rate", "epoch", "kl", "reference_point", "logps/", "rewards/", "loss/", "statistics/")
"""What is frozen of a record: all but what a clock says."""
TIES = "rewards/accuracies"


def said(*arguments: str) -> tuple[int, str]:
    """The exit code and the output of one command."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        code = main(list(arguments))
    return code, output.getvalue()


def verdicts(name: str) -> dict[str, str]:
    """Every verdict of `halo check`, with its answer; then unmet expectations and the names of likely mistakes."""
    code, output = said("check", name, "--json")
    (report,) = json.loads(output)
    assert report["stopped"] == [], "the clock ended a check; HALO_CHECK_SECONDS gives it more time"
    facts = {f"{finding['check']} ({finding['scope']})": verdict(finding) for finding in report["findings"]}
    assert len(facts) == len(report["findings"]), "a check and its scope name one finding"
    facts["exit code"] = str(code)
    facts["unmet expectations"] = ", ".join(one["check"] for one in report["expectations"] if not one["met"]) or "none"
    facts["likely mistakes"] = ", ".join(mistake["name"] for mistake in report["mistakes"]) or "none"
    return facts


def verdict(finding: Mapping[str, Any]) -> str:
    """The verdict, and its answer where the check has one."""
    answers = finding["check"].split(".")[0] in ANSWERS and finding["value"] is not None
    return f"{finding['verdict']}: {finding['value']}" if answers else str(finding["verdict"])


def source(name: str) -> str:
    """The generated torch source."""
    code, output = said("show", name, "--stage", "source")
    assert code == 0
    return output


def relation(left: str, right: str) -> dict[str, str]:
    """How two objectives are related: the word, the substitution, the factor and what is assumed; no witness and no reason."""
    code, output = said("diff", left, right, "--json")
    found = json.loads(output)
    facts = {"exit code": str(code), "relation": found["word"]}
    if found["general"]:
        facts |= {name: found[name] for name in ("special", "general")}
        facts |= {"factor": found["scale"], "shifted": str(found["shifted"]).lower()}
        facts |= {f"with {name}": formula for name, formula in found["substitution"].items()}
    if found["hypotheses"]:
        facts["assumed"] = "; ".join(found["hypotheses"])
    return facts


def metrics(name: str, folder: Path) -> dict[str, str]:
    """The metrics of one seeded run on the embedded policy, step by step."""
    options = [str(FOLDER / word) if word.endswith(".jsonl") else word for word in RUNS[name]]
    with as_shipped():
        code, _ = said("train", name, "--output-dir", str(folder), *SETTINGS, *options)
    assert code == 0
    facts = {}
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        for key, value in record.items():
            at_a_tie = key == TIES and record["step"] == 1  # policy and reference are one: which answer is ahead is rounding
            if key.startswith(METRICS) and not at_a_tie:
                facts[f"step {record['step']} {key}"] = repr(float(value))
    return facts
