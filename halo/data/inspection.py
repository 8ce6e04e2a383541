"""What a training set holds, and what would go wrong with it: numbers for a dry run. Nothing is changed or written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from halo.data.text.template import Template
from halo.data.tokenized import Tail, TokenizedExample
from halo.objective.feedback import Feedback

PERCENTS = (50, 90, 99, 100)
WEIGHTS = (1.0, 4 / 3)
"""KTO's range of lambda_d n_d / (lambda_u n_u) (arXiv:2402.01306, section 4.3)."""


@dataclass
class Inspection:
    """Counts of tokenized examples.

    prompts      different prompts; repeated: examples beyond the first of each
    lengths      tokens by part (prompt, each slot's completions, whole rows), at the PERCENTS
    labels       desirable, undesirable
    scored       share of all tokens that are trained on
    heavy        tokens of an example that is longer than 99 in a hundred
    problems     what would make training wrong, one sentence each
    notes        what one should know
    """

    examples: int
    prompts: int
    lengths: dict[str, tuple[int, ...]]
    labels: tuple[int, int]
    scored: float
    tokens: int
    heavy: int
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def repeated(self) -> int:
        return self.examples - self.prompts


def inspect(
    examples: Sequence[TokenizedExample],
    template: Template,
    parameters: Mapping[str, float],
    feedback: Feedback,
    epoch: Sequence[TokenizedExample] | None = None,
) -> Inspection:
    """Looks at every example. `parameters` are the objective's; `epoch` is what an epoch sees, if shares make that another selection."""
    tails = [tail for example in examples for tails in example.tails.values() for tail in tails]
    sizes = [len(e.prefix) + sum(len(tail.ids) for tails in e.tails.values() for tail in tails) for e in examples]
    tokens = sum(sizes)
    seen = examples if epoch is None else epoch
    labels = sum(bool(e.desirable) for e in seen), sum(e.desirable is False for e in seen)
    scored = sum(sum(tail.scored) for tail in tails)
    prompts, heavy = len({e.prompt_key for e in examples}), percentiles(sizes)[2]
    found = Inspection(len(examples), prompts, _lengths(examples), labels, scored / max(1, tokens), tokens, heavy)
    _check_ends(found, examples, template.tokenizer)
    if epoch is not None:
        shares = Counter(example.source for example in epoch)
        found.notes.append("by their weights an epoch sees " + ", ".join(f"{count} of {name}" for name, count in sorted(shares.items())))
    if feedback.labels:
        _check_labels(found, parameters)
    if feedback.has_ranks:
        ties = sum(len(set(e.ranks)) < 2 for e in examples)
        said = found.notes
        if ties == len(examples):
            said = found.problems
        _say(said, ties, "lists of ties only, from which nothing is learned")
    _say(found.notes, sum(_same(e) for e in examples), "examples whose completions are the same once tokenized")
    _say(found.notes, found.repeated, "examples share their prompt with an earlier one")
    return found


def _lengths(examples: Sequence[TokenizedExample]) -> dict[str, tuple[int, ...]]:
    parts: dict[str, list[int]] = {"prompt": []}
    for example in examples:
        first = next(iter(example.tails.values()))[0]
        parts["prompt"].append(len(example.prefix) + first.scored.index(True))
        for slot, tails in example.tails.items():
            parts.setdefault(slot, []).extend(sum(tail.scored) for tail in tails)
    parts["whole row"] = [example.longest for example in examples]
    return {name: percentiles(values) for name, values in parts.items()}


def percentiles(values: Sequence[int]) -> tuple[int, ...]:
    """The smallest values that are not exceeded by PERCENTS of all."""
    ordered = sorted(values)
    return tuple(ordered[max(0, -(-len(ordered) * percent // 100) - 1)] for percent in PERCENTS)


def _check_ends(found: Inspection, examples: Sequence[TokenizedExample], tokenizer: Any) -> None:
    """Every completion ends with the end-of-sequence token, scored, but what was cut; every row has one BOS, at its beginning, or none."""
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    wants = bos is not None and tokenizer("a")["input_ids"][:1] == [bos]
    counts: Counter[str] = Counter()
    for example in examples:
        heads = [(*example.prefix[:2], *tail.ids[:2])[:2] for tails in example.tails.values() for tail in tails]
        ends = [tail for tails in example.tails.values() for tail in tails]
        cut = [tail for tail in ends if tail.finish == "length"]
        whole = [tail for tail in ends if tail.finish not in ("length", "stop")]
        counts["ids"] += example.origin == "ids"
        counts["cut"] += len(cut)
        counts["taught"] += any(tail.ids[-1] == eos and tail.scored[-1] for tail in cut)
        counts["lost"] += any(tail.ids[-1] != eos or not tail.scored[-1] for tail in whole)
        counts["double"] += bos is not None and (bos, bos) in heads
        counts["none"] += wants and any(head[0] != bos for head in heads)
    token, start = repr(tokenizer.eos_token), repr(tokenizer.bos_token)
    _say(found.problems, counts["lost"], f"examples do not end with the end-of-sequence token {token}, so that no end is learned")
    _say(found.problems, counts["taught"], f"examples were cut and end with {token} all the same, an end that nobody wrote")
    _say(found.problems, counts["double"], "examples begin with two BOS tokens: the template writes one and the text another")
    _say(found.problems, counts["none"], f"examples do not begin with the BOS token {start}, which the tokenizer is used with")
    _say(found.notes, counts["ids"], "examples are trained on the ids that a sampler wrote")
    _say(found.notes, counts["cut"], "completions were cut at their length, and are taught no end")


def _check_labels(found: Inspection, parameters: Mapping[str, float]) -> None:
    good, bad = found.labels
    if not good or not bad:
        found.problems.append(f"all {good + bad} examples are {'un' * (not good)}desirable: both labels are needed")
    elif {"lambda_d", "lambda_u"} <= set(parameters):
        ratio = parameters["lambda_d"] * good / (parameters["lambda_u"] * bad)
        low, high = (bound * parameters["lambda_u"] * bad / good for bound in WEIGHTS)
        advice = f"KTO's authors advise 1 to 4/3, such as lambda_d between {low:.3g} and {high:.3g}"
        found.notes.append(f"lambda_d n_d / (lambda_u n_u) is {ratio:.3g}; {advice}")


def _same(example: TokenizedExample) -> bool:
    tails = [tail.ids for slot, tails in example.tails.items() if slot != "mismatched" for tail in tails]
    return len(tails) > 1 and len(set(tails)) == 1


def _say(lines: list[str], count: int, what: str) -> None:
    if count:
        lines.append(f"{count} {what}")


def parts_of(tail: Tail, prefix: Sequence[int], tokenizer: Any) -> list[tuple[str, str]]:
    """A row as texts: `prompt` before the first scored token, then `trained` and `untrained` in turn."""
    first = len(prefix) + tail.scored.index(True)
    ids, marks = [*prefix, *tail.ids], [False] * len(prefix) + list(tail.scored)
    found = [("prompt", tokenizer.decode(ids[:first]))]
    for scored, group in groupby(range(first, len(ids)), key=lambda i: marks[i]):
        found.append(("trained" if scored else "untrained", tokenizer.decode([ids[i] for i in group])))
    return found
