"""Special tokens that stand in the text of a row: found, counted, and read as the text that they are.

A chat template marks turns with special tokens. Where a message holds the same characters, tokenizing what the template wrote would make
turns of them that nobody took. So they are guarded while the template writes: each is replaced by as many private characters. Then a copy
of the tokenizer, which knows the template's own tokens by private characters instead, reads everything else as text. Lengths stay, so that
places of characters do; and every piece is tokenized where it stands, so that only the marks that nobody meant are others.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from halo.errors import DataError

PRIVATE = 0xF0000
"""The first of 65,534 characters that Unicode gives to nobody: one stands for each special token."""


@dataclass(frozen=True)
class Specials:
    """The special tokens of a (fast) tokenizer."""

    tokenizer: Any

    @cached_property
    def tokens(self) -> Mapping[str, int]:
        """Each one's id by its text."""
        known = self.tokenizer.added_tokens_decoder
        return {token.content: number for number, token in known.items() if token.special and token.content}

    @cached_property
    def _private(self) -> Mapping[str, str]:
        return {text: chr(PRIVATE + place) * len(text) for place, text in enumerate(self.tokens)}

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        longest_first = sorted(self.tokens, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    @cached_property
    def _both(self) -> re.Pattern[str]:
        """A special token, or the private characters of one."""
        words = sorted([*self.tokens, *self._private.values()], key=len, reverse=True)
        return re.compile("|".join(map(re.escape, words)))

    def within(self, value: Any) -> Counter[str]:
        """How often each stands in a text, or in all texts of messages, schemas and the like."""
        if self._pattern is None:
            return Counter()
        return Counter(found for text in texts(value) for found in self._pattern.findall(text))

    def ambiguous(self, value: Any) -> bool:
        """Whether the private characters stand in it already: then nothing can be guarded by them."""
        last = chr(PRIVATE + len(self.tokens))
        return any(chr(PRIVATE) <= letter < last for text in texts(value) for letter in text)

    def guarded(self, value: Any) -> Any:
        """The value with private characters for the special tokens in all its texts."""
        if isinstance(value, str) and self._pattern is not None:
            return self._pattern.sub(lambda found: self._private[found[0]], value)
        if isinstance(value, Mapping):
            return {self.guarded(key): self.guarded(held) for key, held in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self.guarded(held) for held in value)
        return value

    def encoded(self, guarded: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids and places of characters of a text that a template wrote around guarded ones: special are those that it wrote.

        Raises DataError where the tokenizer makes the token out of its letters too.
        """
        swapped = self._both.sub(lambda found: self._other[found[0]], guarded)
        encoding = self._reader.encode(swapped, add_special_tokens=False)
        merged = next((text for text, number in self.tokens.items() if number in encoding.ids), None)
        if merged is not None:
            hint = "--special-tokens keep reads it as the token"
            raise DataError("data-row", f"a text holds {merged!r}, which the tokenizer reads as its special token in any text", hint=hint)
        return [self._ids.get(number, number) for number in encoding.ids], list(encoding.offsets)

    @cached_property
    def _other(self) -> Mapping[str, str]:
        return {**self._private, **{private: text for text, private in self._private.items()}}

    @cached_property
    def _reader(self) -> Any:
        """A copy of the tokenizer in which private characters are the special tokens, and the special tokens' texts are text."""
        from tokenizers import AddedToken, Tokenizer

        reader = Tokenizer.from_str(self.tokenizer.backend_tokenizer.to_str())
        reader.no_truncation()
        reader.no_padding()
        known = self.tokenizer.added_tokens_decoder
        named = [(self._private[text], known[number]) for text, number in self.tokens.items()]
        reader.add_tokens([AddedToken(name, lstrip=of.lstrip, rstrip=of.rstrip, normalized=False) for name, of in named])
        reader.encode_special_tokens = True
        return reader

    @cached_property
    def _ids(self) -> Mapping[int, int]:
        """The special token's id for the id of the private characters that stand for it."""
        return {self._reader.token_to_id(self._private[text]): number for text, number in self.tokens.items()}


def texts(value: Any) -> Iterator[str]:
    """Every text in a value, names of entries too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, held in value.items():
            yield from texts(key)
            yield from texts(held)
    elif isinstance(value, list | tuple):
        for held in value:
            yield from texts(held)
