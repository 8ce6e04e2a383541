"""Small real parts: the embedded policy, its tokenizer, tokenized rows of its feedback, what a reference is built from, a short run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from halo.compiler.pipeline import compile_source
from halo.data.conversion import convert
from halo.data.formats import FORMATS
from halo.data.preparing import prepare
from halo.data.reading import read_examples
from halo.data.text.template import Template
from halo.data.tokenized import TokenizedExample
from halo.data.tokenizing import Preparation
from halo.objective.feedback import PAIRED, Feedback, kind_of
from halo.plugin import ReferenceContext, ReferenceStrategy, parts
from halo.plugin.objectives import find_objective
from halo.plugin.registry import given
from halo.scoring.distributions import LOGP
from halo.scoring.packed import register
from halo.scoring.rows import RowBatch, build_rows
from halo.scoring.scorer import Scorer
from halo.starter.defaults import FEEDBACK, LISTS, POLICY, embedded_feedback
from halo.training.model.loading import load_policy, load_tokenizer
from halo.training.run.assembly import assemble
from halo.training.run.loop import train
from halo.training.settings import Settings

CHAT = (
    "{{ bos_token }}{% for message in messages %}{{ '<' + message.role + '>' + message.content }}"
    "{% if message.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
"""A chat template for every role; the embedded one knows two."""
ROWS = 16
"""Of the embedded feedback, unless a short run is given other data."""
Given = str | Mapping[str, Any]
"""Options as typed, such as "every=1,mixup=0.5", or by name."""


def require(condition: object, message: str) -> None:
    """Raises AssertionError with the message; unlike `assert`, also under `python -O`."""
    if not condition:
        raise AssertionError(message)


@contextmanager
def one_thread() -> Iterator[None]:
    """On a model as small as the embedded one several threads of torch only wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def policy(**settings: Any) -> Any:
    """The embedded policy, loaded anew: a Llama of 355 thousand parameters in float32 whose tokens are the characters of ASCII.

    settings  as of a run, such as use_peft=True for one with a new adapter
    """
    return load_policy(str(POLICY), Settings.model_validate(settings))


@cache
def template() -> Template:
    """The embedded policy's tokenizer (other characters are one unknown token), with a chat template for every role."""
    tokenizer = load_tokenizer(str(POLICY), Settings.model_validate({}))
    tokenizer.chat_template = CHAT
    return Template.of(tokenizer, "auto")


def tokenized(feedback: Feedback | str = PAIRED, slots: tuple[str, ...] = ("chosen", "rejected"), count: int = 8) -> list[TokenizedExample]:
    """Rows of the embedded feedback as the given kind (demonstrations, labelled, paired, ranked), tokenized for the given slots."""
    wanted = kind_of(feedback)
    source = LISTS if wanted.is_list else FEEDBACK
    rows, _, _ = read_examples(str(source), FORMATS)
    converted, _ = convert(rows[:count], wanted)
    return prepare(converted, Preparation(wanted, slots, template()))[0][:count]


def rows_of(examples: Sequence[TokenizedExample], slots: tuple[str, ...] = ("chosen", "rejected")) -> RowBatch:
    """The rows of these slots, as a reference's `logps` is given them."""
    return build_rows(examples, slots)[0]


@dataclass(frozen=True)
class _Scored:
    """A model wrapped as a run wraps it for a reference."""

    scorer: Scorer

    def __call__(self, rows: RowBatch) -> Any:
        return self.scorer(rows)[LOGP]

    def states(self, rows: RowBatch) -> Any:
        return self.scorer.states(rows)


def options_of(thing: Any, options: Given) -> Any:
    """The options of what has `with_options`, validated. Raises SettingsError for what is none of them."""
    return thing.with_options(parts(f"{thing.name}:{options}")[1] if isinstance(options, str) else options)


def reference_context(strategy: ReferenceStrategy, options: str = "", model: Any = None) -> ReferenceContext:
    """What a run gives a strategy to build from, the embedded policy as `model`; `options` as typed after `--reference name:`."""
    start = policy() if model is None else model
    chosen = options_of(strategy, options)

    def scorer(wrapped: Any) -> _Scored:
        register(wrapped)
        return _Scored(Scorer(wrapped.eval(), "auto"))

    context = ReferenceContext(policy, str(POLICY), scorer, start.get_output_embeddings().weight.shape[0], chosen)
    more = {"policy": scorer(start), "policy_model": start, "fingerprint": lambda: "the embedded policy", "numerics": "float32 on the CPU"}
    return replace(context, **more)


@dataclass(frozen=True)
class Trained:
    """What a short run did: the metrics of every step, what it said, the weights it ended with, how many examples it trained on."""

    steps: list[dict[str, float]]
    said: list[str]
    weights: Mapping[str, Any]
    examples: int


def train_steps(objective: str, *, supplies: tuple[tuple[str, Any], ...] = (), **settings: Any) -> Trained:
    """A real run on the embedded policy, on the CPU: two steps of four examples unless `settings` say otherwise.

    supplies  (kind, thing) of what is not installed, such as ("format", form), to be found by its name in `settings`
    """
    compiled, said = compile_source(objective, None, find_objective), list[str]()
    with ExitStack() as stack:
        for kind, thing in supplies:
            stack.enter_context(given(kind, thing))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        shutil.copytree(POLICY, folder / "policy")
        (folder / "policy" / "chat_template.jinja").write_text(CHAT)
        rows = embedded_feedback(compiled.objective.declaration).read_text().splitlines(keepends=True)
        (folder / "rows.jsonl").write_text("".join(rows[:ROWS]))
        chosen = {
            "model_name_or_path": str(folder / "policy"), "data": str(folder / "rows.jsonl"), "output_dir": str(folder / "run"),
            "backend": "single",
            "use_cpu": True, "max_steps": 2, "learning_rate": 1e-3, "warmup_ratio": 0.0, "max_length": None,
        }  # fmt: skip
        run = assemble(compiled, Settings.model_validate(chosen | settings), said.append)
        result = train(run)
        weights = {name: value.detach().clone() for name, value in run.model.state_dict().items()}
    return Trained(result.history, said, weights, len(run.data.train))
