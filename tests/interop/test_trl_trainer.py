"""TRL's trainers with a halo loss: what TRL's own loss does, and one message for what does not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from datasets import Dataset
from refusals import refused
from tolerances import LOGGED, assert_near, roundings
from torch.nn.functional import logsigmoid

import halo
from halo.errors import PluginError, SettingsError
from halo.interop.trl_trainer import for_trl
from halo.starter.defaults import FEEDBACK

trl = pytest.importorskip("trl")

ROWS = [{k: row[k] for k in ("prompt", "chosen", "rejected")} for row in map(json.loads, FEEDBACK.read_text().splitlines()[:12])]


def widen(module: Any, args: Any, output: Any) -> None:
    """TRL's head gives log-probs in float32. Both losses read these as they are, and add them up in float64."""
    if getattr(output, "log_probs", None) is not None:
        output.log_probs = output.log_probs.double()


def policy() -> Any:
    model = tiny.policy()
    model.register_forward_hook(widen)
    return model


def made(trainer: Any, folder: Path, rows: list[dict[str, Any]] = ROWS, **options: Any) -> Any:
    """A trainer on the embedded policy and the same as its reference, in float64, three steps of SGD."""
    config = trl.KTOConfig if issubclass(trainer, trl.KTOTrainer) else trl.DPOConfig
    args = config(
        output_dir=str(folder), max_steps=3, use_cpu=True, bf16=False, logging_steps=1, max_grad_norm=0.0, save_strategy="no", report_to=[],
        disable_tqdm=True, gradient_checkpointing=False, optim="sgd", learning_rate=1e-3, lr_scheduler_type="constant", max_length=64,
        **{"per_device_train_batch_size": 4, **options},
    )  # fmt: skip
    data = Dataset.from_list(rows)
    tokenizer = tiny.template().tokenizer
    return trainer(model=policy(), ref_model=policy(), args=args, train_dataset=data, eval_dataset=data, processing_class=tokenizer)


def trained(trainer: Any, folder: Path, **options: Any) -> tuple[list[float], torch.Tensor, list[dict[str, float]]]:
    """Losses, weights and logs after three steps."""
    run = made(trainer, folder, **options)
    run.train()
    logs = [entry for entry in run.state.log_history if "loss" in entry]
    return [entry["loss"] for entry in logs], torch.cat([p.detach().flatten() for p in run.model.parameters()]), logs


THEIRS_AND_OURS: dict[str, tuple[str, dict[str, Any], str, dict[str, float], dict[str, Any]]] = {
    "dpo": ("DPOTrainer", {}, "dpo", {}, {}),
    "dpo, another beta": ("DPOTrainer", {"beta": 0.3}, "dpo", {"beta": 0.3}, {}),
    "dpo, accumulated": ("DPOTrainer", {}, "dpo", {}, {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}),
    "ipo": ("DPOTrainer", {"loss_type": "ipo"}, "ipo_mean", {"tau": 0.1}, {}),
    "apo_zero": ("DPOTrainer", {"loss_type": "apo_zero"}, "apo_zero", {"beta": 0.1}, {}),
    "aot": ("DPOTrainer", {"loss_type": "aot"}, "aot", {"beta": 0.1}, {}),
    "kto": ("KTOTrainer", {}, "kto", {}, {}),
    "kto, weighted": ("KTOTrainer", {"desirable_weight": 1.5, "beta": 0.2}, "kto", {"lambda_d": 1.5, "beta": 0.2}, {}),
}


@pytest.mark.numeric
@pytest.mark.parametrize("case", THEIRS_AND_OURS)
def test_halos_loss_does_what_trls_does(case: str, tmp_path: Path) -> None:
    """Same seed, same data: the losses of three steps, the weights after them, and the rewards in the logs."""
    base, theirs, name, parameters, shared = THEIRS_AND_OURS[case]
    trainer = getattr(trl, base)
    expected = trained(trainer, tmp_path / "theirs", **theirs, **shared)
    found = trained(for_trl(trainer, name, parameters), tmp_path / "ours", **shared)
    assert found[0] == pytest.approx(expected[0], rel=LOGGED)
    start = torch.cat([p.detach().flatten() for p in tiny.policy().parameters()])
    assert (expected[1] - start).abs().max() > 1e-4
    assert_near(found[1] - start, expected[1] - start, LOGGED)
    assert expected[0][0] != expected[0][2]
    if name in ("dpo", "kto"):  # where the objective's reward is beta times the log-ratio, as TRL logs it
        for side in ("rewards/chosen", "rewards/rejected"):
            assert [log[f"halo/{side}"] for log in found[2] if side in log] == pytest.approx(
                [log[side] for log in expected[2] if side in log], rel=LOGGED, abs=1e-9)  # fmt: skip


@pytest.mark.numeric
def test_simpo_needs_no_reference_and_is_its_formula(tmp_path: Path) -> None:
    run = made(for_trl(trl.DPOTrainer, "simpo", {"gamma": 0.5}), tmp_path, precompute_ref_log_probs=True)
    batch = next(iter(run.get_train_dataloader()))
    with torch.no_grad():
        model = tiny.policy()
        logps = torch.log_softmax(model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1], -1)
        logps = logps.gather(-1, batch["input_ids"][:, 1:, None])[..., 0]
        mask = batch["completion_mask"][:, 1:]
        chosen, rejected = ((logps * mask).sum(-1) / mask.sum(-1)).chunk(2)
        expected = -logsigmoid(2.0 * (chosen - rejected) - 0.5).mean().item()
    assert run.compute_loss(run.model, batch).item() == pytest.approx(expected, rel=roundings(50, torch.float32))  # log-probs in float32, of 25 tokens
    before = run.evaluate()["eval_loss"]
    run.train()
    assert run.evaluate()["eval_loss"] < before
    assert {"eval_halo/rewards/margins", "eval_rewards/margins"} <= set(run.state.log_history[-1])


def test_statistics_move_in_training_only(tmp_path: Path) -> None:
    source = {"name": "carried", "extends": "kto_no_z0", "statistics": {"delta": {"of": "completion.reward", "reduce": "mean", "update": "all"}},
              "reference_point": "delta"}  # fmt: skip
    run = made(for_trl(trl.KTOTrainer, source), tmp_path, loss_type="apo_zero_unpaired")
    run.train()
    after = run.halo_objective.statistics()
    run.evaluate()
    assert after["delta"] != 0
    assert run.halo_objective.statistics() == after


MISTAKES: dict[str, Callable[[Path], Any]] = {  # of the choice of a trainer
    "the other trainer": lambda at: for_trl(trl.DPOTrainer, "kto"),
    "no trainer for lists": lambda at: for_trl(trl.DPOTrainer, "rrhf"),
    "no such trainer": lambda at: for_trl(trl.SFTTrainer, "sft"),
    "a column": lambda at: for_trl(trl.DPOTrainer, "odpo"),
    "the whole vocabulary": lambda at: for_trl(trl.DPOTrainer, "wpo"),
}
SETTINGS: dict[str, Callable[[Path], Any]] = {  # of trl's settings, by which is wrong
    "loss_type, beta": lambda at: made(for_trl(trl.DPOTrainer, "dpo"), at, beta=0.3, loss_type="ipo"),
    "precompute_ref_log_probs": lambda at: made(for_trl(trl.DPOTrainer, "dpo"), at, precompute_ref_log_probs=True),
    "gradient_accumulation_steps": lambda at: made(for_trl(trl.KTOTrainer, "kto"), at, gradient_accumulation_steps=2),
    "loss_type": lambda at: made(for_trl(trl.KTOTrainer, "kto"), at, loss_type="apo_zero_unpaired"),
    "sync_ref_model": lambda at: made(for_trl(trl.DPOTrainer, "tr_dpo"), at),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_message(mistake: str, tmp_path: Path) -> None:
    with refused(PluginError, "plugin"):
        MISTAKES[mistake](tmp_path)


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_that_does_not_fit_is_one_message(setting: str, tmp_path: Path) -> None:
    with refused(SettingsError, "wrong-value", at=setting):
        SETTINGS[setting](tmp_path)


def test_another_trl_is_named_with_the_version_that_was_tested(tmp_path: Path) -> None:
    class Scaled(trl.DPOTrainer):  # type: ignore[misc]
        loss_is_scaled_for_ga = True

    class Silent(trl.DPOTrainer):  # type: ignore[misc]
        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            return torch.zeros(())

    with pytest.raises(halo.HaloError, match=r"trl 1\.\d+.*another DPOTrainer.*tested with trl 1\.16\.0"):
        made(for_trl(Scaled, "dpo"), tmp_path)
    run = made(for_trl(Silent, "dpo"), tmp_path)
    with pytest.raises(halo.HaloError, match=r"no per-token log-probs.*tested with trl 1\.16\.0"):
        run.train()


def test_what_is_not_accepted_can_be(tmp_path: Path) -> None:
    losses, _, _ = trained(for_trl(trl.KTOTrainer, "kto", per_micro_batch=True), tmp_path, gradient_accumulation_steps=2)
    assert losses[0] == pytest.approx(0.5)
