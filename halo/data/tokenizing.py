"""Examples -> token ids with a verified mask of what is scored.

Prompt and completion are tokenized jointly and offsets decide the boundary, so that no merge across it is lost or
scored wrongly. The completion ends with the end-of-sequence token, which is scored. Nothing is ever cut: an example that
is too long is left out, with a count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from halo.data.columns import Numbers, Wanted, of_completion, of_example
from halo.data.examples import Example, Text
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

    @property
    def longest(self) -> int:
        """Tokens of the longest row."""
        return len(self.prefix) + max(len(tail.ids) for tails in self.tails.values() for tail in tails)


@dataclass(frozen=True)
class Template:
    """How texts become model input: the tokenizer, and whether prompts go through its chat template."""

    tokenizer: Any
    chat: bool

    @classmethod
    def of(cls, tokenizer: Any, mode: str) -> Template:
        """`mode` is auto, always or never. Raises ModelError where a template is wanted and there is none."""
        has = getattr(tokenizer, "chat_template", None) is not None
        if mode == "always" and not has:
            raise ModelError("model", "the tokenizer has no chat template", hint="use --chat-template never, or another tokenizer")
        if tokenizer.eos_token_id is None:
            raise ModelError("model", "the tokenizer has no end-of-sequence token", hint="set eos_token in its configuration")
        return cls(tokenizer, has and mode != "never")

    def rendered(self, prompt: Text, completion: Text, control: str = "") -> tuple[str, str]:
        """Prompt text and whole text, the end-of-sequence token written out at the end."""
        eos = self.tokenizer.eos_token
        if not self.chat and isinstance(prompt, str) and isinstance(completion, str):
            return prompt + control, prompt + control + completion.removesuffix(eos) + eos
        if not self.chat:
            raise DataError("data-format", "the data holds chat messages", hint="use a tokenizer with a chat template")
        head = self.prompt(prompt)
        turns = _messages(prompt, "user") + _messages(completion, "assistant")
        whole = self.tokenizer.apply_chat_template(turns, tokenize=False)
        if not whole.startswith(head):
            raise ModelError("model", "the chat template does not write the prompt as the beginning of the conversation")
        answer = whole[len(head) :].rstrip()
        return head + control, head + control + (answer if answer.endswith(eos) else answer + eos)

    def prompt(self, prompt: Text) -> str:
        """The text after which the model is to answer."""
        if not self.chat:
            assert isinstance(prompt, str)
            return prompt
        text: str = self.tokenizer.apply_chat_template(_messages(prompt, "user"), tokenize=False, add_generation_prompt=True)
        return text

    def ids(self, text: str) -> tuple[list[int], list[int]]:
        """Token ids and the character each ends before, with one BOS if the tokenizer is used with one."""
        if not self.tokenizer.is_fast:
            raise ModelError("model", "the tokenizer gives no character offsets (it is not a fast one)", hint="convert it with use_fast")
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids, ends = list(encoded["input_ids"]), [end for _, end in encoded["offset_mapping"]]
        bos = self.tokenizer.bos_token_id
        wanted = bos is not None and self.tokenizer("a")["input_ids"][:1] == [bos]
        if wanted and ids[:1] != [bos]:
            ids, ends = [bos, *ids], [0, *ends]
        return ids, ends


def _messages(text: Text, role: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}] if isinstance(text, str) else [dict(m) for m in text]


@dataclass
class Report:
    """What tokenizing left out, and why."""

    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

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
    rows: dict[str, list[tuple[list[int], int]]] = {}
    word = control.get("desirable" if example.desirable else "undesirable", "") if example.desirable is not None else ""
    for slot, completions in texts.items():
        for completion in completions:
            if not completion or (isinstance(completion, str) and not completion.strip()):
                return "with an empty completion"
            rows.setdefault(slot, []).append(_row(template, example.prompt, completion, word))
    flat = [row for group in rows.values() for row in group]
    if max_length is not None and max(len(ids) for ids, _ in flat) > max_length:
        return (
            f"longer than max_length {max_length}"
            if min(first for _, first in flat) < max_length
            else f"with a prompt longer than max_length {max_length}"
        )
    result = _shared(example, rows, flat)
    if not columns:
        return result
    counts = {slot: [len(ids) - first for ids, first in group] for slot, group in rows.items()}
    counts |= {"prompt": [len(result.prefix)]} if "prompt" in slots else {}
    other = mismatched[1] if mismatched is not None else None
    own = {s: tuple(of_completion(example, s, _place_of(s, k), n, columns, other) for k, n in enumerate(c)) for s, c in counts.items()}
    return replace(result, columns=of_example(example, columns), own=own)


def _place_of(slot: str, index: int) -> int:
    """Which of the example's completions a slot's is."""
    return 1 if slot == "rejected" else index


def _texts_by_slot(example: Example, slots: tuple[str, ...]) -> dict[str, tuple[Text, ...]]:
    own = {"paired": ("chosen", "rejected")}.get(example.kind, ("completion",))
    if example.kind == "paired":
        texts: dict[str, tuple[Text, ...]] = dict(zip(own, ((c,) for c in example.completions), strict=True))
    else:
        texts = {"completion": example.completions}
    for slot in slots:
        if slot in own or slot in ("mismatched", "prompt"):
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


def _row(template: Template, prompt: Text, completion: Text, control: str) -> tuple[list[int], int]:
    """Ids of the whole row and the index of its first scored token."""
    head, whole = template.rendered(prompt, completion, control)
    ids, ends = template.ids(whole)
    # a token that straddles the boundary is scored: it is what the model must produce
    first = next((i for i, end in enumerate(ends) if end > len(head)), len(ids))
    return ids, max(first, 1)


def _shared(example: Example, rows: Mapping[str, list[tuple[list[int], int]]], flat: list[tuple[list[int], int]]) -> TokenizedExample:
    """Splits off the longest common prefix; its last token is repeated at the head of every tail."""
    limit = min(first for _, first in flat)
    common = next((i for i in range(limit) if len({tuple(ids[i : i + 1]) for ids, _ in flat}) > 1), limit)
    cut = max(common - 1, 0)
    tails = {
        slot: tuple(Tail(tuple(ids[cut:]), tuple(i >= first for i in range(cut, len(ids)))) for ids, first in group)
        for slot, group in rows.items()
    }
    return TokenizedExample(
        tuple(flat[0][0][:cut]), tails, example.place, str(example.prompt), example.desirable, example.ranks
    )
