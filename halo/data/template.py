"""The text that a model reads for a prompt and its completion, and which of its characters are trained on.

The chat template writes it, where there is one. Of a completion of several turns the assistant's are trained on, all of them
or the last one; what a tool or the user says in between never is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

from halo.data.examples import Message, Part, Text
from halo.data.formats import messages_of
from halo.errors import DataError, ModelError
from halo.limits import BYTES, SECONDS, TooLong, limited


@dataclass(frozen=True)
class Rendered:
    """The text that the model reads, and which of its characters are scored."""

    text: str
    spans: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Template:
    """How texts become model input: the tokenizer, whether prompts go through its chat template, which turns are scored.

    tensors  what reads the parts of messages that are no text: a conversation's -> what the model takes beside ids, by the name of its
             argument, as `TokenizedExample.tensors`. None: the model reads text
    """

    tokenizer: Any
    chat: bool
    loss_on: Literal["all", "last"] = "all"
    tensors: Callable[[Sequence[Part]], Mapping[str, Any]] | None = None

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
        """Prompt and completion as one text, the end-of-sequence token written out at the end. Raises ModelError, DataError."""
        with _bounded():
            return self._rendered(prompt, completion, control, tools)

    def _rendered(self, prompt: Text, completion: Text, control: str, tools: Sequence[Mapping[str, Any]]) -> Rendered:
        eos = self.tokenizer.eos_token
        plain = prompt == "" or not self.chat
        if plain and isinstance(prompt, str) and isinstance(completion, str):
            return Rendered(prompt + control + completion.removesuffix(eos) + eos, ((len(prompt + control), inf),))
        if plain:
            raise DataError("data-format", "the data holds chat messages", hint="use a tokenizer with a chat template")
        asked = messages_of(prompt, "user")
        turns = (*asked, *(self._unended(turn) for turn in messages_of(completion, "assistant")))
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
        return Rendered(whole, tuple(spans))

    def _unended(self, turn: Message) -> Message:
        """The turn without an end-of-sequence token of its own: the template writes one, or it is added."""
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

    def prompt(self, prompt: Text, tools: Sequence[Mapping[str, Any]] = ()) -> str:
        """The text after which the model is to answer. Raises DataError for messages where there is no chat template."""
        if self.chat:
            with _bounded():
                return self._conversation(messages_of(prompt, "user"), tools, add_generation_prompt=True)
        if isinstance(prompt, str):
            return prompt
        raise DataError("data-format", "the data holds chat messages", hint="use a tokenizer with a chat template")

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
