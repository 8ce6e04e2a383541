"""The text that a model reads for a prompt and its completion, and which of its characters are trained on.

The chat template writes it, where there is one. Of a completion of several turns the assistant's are trained on, all of them
or the last one; what a tool or the user says in between never is. Special tokens that stand in what somebody wrote are text, unless they
are to be kept (see `halo.data.text.specials`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Any, Literal

from halo.data.examples import Message, Part, Text
from halo.data.formats import messages_of
from halo.data.text.specials import Specials
from halo.errors import DataError, ModelError
from halo.limits import BYTES, SECONDS, TooLong, limited

HH_ASKS = ("\n\nHuman:",)
"""How transcripts without a chat template mark a turn of the user."""


@dataclass(frozen=True)
class Rendered:
    """The text that the model reads, and which of its characters are scored; guarded: private characters stand for special
    tokens in it."""

    text: str
    spans: tuple[tuple[int, float], ...]
    guarded: bool = False


Special = Literal["split", "keep", "refuse"]
"""What becomes of special tokens in the text of a row: they are text, or tokens all the same, or the run ends."""


@dataclass(frozen=True)
class Template:
    """How texts become model input: the tokenizer, whether prompts go through its chat template, which turns are scored.

    special  what becomes of special tokens that stand in the texts
    tensors  what reads the parts of messages that are no text: a conversation's -> what the model takes beside ids, by the name of its
             argument, as `TokenizedExample.tensors`. None: the model reads text
    """

    tokenizer: Any
    chat: bool
    loss_on: Literal["all", "last"] = "all"
    tensors: Callable[[Sequence[Part]], Mapping[str, Any]] | None = None
    special: Special = "split"

    @classmethod
    def of(
        cls, tokenizer: Any, mode: str, loss_on: Literal["all", "last"] = "all", special: Special | Literal["auto"] = "auto"
    ) -> Template:
        """`mode` is auto, always or never. Special tokens are text by default, unless a template that there is shall never be used: then
        the rows hold what it would write. Raises ModelError where a template is wanted and there is none.
        """
        has = getattr(tokenizer, "chat_template", None) is not None
        if mode == "always" and not has:
            raise ModelError("model", "the tokenizer has no chat template", hint="use --chat-template never, or another tokenizer")
        if tokenizer.eos_token_id is None:
            raise ModelError("model", "the tokenizer has no end-of-sequence token", hint="set eos_token in its configuration")
        if special == "auto":
            special = "keep" if has and mode == "never" else "split"
        return cls(tokenizer, has and mode != "never", loss_on, special=special)

    @cached_property
    def specials(self) -> Specials:
        """The tokenizer's special tokens."""
        return Specials(self.tokenizer)

    def rendered(self, prompt: Text, completion: Text, control: str = "", tools: Sequence[Mapping[str, Any]] = ()) -> Rendered:
        """Prompt and completion as one text, the end-of-sequence token written out at the end. Raises ModelError, DataError."""
        completion = self.unended(completion)
        prompt, completion, tools, guarded = self._guarded(prompt, completion, tools)
        with _bounded():
            text, spans = self._rendered(prompt, completion, control, tools)
        return Rendered(text, spans, guarded)

    def _guarded(self, *values: Any) -> tuple[Any, ...]:
        """The values with their special tokens guarded where these are to be text, and whether there are any. Raises DataError."""
        if self.special == "keep":
            return *values, False
        found = self.specials.within(values)
        if not found:
            return *values, False
        if self.special == "refuse":
            hint = "--special-tokens split reads it as text, keep as the token"
            raise DataError("data-row", f"a text holds the special token {next(iter(found))!r}", hint=hint)
        if self.specials.ambiguous(values):
            hint = "--special-tokens keep reads special tokens as tokens"
            raise DataError("data-row", "a text holds special tokens beside characters of Unicode's private plane 15", hint=hint)
        return *(self.specials.guarded(value) for value in values), True

    def _rendered(
        self, prompt: Text, completion: Text, control: str, tools: Sequence[Mapping[str, Any]]
    ) -> tuple[str, tuple[tuple[int, float], ...]]:
        eos = self.tokenizer.eos_token
        plain = prompt == "" or not self.chat
        if plain and isinstance(prompt, str) and isinstance(completion, str):
            return prompt + control + completion + eos, ((len(prompt + control), inf),)
        if plain:
            raise DataError("data-format", "the data holds chat messages", hint="use a tokenizer with a chat template")
        asked = messages_of(prompt, "user")
        turns = (*asked, *messages_of(completion, "assistant"))
        scored = [k for k in range(len(asked), len(turns)) if turns[k]["role"] == "assistant"]
        if self.loss_on == "last":
            scored = scored[-1:]
        whole = self._conversation(turns, tools).rstrip()
        whole = whole.removesuffix(eos) + eos
        spans = [self._span(whole, turns, k, tools) for k in scored]
        spans[-1] = (spans[-1][0], inf)
        if control:
            at, step = len(self._beginning(whole, turns[: len(asked)], tools)), len(control)
            whole, spans = whole[:at] + control + whole[at:], [(low + step, high + step) for low, high in spans]
        return whole, tuple(spans)

    def unended(self, completion: Text) -> Text:
        """The completion without end-of-sequence tokens of its own: the template writes one, or it is added."""
        if isinstance(completion, str):
            return completion.removesuffix(self.tokenizer.eos_token)
        return tuple(map(self._unended, completion))

    def _unended(self, turn: Message) -> Message:
        content = turn.get("content")
        if not isinstance(content, str) or turn["role"] != "assistant":
            return turn
        return {**turn, "content": content.removesuffix(self.tokenizer.eos_token)}

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
        except MemoryError:
            raise
        except Exception as problem:  # raise_exception('...') in it, or an expression that this conversation has not the types for
            roles = ", ".join(str(turn["role"]) for turn in turns)
            raise ModelError("model", f"the chat template does not write this conversation ({roles}): {problem}") from None
        return text

    def prompt_ids(self, prompt: Text, tools: Sequence[Mapping[str, Any]] = (), control: str = "") -> list[int]:
        """The ids after which the model is to answer: exactly those that a completion would follow in training.

        Raises DataError for messages where there is no chat template.
        """
        plain = prompt == "" or not self.chat
        if plain and not isinstance(prompt, str):
            raise DataError("data-format", "the data holds chat messages", hint="use a tokenizer with a chat template")
        prompt, tools, guarded = self._guarded(prompt, tools)
        if plain:
            return self.ids(str(prompt) + control, guarded)[0]
        with _bounded():
            text = self._conversation(messages_of(prompt, "user"), tools, add_generation_prompt=True)
        return self.ids(text + control, guarded)[0]

    @cached_property
    def asking(self) -> tuple[str, ...]:
        """What marks a turn of the user and is plain text, as in `### Instruction:`: a message that holds it reads as two turns.

        Marks that are special tokens are none of them: of those a message cannot hold the token.
        """
        if not self.chat:
            return HH_ASKS
        said = (("user", "AAA"), ("assistant", "BBB"), ("user", "CCC"))
        turns = [{"role": role, "content": content} for role, content in said]
        try:
            with _bounded():
                between = self._conversation(turns, ()).partition("BBB")[2].partition("CCC")[0]
        except ModelError:
            return ()
        pieces = [between]
        for token in self.specials.tokens:
            pieces = [part for piece in pieces for part in piece.split(token)]
        return tuple(piece.strip() for piece in pieces if piece.strip() and not piece.strip().isalnum())

    def ids(self, text: str, guarded: bool = False) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids and the characters of each, with one BOS if the tokenizer is used with one; `guarded` as `Rendered` says."""
        if not self.tokenizer.is_fast:
            raise ModelError("model", "the tokenizer gives no character offsets (it is not a fast one)", hint="convert it with use_fast")
        if guarded:
            ids, places = self.specials.encoded(text)
        else:
            encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
            ids, places = list(encoded["input_ids"]), [(low, high) for low, high in encoded["offset_mapping"]]
        bos = self.tokenizer.bos_token_id
        wanted = bos is not None and self.tokenizer("a")["input_ids"][:1] == [bos]
        if wanted and ids[:1] != [bos]:
            ids, places = [bos, *ids], [(0, 0), *places]
        return ids, places


@contextmanager
def _bounded() -> Iterator[None]:
    """Around a chat template, which came with a model. Raises ModelError where it takes more than it may."""
    try:
        with limited():
            yield
    except (TooLong, MemoryError) as problem:
        what = f"takes longer than {SECONDS:.0f} s" if isinstance(problem, TooLong) else f"wants more than {BYTES / 2**30:.0f} GiB"
        hint = "look at its chat_template before you trust the model; --chat-template never does without"
        raise ModelError("model", f"the chat template {what} for one example", hint=hint) from None


def _rewritten() -> ModelError:
    message = "the chat template does not write the turns before an answer as the beginning of the conversation"
    hint = "what an answer follows would depend on what comes after it; use another template, or --loss-on last"
    return ModelError("model", message, hint=hint)
