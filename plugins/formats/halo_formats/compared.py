"""Published sets of pairs with columns of their own: UltraFeedback binarized, HH with a prompt column, SHP, AlpacaEval.

Sources: HuggingFaceH4/ultrafeedback_binarized; Dahoas/full-hh-rlhf and Dahoas/rm-static; stanfordnlp/SHP (and SHP-2);
tatsu-lab/alpaca_eval, results/*/*/annotations.json. The first three are data-set cards of the Hugging Face hub.
"""

from __future__ import annotations

from typing import Any

from halo.plugin import PAIRED, DataError, DataFormat, Example, Place, Row, RowLeftOut, answer_of, extras, prompt_of, text_of
from halo_formats.turns import gap_of, numbers_of, pair, plain_of, transcript_of

BINARIZED = ("prompt", "chosen", "rejected", "score_chosen", "score_rejected")
HH = ("prompt", "response", "chosen", "rejected")
SHP = ("history", "human_ref_A", "human_ref_B", "labels", "score_A", "score_B")
ALPACA_EVAL = ("instruction", "output_1", "output_2", "preference")


def read_binarized(row: Row, place: Place) -> Example:
    """Pairs whose sides have each a score. `messages`, which repeats the chosen side, is not read."""
    prompt = prompt_of(row, place)
    numbers_of([row["score_chosen"], row["score_rejected"]], "score_chosen, score_rejected", place)
    chosen, rejected = (answer_of(row, side, prompt, place) for side in ("chosen", "rejected"))
    return pair(row, ("prompt", "chosen", "rejected", "messages"), prompt, chosen, rejected, place)


def read_hh_prompt(row: Row, place: Place) -> Example:
    """HH cut in two: a transcript, and the last turn of the Assistant. `response` repeats the chosen one."""
    chosen, rejected = (plain_of(row, side, place).strip() for side in ("chosen", "rejected"))
    return pair(row, HH, transcript_of(row, "prompt", place), chosen, rejected, place)


def read_shp(row: Row, place: Place) -> Example:
    """A post and two comments; labels is 1 where A is preferred. What is named _A and _B goes with the completions."""
    if row["labels"] not in (0, 1) or isinstance(row["labels"], bool):
        raise DataError("data-row", f"labels is {row['labels']!r}", place=place, hint="1 where A is preferred to B, else 0")
    numbers_of([row["score_A"], row["score_B"]], "score_A, score_B", place)
    prompt = prompt_of({"prompt": row["history"]}, place)
    names = ("A", "B") if row["labels"] == 1 else ("B", "A")
    completions = tuple(text_of(row, f"human_ref_{name}", place) for name in names)
    more = extras(row, ("history", "human_ref_A", "human_ref_B"))
    own = tuple({k.removesuffix(f"_{name}"): v for k, v in more["columns"].items() if k.endswith(f"_{name}")} for name in names)
    more["columns"] = gap_of(own) | more["columns"]
    return Example(PAIRED, prompt, completions, place, own=own, **more)


def read_alpaca_eval(row: Row, place: Place) -> Example:
    """An annotator's preference from 1 (output_1) to 2 (output_2); 1.5, or 0 in older files, is a tie, null no answer.

    Raises RowLeftOut for a tie and for null, DataError for a number that is none of these.
    """
    preference = row["preference"]
    if preference is None:
        raise RowLeftOut("data-row", "preference is null: the annotator gave none", place=place)
    if numbers_of([preference], "preference", place)[0] in (0, 1.5):
        raise RowLeftOut("data-row", f"preference is {preference}: a tie", place=place)
    if not 1 <= preference <= 2:
        raise DataError("data-row", f"preference is {preference}", place=place, hint="from 1 (output_1) to 2 (output_2)")
    prompt = prompt_of({"prompt": row["instruction"]}, place)
    better, worse = (1, 2) if preference < 1.5 else (2, 1)
    chosen, rejected = (text_of(row, f"output_{i}", place) for i in (better, worse))
    return pair(_sided(row, better, worse), ALPACA_EVAL[:3], prompt, chosen, rejected, place)


def _sided(row: Row, better: int, worse: int) -> dict[str, Any]:
    """The row, with what it says of output 1 and 2 named after the sides: generator_2 becomes chosen_generator."""
    sides = {f"_{better}": "chosen_", f"_{worse}": "rejected_"}
    named = {}
    for column, value in row.items():
        if column[-2:] in sides and column not in ALPACA_EVAL:
            column = sides[column[-2:]] + column[:-2]
        named[column] = value
    return named


FORMATS = (
    DataFormat("ultrafeedback-binarized", PAIRED, BINARIZED, read_binarized),
    DataFormat("hh-prompt", PAIRED, HH, read_hh_prompt, lambda row: str(row["prompt"]).startswith("\n\nHuman:")),
    DataFormat("shp", PAIRED, SHP, read_shp),
    DataFormat("alpaca-eval", PAIRED, ALPACA_EVAL, read_alpaca_eval),
)
