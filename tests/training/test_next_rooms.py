"""Types that samplers, trained heads, online feeds and images will use, each through one training step with fakes (decision 21)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch
from runs import assembled
from tolerances import RUN, assert_near
from torch import Tensor, nn

import halo
from halo.backends.context import BackendContext
from halo.backends.placement import Placement
from halo.data.examples import Example
from halo.data.formats import FORMATS
from halo.data.inspection import inspect
from halo.data.tokenized import Sampled, TokenizedExample, from_ids
from halo.data.tokenizing import Preparation, tokenize
from halo.errors import DataError, Place, RunFailed, SettingsError
from halo.objective.feedback import PAIRED, PROMPTS, SCORED
from halo.scoring.packed import register
from halo.scoring.rows import build_rows
from halo.scoring.scorer import Scorer
from halo.training.data.feed import OnlineFeed, PolicyView
from halo.training.run.loop import train
from halo.training.run.run import Run
from halo.training.step.step import Step

SLOTS = ("chosen", "rejected")
HERE = Place("samples.jsonl", 1)
EOS = 2


def gradient(model: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def states_of(model: Any, example: TokenizedExample, slot: str) -> list[tuple[Tensor, Tensor]]:
    """Of each completion the hidden states that predict its scored tokens, and these, from whole rows one at a time."""
    found = []
    for tail in example.tails[slot]:
        ids = torch.tensor([[*example.prefix, *tail.ids]])
        at = torch.tensor([len(example.prefix) + i for i, scored in enumerate(tail.scored) if scored])
        found.append((model.model(ids).last_hidden_state[0, at - 1], ids[0, at]))
    return found


# -- scoring gives named tensors ---------------------------------------------------------------------------------------------

CRITIC = {
    "name": "critic", "feedback": "paired", "columns": {"estimate": {"level": "token"}}, "reward": "sum(logp) + sum(estimate * entropy)",
    "reference_point": "rejected", "value": "logsigmoid(z)", "sign": -1,
}  # fmt: skip
"""It reads a trained head's number of every token beside the log-prob, and the distribution's entropy."""


class WithHead(Scorer):
    """A scorer with a trained linear read-out of every token."""

    gives = ("estimate",)

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.read_out = nn.Linear(model.config.hidden_size, 1).double()
        nn.init.constant_(self.read_out.weight, 0.01)
        nn.init.constant_(self.read_out.bias, 0.1)

    def forward(self, rows: Any, words: Sequence[str] = (), reference: Any = None) -> dict[str, Tensor]:
        states = self.states(rows)
        return {**states.scored(words, reference), "estimate": self.read_out(states.hidden)[:, 0]}


def plain_critic(scorer: WithHead, examples: Sequence[TokenizedExample]) -> Tensor:
    losses = []
    for example in examples:
        rewards = []
        for slot in SLOTS:
            ((hidden, came),) = states_of(scorer.model, example, slot)
            log_p = torch.log_softmax(scorer.model.lm_head(hidden), -1)
            entropy = -(log_p.exp() * log_p).sum(-1)
            rewards.append(log_p.gather(-1, came[:, None]).sum() + (scorer.read_out(hidden)[:, 0] * entropy).sum())
        losses.append(-torch.nn.functional.logsigmoid(rewards[0] - rewards[1]))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("size", [8, 3], ids=["whole", "in parts"])
def test_the_backward_takes_gradients_for_all_that_a_scorer_gives(size: int) -> None:
    """The read-out is trained, and the backbone through it, through the log-probs and through the entropy at once."""
    examples = tiny.examples("paired", SLOTS)
    ours, theirs = WithHead(tiny.policy(seed=1)), WithHead(tiny.policy(seed=1))
    step = Step(halo.compile_objective(CRITIC), ours, None, torch.device("cpu"), gives=ours.gives)
    found = step.run([examples[i : i + size] for i in range(0, len(examples), size)])
    true = plain_critic(theirs, examples)
    true.backward()
    assert found.output.loss.item() == pytest.approx(true.item(), rel=RUN)
    assert ours.read_out.weight.grad is not None
    assert_near(gradient(ours), gradient(theirs), RUN)


@pytest.mark.parametrize("path", ["plain", "packed"])
def test_log_probs_are_at_the_temperature_that_is_stated(path: Any) -> None:
    """Each completion's at its own, that of a prompt at 1; the entropy is that of the same distribution."""
    model = tiny.policy(seed=1)
    register(model)
    temperatures = (0.7, 1.0, 1.3)
    pairs = tiny.examples("paired", (*SLOTS, "prompt"), 3)
    hot = [
        dataclasses.replace(
            pair, tails={**pair.tails, "chosen": tuple(dataclasses.replace(tail, temperature=t) for tail in pair.tails["chosen"])}
        )
        for pair, t in zip(pairs, temperatures, strict=True)
    ]
    rows, layout = build_rows(hot, (*SLOTS, "prompt"))
    cold, _ = build_rows(pairs, (*SLOTS, "prompt"))
    assert cold.temperature is None
    found, before = Scorer(model, path)(rows, ("entropy",)), Scorer(model, path)(cold)
    expected = []
    for pair, temperature in zip(pairs, temperatures, strict=True):
        ((hidden, came),) = states_of(model, pair, "chosen")
        log_p = torch.log_softmax(model.lm_head(hidden) / temperature, -1)
        expected.append(torch.stack([log_p.gather(-1, came[:, None])[:, 0], -(log_p.exp() * log_p).sum(-1)]))
    ours = torch.stack([found[name][layout.flat["chosen"]] for name in ("logp", "entropy")])
    assert_near(ours, torch.cat(expected, 1), RUN)
    for slot in ("rejected", "prompt"):
        assert_near(found["logp"][layout.flat[slot]], before["logp"][layout.flat[slot]], RUN)


# -- samples: ids, groups of varying size, a sampler's log-probs ---------------------------------------------------------------

GROUPS = {
    "name": "groups", "feedback": "scored", "role": "completion", "columns": {"kept": {"level": "token"}},
    "let": {"advantage": "score - list_mean(all.score)"},
    "reward": "sum(kept * exp(logp - old_logp))", "reference_point": "none", "value": "z * advantage", "sign": -1,
    "reduce": {"completions": "sum", "examples": "mean"},
}  # fmt: skip


def sampled(ids: Sequence[int], score: float, **more: Any) -> Sampled:
    numbers = {"score": score, "old_logp": tuple(-0.5 - 0.1 * i for i in range(len(ids))), "kept": tuple(1 - 0.2 * i for i in range(len(ids)))}
    return Sampled(tuple(ids), temperature=0.8, numbers=numbers, **more)


def groups() -> list[TokenizedExample]:
    """Of three completions, of one alone, and of two, one of which was cut."""
    three = [sampled([9, 8, EOS], 1.0, finish="end"), sampled([7, EOS], 0.5, finish="end"), sampled([9, 9, 9], 0.0, finish="length")]
    alone = [sampled([8, EOS], 0.7, finish="end")]
    two = [sampled([5, 6], 0.2, finish="length"), sampled([6, EOS], 0.2, finish="end")]
    made = [from_ids(SCORED, [1, 30 + i, 40], group, HERE, id=f"p{i}", round=i) for i, group in enumerate((three, alone, two))]
    return [dataclasses.replace(made[0], weight=2.0), *made[1:]]


def plain_groups(model: Any, examples: Sequence[TokenizedExample]) -> Tensor:
    losses, weights = [], []
    for example in examples:
        own = example.own["completion"]
        scores = torch.tensor([numbers["score"] for numbers in own], dtype=torch.float64)
        loss = torch.zeros((), dtype=torch.float64)
        for (hidden, came), numbers, score in zip(states_of(model, example, "completion"), own, scores, strict=True):
            logp = torch.log_softmax(model.lm_head(hidden) / 0.8, -1).gather(-1, came[:, None])[:, 0]
            old, kept = (torch.tensor(numbers[name], dtype=torch.float64) for name in ("old_logp", "kept"))
            loss = loss - (kept * (logp - old).exp()).sum() * (score - scores.mean())
        losses.append(loss)
        weights.append(example.weight)
    weight = torch.tensor(weights, dtype=torch.float64)
    return (torch.stack(losses) * weight).sum() / weight.sum()


@pytest.mark.parametrize("size", [3, 1], ids=["whole", "in parts"])
def test_ids_that_a_sampler_wrote_are_trained_on_in_groups_of_varying_size(size: int) -> None:
    """Its log-probs, at its temperature, and what else it says of tokens stand in the loss; the last group is of ties."""
    examples = groups()
    ours, theirs = tiny.policy(seed=1), tiny.policy(seed=1)
    step = Step(halo.compile_objective(GROUPS), Scorer(ours), None, torch.device("cpu"))
    found = step.run([examples[i : i + size] for i in range(0, len(examples), size)])
    true = plain_groups(theirs, examples)
    true.backward()
    assert found.output.loss.item() == pytest.approx(true.item(), rel=RUN)
    assert_near(gradient(ours), gradient(theirs), RUN)
    assert found.rounds == (0, 1, 2)
    assert [example.ranks for example in examples] == [(1, 2, 3), (1,), (1, 1)]


def test_what_a_run_would_do_with_samples_is_inspected() -> None:
    examples = groups()
    found = inspect(examples, tiny.template(), {}, SCORED)
    assert tiny.template().tokenizer.eos_token_id == EOS
    assert "3 examples are trained on the ids that a sampler wrote" in found.notes
    assert "2 completions were cut at their length, and are taught no end" in found.notes
    assert not [problem for problem in found.problems if "end" in problem]
    taught = from_ids(SCORED, [1, 30], [sampled([9, EOS], 1.0, finish="length")], HERE)
    assert any("an end that nobody wrote" in problem for problem in inspect([taught], tiny.template(), {}, SCORED).problems)


MISTAKES = {
    "three of a pair": (lambda: from_ids(PAIRED, [1], [sampled([3], 1.0, finish="end")] * 3, HERE), "3 completions make no paired example"),
    "no token": (lambda: from_ids(SCORED, [1], [sampled([], 1.0, finish="end")], HERE), "has no token"),
    "no prompt": (lambda: from_ids(SCORED, [], [sampled([3], 1.0, finish="end")], HERE), "without a token"),
    "numbers": (lambda: from_ids(SCORED, [1], [Sampled((3, 4), "end", numbers={"score": 1.0, "old_logp": (-1.0,)})], HERE), "1 numbers.* 2 tokens"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_samples_that_cannot_be(mistake: str) -> None:
    made, message = MISTAKES[mistake]
    with pytest.raises(DataError, match=message):
        made()


def test_an_id_is_of_the_content_wherever_it_stands() -> None:
    row = {"prompt": "sort 41", "chosen": "14", "rejected": "41"}
    one, same, other = (FORMATS[1].read(r, Place("x", i)) for i, r in enumerate((row, {**row, "more": 3}, {**row, "chosen": "4"})))
    assert one.id == same.id != other.id
    made = tokenize(one, Preparation(PAIRED, SLOTS, tiny.template()))
    assert isinstance(made, TokenizedExample)
    assert (made.id, made.origin, made.weight, made.round) == (one.id, "text", 1.0, 0)


# -- an online feed: prompts, the policy's fingerprint, no known length ---------------------------------------------------------


class Online:
    """A feed whose examples the policy itself writes, groups of one to three answers to a prompt; nobody is told when it ends."""

    total, per_epoch = 0, 0

    def __init__(self, batches: int) -> None:
        how = Preparation(PROMPTS, (), tiny.template())
        prompts = [tokenize(Example(PROMPTS, f"sort {number}", (), Place("prompts", number)), how) for number in (21, 43, 312)]
        self.prompts = [prompt for prompt in prompts if isinstance(prompt, TokenizedExample)]
        self.batches, self.made, self.prints = batches, 0, list[str]()
        self.noise = torch.Generator().manual_seed(1)

    def see(self, policy: PolicyView) -> None:
        self.policy = policy

    def epoch(self, step: int) -> float:
        return 0.0

    def batch(self, step: int) -> list[TokenizedExample]:
        assert self.policy.step == step
        if self.made == self.batches:
            return []
        self.made += 1
        self.prints.append(self.policy.fingerprint())
        with self.policy.generating() as model:
            assert not model.training
            return [self._group(model, prompt, 1 + i) for i, prompt in enumerate(self.prompts)]

    def _group(self, model: Any, prompt: TokenizedExample, size: int) -> TokenizedExample:
        answers = [self._answer(model, list(prompt.prefix)) for _ in range(size)]
        return from_ids(SCORED, prompt.prefix, answers, prompt.place, id=f"{prompt.id}-{self.made}", round=self.made, prompt_key=prompt.prompt_key)

    def _answer(self, model: Any, ids: list[int]) -> Sampled:
        written, logps = list[int](), list[float]()
        while len(written) < 3 and EOS not in written:
            log_p = torch.log_softmax(model(torch.tensor([ids + written])).logits[0, -1].float() / 0.9, -1)
            token = int(torch.multinomial(log_p.exp(), 1, generator=self.noise))
            written.append(token)
            logps.append(float(log_p[token]))
        finish = "end" if EOS in written else "length"
        numbers = {"score": float(sum(written) % 7), "old_logp": tuple(logps), "kept": (1.0,) * len(written)}
        return Sampled(tuple(written), finish, 0.9, numbers)  # type: ignore[arg-type]

    def state_dict(self) -> dict[str, Any]:
        return {"made": self.made, "noise": self.noise.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.made = state["made"]
        self.noise.set_state(state["noise"])


TEXTS = ("14", "41", "4")
ROWS = "".join(
    json.dumps({
        "prompt": f"sort {number}", "completions": TEXTS, "scores": [1.0, 0.2, 0.1],
        "old_logp": [[-1.0] * (len(text) + 1) for text in TEXTS], "kept": [[0.9] * (len(text) + 1) for text in TEXTS],
    }) + "\n"
    for number in (41, 14, 4)
)  # fmt: skip
"""Samples as text: the embedded tokenizer has a token for each character, and one for the end."""


def online(folder: Path, batches: int = 5, **settings: Any) -> tuple[Run, Online]:
    common = {"lr_scheduler_type": "constant", "warmup_ratio": 0.0, "logging_steps": 2}
    run = assembled(folder, GROUPS, ROWS, **{**common, **settings})
    feed = Online(batches)
    assert isinstance(feed, OnlineFeed)
    return dataclasses.replace(run, feed=feed), feed


def test_an_online_feed_trains_on_what_the_policy_writes_and_resumes_to_the_bit(tmp_path: Path) -> None:
    """Its state is in every checkpoint; each batch is of the policy as it then was; the run ends when the feed does."""
    whole, feed = online(tmp_path, output_dir=str(tmp_path / "whole"), save_steps=2)
    result = train(whole)
    assert len(set(feed.prints)) == len(feed.prints) == 5
    assert [record["step"] for record in result.history] == [2, 4, 5]  # the last is logged though nobody knew that it was
    assert [record["round"] for record in result.history] == [1.5, 3.5, 5.0]
    on, again = online(tmp_path, output_dir=str(tmp_path / "on"), resume_from_checkpoint=str(tmp_path / "whole/checkpoint-4"))
    resumed = train(on)
    assert again.prints == feed.prints[4:]
    assert [record["loss"] for record in resumed.history] == [result.history[-1]["loss"]]
    other = on.model.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in whole.model.state_dict().items())


def test_the_first_ratios_are_one(tmp_path: Path) -> None:
    """On-policy in float32: what was kept while the feed wrote is what the step scores, at the temperature that it states."""
    run, feed = online(tmp_path)
    feed.see(SimpleNamespace(step=0, fingerprint=lambda: "", generating=lambda: run.placement.generating(run.model)))  # type: ignore[arg-type]
    batch = feed.batch(0)
    flat = run.step.measured(batch, ("completion",))["completion"]["logp"]
    old = [logp for example in batch for numbers in example.own["completion"] for logp in numbers["old_logp"]]  # type: ignore[union-attr]
    assert (flat - torch.tensor(old)).abs().max() < 1e-4  # nats: one forward in float32 against another


def test_a_schedule_needs_a_last_step(tmp_path: Path) -> None:
    run, _ = online(tmp_path, lr_scheduler_type="linear")
    with pytest.raises(SettingsError, match=r"nobody knows which that is; constant"):
        train(run)


def test_a_table_goes_on_with_its_own_examples_only(tmp_path: Path) -> None:
    train(assembled(tmp_path, output_dir=str(tmp_path / "whole"), save_steps=3))
    changed = assembled(tmp_path, output_dir=str(tmp_path / "on"), resume_from_checkpoint=str(tmp_path / "whole/checkpoint-3"))
    other = dataclasses.replace(changed.feed, examples=changed.data.train[::-1])  # type: ignore[type-var]
    with pytest.raises(SettingsError, match="the examples or their order changed"):
        train(dataclasses.replace(changed, feed=other))


# -- a backend gathers to write, and exports -----------------------------------------------------------------------------------


class Elsewhere(Placement):
    """A backend that says it keeps the policy in parts, and counts how often it puts it together."""

    sharded = True

    def prepare(self, scorer: Any, optimizer: Any) -> None:
        super().prepare(scorer, optimizer)
        self.gatherings = 0

    @contextmanager
    def gathered(self, model: Any) -> Iterator[None]:
        self.gatherings += 1
        yield

    def weights(self, model: Any) -> dict[str, Any]:
        return {name: value.detach().clone() for name, value in model.state_dict().items()}


def test_a_backend_gathers_to_write_and_exports_weights(tmp_path: Path) -> None:
    """The feed's model is whole while it writes; its fingerprint, checkpoints and the final folder are of what the backend exports."""
    run, feed = online(tmp_path, batches=2, output_dir=str(tmp_path / "run"), save_steps=1)
    placement = Elsewhere(BackendContext("no", (), str(tmp_path), True))
    placement.prepare(run.scorer, lambda: torch.optim.SGD(run.model.parameters(), lr=0.01))
    step = Step(run.step.loss, placement.module, None, placement.device, placement)
    asked = list[str]()
    export = placement.weights

    def weights(model: Any) -> dict[str, Any]:
        asked.append("weights")
        return export(model)

    placement.weights = weights  # type: ignore[method-assign]
    train(dataclasses.replace(run, placement=placement, step=step))
    assert placement.gatherings == len(feed.prints) == 2
    assert len(asked) == 2 + 2 + 1  # two fingerprints, two checkpoints, the folder
    assert run.model.training


def test_a_sharded_policy_that_is_not_put_together_says_so() -> None:
    placement = Placement(BackendContext("no", (), "", True))
    placement.sharded = True
    with pytest.raises(RunFailed, match="does not put it together"), placement.generating(tiny.policy()):
        pass


# -- images: parts of a message, tensors beside ids ------------------------------------------------------------------------------

PICTURE = [{"role": "user", "content": [{"type": "image", "image": "a.png"}, {"type": "text", "text": "sort 41"}]}]
PARTS = (
    "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{{ p.text or '' }}{% endfor %}"
    "{% endif %}{% endfor %}"
)


class Seeing(nn.Module):
    """A decoder that adds a picture's numbers to every hidden state of its row."""

    def __init__(self, decoder: Any) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, pixels: Tensor, **more: Any) -> Any:
        found = self.decoder(**more)
        return SimpleNamespace(last_hidden_state=found.last_hidden_state + pixels[:, None])


def test_what_a_model_reads_beside_ids_goes_through_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message's content is parts; the template's reader makes tensors of those that are no text; each row gets its example's."""
    template = dataclasses.replace(tiny.template(), chat=True)
    monkeypatch.setattr(template.tokenizer, "chat_template", PARTS, raising=False)
    model = tiny.policy(seed=1)
    width = model.config.hidden_size
    pixels = [torch.full((1, width), value, dtype=torch.float64) for value in (0.1, -0.2)]
    made = iter(pixels)
    seeing = dataclasses.replace(template, tensors=lambda parts: {"pixels": next(made)})
    rows = [{"prompt": PICTURE, "chosen": "14", "rejected": "41"}, {"prompt": PICTURE, "chosen": "1", "rejected": "444"}]
    read = [FORMATS[1].read(row, Place("rows", i)) for i, row in enumerate(rows)]
    examples = [tokenize(example, Preparation(PAIRED, SLOTS, seeing)) for example in read]
    assert all(isinstance(example, TokenizedExample) for example in examples)
    decoder = Seeing(model.get_decoder())
    monkeypatch.setattr(model, "get_decoder", lambda: decoder)
    found = Step(halo.compile_objective("simpo"), Scorer(model), None, torch.device("cpu")).run([examples])  # type: ignore[list-item]
    example, expected = examples[1], []
    assert isinstance(example, TokenizedExample)
    ((hidden, came),) = states_of(model, example, "rejected")
    expected = torch.log_softmax(model.lm_head(hidden + pixels[1]), -1).gather(-1, came[:, None])[:, 0]
    assert_near(found.inputs.completions["rejected"].token_logps[1, : len(expected)], expected, RUN)


def test_a_picture_that_the_model_does_not_read_is_refused() -> None:
    example = FORMATS[1].read({"prompt": PICTURE, "chosen": "14", "rejected": "41"}, HERE)
    with pytest.raises(DataError, match=r"samples.jsonl:1: a message holds image, and the model reads text"):
        tokenize(example, Preparation(PAIRED, SLOTS, tiny.template()))
