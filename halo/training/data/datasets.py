"""The sets that settings name -> tokenized examples of the kind of feedback that the objective wants, or a stream of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from halo.compiler.pipeline import CompiledObjective
from halo.data.conversion import gather
from halo.data.examples import Example
from halo.data.inspection import inspect
from halo.data.interface import DataFormat
from halo.data.preparing import prepare, split
from halo.data.reading import Source
from halo.data.streaming import Stream
from halo.data.text.template import Template
from halo.data.tokenized import TokenizedExample
from halo.data.tokenizing import Preparation, Report
from halo.errors import Place, SettingsError
from halo.plugin.registry import supplied
from halo.training.data.feed import Feed, Flow, Table
from halo.training.data.schedule import Schedule, step_size
from halo.training.settings import Settings

Say = Callable[[str], None]
PEEKED = 8  # examples of a stream that are looked at before the first step


@dataclass(frozen=True)
class Data:
    """train: every training example, or the first few of `stream`; held_out: for evaluation."""

    train: list[TokenizedExample]
    held_out: list[TokenizedExample]
    stream: Stream | None = None

    def feed(self, settings: Settings, world: int) -> Feed:
        """The effective batches of a run with so many ranks."""
        if self.stream is not None:
            return Flow(self.stream, step_size(settings, world), settings.max_steps)
        return Table(self.train, Schedule.of(settings, self.train, world))


def load_data(compiled: CompiledObjective, settings: Settings, template: Template, say: Say) -> Data:
    """Reads and tokenizes what the settings name. Raises DataError, SettingsError."""
    sources = settings.sources(settings.data)
    if settings.streaming:
        stream = _stream(compiled, settings, template, sources)
        held_out = []
        if settings.eval_data:
            held_out = load_examples(compiled, settings, settings.sources(settings.eval_data), say, "held out: ")
        say(f"data       {_names(sources)}: a stream, shuffled in a buffer of {stream.buffer}")
        return Data(list(islice(stream, PEEKED)), _held_out(held_out, compiled, settings, template, say), stream)
    examples, held_out = training_and_held_out(compiled, settings, say)
    train, report = tokenized(examples, compiled, settings, template, say)
    say(f"data       {_names(sources)}: {report}")
    found = inspect(train, template, compiled.parameters, compiled.graph.feedback)
    for line in (*found.problems, *report.oddities(template)):
        say(f"warning    {line}")
    return Data(train, _held_out(held_out, compiled, settings, template, say))


def _held_out(
    examples: list[Example], compiled: CompiledObjective, settings: Settings, template: Template, say: Say
) -> list[TokenizedExample]:
    if not examples:
        return []
    found, report = tokenized(examples, compiled, settings, template, say)
    said = f"data       held out: {report}"
    if settings.eval_strategy == "no":
        said += "; never evaluated: --eval-strategy is no"
    say(said)
    return found


def training_and_held_out(compiled: CompiledObjective, settings: Settings, say: Say) -> tuple[list[Example], list[Example]]:
    """The examples to train on, and those held out."""
    examples = load_examples(compiled, settings, settings.sources(settings.data), say)
    if settings.eval_data:
        return examples, load_examples(compiled, settings, settings.sources(settings.eval_data), say, "held out: ")
    if not settings.eval_fraction:
        return examples, []
    return split(examples, settings.eval_fraction, settings.seed)


def load_examples(compiled: CompiledObjective, settings: Settings, sources: Sequence[Source], say: Say, what: str = "") -> list[Example]:
    """The sets' examples in the kind of feedback the objective wants; `what` they are goes before what is said. Raises DataError."""
    found: list[Example] = []
    for source in sources:
        one = gather(source, formats(), compiled.graph.feedback, settings.data_split, say=say)
        if one.left_out:
            say(f"data       {len(one.left_out)} rows left out, the first: {one.left_out[0]}")
        said = f"{one.rows} rows of format {one.form.name}"
        if source.name:
            said = f"{source.name}: {said}"
        if one.sentence:
            said += f"; {one.sentence} ({len(one.examples)} examples)"
        say(f"data       {what}{said}")
        found += one.examples
    return found


def tokenized(
    examples: Sequence[Example], compiled: CompiledObjective, settings: Settings, template: Template, say: Say = lambda line: None
) -> tuple[list[TokenizedExample], Report]:
    """See `halo.data.preparing.prepare`."""
    return prepare(examples, preparation(compiled, settings, template), say)


def preparation(compiled: CompiledObjective, settings: Settings, template: Template) -> Preparation:
    """How examples become ids in a run."""
    return Preparation.of(compiled, template, settings.max_length, settings.seed, settings.sampled_ids)


def formats() -> list[DataFormat]:
    """Every format that is installed."""
    return [item.thing for item in supplied("format")]


def _stream(compiled: CompiledObjective, settings: Settings, template: Template, sources: list[Source]) -> Stream:
    place = Place("--streaming")
    if settings.max_steps <= 0:
        raise SettingsError("missing-key", "a stream has no last example", place=place, hint="give --max-steps")
    for name in ("eval_fraction", "precompute_ref_log_probs", "group_by_length"):
        if getattr(settings, name):
            message = f"{name} needs all examples, and a stream has not read them"
            raise SettingsError("wrong-value", message, place=place, hint="leave one out")
    if settings.eval_strategy == "epoch":
        raise SettingsError("wrong-value", "a stream has no epochs to evaluate after", place=place, hint="--eval-strategy steps")
    buffer = 1
    if settings.shuffle:
        buffer = settings.shuffle_buffer_size
    return Stream(sources, formats(), preparation(compiled, settings, template), buffer, settings.data_split)


def _names(sources: Sequence[Source]) -> str:
    return " + ".join(source.path for source in sources)
