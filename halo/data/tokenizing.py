"""Examples -> token ids with a verified mask of what is scored, as a `Preparation` says.

Prompt and completion are tokenized jointly and offsets decide the boundary, so that no merge across it is lost or
scored wrongly. The completion ends with the end-of-sequence token, which is scored. Nothing is ever cut: an example that
is too long is left out, with a count.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from halo.compiler.pipeline import CompiledObjective
from halo.data.columns import Wanted, of_completion, of_example, wanted_columns
from halo.data.examples import Example, Message, Text, pictured, written
from halo.data.ids.columns import Ids
from halo.data.ids.rows import TokenRow, check_prompt, placed, row_of_ids, with_logps
from halo.data.text.specials import texts
from halo.data.text.template import Template
from halo.data.tokenized import Numbers, Tail, TokenizedExample
from halo.errors import DataError, Place
from halo.objective.feedback import Feedback

CHARACTERS, LONG, MARGIN = 16, 10_000, 32
"""Of a text, so many characters for each token that is allowed, and so many more, are looked at first; where the text is cut there, the
last tokens may be others."""


@dataclass(frozen=True)
class Preparation:
    """How examples become what is trained on: what the objective wants of them, and how the run makes ids of them.

    feedback    the kind that the examples are, or are converted to
    slots       the groups of completions whose log-probs the loss reads; `prompt` and extra texts among them
    template    how texts become model input
    control     by label a text that follows the prompt and is not scored
    columns     the numbers of a row that the loss reads
    max_length  tokens of the longest row that is kept; None keeps all
    seed        of what is drawn at random: mismatched completions, the order of a stream
    ids         whether ids that a sampler wrote are trained on as they are; else its texts are made ids again
    """

    feedback: Feedback
    slots: tuple[str, ...]
    template: Template
    control: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[Wanted, ...] = ()
    max_length: int | None = None
    seed: int = 0
    ids: bool = True

    @classmethod
    def of(cls, compiled: CompiledObjective, template: Template, max_length: int | None, seed: int, ids: bool = True) -> Preparation:
        """What the objective wants, in a run with this template, limit and seed."""
        needs = compiled.graph.needs
        columns = wanted_columns(compiled.objective.declaration.columns, needs)
        return cls(compiled.graph.feedback, tuple(needs.slots), template, needs.control, columns, max_length, seed, ids)

    @property
    def draws(self) -> bool:
        """Whether each example gets the completion of another prompt."""
        return "mismatched" in self.slots

    def control_of(self, example: Example) -> str:
        """The text that follows the example's prompt."""
        if example.desirable is None:
            return ""
        return self.control.get("desirable" if example.desirable else "undesirable", "")


@dataclass
class Report:
    """What tokenizing left out, and why, and what is odd in what it kept; `first` is where each of them was met first.

    special  examples that hold a special token in what somebody wrote, by token
    asking   examples whose completion holds what marks a turn of the user, by mark
    """

    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    special: Counter[str] = field(default_factory=Counter)
    asking: Counter[str] = field(default_factory=Counter)
    first: dict[str, Place] = field(default_factory=dict)

    def drop(self, why: str, place: Place) -> None:
        """Counts an example that is left out."""
        self.dropped[why] += 1
        self.first.setdefault(why, place)

    def keep(self, example: Example, how: Preparation) -> None:
        """Counts an example that is trained on."""
        self.kept += 1
        template, others = how.template, (text for role, text in example.texts.items() if role in how.slots)
        completions = [template.unended(text) for text in (*example.completions, *others)]
        for token in template.specials.within((example.prompt, completions, example.tools)):
            self.special[token] += 1
            self.first.setdefault(token, example.place)
        for mark in template.asking:
            if any(mark in text for text in texts(completions)):
                self.asking[mark] += 1
                self.first.setdefault(mark, example.place)

    def oddities(self, template: Template) -> list[str]:
        """What one should know of the texts that are trained on, one sentence each."""
        done = {"keep": "they are read as these tokens (--special-tokens keep)", "split": "they are read as text (--special-tokens split)"}
        said = []
        if self.special:
            named = ", ".join(f"{token} in {count}" for token, count in self.special.most_common(5))
            place = self.first[next(iter(self.special))]
            said.append(f"special tokens stand in the text of examples, the first in {place}: {named}; {done[template.special]}")
        for mark, count in self.asking.items():
            said.append(f"{count} examples have a completion that holds {mark!r}, a turn of the user inside the answer: {self.first[mark]}")
        return said

    def __str__(self) -> str:
        reasons = ", ".join(f"{count} {why}" for why, count in self.dropped.most_common())
        if not reasons:
            return f"{self.kept} examples"
        return f"{self.kept} examples; left out: {reasons}"


@dataclass(frozen=True)
class Mismatched:
    """The completion of another prompt: its text, its columns, and its ids where a sampler wrote it."""

    text: Text
    columns: Mapping[str, Any]
    ids: Ids | None = None


def tokenize(example: Example, how: Preparation, mismatched: Mismatched | None = None) -> TokenizedExample | str:
    """One example (with a completion of another prompt, if given), or the reason why it is left out.

    Raises DataError for a column that is wanted and that the row lacks, or that is not what was declared.
    """
    beside = _tensors(example, how.template)
    if _is_far_too_long(example.prompt, how):
        return _too_long(sys.maxsize, sys.maxsize, how.max_length)
    if not example.completions:
        with placed(example):
            return _prompt_alone(example, how, beside)
    if how.ids:
        check_prompt(example, how.template, how.control_of(example))
    by_slot = _texts_by_slot(example, how.slots)
    if any(_is_far_too_long(text, how) for group in by_slot.values() for text in group):
        return _too_long(sys.maxsize, 0, how.max_length)
    if mismatched is not None:
        by_slot["mismatched"] = (mismatched.text,)
    rows: dict[str, list[TokenRow]] = {}
    for slot, completions in by_slot.items():
        for place, completion in enumerate(completions):
            if why := _unusable(completion, how.template.tokenizer.eos_token):
                return why
            sampled: TokenRow | None = None
            if how.ids:
                sampled = row_of_ids(example, slot, place, completion, how.template, mismatched.ids if mismatched else None)
            row = sampled or _row(how.template, example, completion, how.control_of(example))
            if row.first == len(row.ids):
                return "with a completion of which the chat template writes nothing"
            rows.setdefault(slot, []).append(row)
    flat = [row for group in rows.values() for row in group]
    if why := _too_long(max(len(row.ids) for row in flat), min(row.first for row in flat), how.max_length):
        return why
    result = with_logps(_shared(example, rows, flat, beside), example)
    if not how.columns:
        return result
    other = mismatched.columns if mismatched is not None else None
    own = _own_columns(example, how, rows, len(result.prefix), other)
    for slot, numbers in result.own.items():
        own[slot] = tuple({**before, **now} for before, now in zip(numbers, own[slot], strict=True))
    return replace(result, columns=of_example(example, how.columns), own=own)


def _prompt_alone(example: Example, how: Preparation, beside: Mapping[str, Any]) -> TokenizedExample | str:
    """A prompt that a sampler is to answer: exactly the ids that a completion would follow in training."""
    ids = how.template.prompt_ids(example.prompt, example.tools)
    if why := _too_long(len(ids), len(ids), how.max_length):
        return why
    return TokenizedExample(tuple(ids), {}, example.place, example.prompt_key, source=example.source, id=example.id, tensors=beside)


def _is_far_too_long(text: Text, how: Preparation) -> bool:
    """Whether the beginning of a very long text alone has too many tokens: then the rest is not tokenized."""
    if how.max_length is None:
        return False
    raw = text if isinstance(text, str) else "".join(written(turn.get("content") or "") for turn in text)
    enough = CHARACTERS * how.max_length + LONG
    if len(raw) <= enough:
        return False
    return len(how.template.tokenizer(raw[:enough], add_special_tokens=False)["input_ids"]) > how.max_length + MARGIN


def _too_long(longest: int, prompt: int, limit: int | None) -> str:
    """Why an example is left out whose longest row, and whose prompt, have so many tokens; or nothing."""
    if limit is None or longest <= limit:
        return ""
    what = "longer" if prompt < limit else "with a prompt longer"
    return f"{what} than max_length {limit}"


def _tensors(example: Example, template: Template) -> Mapping[str, Any]:
    """What the model reads beside ids. Raises DataError for images and the like that it does not read."""
    parts = [part for text in (example.prompt, *example.completions) for part in pictured(text)]
    if not parts:
        return {}
    if template.tensors is None:
        hint = "leave these parts out, or take a model that reads them"
        raise DataError("data-row", f"a message holds {parts[0]['type']}, and the model reads text", place=example.place, hint=hint)
    return template.tensors(parts)


def _own_columns(
    example: Example, how: Preparation, rows: Mapping[str, list[TokenRow]], prompt: int, mismatched: Mapping[str, Any] | None
) -> dict[str, tuple[Numbers, ...]]:
    """By slot, for each completion its own numbers; the prompt has so many scored tokens."""
    counts = {slot: [sum(row.scored) for row in group] for slot, group in rows.items()}
    if "prompt" in how.slots:
        counts["prompt"] = [prompt]
    own: dict[str, tuple[Numbers, ...]] = {}
    for slot, sizes in counts.items():
        found = []
        for index, size in enumerate(sizes):
            place = example.kind.place_of(slot, index)
            found.append(of_completion(example, slot, place, size, how.columns, mismatched))
        own[slot] = tuple(found)
    return own


def _texts_by_slot(example: Example, slots: tuple[str, ...]) -> dict[str, tuple[Text, ...]]:
    kind = example.kind
    if kind.is_list:
        found: dict[str, tuple[Text, ...]] = {kind.completions[0]: example.completions}
    else:
        found = {slot: (text,) for slot, text in zip(kind.completions, example.completions, strict=True)}
    for slot in slots:
        if slot in kind.completions or slot in ("mismatched", "prompt"):
            continue
        if slot not in example.texts:
            raise DataError(
                "data-row",
                f"the objective needs the text column {slot!r}",
                place=example.place,
                hint=f"the row has {', '.join(example.texts) or 'none'}",
            )
        found[slot] = (example.texts[slot],)
    return {slot: value for slot, value in found.items() if slot in slots}


def _unusable(completion: Text, eos: str) -> str:
    """Why a completion cannot be trained on, or nothing."""
    last: Message = {"role": "assistant", "content": completion}
    if not isinstance(completion, str):
        last = next(reversed(completion), {"role": "assistant", "content": ""})
    if last["role"] != "assistant":
        return "with a completion that does not end with the assistant"
    if written(last["content"]).removesuffix(eos).strip() or last.get("tool_calls"):
        return ""
    return "with an empty completion"


def _row(template: Template, example: Example, completion: Text, control: str) -> TokenRow:
    with placed(example):
        rendered = template.rendered(example.prompt, completion, control, example.tools)
        ids, places = template.ids(rendered.text, rendered.guarded)
    # a token that straddles the boundary is scored: it is what the model must produce
    scored = [any(high > begin and low < end for begin, end in rendered.spans) for low, high in places]
    scored[0] = False
    first = next((place for place, counts in enumerate(scored) if counts), len(ids))
    return TokenRow(ids, scored, first)


def _shared(example: Example, rows: Mapping[str, list[TokenRow]], flat: Sequence[TokenRow], beside: Mapping[str, Any]) -> TokenizedExample:
    """Splits off the longest common prefix; its last token is repeated at the head of every tail."""
    limit = min(row.first for row in flat)
    common = next((i for i in range(limit) if len({tuple(row.ids[i : i + 1]) for row in flat}) > 1), limit)
    cut = max(common - 1, 0)
    tails = {slot: tuple(_tail(row, cut) for row in group) for slot, group in rows.items()}
    prefix, key = tuple(flat[0].ids[:cut]), example.prompt_key
    marks: dict[str, Any] = {"desirable": example.desirable, "ranks": example.ranks, "source": example.source, "id": example.id}
    marks["origin"] = "ids" if any(row.finish for row in flat) else "text"
    return TokenizedExample(prefix, tails, example.place, key, tensors=beside, **marks)


def _tail(row: TokenRow, cut: int) -> Tail:
    return Tail(tuple(row.ids[cut:]), tuple(row.scored[cut:]), row.finish, row.temperature)
