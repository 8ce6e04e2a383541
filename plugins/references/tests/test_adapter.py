"""Adapters: the reference is the policy without its adapter, runs resume bit for bit, and what is exported is what was trained."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file
from tolerances import RUN, SINGLE, assert_near

from halo.cli.main import main
from halo.scoring.rows import build_rows
from halo.scoring.scorer import Scorer
from halo.starter.defaults import POLICY
from halo.training.model.loading import load_policy
from halo.training.settings import Settings

pytest.importorskip("peft")
FEW = ["--data", tiny.few()]
PASSES = ["--learning-rate", "1e-2", "--warmup-ratio", "0", "--logging-steps", "1", "--per-device-train-batch-size", "4"]
LORA = ["--use-peft", "--lora-r", "4", *FEW, *PASSES]


def run(folder: Path, *arguments: str, name: str = "dpo") -> list[dict[str, Any]]:
    assert main(["train", name, "--output-dir", str(folder), *arguments]) == 0
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def logits(folder: Path) -> torch.Tensor:
    """Through transformers alone, as a user would load it."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return model(tokenizer("sort 312", return_tensors="pt").input_ids).logits


@pytest.mark.numeric
@pytest.mark.parametrize("name", ["dpo", "kto", "tdpo2"])
def test_the_adapter_off_is_the_frozen_base(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two ways to the same reference: one set of weights with the adapter off, and a second copy of the base."""
    exact = [*LORA, "--dtype", "float64", "--max-steps", "3"]
    off = run(tmp_path / "off", *exact, name=name)
    assert "the policy without its adapter" in capsys.readouterr().out
    frozen = run(tmp_path / "frozen", *exact, "--reference", "frozen", name=name)
    assert [r["loss"] for r in off] == pytest.approx([r["loss"] for r in frozen], rel=RUN)
    assert off[-1]["loss"] != off[0]["loss"]


def test_only_the_adapter_is_trained_saved_and_resumed_to_the_bit(tmp_path: Path) -> None:
    run(tmp_path / "straight", *LORA, "--max-steps", "6")
    run(tmp_path / "broken", *LORA, "--max-steps", "6", "--save-steps", "3")
    assert not list((tmp_path / "broken").rglob("model.safetensors"))
    (tmp_path / "broken" / "adapter_model.safetensors").unlink()
    assert main(["train", "dpo", "--resume", str(tmp_path / "broken")]) == 0
    straight, resumed = (load_file(tmp_path / run / "adapter_model.safetensors") for run in ("straight", "broken"))
    assert straight
    assert all(torch.equal(straight[key], resumed[key]) for key in straight)


def test_a_trained_adapter_goes_on_and_is_its_own_reference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The reference is where this run starts, not the base: else the margins would not be 0 at the first step."""
    run(tmp_path / "first", *LORA, "--dtype", "float64", "--max-steps", "4")
    again = ["--model", str(tmp_path / "first"), *FEW, *PASSES, "--dtype", "float64", "--max-steps", "3"]
    own = run(tmp_path / "own", *again)
    assert "with the adapter" in capsys.readouterr().out
    assert own[0]["rewards/margins"] == pytest.approx(0, abs=10 * RUN)  # log-probs of some ten nats
    copy = run(tmp_path / "copy", *again, "--reference", "frozen")
    assert [r["loss"] for r in own] == pytest.approx([r["loss"] for r in copy], rel=RUN)
    base = run(tmp_path / "base", *again, "--reference-model", str(POLICY))
    assert base[0]["rewards/margins"] > 0.01
    assert sorted(load_file(tmp_path / "own" / "adapter_model.safetensors")) == sorted(load_file(tmp_path / "first" / "adapter_model.safetensors"))


@pytest.mark.numeric
def test_what_is_exported_is_what_was_trained(tmp_path: Path) -> None:
    run(tmp_path / "run", *LORA, "--max-steps", "4")
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "whole")]) == 0
    assert not (tmp_path / "whole" / "adapter_config.json").exists()
    assert_near(logits(tmp_path / "whole"), logits(tmp_path / "run"), SINGLE)
    assert (logits(POLICY) - logits(tmp_path / "whole")).abs().max() > 1e-2
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "half"), "--dtype", "bfloat16"]) == 0
    assert {x.dtype for x in load_file(tmp_path / "half" / "model.safetensors").values()} == {torch.bfloat16}


@pytest.mark.numeric
@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
def test_a_quantised_base_gives_the_gradient_of_its_own_weights(tmp_path: Path) -> None:
    """4-bit weights against the same numbers written out as float32: log-probs and the adapter's gradient are equal."""
    import bitsandbytes as bnb

    def policy(four_bit: bool) -> Any:
        settings = Settings.model_validate({"model_name_or_path": str(POLICY), "use_peft": True, "load_in_4bit": four_bit, "lora_r": 4})
        model, generator = load_policy(str(POLICY), settings), torch.Generator().manual_seed(1)
        for name, parameter in model.named_parameters():
            if "lora" in name:
                parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
        return model

    quantised, plain = policy(True), policy(False)
    layers = dict(quantised.named_modules())
    for name, module in plain.named_modules():
        if isinstance(layers.get(name), bnb.nn.Linear4bit):
            weight = layers[name].weight
            module.weight.data.copy_(bnb.functional.dequantize_4bit(weight.data, weight.quant_state))
    rows, _ = build_rows(tiny.examples("paired", ("chosen", "rejected"), 4), ("chosen", "rejected"))
    found = []
    for model in (quantised, plain):
        with torch.no_grad():
            Scorer(model, "plain")(rows)  # the self-test scores before training does
        logps = Scorer(model, "plain")(rows)["logp"]
        logps.sum().backward()
        found.append((logps.detach(), torch.cat([p.grad.flatten() for n, p in model.named_parameters() if "lora" in n])))
    assert_near(found[0][0], found[1][0], SINGLE)
    assert_near(found[0][1], found[1][1], SINGLE)
    cached = ["--reference", f"cached:folder={tmp_path / 'cache'}", "--max-steps", "2"]
    run(tmp_path / "run", *LORA, "--load-in-4bit", *cached)
    run(tmp_path / "8-bit", *LORA, "--load-in-8bit", *cached)
    run(tmp_path / "whole", *LORA, *cached)
    assert len(list((tmp_path / "cache").glob("*.sqlite"))) == 3  # other numbers of the same weights


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--reference", "adapter"], "the policy has no adapter"),
        (["--lora-r", "8"], "--lora-r: no adapter is trained; --use-peft"),
        (["--load-in-4bit"], "quantised weights cannot be trained"),
        ([*LORA, "--load-in-4bit", "--load-in-8bit"], "load_in_4bit is set too"),
        ([*LORA, "--lora-target-modules", "nope"], "Target modules {'nope'} not found"),
        ([*LORA, "--lora-target-modules", "lm_head,q_proj"], "lies on the model's head"),
        ([*LORA, "--reference", "uniform", "--reference-model", str(POLICY)], "--reference uniform loads no model"),
        ([*LORA, "--reference", "moving"], "every weight of the policy must be trained"),
    ],
)
def test_bad_input(arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "dpo", *arguments, "--output-dir", str(tmp_path / "run")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_reference_with_another_vocabulary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from shutil import copytree

    other = copytree(POLICY, tmp_path / "other")
    file = other / "tokenizer.json"
    told = json.loads(file.read_text())
    vocabulary = told["model"]["vocab"]
    pairs = dict(zip(vocabulary, reversed(list(vocabulary.values())), strict=True))
    told["model"]["vocab"] = pairs
    file.write_text(json.dumps(told))
    assert main(["train", "dpo", "--reference-model", str(other), "--max-steps", "1", "--output-dir", str(tmp_path / "run")]) == 2
    assert "has another vocabulary" in capsys.readouterr().err


@pytest.mark.parametrize(("run_name", "said"), [("nowhere", "there is no folder"), ("taken", "there is such a folder already")])
def test_bad_exports(run_name: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").mkdir()
    target = "taken" if run_name == "taken" else "new"
    assert main(["export", str(tmp_path / run_name), str(tmp_path / target)]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


KINDS: dict[str, dict[str, Any]] = {
    "dora": {"target_modules": ["q_proj"], "use_dora": True},
    "modules": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    "embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "tokens": {"target_modules": ["q_proj"], "trainable_token_indices": [5, 6]},
}


def adapter(folder: Path, **options: Any) -> Path:
    """An adapter that another program made, with its tokenizer."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(POLICY), LoraConfig(task_type="CAUSAL_LM", r=4, **options))
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(POLICY).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_what_else_peft_trains_is_resumed_to_the_bit(kind: str, tmp_path: Path) -> None:
    start = adapter(tmp_path / "start", **KINDS[kind])
    again = ["--model", str(start), *FEW, *PASSES, "--max-steps", "4"]
    run(tmp_path / "straight", *again)
    run(tmp_path / "broken", *again, "--save-steps", "2")
    (tmp_path / "broken" / "adapter_model.safetensors").unlink()
    assert main(["train", "dpo", "--resume", str(tmp_path / "broken")]) == 0
    begun, straight, resumed = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("start", "straight", "broken"))
    assert begun.keys() == straight.keys() == resumed.keys()
    assert all(torch.equal(straight[key], resumed[key]) for key in straight)
    assert any(not torch.equal(straight[key], begun[key]) for key in straight if kind == "embedding" or "q_proj" not in key or kind == "dora")


@pytest.mark.parametrize("other", [["--lora-r", "8"], ["--lora-alpha", "64"]])
def test_an_adapter_of_other_settings_is_not_resumed(other: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "run", *LORA, "--max-steps", "4", "--save-steps", "2")
    assert main(["train", "dpo", "--resume", str(tmp_path / "run"), *other]) == 2
    assert "the run was started with lora_" in capsys.readouterr().err


def test_an_adapter_with_biases_has_no_second_one_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = adapter(tmp_path / "start", target_modules=["q_proj"], bias="lora_only")
    again = ["--model", str(start), *FEW, "--max-steps", "1", "--output-dir", str(tmp_path / "run")]
    assert main(["train", "dpo", *again]) == 2
    assert "adapter with bias" in capsys.readouterr().err
    assert main(["train", "dpo", *again, "--reference", "frozen"]) == 0


def test_settings_of_a_new_adapter_are_not_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = adapter(tmp_path / "start", target_modules=["q_proj"])
    assert main(["train", "dpo", "--model", str(start), *FEW, "--use-peft", "--lora-r", "8"]) == 2
    assert "--lora-r: " in (said := capsys.readouterr().err)
    assert "is an adapter with its own" in said


def test_an_embedding_that_is_the_head_too_is_not_merged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Merged, what the adapter adds to the embedding would be added to the head."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    config = AutoConfig.from_pretrained(POLICY)
    config.tie_word_embeddings = True
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "tied")
    AutoTokenizer.from_pretrained(POLICY).save_pretrained(tmp_path / "tied")
    tied = ["--model", str(tmp_path / "tied"), "--lora-target-modules", "embed_tokens,q_proj"]
    run(tmp_path / "run", *LORA, *tied, "--max-steps", "4")
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "whole")]) == 2
    assert "merged into its base the adapter gives other logits" in capsys.readouterr().err
    assert not (tmp_path / "whole").exists()


def test_an_export_below_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["export", str(POLICY), str(tmp_path / "file" / "new")]) == 2
    assert "this is a file, not a folder" in capsys.readouterr().err
