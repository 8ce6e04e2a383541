"""Examples -> the tokenized training set: filtered with counts, mismatched completions drawn, split by seed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from halo.data.columns import Wanted
from halo.data.examples import Example
from halo.data.tokenizing import Report, Template, TokenizedExample, tokenize
from halo.errors import DataError

TRIES = 50


def prepare(
    examples: Sequence[Example],
    template: Template,
    slots: tuple[str, ...],
    control: Mapping[str, str],
    max_length: int | None,
    seed: int,
    columns: Sequence[Wanted] = (),
) -> tuple[list[TokenizedExample], Report]:
    """Tokenizes all examples, with the `columns` wanted; gives each its mismatched completion if `slots` asks for one. Raises DataError."""
    report = Report()
    kept: list[tuple[Example, TokenizedExample]] = []
    for example in examples:
        result = usable(example, template, slots, control, max_length, columns)
        if isinstance(result, str):
            report.drop(result, example.place)
        else:
            kept.append((example, result))
    report.kept = len(kept)
    if not kept:
        raise DataError(
            "no-rows",
            f"no example is left to train on ({report})",
            place=examples[0].place if examples else None,
            hint="raise --max-length, or look at the data",
        )
    if "mismatched" in slots:
        return _with_mismatched(kept, template, slots, control, max_length, seed, columns), report
    return [tokenized for _, tokenized in kept], report


def usable(
    example: Example, template: Template, slots: tuple[str, ...], control: Mapping[str, str], max_length: int | None, columns: Sequence[Wanted]
) -> TokenizedExample | str:
    """The example as ids, its mismatched completion left open, or the reason why it cannot be trained on. Raises DataError."""
    if example.kind.is_pair and example.completions[0] == example.completions[1]:
        return "pairs of identical completions"
    return tokenize(example, template, slots, control, max_length, columns=columns)


def _with_mismatched(
    kept: list[tuple[Example, TokenizedExample]],
    template: Template,
    slots: tuple[str, ...],
    control: Mapping[str, str],
    max_length: int | None,
    seed: int,
    columns: Sequence[Wanted],
) -> list[TokenizedExample]:
    """Draws for each example, once and from the seed, the completion of an example with another prompt.

    It is one more completion of the example (slot `mismatched`), so it depends on neither batch size nor ranks. One
    that would be too long is drawn again.
    """
    rng, rests = random.Random(f"mismatched {seed}"), dict[str, list[Example]]()

    def completed(example: Example, own: TokenizedExample) -> TokenizedExample:
        return with_mismatched(example, own, kept, rng, template, slots, control, max_length, columns, rests)

    return [completed(example, own) for example, own in kept]


def with_mismatched(
    example: Example,
    own: TokenizedExample,
    others: Sequence[tuple[Example, TokenizedExample]],
    rng: random.Random,
    template: Template,
    slots: tuple[str, ...],
    control: Mapping[str, str],
    max_length: int | None,
    columns: Sequence[Wanted] = (),
    rests: dict[str, list[Example]] | None = None,
) -> TokenizedExample:
    """The example with the completion of one of the others, of another prompt. Raises DataError if there is none that fits.

    `rests` keeps, as long as the others are the same, those that are of another prompt than a common one.
    """
    for _ in range(TRIES):
        other = _of_another_prompt(own, others, rng, {} if rests is None else rests)
        if other is None:
            message = "a mismatched completion needs a second prompt, and all examples have the same"
            raise DataError("no-rows", message, place=example.place, hint="the reference point is measured on answers to other prompts")
        drawn = (other.completions[0], other.own[0] if other.own else {})
        joined = tokenize(example, template, slots, control, max_length, drawn, columns)
        if not isinstance(joined, str):
            return joined
    message = f"none of {TRIES} completions of other prompts fits after this prompt within max_length {max_length}"
    raise DataError("no-rows", message, place=example.place, hint="raise --max-length")


def _of_another_prompt(
    own: TokenizedExample, others: Sequence[tuple[Example, TokenizedExample]], rng: random.Random, rests: dict[str, list[Example]]
) -> Example | None:
    """One of the others at random; the few of another prompt are looked for one by one only where most have the same."""
    for _ in range(TRIES):
        example, tokenized = others[rng.randrange(len(others))]
        if tokenized.prompt_key != own.prompt_key:
            return example
    if own.prompt_key not in rests:
        rests[own.prompt_key] = [example for example, tokenized in others if tokenized.prompt_key != own.prompt_key]
    rest = rests[own.prompt_key]
    return rng.choice(rest) if rest else None


def split(examples: Sequence[Example], fraction: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Training and evaluation examples; rows of one prompt stay on one side."""
    prompts = sorted({example.prompt_key for example in examples})
    random.Random(f"split {seed}").shuffle(prompts)
    held_out = set(prompts[: round(len(prompts) * fraction)])
    train = [example for example in examples if example.prompt_key not in held_out]
    return train, [example for example in examples if example.prompt_key in held_out]
