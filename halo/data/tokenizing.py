"""Examples -> token ids with a verified mask of what is scored.

Prompt and completion are tokenized jointly and offsets decide the boundary, so that no merge across it is lost or
scored wrongly. The completion ends with the end-of-sequence token, which is scored. Of a completion of several turns the
assistant's are scored, all of them or the last one; what a tool or the user says in between never is. Nothing is ever
cut: an example that is too long is left out, with a count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, Literal

from halo.data.columns import Numbers, Wanted, of_completion, of_example
from halo.data.examples import Example, Message, Text
from halo.data.formats import messages_of
from halo.errors import DataError, ModelError, Place


@dataclass(frozen=True)
class Tail:
    """One completion: its ids start with the last token of the shared prefix; `scored` marks what counts."""

    ids: tuple[int, ...]
    scored: tuple[bool, ...]


@dataclass(frozen=True)
class TokenizedExample:
    """An example as ids. A whole row is `prefix + tail.ids`. `tails` maps a slot to its completions (several in a list).

    columns: the example's numbers that the objective wants; own: by slot, for each completion its own.
    ref_logps: the reference's log-probs where they are known beforehand, by slot, completion and scored token.
    source: the set that the example is of, where several are mixed.
    """

    prefix: tuple[int, ...]
    tails: Mapping[str, tuple[Tail, ...]]
    place: Place
    prompt_key: str
    desirable: bool | None = None
    ranks: tuple[int, ...] = ()
    columns: Mapping[str, float] = field(default_factory=dict)
    own: Mapping[str, tuple[Numbers, ...]] = field(default_factory=dict)
    ref_logps: Mapping[str, tuple[tuple[float, ...], ...]] | None = None
    source: str = ""

    @property
    def longest(self) -> int:
        """Tokens of the longest row."""
        return len(self.prefix) + max(len(tail.ids) for tails in self.tails.values() for tail in tails)


@dataclass(frozen=True)
class Rendered:
    """The text that the model reads, and which of its characters are scored."""

    text: str
    spans: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Template:
    """How texts become model input: the tokenizer, whether prompts go through its chat template, which turns are scored."""

    tokenizer: Any
    chat: bool
    loss_on: Literal["all", "last"] = "all"

    @classmethod
    def of(cls, tokenizer: Any, mode: str, loss_on: Literal["all", "last"] = "all") -> Template:
        """`mode` is auto, always or never. Raises ModelError where a template is wanted and there is none."""
        has = getattr(tokenizer, "chat_template", None) is not None
        if mode == "always" and not has:
            raise ModelError("model", "the tokenizer has no chat template", hint="use --chat-template never, or another tokenizer")
        if tokenizer.eos_token_id is None:
            raise ModelError("model", "the tokenizer has no end-of-sequence token", hint="set eos_token in its configuration")
        return cls(tokenizer, has and mode != "never", loss_on)

    def rendered(self, prompt: Text, completion: Text, control: str = "", tools: Sequence[Mapping[str, Any]] = ()) -> Rendered:
        """Prompt and completion as one text, the end-of-sequence token written out at the end."""
        eos = self.tokenizer.eos_token
        plain = prompt == "" or not self.chat
        if plain and isinstance(prompt, str) and isinstance(completion, str):
            return Rendered(prompt + control + completion.removesuffix(eos) + eos, ((len(prompt + control), inf),))
        if plain:
            raise DataError("data-format", "the data holds chat messages", hint="use a tokenizer with a chat template")
        asked = messages_of(prompt, "user")
        turns = (*asked, *(self._unended(turn) for turn in messages_of(completion, "assistant")))
        scored = [k for k in range(len(asked), len(turns)) if turns[k]["role"] == "assistant"]
        scored = scored[-1:] if self.loss_on == "last" else scored
        whole = self._conversation(turns, tools).rstrip()
        whole = whole if whole.endswith(eos) else whole + eos
        spans = [self._span(whole, turns, k, tools) for k in scored]
        spans[-1] = (spans[-1][0], inf)
        if control:
            at, step = len(self._beginning(whole, turns[: len(asked)], tools)), len(control)
            whole, spans = whole[:at] + control + whole[at:], [(low + step, high + step) for low, high in spans]
        return Rendered(whole, tuple(spans))

    def _unended(self, turn: Message) -> Message:
        """The turn without an end-of-sequence token of its own: the template writes one, or it is added."""
        content, eos = turn.get("content"), self.tokenizer.eos_token
        return {**turn, "content": content.removesuffix(eos)} if isinstance(content, str) and turn["role"] == "assistant" else turn

    def _span(self, whole: str, turns: Sequence[Message], k: int, tools: Sequence[Mapping[str, Any]]) -> tuple[int, float]:
        """The characters of an assistant's turn: behind what asks for it, with the mark that ends it."""
        low, end = len(self._beginning(whole, turns[:k], tools)), self._conversation(turns[: k + 1], tools).rstrip()
        if k + 1 < len(turns) and not whole.startswith(end):
            raise _rewritten()
        return low, len(end)

    def _beginning(self, whole: str, turns: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> str:
        head = self._conversation(turns, tools, add_generation_prompt=True)
        if not whole.startswith(head):
            raise _rewritten()
        return head

    def _conversation(self, turns: Sequence[Message], tools: Sequence[Mapping[str, Any]], **more: Any) -> str:
        try:
            text: str = self.tokenizer.apply_chat_template([dict(m) for m in turns], tools=list(tools) or None, tokenize=False, **more)
        except Exception as problem:  # raise_exception('...') in it, or an expression that this conversation has not the types for
            roles = ", ".join(str(turn["role"]) for turn in turns)
            raise ModelError("model", f"the chat template does not write this conversation ({roles}): {problem}") from None
        return text

    def prompt(self, prompt: Text) -> str:
        """The text after which the model is to answer."""
        if not self.chat:
            assert isinstance(prompt, str)
            return prompt
        return self._conversation(messages_of(prompt, "user"), (), add_generation_prompt=True)

    def ids(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids and the characters of each, with one BOS if the tokenizer is used with one."""
        if not self.tokenizer.is_fast:
            raise ModelError("model", "the tokenizer gives no character offsets (it is not a fast one)", hint="convert it with use_fast")
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids, places = list(encoded["input_ids"]), [(low, high) for low, high in encoded["offset_mapping"]]
        bos = self.tokenizer.bos_token_id
        wanted = bos is not None and self.tokenizer("a")["input_ids"][:1] == [bos]
        if wanted and ids[:1] != [bos]:
            ids, places = [bos, *ids], [(0, 0), *places]
        return ids, places


def _rewritten() -> ModelError:
    message = "the chat template does not write the turns before an answer as the beginning of the conversation"
    return ModelError("model", message, hint="what an answer follows would depend on what comes after it; use another template, or --loss-on last")


@dataclass
class Report:
    """What tokenizing left out, and why; `first` is where each reason was met first."""

    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    first: dict[str, Place] = field(default_factory=dict)

    def drop(self, why: str, place: Place) -> None:
        """Counts an example that is left out."""
        self.dropped[why] += 1
        self.first.setdefault(why, place)

    def __str__(self) -> str:
        reasons = ", ".join(f"{count} {why}" for why, count in self.dropped.most_common())
        return f"{self.kept} examples" + (f"; left out: {reasons}" if reasons else "")


def tokenize(
    example: Example,
    template: Template,
    slots: tuple[str, ...],
    control: Mapping[str, str],
    max_length: int | None,
    mismatched: tuple[Text, Mapping[str, Any]] | None = None,
    columns: Sequence[Wanted] = (),
) -> TokenizedExample | str:
    """One example (with a completion of another prompt and its columns, if given), or the reason why it is left out.

    Raises DataError for a column of `columns` that the row lacks or that is not what was declared.
    """
    texts = _texts_by_slot(example, slots)
    if mismatched is not None:
        texts["mismatched"] = (mismatched[0],)
    rows: dict[str, list[_Row]] = {}
    word = control.get("desirable" if example.desirable else "undesirable", "") if example.desirable is not None else ""
    for slot, completions in texts.items():
        for completion in completions:
            if why := _unusable(completion, template.tokenizer.eos_token):
                return why
            row = _row(template, example, completion, word)
            if row.first == len(row.ids):
                return "with a completion of which the chat template writes nothing"
            rows.setdefault(slot, []).append(row)
    flat = [row for group in rows.values() for row in group]
    if max_length is not None and max(len(row.ids) for row in flat) > max_length:
        return (
            f"longer than max_length {max_length}"
            if min(row.first for row in flat) < max_length
            else f"with a prompt longer than max_length {max_length}"
        )
    result = _shared(example, rows, flat)
    if not columns:
        return result
    counts = {slot: [sum(row.scored) for row in group] for slot, group in rows.items()}
    counts |= {"prompt": [len(result.prefix)]} if "prompt" in slots else {}
    other = mismatched[1] if mismatched is not None else None
    own = {}
    for slot, sizes in counts.items():
        places = [example.kind.place_of(slot, index) for index in range(len(sizes))]
        own[slot] = tuple(of_completion(example, slot, place, size, columns, other) for place, size in zip(places, sizes, strict=True))
    return replace(result, columns=of_example(example, columns), own=own)


def _texts_by_slot(example: Example, slots: tuple[str, ...]) -> dict[str, tuple[Text, ...]]:
    kind = example.kind
    if kind.is_list:
        texts: dict[str, tuple[Text, ...]] = {kind.completions[0]: example.completions}
    else:
        texts = {slot: (text,) for slot, text in zip(kind.completions, example.completions, strict=True)}
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
        texts[slot] = (example.texts[slot],)
    return {slot: value for slot, value in texts.items() if slot in slots}


def _unusable(completion: Text, eos: str) -> str:
    """Why a completion cannot be trained on, or nothing."""
    if isinstance(completion, str):
        return "" if completion.removesuffix(eos).strip() else "with an empty completion"
    last = completion[-1] if completion else {"role": "assistant", "content": ""}
    if last["role"] != "assistant":
        return "with a completion that does not end with the assistant"
    return "" if str(last["content"]).removesuffix(eos).strip() or last.get("tool_calls") else "with an empty completion"


@dataclass(frozen=True)
class _Row:
    """Ids of a whole row, which of them are scored, and the first that is (never the very first: nothing predicts it)."""

    ids: list[int]
    scored: list[bool]
    first: int


def _row(template: Template, example: Example, completion: Text, control: str) -> _Row:
    try:
        rendered = template.rendered(example.prompt, completion, control, example.tools)
    except (DataError, ModelError) as problem:
        raise type(problem)(problem.code, problem.message, place=problem.place or example.place, hint=problem.hint) from None
    ids, places = template.ids(rendered.text)
    # a token that straddles the boundary is scored: it is what the model must produce
    scored = [any(high > begin and low < end for begin, end in rendered.spans) for low, high in places]
    scored[0] = False
    return _Row(ids, scored, scored.index(True) if True in scored else len(ids))


def _shared(example: Example, rows: Mapping[str, list[_Row]], flat: list[_Row]) -> TokenizedExample:
    """Splits off the longest common prefix; its last token is repeated at the head of every tail."""
    limit = min(row.first for row in flat)
    common = next((i for i in range(limit) if len({tuple(row.ids[i : i + 1]) for row in flat}) > 1), limit)
    cut = max(common - 1, 0)
    tails = {slot: tuple(Tail(tuple(row.ids[cut:]), tuple(row.scored[cut:])) for row in group) for slot, group in rows.items()}
    prefix, key = tuple(flat[0].ids[:cut]), example.prompt_key
    return TokenizedExample(prefix, tails, example.place, key, example.desirable, example.ranks, source=example.source)
