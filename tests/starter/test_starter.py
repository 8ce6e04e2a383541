"""What is embedded is small, real and consistent with its own script."""

from __future__ import annotations

import json

import pytest

from halo.starter.defaults import FEEDBACK, FOLDER, HELD_OUT, LISTS, PROMPTS
from halo.starter.gold import is_right
from halo.starter.rebuild import wrong_answer


def rows(file: object) -> list[dict[str, str]]:
    return (
        [json.loads(line) for line in FEEDBACK.read_text().splitlines()]
        if file is FEEDBACK
        else [json.loads(line) for line in HELD_OUT.read_text().splitlines()]
    )


def test_at_most_four_megabytes_are_shipped() -> None:
    files = [f for f in FOLDER.rglob("*") if f.is_file() and "__pycache__" not in f.parts]
    assert sum(f.stat().st_size for f in files) <= 4_000_000


def test_feedback_prefers_the_good_habit_and_held_out_prompts_are_new() -> None:
    feedback, held_out = rows(FEEDBACK), rows(HELD_OUT)
    assert all(is_right(r["prompt"], r["chosen"]) and r["rejected"] == wrong_answer(r["prompt"]) != r["chosen"] for r in feedback)
    assert len(held_out) >= 300
    assert not {r["prompt"] for r in feedback} & {r["prompt"] for r in held_out}
    sampled = [json.loads(line) for line in PROMPTS.read_text().splitlines()]
    assert [(r["prompt"], r["chosen"], r["rejected"], r["digits"]) for r in sampled] == [
        (r["prompt"], r["chosen"], r["rejected"], len(r["gold"])) for r in feedback[:400]
    ]
    assert all(r["digits"] == len(r["answer"]) for r in held_out)


def test_lists_have_both_habits_and_two_slips() -> None:
    lists = [json.loads(line) for line in LISTS.read_text().splitlines()]
    assert len(lists) >= 1000
    for row in lists:
        digits = sorted(row["prompt"].removeprefix("sort "))
        by_score = sorted(zip(row["scores"], row["completions"], strict=True), reverse=True)
        assert [s for s, _ in by_score] == [1, 0, -1, -1]
        assert is_right(row["prompt"], by_score[0][1])
        assert by_score[1][1] == wrong_answer(row["prompt"])
        assert all(sorted(answer) != digits for _, answer in by_score[2:])


@pytest.mark.parametrize(("answer", "right"), [("02357", True), (" 02357 ", True), ("75320", False), ("2357", False), ("", False)])
def test_gold_is_exact(answer: str, right: bool) -> None:
    assert is_right("sort 50723", answer) is right
