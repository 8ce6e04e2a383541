"""A stream gives what the set holds, in an order of its own, the same for the same seed, and draws mismatched completions from its buffer."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
import tiny
from refusals import refused

from halo.data.formats import FORMATS
from halo.data.reading import Source
from halo.data.streaming import Stream
from halo.data.tokenized import TokenizedExample
from halo.data.tokenizing import Preparation
from halo.errors import DataError
from halo.objective.feedback import LABELLED


def rows(folder: Path, name: str, count: int, start: int = 100) -> Source:
    file = folder / f"{name}.jsonl"
    file.write_text("".join(json.dumps({"prompt": f"sort {i}", "completion": f"{i}", "label": i % 2 == 0}) + "\n" for i in range(start, start + count)))
    return Source(path=str(file), name=name)


def stream(*sources: Source, buffer: int = 7, seed: int = 1, slots: tuple[str, ...] = ("completion", "mismatched")) -> Stream:
    return Stream(sources, FORMATS, Preparation(LABELLED, slots, tiny.template(), seed=seed), buffer)


def prompts(examples: list[TokenizedExample]) -> list[str]:
    return [example.prompt_key for example in examples]


def test_two_laps_hold_every_row_twice(tmp_path: Path) -> None:
    found = prompts(list(islice(stream(rows(tmp_path, "a", 20)), 40 - 7)))
    assert max(Counter(found).values()) <= 3
    assert len(set(found)) == 20
    assert found != sorted(found)


def test_a_buffer_of_one_keeps_the_order(tmp_path: Path) -> None:
    found = prompts(list(islice(stream(rows(tmp_path, "a", 5), buffer=1, slots=("completion",)), 10)))
    assert found == [f"sort {100 + i % 5}" for i in range(10)]


def test_a_buffer_larger_than_the_sets_holds_them_once(tmp_path: Path) -> None:
    """It would be filled with the same rows for as long as it takes."""
    examples = stream(rows(tmp_path, "a", 5), rows(tmp_path, "b", 7, 200), buffer=10**12)
    assert len(set(prompts(list(islice(examples, 100))))) == 12
    assert examples.report.kept < 200


@pytest.mark.parametrize("buffer", [1, 2, 1000])
def test_a_long_run_of_one_prompt_still_has_mismatched_completions(buffer: int, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    answers = [("sort 31", str(i)) for i in range(9)] + [("sort 42", "24")]
    file.write_text("".join(json.dumps({"prompt": p, "completion": c, "label": True}) + "\n" for p, c in answers))
    decode = tiny.template().tokenizer.decode
    found = list(islice(stream(Source(path=str(file)), buffer=buffer), 200))
    for example in found:
        assert ("24" in decode(example.tails["mismatched"][0].ids)) == (example.prompt_key == "sort 31")
    if buffer == 1:
        assert [decode(e.tails["completion"][0].ids)[-6:-5] for e in found[:9]] == list("012345678")


def test_the_seed_decides(tmp_path: Path) -> None:
    source = rows(tmp_path, "a", 30)
    first, again, other = (list(islice(stream(source, seed=seed), 25)) for seed in (1, 1, 2))
    assert first == again != other


def test_mismatched_completions_come_from_other_prompts_of_the_buffer(tmp_path: Path) -> None:
    decode = tiny.template().tokenizer.decode
    for example in islice(stream(rows(tmp_path, "a", 30), buffer=5), 50):
        own, other = (decode(example.tails[slot][0].ids) for slot in ("completion", "mismatched"))
        assert own != other
    with refused(DataError, "no-rows", at="b.jsonl:1"):
        list(islice(stream(rows(tmp_path, "b", 1)), 3))


def test_weights_are_rates(tmp_path: Path) -> None:
    a, b = rows(tmp_path, "a", 30).model_copy(update={"weight": 3.0}), rows(tmp_path, "b", 30, 200).model_copy(update={"weight": 1.0})
    seen = Counter(example.source for example in islice(stream(a, b), 4000))
    assert 0.72 < seen["a"] / 4000 < 0.78  # 3/4, give or take four standard deviations


def test_a_set_that_gives_nothing_ends_the_stream(tmp_path: Path) -> None:
    file = tmp_path / "empty.jsonl"
    file.write_text(json.dumps({"prompt": "p", "completion": " ", "label": True}) + "\n")
    with refused(DataError, "no-rows"):
        next(iter(stream(Source(path=str(file)))))
