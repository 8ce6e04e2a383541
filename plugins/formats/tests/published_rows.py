"""A row of every format and variant, built after the published schema, and the example that it is, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from halo.plugin import Example, Place

HERE = Place("published")
TOOL = {"type": "function", "function": {"name": "weather", "description": "Today's weather", "parameters": {"type": "object"}}}


def said(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def spoken(who: str, value: str) -> dict[str, str]:
    return {"from": who, "value": value}


CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}
ASKED = [said("system", "Be brief."), said("user", "How cold is it?")]
TOOLED = [said("assistant", "", tool_calls=[CALL]), said("tool", "-3"), said("assistant", "Three below zero.")]
SHAREGPT = [
    spoken("human", "How cold is it?"),
    spoken("function_call", '{"name": "weather", "arguments": {"city": "Oslo"}}'),
    spoken("observation", "-3"),
    spoken("gpt", "Three below zero."),
]


def paired(prompt: Any, chosen: Any, rejected: Any, own: Any = ({}, {}), **more: Any) -> Example:
    return Example("paired", prompt, (chosen, rejected), HERE, own=own, **more)


def demonstrated(prompt: Any, completion: Any, columns: Mapping[str, Any] | None = None, **more: Any) -> Example:
    columns = columns or {}
    return Example("demonstrations", prompt, (completion,), HERE, columns=columns, own=(columns,), **more)


def labelled(prompt: Any, completion: Any, desirable: bool, **more: Any) -> Example:
    return Example("labelled", prompt, (completion,), HERE, desirable=desirable, own=({},), **more)


def answered(*contents: str) -> tuple[tuple[dict[str, Any], ...], ...]:
    return tuple((said("assistant", content),) for content in contents)


GOOD, BAD = answered("Three below zero.", "It is cold.")

PUBLISHED: dict[str, tuple[dict[str, Any], Example]] = {
    "implicit-prompt/text": (
        {"chosen": "The sky is blue.", "rejected": "The sky is green."},
        paired("The sky is", " blue.", " green."),
    ),
    "implicit-prompt/messages": (
        {"chosen": [*ASKED, *GOOD], "rejected": [*ASKED, *BAD], "score_chosen": 8.5, "score_rejected": 4.0, "source": "ours"},
        paired(
            tuple(ASKED), GOOD, BAD, own=({"score": 8.5}, {"score": 4.0}), texts={"source": "ours"},
            columns={"score_gap": 4.5, "score_chosen": 8.5, "score_rejected": 4.0},
        ),
    ),
    "implicit-prompt/tools": (
        {"chosen": [*ASKED, *TOOLED], "rejected": [*ASKED, *TOOLED[:2], *BAD], "tools": [TOOL]},
        paired((*ASKED, *TOOLED[:2]), GOOD, BAD, tools=(TOOL,)),
    ),
    "text/trl": ({"text": "The sky is blue."}, demonstrated("", "The sky is blue.")),
    "text/fineweb": (
        {"text": "The sky is blue.", "url": "https://example.org", "token_count": 4},
        demonstrated("", "The sky is blue.", {"token_count": 4}, texts={"url": "https://example.org"}),
    ),
    "messages/trl": ({"messages": [*ASKED, *GOOD]}, demonstrated(tuple(ASKED), GOOD)),
    "messages/ultrachat": (
        {"prompt": "How cold is it?", "prompt_id": "f0e3", "messages": [ASKED[1], *GOOD, said("user", "And now?"), said("assistant", "Colder.")]},
        demonstrated(
            (ASKED[1],), (*GOOD, said("user", "And now?"), said("assistant", "Colder.")), texts={"prompt_id": "f0e3"},
        ),
    ),
    "messages/tools": ({"messages": [*ASKED, *TOOLED], "tools": [TOOL]}, demonstrated(tuple(ASKED), tuple(TOOLED), tools=(TOOL,))),
    "openai-preference/plain": (
        {"input": {"messages": [said("user", "How cold is it?")]}, "preferred_output": list(GOOD), "non_preferred_output": list(BAD)},
        paired((said("user", "How cold is it?"),), GOOD, BAD),
    ),
    "openai-preference/tools": (
        {
            "input": {"messages": ASKED, "tools": [TOOL], "parallel_tool_calls": True},
            "preferred_output": [said("assistant", None, tool_calls=[CALL])],  # type: ignore[arg-type]
            "non_preferred_output": list(BAD),
        },
        paired(tuple(ASKED), (said("assistant", "", tool_calls=[CALL]),), BAD, tools=(TOOL,)),
    ),
    "rejected-response/swift": (
        {"messages": [*ASKED, *BAD, said("user", "In numbers?"), *GOOD], "rejected_response": "I don't know"},
        paired((*ASKED, *BAD, said("user", "In numbers?")), GOOD, *answered("I don't know")),
    ),
    "rejected-messages/swift": (
        {"messages": [*ASKED, *TOOLED], "rejected_messages": [*ASKED, *BAD], "tools": [TOOL]},
        paired(tuple(ASKED), tuple(TOOLED), BAD, tools=(TOOL,)),
    ),
    "messages-labels/swift": (
        {"messages": [*ASKED, *BAD, said("user", "In numbers?"), *GOOD], "label": True},
        labelled((*ASKED, *BAD, said("user", "In numbers?")), GOOD, True),
    ),
    "messages-pairs/llama-factory": (
        {"messages": ASKED, "chosen": GOOD[0], "rejected": BAD[0]},
        paired(tuple(ASKED), GOOD, BAD),
    ),
    "sharegpt/plain": (
        {"id": "x1", "conversations": [spoken("human", "Hi"), spoken("gpt", "Hello!"), spoken("human", "How cold?"), spoken("gpt", "Very.")]},
        demonstrated(
            (said("user", "Hi"),), (said("assistant", "Hello!"), said("user", "How cold?"), said("assistant", "Very.")), texts={"id": "x1"},
        ),
    ),
    "sharegpt/tools": (
        {"conversations": SHAREGPT, "system": "Be brief.", "tools": '[{"name": "weather", "parameters": {}}]'},
        demonstrated(tuple(ASKED), tuple(TOOLED), tools=({"name": "weather", "parameters": {}},)),
    ),
    "sharegpt/system": (
        {"conversations": [spoken("system", "Be brief."), *SHAREGPT], "system": "Be long."},
        demonstrated(tuple(ASKED), tuple(TOOLED)),
    ),
    "sharegpt-pairs/llama-factory": (
        {"conversations": SHAREGPT[:1], "chosen": spoken("gpt", "Three below zero."), "rejected": spoken("gpt", "It is cold."), "tools": ""},
        paired((said("user", "How cold is it?"),), GOOD, BAD),
    ),
    "sharegpt-labels/llama-factory": (
        {"conversations": SHAREGPT, "kto_tag": False},
        labelled((said("user", "How cold is it?"), *TOOLED[:2]), GOOD, False),
    ),
    "alpaca/stanford": (
        {"instruction": "Add the numbers.", "input": "1 and 2", "output": "3", "text": "Below is an instruction ..."},
        demonstrated("Add the numbers.\n1 and 2", "3", texts={"text": "Below is an instruction ..."}),
    ),
    "alpaca/history": (
        {"instruction": "And 4?", "input": "", "output": "7", "system": "Count.", "history": [["1 and 2?", "3"]]},
        demonstrated((said("system", "Count."), said("user", "1 and 2?"), said("assistant", "3"), said("user", "And 4?")), "7"),
    ),
    "alpaca-pairs/llama-factory": (
        {"instruction": "Add 1 and 2.", "input": "", "chosen": "3", "rejected": "4", "margin": 2},
        paired("Add 1 and 2.", "3", "4", columns={"margin": 2}),
    ),
    "alpaca-labels/llama-factory": (
        {"instruction": "Add 1 and 2.", "input": "", "output": "3", "kto_tag": True},
        labelled("Add 1 and 2.", "3", True),
    ),
    "ultrafeedback/openbmb": (
        {
            "source": "evol_instruct",
            "instruction": "Name a prime.",
            "models": ["alpaca-7b", "gpt-4", "starchat"],
            "completions": [
                {
                    "model": model, "principle": "honesty", "custom_system_prompt": "Be honest.", "response": response, "critique": "...",
                    "overall_score": score, "fine-grained_score": fine,
                    "annotations": {
                        "helpfulness": {"Rating": rating, "Rationale": "...", "Type": ["1"], "Rationale For Rating": "..."},
                        "honesty": {"Rating": "N/A", "Rationale": "..."},
                    },
                }
                for model, response, score, fine, rating in (
                    ("alpaca-7b", "4", 2.0, 1.25, "1"), ("gpt-4", "7", 9.0, 5.0, "5"), ("starchat", "9", 2.0, 1.5, "2"),
                )
            ],
            "correct_answers": ["None"],
            "incorrect_answers": ["None"],
        },
        Example(
            "ranked", "Name a prime.", ("4", "7", "9"), HERE, ranks=(2, 1, 2), texts={"source": "evol_instruct"},
            own=(
                {"score": 2.0, "fine_grained_score": 1.25, "helpfulness": 1.0},
                {"score": 9.0, "fine_grained_score": 5.0, "helpfulness": 5.0},
                {"score": 2.0, "fine_grained_score": 1.5, "helpfulness": 2.0},
            ),
        ),
    ),
    "nectar/berkeley": (
        {
            "prompt": "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Name a prime.\n\nAssistant: ",
            "answers": [{"answer": a, "model": "gpt-4", "rank": r} for a, r in (("9", 3.0), ("7", 1.0), ("1", 2.0))],
            "turns": 2, "num_responses": 3, "source": ["lmsys-chat-1m"], "good_natured": True,
        },
        Example(
            "ranked", (said("user", "Hi"), said("assistant", "Hello!"), said("user", "Name a prime.")), ("9", "7", "1"), HERE,
            ranks=(3, 1, 2), columns={"turns": 2, "num_responses": 3, "good_natured": True},
        ),
    ),
    "nemo-ranks/nvidia": (
        {"context": ASKED, "completions": [{"rank": 1, "completion": list(BAD)}, {"rank": 0, "completion": list(GOOD)}]},
        Example("ranked", tuple(ASKED), (BAD, GOOD), HERE, ranks=(2, 1)),
    ),
    "ranks/plain": (
        {"prompt": "Name a prime.", "completions": ["4", "7", "9"], "ranks": [2, 1, 2], "weight": [0.5, 1, 0.25]},
        Example(
            "ranked", "Name a prime.", ("4", "7", "9"), HERE, ranks=(2, 1, 2), columns={"weight": [0.5, 1, 0.25]},
            own=({"weight": 0.5}, {"weight": 1}, {"weight": 0.25}),
        ),
    ),
    "ultrafeedback-binarized/h4": (
        {
            "prompt": "How cold is it?", "prompt_id": "f0e3", "chosen": [ASKED[1], *GOOD], "rejected": [ASKED[1], *BAD],
            "messages": [ASKED[1], *GOOD], "score_chosen": 8.0, "score_rejected": 6.5,
        },
        paired(
            "How cold is it?", GOOD, BAD, own=({"score": 8.0}, {"score": 6.5}), texts={"prompt_id": "f0e3"},
            columns={"score_gap": 1.5, "score_chosen": 8.0, "score_rejected": 6.5},
        ),
    ),
    "hh-prompt/dahoas": (
        {"prompt": "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Name a prime.\n\nAssistant:", "response": " 7", "chosen": " 7", "rejected": " 9"},
        paired((said("user", "Hi"), said("assistant", "Hello!"), said("user", "Name a prime.")), "7", "9"),
    ),
    "shp/stanford": (
        {
            "post_id": "qt3nxl", "domain": "askculinary_train", "upvote_ratio": 0.98, "history": "How do I poach an egg?", "score_A": 3, "score_B": 9,
            "created_at_utc_A": 10, "created_at_utc_B": 20, "human_ref_A": "Badly.", "human_ref_B": "With vinegar.", "labels": 0, "score_ratio": 3.0,
        },
        paired(
            "How do I poach an egg?", "With vinegar.", "Badly.", own=({"score": 9, "created_at_utc": 20}, {"score": 3, "created_at_utc": 10}),
            texts={"post_id": "qt3nxl", "domain": "askculinary_train"},
            columns={
                "score_gap": 6, "upvote_ratio": 0.98, "score_A": 3, "score_B": 9, "created_at_utc_A": 10, "created_at_utc_B": 20,
                "labels": 0, "score_ratio": 3.0,
            },
        ),
    ),
    "alpaca-eval/annotations": (
        {
            "instruction": "Name a prime.", "output_1": "9", "output_2": "7", "generator_1": "gpt4_1106_preview", "generator_2": "mine",
            "dataset": "helpful_base", "annotator": "weighted_alpaca_eval_gpt4_turbo", "preference": 1.75, "price_per_example": 0.01,
        },
        paired(
            "Name a prime.", "7", "9", columns={"preference": 1.75, "price_per_example": 0.01},
            texts={
                "rejected_generator": "gpt4_1106_preview", "chosen_generator": "mine", "dataset": "helpful_base",
                "annotator": "weighted_alpaca_eval_gpt4_turbo",
            },
        ),
    ),
}  # fmt: skip
"""By format/variant."""

CORE: dict[str, dict[str, Any]] = {
    "hh": {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello!", "rejected": "\n\nHuman: Hi\n\nAssistant: What?"},
    "pairs": {"prompt": "Hi", "chosen": "Hello!", "rejected": "What?"},
    "pairs/messages": {"prompt": ASKED, "chosen": list(GOOD), "rejected": list(BAD), "chosen_score": 2, "gold": "Hello!"},
    "pairs/text": {"prompt": "Hi", "chosen": "Hello!", "rejected": "What?", "text": "an extra text"},
    "labels": {"prompt": "Hi", "completion": "Hello!", "label": True},
    "ranked": {"prompt": "Hi", "completions": ["Hello!", "What?"], "scores": [1, 0]},
    "demonstrations": {"prompt": "Hi", "completion": "Hello!"},
}
"""Rows of core's formats, by format/variant."""
