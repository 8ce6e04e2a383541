"""What each tool reads, as a function from questions to records: see `FORMATS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from halo.errors import DataError
from halo.exports.answered import Question


@dataclass(frozen=True)
class Named:
    """name: of the model that answered; made: 12 hexadecimal digits of what it was sampled with; time: of the folder, Unix seconds."""

    name: str
    made: str
    time: float


@dataclass(frozen=True)
class Records:
    """What is written; left_out: with how many questions it could not be done, by reason."""

    rows: list[dict[str, Any]]
    left_out: Mapping[str, int]


def alpaca_eval(questions: Sequence[Question], named: Named) -> Records:
    """`instruction, output, generator, dataset`, one for each instruction (tatsu-lab/alpaca_eval, its --model_outputs).

    Raises DataError for a conversation: an instruction is one text, by which outputs are matched.
    """
    rows = []
    for question in questions:
        one = question.completions[0]
        if len(one.asked) > 1:
            hint = "AlpacaEval asks one question; mt-bench takes conversations"
            raise DataError("data-row", f"a conversation of {len(one.asked)} turns is no instruction", place=question.place, hint=hint)
        dataset = str(question.columns.get("dataset", ""))
        rows.append({"instruction": one.asked[0], "output": one.answers[0], "generator": named.name, "dataset": dataset})
    return Records(rows, {})


def arena_hard(questions: Sequence[Question], named: Named) -> Records:
    """A line that both versions of lmarena/arena-hard-auto read in `model_answer/NAME.jsonl`.

    0.1 reads `question_id` and `choices[0].turns[..].content`, 2.0 `uid` and `messages[-1].content.answer`. Counts of markdown and of
    tiktoken's tokens, which its style control wants, are added by its own utils/add_markdown_info.py.
    """
    rows = []
    for question in questions:
        one = question.completions[0]
        choices = [{"index": each.index, "turns": _turns(each.answers, each.tokens)} for each in question.completions]
        messages: list[dict[str, Any]] = []
        for asked, answer in zip(one.asked, one.answers, strict=True):
            messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": {"answer": answer}}]
        answer_id = question.answer_id(named.made)
        row = {"question_id": question.identity("question_id", "uid"), "answer_id": answer_id, "model_id": named.name, "choices": choices}
        row |= {"uid": question.identity("uid", "question_id"), "ans_id": answer_id, "model": named.name, "messages": messages}
        rows.append({**row, "tstamp": named.time})
    return Records(rows, {})


def _turns(answers: Sequence[str], tokens: int | None) -> list[dict[str, Any]]:
    """`token_len` is known of the last answer alone, in the model's own tokens."""
    found: list[dict[str, Any]] = [{"content": answer} for answer in answers]
    if tokens is not None:
        found[-1]["token_len"] = tokens
    return found


def mt_bench(questions: Sequence[Question], named: Named) -> Records:
    """A line of lm-sys/FastChat's `model_answer/NAME.jsonl`: `question_id`, and of each choice the answers of all turns.

    Its judge reads two answers of every question: one whose second question could not be asked is left out, and counted.
    """
    rows, missing = [], 0
    for question in questions:
        whole = [one for one in question.completions if len(one.answers) > 1]
        if not whole:
            missing += 1
            continue
        choices = [{"index": one.index, "turns": list(one.answers)} for one in whole]
        row = {"question_id": question.identity("question_id"), "answer_id": question.answer_id(named.made), "model_id": named.name}
        rows.append({**row, "choices": choices, "tstamp": named.time})
    return Records(rows, {"questions without a second answer": missing} if missing else {})


@dataclass(frozen=True)
class Format:
    """meaning: for the help; records: what is written; array: one JSON array in one file, else a line for each in FOLDER/NAME.jsonl;
    out: where it goes by default.
    """

    meaning: str
    records: Callable[[Sequence[Question], Named], Records]
    array: bool
    out: str


FORMATS: Mapping[str, Format] = {
    "alpaca-eval": Format("alpaca_eval --model_outputs FILE: the first completion of each instruction", alpaca_eval, True, "outputs.json"),
    "arena-hard": Format("Arena-Hard 0.1 and 2.0: FOLDER/NAME.jsonl in its model_answer", arena_hard, False, "model_answer"),
    "mt-bench": Format("FastChat's MT-Bench: FOLDER/NAME.jsonl in its model_answer", mt_bench, False, "model_answer"),
}
