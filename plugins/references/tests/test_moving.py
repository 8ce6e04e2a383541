"""The moving reference: its numbers, its objectives trained through the command line, resume bit for bit, bad options."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from halo_references.hooks import Moving
from halo_references.moving import MovingReference
from safetensors.torch import load_file
from tolerances import roundings

from halo.cli.main import main
from halo.plugin import ReferenceContext
from halo.plugin.registry import supplied
from halo.starter.defaults import POLICY

QUICK = ["--data", tiny.few(), "--per-device-train-batch-size", "4", "--logging-steps", "1", "--learning-rate", "1e-3", "--warmup-ratio", "0"]


def context(start: torch.nn.Module, **options: float) -> ReferenceContext:
    def copy() -> Any:
        model = torch.nn.Linear(3, 2)
        model.load_state_dict(start.state_dict())
        return model

    return ReferenceContext(copy, "start", lambda model: model, 5, Moving.model_validate({"every": 1, **options}))


def test_the_mean_of_where_the_policy_was() -> None:
    """every=2, mixup=0.25 over a policy that is 0, 1, 2, 3, 4 everywhere: 0, 0, 0.5, 0.5, 0.5 * 0.75 + 4 * 0.25 = 1.375."""
    policy = torch.nn.Linear(3, 2)
    values = []
    torch.nn.init.zeros_(policy.weight)
    torch.nn.init.zeros_(policy.bias)
    reference = MovingReference(context(policy, every=2, mixup=0.25))
    for step in range(5):
        torch.nn.init.constant_(policy.weight, step)
        if step:
            reference.follow(policy, step)
        values.append(reference.state_dict()["weight"].mean().item())
    assert values == [0, 0, 0.5, 0.5, 1.375]
    assert not any(p.requires_grad for p in reference._model.parameters())


def test_a_hard_update_is_the_policy_itself() -> None:
    policy = torch.nn.Linear(3, 2)
    reference = MovingReference(context(torch.nn.Linear(3, 2), mixup=1))
    reference.follow(policy, 1)
    assert torch.equal(reference.state_dict()["weight"], policy.weight)


def losses(folder: Path) -> list[float]:
    return [record["loss"] for record in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())]


@pytest.mark.parametrize("name", ["tr_dpo", "humanline_dpo", "humanline_kto"])
def test_the_objectives_that_declare_it_train(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", name, "--max-steps", "2", "--output-dir", str(tmp_path / "still"), *QUICK]) == 2
    assert "--reference moving" in capsys.readouterr().err
    moving = ["train", name, "--reference", "moving:every=2,mixup=1", "--max-steps", "4", *QUICK]
    assert main([*moving, "--output-dir", str(tmp_path / "run")]) == 0
    said = capsys.readouterr()
    assert "takes 1 of the policy every 2 steps" in said.out + said.err
    assert all(map(torch.isfinite, map(torch.tensor, losses(tmp_path / "run"))))


def test_after_a_hard_update_the_loss_is_that_at_the_reference(tmp_path: Path) -> None:
    """DPO's loss is log 2 wherever policy and reference agree: at step 1, and again after every second step."""
    run = ["train", "dpo", "--reference", "moving:every=2,mixup=1", "--max-steps", "6", "--output-dir", str(tmp_path / "run"), *QUICK]
    assert main(run) == 0
    seen = losses(tmp_path / "run")
    assert [seen[i] for i in (0, 2, 4)] == pytest.approx([math.log(2)] * 3, rel=roundings(4, torch.float32))
    assert all(abs(seen[i] - math.log(2)) > 1e-3 for i in (1, 3, 5))


def test_resume_is_exact_to_the_bit(tmp_path: Path) -> None:
    common = ["train", "tr_dpo", "--reference", "moving:every=2,mixup=0.3", "--max-steps", "6", *QUICK]
    assert main([*common, "--output-dir", str(tmp_path / "straight")]) == 0
    assert main([*common, "--output-dir", str(tmp_path / "broken"), "--save-steps", "3"]) == 0
    (tmp_path / "broken" / "model.safetensors").unlink()
    assert main(["train", "tr_dpo", "--resume", str(tmp_path / "broken")]) == 0
    straight, resumed = (load_file(tmp_path / run / "model.safetensors") for run in ("straight", "broken"))
    assert all(torch.equal(straight[key], resumed[key]) for key in straight)
    assert losses(tmp_path / "straight") == losses(tmp_path / "broken")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("evry=2", "did you mean 'every'"),
        ("every=often", "every=often is not a whole number from 1"),
        ("every=0", "a whole number from 1"),
        ("every=1.5", "a whole number from 1"),
        ("mixup=0", "above 0, up to 1"),
        ("mixup=2", "above 0, up to 1"),
    ],
)
def test_bad_options(option: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "tr_dpo", "--reference", f"moving:{option}", "--output-dir", str(tmp_path / "run"), *QUICK]
    assert main(arguments) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_nothing_is_scored_ahead_by_what_moves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "tr_dpo", "--reference", "moving", "--precompute-ref-log-probs", "--output-dir", str(tmp_path / "run"), *QUICK]
    assert main(arguments) == 2
    assert "cannot be computed ahead" in capsys.readouterr().err


PUBLIC = {
    "halo.plugin",
    "halo.cli.arguments",
    "halo.cli.console",
    "halo.cli.train",
    "halo.data.reading",
    "halo.training.run.assembly",
    "halo.training.run.references",
}
"""What docs/plugins.md names for authors."""


def test_it_uses_nothing_that_a_stranger_could_not() -> None:
    used = set[str]()
    for file in Path(__file__).parents[1].glob("halo_references/*.py"):
        imported = re.findall(r"^\s*from (halo[.\w]*) import|^\s*import (halo[.\w]*)", file.read_text(), flags=re.M)
        used |= {name for pair in imported for name in pair if name and not name.startswith("halo_references")}
    assert used == PUBLIC
    text = (Path(__file__).parents[3] / "docs" / "plugins.md").read_text()
    assert [name for name in PUBLIC if f"`{name}" not in text] == []


def test_it_is_this_packages() -> None:
    assert {item.name for item in supplied("reference") if item.plugin == "references"} == {"moving", "cached", "adapter"}


@pytest.mark.parametrize(("option", "said"), [("every=inf", "every=inf is not a whole number from 1"), ("every=nan", "every=nan is not a whole number from 1")])
def test_numbers_that_are_no_steps(option: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "dpo", "--reference", f"moving:{option}", "--output-dir", str(tmp_path / "run")]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("layers", [1, 3])
def test_it_follows_no_model_of_another_shape(layers: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused before the first step: with fewer layers it would fail at the first update, with more keep the last ones as they are."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    config = AutoConfig.from_pretrained(POLICY)
    config.num_hidden_layers = layers
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "other")
    AutoTokenizer.from_pretrained(POLICY).save_pretrained(tmp_path / "other")
    arguments = ["--reference", "moving", "--reference-model", str(tmp_path / "other"), "--output-dir", str(tmp_path / "run")]
    assert main(["train", "dpo", *arguments]) == 2
    assert "weights of other names or sizes than the policy" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
