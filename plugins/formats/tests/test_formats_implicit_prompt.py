"""Implicit prompts: what both sides begin with, no turn and no character more or less."""

from __future__ import annotations

from typing import Any

import pytest
from halo_formats.trl import common_characters, read_implicit
from halo_formats.turns import common_turns
from hypothesis import assume, given
from hypothesis import strategies as st

from halo.plugin import Place, RowLeftOut

TURN = st.builds(lambda role, content: {"role": role, "content": content}, st.sampled_from(["user", "assistant", "tool"]), st.sampled_from("ab"))
CONVERSATION = st.lists(TURN, max_size=5).map(lambda turns: [{"role": "user", "content": "u"}, *turns])


@given(CONVERSATION, st.lists(TURN, max_size=4), st.lists(TURN, max_size=4))
def test_whole_turns(shared: list[Any], one: list[Any], other: list[Any]) -> None:
    chosen, rejected = [*shared, *one], [*shared, *other]
    cut = common_turns(tuple(chosen), tuple(rejected))
    assert chosen[:cut] == rejected[:cut]
    assert chosen[cut - 1]["role"] != "assistant"
    longer = [n for n in range(cut + 1, len(chosen) + 1) if chosen[:n] == rejected[:n]]
    assert all(chosen[n - 1]["role"] == "assistant" for n in longer), "a longer prompt would end with somebody who asks"


@given(CONVERSATION, st.lists(TURN, max_size=4), st.lists(TURN, max_size=4))
def test_prompt_and_completion_are_the_conversation(shared: list[Any], one: list[Any], other: list[Any]) -> None:
    row = {"chosen": [*shared, *one], "rejected": [*shared, *other]}
    try:
        example = read_implicit(row, Place("x"))
    except RowLeftOut:
        cut = common_turns(tuple(row["chosen"]), tuple(row["rejected"]))
        rests = [row["chosen"][cut:], row["rejected"][cut:]]
        assert not all(rest and rest[0]["role"] == rest[-1]["role"] == "assistant" for rest in rests)
        return
    assert [[*example.prompt, *completion] for completion in example.completions] == [row["chosen"], row["rejected"]]


@given(st.text("ab ", max_size=6), st.text("ab ", max_size=4), st.text("ab ", max_size=4))
def test_characters_as_trl_cuts_them(shared: str, one: str, other: str) -> None:
    """Against TRL's words: the longest common sequence, and a space before the difference goes to the completions."""
    chosen, rejected = shared + one, shared + other
    assume(not chosen.startswith(rejected) and not rejected.startswith(chosen))
    cut = common_characters(chosen, rejected)
    assert chosen[:cut] == rejected[:cut]
    rests = chosen[cut:], rejected[cut:]
    assert rests[0][0] != rests[1][0] or (rests[0][0] == rests[1][0] == " " and rests[0][1] != rests[1][1])
    assert rests[0][0] == " " or not chosen[:cut].endswith(" ")


@pytest.mark.parametrize(
    ("chosen", "rejected", "why"),
    [
        ("blue", "green", "do not begin alike"),
        (" blue", " green", "do not begin alike"),
        ("The sky", "The sky is", "one of chosen and rejected is the beginning of the other"),
        ("The sky", "The sky", "one of chosen and rejected is the beginning of the other"),
    ],
)
def test_texts_without_a_prompt_or_an_answer_are_left_out(chosen: str, rejected: str, why: str) -> None:
    with pytest.raises(RowLeftOut, match=why):
        read_implicit({"chosen": chosen, "rejected": rejected}, Place("x"))
