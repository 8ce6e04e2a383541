"""transformers' Trainer with a halo loss does what halo's own step does, and says what it cannot do."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from batches import EXTRA, batch
from datasets import Dataset
from refusals import refused
from tolerances import LOGGED, RUN, assert_near
from transformers import Trainer, TrainingArguments

import halo
from halo.compiler.pipeline import compile_source
from halo.data.tokenized import TokenizedExample
from halo.errors import DataError, ObjectiveError, SettingsError
from halo.interop.hf_trainer import Kit, for_trainer
from halo.interop.parts import weighed_by
from halo.loss.function import LossFunction
from halo.loss.inputs import Completions, LossInputs
from halo.plugin.objectives import find_objective
from halo.scoring.scorer import Scorer
from halo.starter.defaults import FEEDBACK, LISTS
from halo.training.step.step import Step

RATE = 0.02
SOURCES = {"rrhf": LISTS, "dpo_pl": LISTS}


def rows(name: str, count: int = 7) -> list[dict[str, Any]]:
    lines = SOURCES.get(name, FEEDBACK).read_text().splitlines()[:count]
    return [{key: value for key, value in json.loads(line).items() if key != "gold"} for line in lines]


def policy(moved: bool = True) -> Any:
    """The embedded policy in float64; moved: its weights a little away from the reference."""
    return tiny.policy(seed=1 if moved else None)


def kit_of(name: str, **options: Any) -> Kit:
    loss = halo.compile_objective(name, validate=False)  # other tests hold the code of every shipped objective against its formulas
    return for_trainer(loss, tiny.template().tokenizer, say=lambda line: None, **options)


def weights(model: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def trained(
    kit: Kit, data: list[TokenizedExample], folder: Path, size: int, parts: int = 1, steps: int = 2, **options: Any
) -> tuple[list[float], torch.Tensor, Trainer]:
    """The losses that the Trainer logs and the weights it ends with, by SGD at a constant rate, rows in order."""
    model = policy()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    args = TrainingArguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=size, gradient_accumulation_steps=parts, use_cpu=True,
        logging_steps=1, max_grad_norm=0.0, save_strategy="no", report_to=[], disable_tqdm=True, train_sampling_strategy="sequential",
        **options,
    )  # fmt: skip
    constant = torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)
    trainer = Trainer(
        model,
        args,
        train_dataset=data,
        eval_dataset=data,
        data_collator=kit.collate,
        compute_loss_func=kit.loss,
        optimizers=(optimizer, constant),
    )
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry], weights(model), trainer


def own(name: str, examples: list[TokenizedExample], steps: int = 2) -> tuple[list[float], torch.Tensor]:
    """Losses and weights of halo's own steps on the whole of the examples."""
    model, loss = policy(), halo.compile_objective(name, validate=False)
    step = Step(loss, Scorer(model, "plain"), tiny.Start(policy(moved=False), "plain"), torch.device("cpu"), vocab_size=model.config.vocab_size)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    losses = []
    for _ in range(steps):
        losses.append(step.run([examples]).output.loss.item())
        optimizer.step()
        optimizer.zero_grad()
    return losses, weights(model)


def assert_same(found: tuple[list[float], torch.Tensor], expected: tuple[list[float], torch.Tensor], tolerance: float = RUN) -> None:
    assert found[0] == pytest.approx(expected[0], rel=LOGGED)
    start = weights(policy())
    assert (expected[1] - start).abs().max() > 1e-4
    assert_near(found[1] - start, expected[1] - start, tolerance)


@pytest.mark.numeric
@pytest.mark.parametrize("name", ["dpo", "kto", "rrhf", "dpo_pl", "sft", "simpo", "orpo_code", "bco"])
def test_the_trainer_takes_halos_steps(name: str, tmp_path: Path) -> None:
    """Pairs, labels with mismatched completions, lists, demonstrations, no reference, scored prompts, a running statistic."""
    kit = kit_of(name)
    data = kit.dataset(rows(name))
    if kit.needs.reference:
        data = kit.with_reference(data, policy(moved=False), batch_size=3)
    assert_same(trained(kit, data, tmp_path, len(data))[:2], own(name, data))


@pytest.mark.numeric
@pytest.mark.parametrize("name", ["dpo", "tdpo1", "wpo", "mallows_po"])
def test_a_reference_beside_the_policy(name: str, tmp_path: Path) -> None:
    """The same, and full-vocabulary words: divergences, the policy's own, the reference's own."""
    kit = kit_of(name, reference=policy(moved=False))
    data = kit.dataset(rows(name))
    assert_same(trained(kit, data, tmp_path, len(data))[:2], own(name, data))


@pytest.mark.numeric
@pytest.mark.parametrize("name", ["dpo", "sft", "rrhf"])
def test_accumulation_equals_one_batch(name: str, tmp_path: Path) -> None:
    """Three micro-batches of 3, 3 and 1: `compute_loss_func` is not divided by the Trainer, so each part must weigh itself."""
    kit = kit_of(name)
    data = kit.dataset(rows(name))
    data = kit.with_reference(data, policy(moved=False)) if kit.needs.reference else data
    assert_same(trained(kit, data, tmp_path, 3, parts=3)[:2], own(name, data), LOGGED)  # each part times its share, a float32


@pytest.mark.numeric
@pytest.mark.parametrize("name", ["simpo", "sft"])
def test_weights_count_in_each_part(name: str, tmp_path: Path) -> None:
    """Weighed by examples and by tokens: three parts, each of which is a share of the step's weight."""
    kit = kit_of(name)
    data = [replace(example, weight=weight) for example, weight in zip(kit.dataset(rows(name)), (2.0, 1.0, 0.5, 3.0, 1.0, 0.0, 1.0), strict=True)]
    assert_same(trained(kit, data, tmp_path, 3, parts=3)[:2], own(name, data), LOGGED)


def test_a_loss_is_taken_as_it_is() -> None:
    loss = halo.compile_objective("simpo", {"gamma": 0.5})
    assert for_trainer(loss, tiny.template().tokenizer).objective is loss
    with pytest.raises(halo.HaloError, match="a loss has its parameters already"):
        for_trainer(loss, tiny.template().tokenizer, {"gamma": 0.7})


@pytest.mark.numeric
def test_what_couples_a_batch_is_refused_in_parts_unless_accepted(tmp_path: Path) -> None:
    kit = kit_of("kto")
    data = kit.with_reference(kit.dataset(rows("kto", 4)), policy(moved=False))
    with refused(SettingsError, "wrong-value", at="gradient_accumulation_steps"):
        trained(kit, data, tmp_path, 4, parts=2)
    accepting = kit_of("kto", per_micro_batch=True)
    losses, _, _ = trained(accepting, data, tmp_path, 4, parts=2, steps=1)
    assert losses[0] == pytest.approx((own("kto", data[:4], 1)[0][0] + own("kto", data[4:], 1)[0][0]) / 2, rel=LOGGED)


@pytest.mark.numeric
def test_an_evaluation_is_over_all_examples(tmp_path: Path) -> None:
    """In batches of 3, 3 and 1, and of lists of different length: an example is an example, however many rows it has."""
    kit = kit_of("rrhf")
    shorter = [{**row, "completions": row["completions"][:2], "scores": row["scores"][:2]} for row in rows("rrhf", 3)]
    data = kit.dataset([*shorter, *rows("rrhf")[3:]])
    _, _, trainer = trained(kit, data, tmp_path, len(data), steps=1, per_device_eval_batch_size=3)
    after_one_step = own("rrhf", data)[0][1]
    assert trainer.evaluate()["eval_loss"] == pytest.approx(after_one_step, rel=LOGGED)


def test_metrics_are_those_since_the_last_call(tmp_path: Path) -> None:
    kit = kit_of("simpo")
    data = kit.dataset(rows("simpo"))
    losses, _, _ = trained(kit, data, tmp_path, len(data))
    metrics = kit.metrics()
    assert metrics["loss"] == pytest.approx(sum(losses) / 2, rel=LOGGED)
    assert metrics["rewards/margins"] == pytest.approx(metrics["rewards/chosen"] - metrics["rewards/rejected"])
    assert kit.metrics() == {}


def test_running_statistics_are_left_alone_by_an_evaluation(tmp_path: Path) -> None:
    kit = kit_of("bco")
    data = kit.with_reference(kit.dataset(rows("bco")), policy(moved=False))
    _, _, trainer = trained(kit, data, tmp_path, len(data), steps=1)
    before = kit.objective.statistics()
    trainer.evaluate()
    assert before == kit.objective.statistics()
    assert before["delta"] != 0


def part(inputs: LossInputs, at: slice) -> LossInputs:
    """The examples of a slice."""

    def cut(x: torch.Tensor | None) -> torch.Tensor | None:
        return None if x is None else x[at]

    roles = {
        slot: Completions(
            mask=c.mask[at],
            token_logps=c.token_logps[at],
            ref_token_logps=cut(c.ref_token_logps),
            old_token_logps=cut(c.old_token_logps),
            columns={k: v[at] for k, v in c.columns.items()},
        )
        for slot, c in inputs.completions.items()
    }
    columns = {name: x[at] for name, x in inputs.columns.items()}
    return LossInputs(roles, desirable=cut(inputs.desirable), ranks=cut(inputs.ranks), columns=columns, vocab_size=inputs.vocab_size)


@pytest.mark.parametrize("name", find_objective.names())
def test_parts_add_up_where_that_is_claimed_and_only_there(name: str) -> None:
    loss = LossFunction(compile_source(name, find=find_objective), validate=False)
    extra, declared = tuple(slot for slot in loss.needs.slots if slot in EXTRA), loss.compiled.objective.declaration.columns
    inputs = batch(loss.feedback, "random", torch.float64, 1, extra, declared, loss.needs.words).inputs
    pieces, weighed = [part(inputs, slice(0, 2)), part(inputs, slice(2, 5))], weighed_by(loss.compiled.graph)
    sizes = [float(piece.completions[weighed].mask.sum()) if weighed in piece.completions else piece.examples for piece in pieces]
    together = sum(size * loss(piece).loss.item() for size, piece in zip(sizes, pieces, strict=True)) / sum(sizes)
    if weighed:
        assert together == pytest.approx(loss(inputs).loss.item(), rel=1e-12)
    else:
        couples = loss.needs.coupled or loss.compiled.graph.statistics
        assert couples or together != pytest.approx(loss(inputs).loss.item(), rel=1e-6)
    assert not (weighed and loss.needs.coupled)


def test_rows_are_read_as_from_a_file(tmp_path: Path) -> None:
    """A list, a datasets.Dataset and a file give the same examples; what is too long is left out; a wrong row is named."""
    said: list[str] = []
    kit = for_trainer("dpo", tiny.template().tokenizer, say=said.append, max_length=21)
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows("dpo")))
    ids = [[(e.prefix, e.tails) for e in kit.dataset(source)] for source in (rows("dpo"), Dataset.from_list(rows("dpo")), str(file))]
    assert ids[0] == ids[1] == ids[2]
    assert 0 < len(ids[0]) < 7
    assert "longer than max_length" in said[0]
    with refused(DataError, "data-row", at="row:2"):
        kit.dataset([rows("dpo")[0], {**rows("dpo")[1], "chosen": None}])
    hh = {"chosen": "\n\nHuman: sort 21\n\nAssistant: 12", "rejected": "\n\nHuman: sort 21\n\nAssistant: 21"}
    assert len(kit.dataset([hh])) == 1


def test_a_batch_goes_through_worker_processes() -> None:
    kit = kit_of("kto")
    made = kit.collate(kit.with_reference(kit.dataset(rows("kto")), policy(moved=False)))
    again = pickle.loads(pickle.dumps(made))
    assert type(again["labels"]) is type(made["labels"])
    assert again["labels"][..., 1:].ne(-100).sum() == made["labels"]["weights"].numel() == 14


MISTAKES: dict[str, tuple[Callable[[], Any], type[halo.HaloError], str, str]] = {
    "raw rows": (lambda: kit_of("simpo").collate(rows("simpo")), DataError, "data-format", ""),  # type: ignore[arg-type]
    "no reference": (lambda: kit_of("dpo").collate(kit_of("dpo").dataset(rows("dpo"))), SettingsError, "missing-key", ""),
    "a divergence ahead": (lambda: kit_of("tdpo1").with_reference([], policy()), SettingsError, "wrong-value", "with_reference"),
    "a moving reference ahead": (lambda: kit_of("tr_dpo").with_reference([], policy()), SettingsError, "wrong-value", "with_reference"),
    "no JSON": (lambda: kit_of("dpo").dataset([{**rows("dpo")[0], "x": object()}]), DataError, "data-row", ""),
    "a weight among the sorted": (
        lambda: kit_of("aot", per_micro_batch=True, reference=policy()).collate([replace(e, weight=2.0) for e in kit_of("aot").dataset(rows("dpo"))]),
        ObjectiveError,
        "wrong-value",
        "",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_message(mistake: str) -> None:
    call, error, code, where = MISTAKES[mistake]
    with refused(error, code, at=where):
        call()


def test_nothing_foreign_is_imported_with_halo() -> None:
    code = "import sys, halo, halo.interop.trl_trainer, halo.interop.hf_trainer; print([m for m in ('trl', 'transformers.trainer', 'datasets') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
