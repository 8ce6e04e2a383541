"""my-format keeps halo's contract for formats, and reads what it says."""

from __future__ import annotations

import pytest
from my_format.hooks import halo_data_formats
from my_format.reading import read

from halo.plugin import Place, Row, RowLeftOut
from halo.testing import check_format

ROWS: list[Row] = [
    {"question": "2 + 2 =", "good": " 4", "bad": " 5"},
    {"question": [{"role": "user", "content": "1 + 1?"}], "good": "2", "bad": "3", "difficulty": 0.1},
]
HERE = Place("rows.jsonl", 7)


def test_it_keeps_the_contract() -> None:
    (form,) = halo_data_formats()
    check_format(form, ROWS)


def test_the_good_answer_is_the_chosen_one() -> None:
    example = read(ROWS[1], HERE)
    assert example.completions == ("2", "3")
    assert example.columns == {"difficulty": 0.1}


def test_a_row_without_a_question_is_left_out() -> None:
    with pytest.raises(RowLeftOut, match="the question is empty") as caught:
        read({**ROWS[0], "question": " "}, HERE)
    assert caught.value.place == HERE
