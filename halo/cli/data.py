"""`halo data FILE --objective X --model Y`: a dry run of the data. Loads the tokenizer and the model's configuration, writes nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from math import ceil
from typing import TYPE_CHECKING, Any

from halo.cli.arguments import Arguments, split
from halo.cli.console import quieten
from halo.cli.train import settings_of
from halo.compiler.pipeline import CompiledObjective, compile_source
from halo.data.inspection import PERCENTS, Inspection, inspect, parts_of
from halo.data.text.template import Template
from halo.data.tokenized import TokenizedExample
from halo.data.tokenizing import Report
from halo.errors import Place, SettingsError
from halo.plugin.objectives import find_objective
from halo.starter.defaults import borrowed
from halo.training.data.datasets import load_data, tokenized, training_and_held_out
from halo.training.data.schedule import Schedule, step_size
from halo.training.settings import ALIASES, Settings, is_flag
from halo.visible import visible

if TYPE_CHECKING:
    from halo.training.run.estimate import Estimate

HELP = """halo data [FILE] --objective OBJECTIVE [--model FOLDER_OR_HUB_NAME] [--rows N] [--json] [--settings FILE] [--SETTING VALUE ...]

What `halo train OBJECTIVE` would read of the data, before anything is trained: rows kept, rows left out and why, labels, prompts and
lengths, what the template makes of a few rows (what is trained on in colour), memory and steps. Takes the settings of `halo train`.
--rows shows so many examples (default 2). Of a stream the first 1,000 examples are read. Nothing is written.
Exit code: 0; 1 if training on this data would be wrong; 2 for bad input.
"""
OWN = ("objective", "rows", "json", "settings", "config")
STREAMED = 1000
GIB = 2**30
LABELS = {True: "  (desirable)", False: "  (undesirable)", None: ""}
COLOURS = {"prompt": "dim", "chosen": "green", "rejected": "red", "untrained": "yellow"}


def run(arguments: list[str]) -> int:
    """Prints the report."""
    bare = {"json", *(name for name in Settings.model_fields if is_flag(name))}
    given = split(arguments, {*Settings.model_fields, *ALIASES, *OWN}, lambda name: name in bare)
    if given.help:
        print(HELP, end="")
        return 0
    rows = _rows(given.flags.pop("--rows", None) or "2")
    as_json = given.flags.pop("--json", "") is None
    compiled = compile_source(_objective(given), given.parameters, find_objective)
    settings = _settings(given, compiled)
    said = [f"settings   {line}" for line in [borrowed(settings.model_dump())] if line]
    quieten()
    template, examples, report = _examples(compiled, settings, said.append)
    from halo.training.run.estimate import estimate

    found = inspect(examples, template, compiled.parameters, compiled.graph.feedback, _epoch(examples, settings))
    found.notes.extend(report.oddities(template))
    size = settings.per_device_train_batch_size
    guess = estimate(str(settings.model_name_or_path), settings, compiled.graph.needs, size * found.heavy)
    if as_json:
        more = {"kept": report.kept, "left_out": report.dropped, "special_tokens": report.special, "memory": asdict(guess), "said": said}
        print(json.dumps(asdict(found) | more, indent=1))
    else:
        print(visible("\n".join([*said, *_text(found, report), *_costs(found, guess, settings), ""])))
        _show(examples[:rows], template)
        print(visible("\n".join([f"note       {line}" for line in found.notes] + [f"problem    {line}" for line in found.problems])))
    return int(bool(found.problems))


def _rows(text: str) -> int:
    if not text.isdecimal():
        raise SettingsError("wrong-value", f"{text!r} is no number of rows", place=Place("--rows"), hint="such as --rows 5")
    return int(text)


def _objective(given: Arguments) -> str:
    name = given.flags.pop("--objective", None)
    if not name:
        raise SettingsError("missing-key", "expected --objective, which says what is read of a row", hint="such as --objective dpo")
    return name


def _settings(given: Arguments, compiled: CompiledObjective) -> Settings:
    if len(given.words) > 1 or (given.words and given.flags.keys() & {"--data", "--dataset"}):
        raise SettingsError("wrong-value", "expected one file", hint="several sets stand in one word, with commas: a.jsonl,b.jsonl")
    if given.words:
        given.flags["--data"] = given.words[0]
    return settings_of(given, compiled)


def _examples(compiled: CompiledObjective, settings: Settings, say: Any) -> tuple[Template, Sequence[TokenizedExample], Report]:
    from halo.training.model.loading import load_tokenizer

    tokenizer = load_tokenizer(str(settings.model_name_or_path), settings)
    template = Template.of(tokenizer, settings.chat_template, settings.loss_on, settings.special_tokens)
    way = "the chat template of the tokenizer" if template.chat else "none: prompt and completion are joined as they are"
    say(f"template   {way}")
    if settings.streaming:
        stream = load_data(compiled, settings, template, say).stream
        assert stream is not None
        return template, list(islice(stream, STREAMED)), stream.report
    examples, _ = training_and_held_out(compiled, settings, say)
    found, report = tokenized(examples, compiled, settings, template, lambda line: print(line, file=sys.stderr))
    return template, found, report


def _epoch(examples: Sequence[TokenizedExample], settings: Settings) -> list[TokenizedExample] | None:
    """What the first epoch sees, where weights make that something else than every example once."""
    mix = Schedule.of(settings, examples, 1).mix
    if settings.streaming or not mix.weights:
        return None
    return [examples[i] for i in mix.epoch(0)]


# -- text --------------------------------------------------------------------------------------------------------------


def _text(found: Inspection, report: Report) -> list[str]:
    lines = [f"kept       {report.kept} examples, {found.prompts} different prompts"]
    lines += [f"left out   {count} {why}, the first: {report.first[why]}" for why, count in report.dropped.most_common()]
    if any(found.labels):
        lines.append(f"labels     {found.labels[0]} desirable, {found.labels[1]} undesirable")
    lines.append(f"tokens     {found.tokens:,}, of which {found.scored:.0%} are trained on")
    heads = [f"{percent}%" for percent in PERCENTS if percent < 100] + ["longest"]
    lines.append("           " + " ".join(f"{head:>8}" for head in heads))
    lines += [f"  {name:<11}" + " ".join(f"{value:>8,}" for value in values)[2:] for name, values in found.lengths.items()]
    return lines


def _costs(found: Inspection, guess: Estimate, settings: Settings) -> list[str]:
    size = step_size(settings, 1)
    steps = ceil(found.examples / size)
    total = max(1, ceil(steps * settings.num_train_epochs))
    if settings.max_steps > 0:
        total = settings.max_steps
    time = f"steps      {total} of {size} examples on one device"
    if not settings.streaming:
        time += f", {steps} to an epoch"
    sizes = {name: value for name, value in asdict(guess).items() if name != "parameters"}
    parts = ", ".join(f"{name} {value / GIB:.1f}" for name, value in sizes.items() if value >= GIB / 20)  # less would be shown as 0.0
    memory = f"memory     about {guess.total / GIB:.1f} GiB at the longest steps, for {guess.parameters:,} parameters"
    return [time, ": ".join(filter(None, [memory, parts]))]


def _show(examples: Sequence[TokenizedExample], template: Template) -> None:
    """Rows with what is trained on in colour; without colours, what is not trained on inside a completion stands between « and »."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for example in examples:
        console.print(Text(visible(f"{example.place}{LABELS[example.desirable]}")))
        prompt_shown = False
        for slot, tails in example.tails.items():
            for tail in tails:
                (_, prompt), *rest = parts_of(tail, example.prefix, template.tokenizer)
                if not prompt_shown or slot == "mismatched":
                    console.print(Text(f"  {'prompt':<11}") + Text(_flat(prompt), style=COLOURS["prompt"]))
                    prompt_shown = True
                colour = COLOURS["chosen"]
                if slot == "rejected" or example.desirable is False:
                    colour = COLOURS["rejected"]
                line = Text(f"  {slot:<11}")
                for part, text in rest:
                    plain = _flat(text)
                    if part == "trained":
                        line += Text(plain, style=colour)
                    elif console.is_terminal:
                        line += Text(plain, style=COLOURS["untrained"])
                    else:
                        line += Text(f"«{plain}»", style=COLOURS["untrained"])
                console.print(line)
    console.print()


def _flat(text: str) -> str:
    return visible(text.replace("\n", "\\n"))
