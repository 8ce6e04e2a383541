"""The mask is what the tokenizer says: completion tokens and the end token, nothing of the prompt; nothing is ever cut."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
from refusals import refused
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from halo.data.examples import Example
from halo.data.preparing import prepare
from halo.data.text.template import Template
from halo.data.tokenized import TokenizedExample
from halo.data.tokenizing import Preparation, tokenize
from halo.errors import DataError, ModelError, Place
from halo.objective.feedback import LABELLED, PAIRED


def row(tokenized: TokenizedExample, slot: str) -> tuple[list[int], list[int]]:
    """All ids of a completion's row, and those that are scored."""
    tail = tokenized.tails[slot][0]
    return [*tokenized.prefix, *tail.ids], [i for i, scored in zip(tail.ids, tail.scored, strict=True) if scored]


def paired(prompt: Any, chosen: str, rejected: str, template: Template | None = None, **more: Any) -> Any:
    example = Example("paired", prompt, (chosen, rejected), Place("x"))
    return tokenize(example, Preparation(PAIRED, PAIRED.slots, template or tiny.template(), **more))


def test_completion_and_end_are_scored_and_the_prompt_is_not() -> None:
    tokenizer = tiny.template().tokenizer
    result = paired("sort 312", "123", "321")
    ids, scored = row(result, "chosen")
    assert tokenizer.decode(ids) == "<bos><|user|>sort 312<|assistant|>123<eos>"
    assert tokenizer.decode(scored) == "123<eos>"
    assert ids.count(tokenizer.bos_token_id) == 1


def test_the_prefix_is_shared_up_to_the_first_difference() -> None:
    result = paired("sort 312", "123", "321")
    assert {tail.ids[0] for tails in result.tails.values() for tail in tails} == {
        tiny.template().tokenizer.convert_tokens_to_ids("<|assistant|>")
    }


def test_control_texts_follow_the_prompt_unscored() -> None:
    example = Example("labelled", "sort 312", ("123",), Place("x"), desirable=False)
    result = tokenize(example, Preparation(LABELLED, ("completion",), tiny.template(), {"desirable": "<|good|>", "undesirable": "<|bad|>"}))
    assert not isinstance(result, str)
    ids, scored = row(result, "completion")
    decode = tiny.template().tokenizer.decode
    assert decode(ids).endswith("<|assistant|><|bad|>123<eos>")
    assert decode(scored) == "123<eos>"


def merging(bos: bool = False) -> Template:
    """A word-piece tokenizer that merges across the border of prompt and completion, without a pad token."""
    vocabulary = {"[UNK]": 0, "<s>": 1, "</s>": 2, "a": 3, "b": 4, "ab": 5, "c": 6}
    core = Tokenizer(models.BPE(vocabulary, [("a", "b")], unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Split("</s>", "isolated")
    if bos:
        from tokenizers.processors import TemplateProcessing

        core.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return Template.of(PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>", bos_token="<s>", unk_token="[UNK]"), "auto")


def test_a_token_across_the_border_is_scored() -> None:
    template = merging()
    assert template.tokenizer.pad_token is None
    result = paired("ca", "bc", "c", template)
    assert row(result, "chosen") == ([6, 5, 6, 2], [5, 6, 2])
    assert row(result, "rejected") == ([6, 3, 6, 2], [6, 2])


def test_one_bos_where_the_tokenizer_wants_one() -> None:
    assert row(paired("ca", "c", "a", merging(bos=True)), "chosen")[0] == [1, 6, 3, 6, 2]
    assert row(paired("ca", "c", "a", merging(bos=False)), "chosen")[0] == [6, 3, 6, 2]


def test_nothing_is_cut() -> None:
    assert paired("sort 312", "123", "321", max_length=13) == "longer than max_length 13"
    assert "prompt longer" in paired("sort 312", "123", "321", max_length=5)
    assert not isinstance(paired("sort 312", "123", "321", max_length=30), str)


@pytest.mark.parametrize("where", ["the prompt", "a completion", "a turn"])
def test_a_row_of_ten_megabytes_is_left_out_without_being_tokenized_whole(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    tokenizer = type(tiny.template().tokenizer)
    real = tokenizer.__call__

    def counted(self: Any, text: Any, *arguments: Any, **more: Any) -> Any:
        seen.append(len(text))
        return real(self, text, *arguments, **more)

    monkeypatch.setattr(tokenizer, "__call__", counted)
    huge = "sort 312 " * (10_000_000 // 9)
    if where == "the prompt":
        assert "prompt longer" in paired(huge, "123", "321", max_length=100)
    elif where == "a completion":
        assert paired("sort 312", "123", huge, max_length=100) == "longer than max_length 100"
    else:
        turns = ({"role": "user", "content": huge},)
        assert "prompt longer" in paired(turns, "123", "321", max_length=100)
    assert max(seen, default=0) < 20_000


def test_left_out_rows_are_counted_and_none_left_is_an_error() -> None:
    rows = [Example("paired", "sort 312", pair, Place("d", 1)) for pair in (("1", "2"), ("1", "1"), ("1", " "))]
    _, report = prepare(rows, Preparation(PAIRED, PAIRED.slots, tiny.template()))
    assert str(report) == "1 examples; left out: 1 pairs of identical completions, 1 with an empty completion"
    with refused(DataError, "no-rows", at="d:1"):
        prepare(rows, Preparation(PAIRED, PAIRED.slots, tiny.template(), max_length=3))


def test_a_template_is_asked_for_only_where_there_is_one() -> None:
    with refused(ModelError, "model"):
        Template.of(merging().tokenizer, "always")
    with refused(DataError, "data-format", at="x"):
        paired(({"role": "user", "content": "c"},), "c", "a", merging())
