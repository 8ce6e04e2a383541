"""Every shipped objective, six real steps of the embedded policy on one fixed batch: finite, falling, felt by every role."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from batches import inside

import halo
from halo.data.conversion import convert
from halo.data.formats import FORMATS
from halo.data.preparing import prepare
from halo.data.reading import read_examples
from halo.data.tokenized import TokenizedExample
from halo.data.tokenizing import Preparation
from halo.loss.function import LossFunction
from halo.loss.inputs import Completions, LossInputs
from halo.plugin.objectives import find_objective
from halo.scoring.scorer import Scorer
from halo.starter.defaults import embedded_feedback
from halo.training.step.step import Step, StepOutput

SIZE, STEPS = 6, 6
MORE_STEPS = {"lipo_lambda": 10}  # its weights change with the order of the answers: the loss falls later
RATE = 1e-4
SLOWER = {"grpo_offline": 2e-5}  # clips where a probability has moved by a hundredth


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Matrices this small are not shared out: beside another run, threads that wait for each other take minutes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rows_for(loss: LossFunction) -> list[dict[str, Any]]:
    """Rows of the embedded feedback with the numbers and texts that the objective wants beside it."""
    declared, rng = loss.compiled.objective.declaration, random.Random(5)
    lines = embedded_feedback(declared).read_text().splitlines()
    rows = [json.loads(line) for line in islice(lines, SIZE)]
    tokenizer = tiny.template().tokenizer

    def numbers(column: Any, text: str) -> Any:
        if column.level != "token":
            return inside(column, rng)
        return [inside(column, rng) for _ in range(len(tokenizer(text, add_special_tokens=False).input_ids) + 1)]  # and the end

    for row in rows:
        if loss.needs.sampler:
            row["old_logp"] = [[-1.0] * (len(tokenizer(text, add_special_tokens=False).input_ids) + 1) for text in row["completions"]]
        for name, column in declared.columns.items():
            if column.level == "example":
                row[name] = inside(column, rng)
            elif "chosen" in row:
                row |= {f"{side}_{name}": numbers(column, row[side]) for side in ("chosen", "rejected")}
        if declared.roles:  # what is to be kept beside what is to be forgotten; else the best text there is
            row |= dict.fromkeys(declared.roles, row["rejected" if declared.kind.imitates else "chosen"])
    return rows


def examples_for(loss: LossFunction, folder: Path) -> list[TokenizedExample]:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows_for(loss)))
    read, left_out, _ = read_examples(str(file), FORMATS)
    assert not left_out
    converted, _ = convert(read, loss.feedback)
    return prepare(converted, Preparation.of(loss.compiled, tiny.template(), None, 0))[0][:SIZE]


def as_sampled(examples: list[TokenizedExample], step: Step) -> list[TokenizedExample]:
    """The same examples, as the policy itself would have sampled them: its log-probs are the sampler's."""
    scored = step.run([examples], train=False).inputs.completions["completion"]
    sampled = []
    for example, logp, mask in zip(examples, scored.token_logps.tolist(), scored.mask.sum(-1).tolist(), strict=True):
        own = example.own["completion"]
        numbers = [{**one, "old_logp": tuple(logp[k][: mask[k]])} for k, one in enumerate(own)]
        sampled.append(replace(example, own={"completion": tuple(numbers)}))
    return sampled


def leaves_of(inputs: LossInputs) -> LossInputs:
    """The same batch with log-probs that a gradient can be asked of."""
    roles = {
        slot: Completions(
            mask=c.mask, token_logps=c.logp.detach().clone().requires_grad_(), ref_token_logps=c.ref_logp, old_token_logps=c.old_logp, columns={k: x.detach() for k, x in c.columns.items()}
        )
        for slot, c in inputs.completions.items()
    }
    return LossInputs(roles, desirable=inputs.desirable, ranks=inputs.ranks, columns=inputs.columns, vocab_size=inputs.vocab_size)


def unfelt(loss: LossFunction, stepped: StepOutput) -> list[str]:
    """The completions that the objective is said to reach and whose log-probs have no gradient in this batch."""
    inputs = leaves_of(stepped.inputs)
    loss(inputs).loss.backward()
    slots = {slot: inputs.completions[slot].logp.grad for slot in loss.needs.gradient}
    return [slot for slot, gradient in slots.items() if gradient is None or not gradient.abs().max() > 0]


def falling(loss: LossFunction, before: LossInputs, after: LossInputs) -> bool:
    """Whether the steps lowered the loss. AlphaDPO's margin runs ahead of the gap that it asks for: there the gap must rise.

    CISPO's weights move with the policy and have no gradient: there the loss must fall with the weights held where they were, at 1.
    """
    if loss.compiled.graph.name.startswith("cispo"):
        after = with_weights_of_one(after)
    first, last = loss(before), loss(after)
    if loss.compiled.graph.name != "alpha_dpo":
        return bool(last.loss < first.loss)
    gaps = [(output.rewards["chosen"] - output.rewards["rejected"]).mean() for output in (first, last)]
    return bool(gaps[1] > gaps[0])


def with_weights_of_one(inputs: LossInputs) -> LossInputs:
    """The same batch, as if the policy at hand had sampled it."""
    sampled = {slot: replace(c, old_token_logps=c.token_logps.detach()) for slot, c in inputs.completions.items()}
    return replace(inputs, completions=sampled)


@pytest.mark.parametrize("name", find_objective.names())
def test_six_steps(name: str, tmp_path: Path) -> None:
    loss = halo.compile_objective(name, validate=False)  # tests/loss/test_validation.py does that, for all of them
    examples = examples_for(loss, tmp_path)
    model = tiny.policy()
    step = Step(loss, Scorer(model), tiny.Start(), torch.device("cpu"), vocab_size=model.get_output_embeddings().weight.shape[0])
    if loss.needs.sampler:
        examples = as_sampled(examples, step)
    optimizer = torch.optim.Adam(model.parameters(), lr=SLOWER.get(name, RATE))
    seen = []
    for _ in range(MORE_STEPS.get(name, STEPS)):
        optimizer.zero_grad()
        seen.append(step.run([examples]))
        optimizer.step()
    last = step.run([examples], train=False)
    assert all(torch.isfinite(stepped.output.loss) for stepped in [*seen, last])
    loss.eval()  # what is carried from step to step stays where it is: the same loss before and after
    assert falling(loss, seen[0].inputs, last.inputs)
    assert unfelt(loss, seen[1]) == []
