"""Examples -> the tokenized training set: filtered with counts, mismatched completions drawn, split by seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from halo.data.examples import Example
from halo.data.tokenized import TokenizedExample
from halo.data.tokenizing import Mismatched, Preparation, Report, tokenize
from halo.errors import DataError
from halo.progress import counted

TRIES = 50  # draws before giving up: enough for a set in which a few rows in a hundred will do

Kept = tuple[Example, TokenizedExample]
"""An example with its ids, its mismatched completion left open."""


def prepare(
    examples: Sequence[Example], how: Preparation, say: Callable[[str], None] = lambda line: None
) -> tuple[list[TokenizedExample], Report]:
    """Tokenizes all examples and gives each its mismatched completion, if one is wanted. Raises DataError."""
    report = Report()
    kept: list[Kept] = []
    for example in counted(examples, "tokenized", say):
        result = usable(example, how)
        if isinstance(result, str):
            report.drop(result, example.place)
        else:
            kept.append((example, result))
            report.keep(example, how)
    if not kept:
        raise DataError(
            "no-rows",
            f"no example is left to train on ({report})",
            place=next((example.place for example in examples), None),
            hint="raise --max-length, or look at the data",
        )
    if not how.draws:
        return [tokenized for _, tokenized in kept], report
    draws = Draws(how, kept, random.Random(f"mismatched {how.seed}"))  # once and from the seed: neither batch size nor ranks matter
    return [draws.completed(*one) for one in kept], report


def usable(example: Example, how: Preparation) -> TokenizedExample | str:
    """The example as ids, its mismatched completion left open, or the reason why it cannot be trained on. Raises DataError."""
    if example.kind.is_pair and example.completions[0] == example.completions[1]:
        return "pairs of identical completions"
    return tokenize(example, how)


@dataclass
class Draws:
    """Draws for examples the completion of one of the others that has another prompt: it becomes their slot `mismatched`.

    elsewhere  for a prompt that most of the others have, those of another prompt: looked for once
    """

    how: Preparation
    others: Sequence[Kept]
    rng: random.Random
    elsewhere: dict[str, list[Example]] = field(default_factory=dict)

    def completed(self, example: Example, own: TokenizedExample) -> TokenizedExample:
        """The example with a completion that fits; one that would be too long is drawn again. Raises DataError if there is none."""
        for _ in range(TRIES):
            other = self._of_another_prompt(own)
            if other is None:
                message = "a mismatched completion needs a second prompt, and all examples have the same"
                raise DataError("no-rows", message, place=example.place, hint="the reference point is measured on answers to other prompts")
            drawn = Mismatched(other.completions[0], next(iter(other.own), {}), other.ids)
            joined = tokenize(example, self.how, drawn)
            if not isinstance(joined, str):
                return joined
        message = f"none of {TRIES} completions of other prompts fits after this prompt within max_length {self.how.max_length}"
        raise DataError("no-rows", message, place=example.place, hint="raise --max-length")

    def _of_another_prompt(self, own: TokenizedExample) -> Example | None:
        """One of the others at random; the few of another prompt are looked for one by one only where most have the same."""
        for _ in range(TRIES):
            example, tokenized = self.others[self.rng.randrange(len(self.others))]
            if tokenized.prompt_key != own.prompt_key:
                return example
        if own.prompt_key not in self.elsewhere:
            self.elsewhere[own.prompt_key] = [example for example, tokenized in self.others if tokenized.prompt_key != own.prompt_key]
        rest = self.elsewhere[own.prompt_key]
        return self.rng.choice(rest) if rest else None


def split(examples: Sequence[Example], fraction: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Training and evaluation examples; rows of one prompt stay on one side."""
    prompts = sorted({example.prompt_key for example in examples})
    random.Random(f"split {seed}").shuffle(prompts)
    held_out = set(prompts[: round(len(prompts) * fraction)])
    train = [example for example in examples if example.prompt_key not in held_out]
    return train, [example for example in examples if example.prompt_key in held_out]
