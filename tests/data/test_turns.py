"""Of several turns the assistant's are scored, with the mark that ends each, and nothing that anybody else says."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
from refusals import refused

from halo.data.examples import Example
from halo.data.text.template import Template
from halo.data.tokenized import TokenizedExample
from halo.data.tokenizing import Preparation, tokenize
from halo.errors import DataError, ModelError, Place
from halo.objective.feedback import DEMONSTRATIONS, LABELLED

CHATML = (
    "{% if tools %}<tools>{{ tools[0].name }}</tools>{% endif %}{% for m in messages %}<|{{ m.role }}|>"
    "{% if m.tool_calls %}call {{ m.tool_calls[0].name }} {% endif %}{{ m.content }}<eos>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
FORGETFUL = CHATML.replace("{{ m.content }}", "{% if loop.last %}{{ m.content }}{% else %}{{ m.content[:1] }}{% endif %}")


def template(text: str = CHATML, loss_on: Any = "all") -> Template:
    from copy import deepcopy

    tokenizer = deepcopy(tiny.template().tokenizer)
    tokenizer.chat_template = text
    return Template.of(tokenizer, "auto", loss_on)


def said(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


DIALOGUE = (said("assistant", "1", tool_calls=[{"name": "sort"}]), said("tool", "2"), said("user", "3"), said("assistant", "4"))


def scored(example: Example, how: Template, slot: str = "completion") -> list[str]:
    """The stretches of text that are trained on."""
    found = tokenize(example, Preparation(example.kind, (slot,), how))
    assert isinstance(found, TokenizedExample), found
    tail, parts, before = found.tails[slot][0], list[list[int]](), False
    for token, counts in zip(tail.ids, tail.scored, strict=True):
        if counts and not before:
            parts.append([])
        if counts:
            parts[-1].append(token)
        before = counts
    return [how.tokenizer.decode(part) for part in parts]


def test_every_turn_of_the_assistant_and_no_other() -> None:
    example = Example("demonstrations", (said("user", "7"),), (DIALOGUE,), Place("x"))
    assert scored(example, template()) == ["call sort 1<eos>", "4<eos>"]
    assert scored(example, template(loss_on="last")) == ["4<eos>"]


def test_the_prompts_turns_are_never_scored() -> None:
    example = Example("demonstrations", (said("user", "7"), *DIALOGUE[:1], said("user", "8")), ("9",), Place("x"))
    assert scored(example, template()) == ["9<eos>"]


def test_tools_reach_the_template() -> None:
    example = Example("demonstrations", "7", ("9",), Place("x"), tools=({"name": "abacus"},))
    found = tokenize(example, Preparation(DEMONSTRATIONS, ("completion",), template()))
    assert isinstance(found, TokenizedExample)
    assert "<tools>abacus</tools>" in template().tokenizer.decode([*found.prefix, *found.tails["completion"][0].ids])


def test_a_control_text_moves_every_turn() -> None:
    example = Example("labelled", "7", (DIALOGUE,), Place("x"), desirable=True)
    found = tokenize(example, Preparation(LABELLED, ("completion",), template(), {"desirable": "55", "undesirable": "66"}))
    assert isinstance(found, TokenizedExample)
    tail = found.tails["completion"][0]
    decode = template().tokenizer.decode
    assert decode([i for i, counts in zip(tail.ids, tail.scored, strict=True) if counts]) == "call sort 1<eos>4<eos>"
    assert "<|assistant|>55call" in decode([*found.prefix, *tail.ids])


def test_a_completion_that_ends_with_another_is_left_out() -> None:
    example = Example("demonstrations", "7", (DIALOGUE[:2],), Place("x"))
    assert tokenize(example, Preparation(DEMONSTRATIONS, ("completion",), template())) == "with a completion that does not end with the assistant"


def test_a_template_that_rewrites_earlier_turns_is_refused_where_they_are_trained_on() -> None:
    example = Example("demonstrations", "77", ((said("assistant", "12"), said("user", "34"), said("assistant", "56")),), Place("x"))
    with refused(ModelError, "model", at="x"):
        tokenize(example, Preparation(DEMONSTRATIONS, ("completion",), template(FORGETFUL)))


def test_an_empty_prompt_is_plain_text() -> None:
    example = Example("demonstrations", "", ("sort 312",), Place("x"))
    plain = Template(tiny.template().tokenizer, chat=True)
    assert scored(example, plain) == ["ort 312<eos>"]  # nothing predicts the first token
    with refused(DataError, "data-format", at="x"):
        tokenize(Example("demonstrations", "", (DIALOGUE,), Place("x")), Preparation(DEMONSTRATIONS, ("completion",), plain))


@pytest.mark.parametrize("completion", ["9<eos>", ({"role": "assistant", "content": "9<eos>"},)])
def test_an_end_that_the_completion_brings_is_not_doubled(completion: Any) -> None:
    assert scored(Example("demonstrations", "7", (completion,), Place("x")), template()) == ["9<eos>"]
    assert scored(Example("demonstrations", "7", (completion,), Place("x")), template(CHATML.replace("<eos>", ""))) == ["9<eos>"]
    turns = (said("assistant", "1<eos>"), said("user", "2"), said("assistant", "3<eos>"))
    assert scored(Example("demonstrations", "7", (turns,), Place("x")), template()) == ["1<eos>", "3<eos>"]


def test_a_completion_of_which_nothing_is_left_is_left_out() -> None:
    deaf = "{% for m in messages if m.role == 'user' %}<|user|>{{ m.content }}<eos>{% endfor %}"
    found = tokenize(Example("demonstrations", "7", ("9",), Place("x")), Preparation(DEMONSTRATIONS, ("completion",), template(deaf)))
    assert found == "with a completion of which the chat template writes nothing"
    for prompt in ("", "7"):
        ended = Example("demonstrations", prompt, ("<eos>",), Place("x"))
        assert tokenize(ended, Preparation(DEMONSTRATIONS, ("completion",), template())) == "with an empty completion"


def test_what_a_template_cannot_write_is_said_with_its_row() -> None:
    calling = CHATML.replace("{{ m.tool_calls[0].name }}", "{% for k, v in m.tool_calls[0].arguments | items %}{{ k }}{% endfor %}")
    turns = (said("assistant", "", tool_calls=[{"name": "sort", "arguments": '{"a": 1}'}]),)
    with refused(ModelError, "model", at="rows:3", theirs=r"Can only.*?(?= \[)"):
        tokenize(Example("demonstrations", "7", (turns,), Place("rows", 3)), Preparation(DEMONSTRATIONS, ("completion",), template(calling)))
