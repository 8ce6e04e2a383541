"""YAML text -> value: what is read as the number or text that everyone means, and what is refused, at which place."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from halo.errors import ObjectiveError
from halo.objective.document import read_document
from halo.objective.schema import Interval

READ: dict[str, Any] = {
    "1": 1, "-1": -1, "+1": 1, "0": 0, "0.1": 0.1, ".5": 0.5, "1e-6": 1e-6, "1E5": 1e5, "2.5e-4": 2.5e-4, "1/2": "1/2", "~": None,
        "null": None,
    "true": True, "False": False, "'no'": "no", '"010"': "010", "beta": "beta", "-z**2": "-z**2",
        "sum(logp - ref_logp)": "sum(logp - ref_logp)",
    "[1, two]": [1, "two"], "{a: 1}": {"a": 1}, "none": "none", "TRUE": "TRUE", "1.5.2": "1.5.2", "2026-01-01": "2026-01-01",
}  # fmt: skip


@pytest.mark.parametrize("text", READ)
def test_read(text: str) -> None:
    value = read_document(f"key: {text}\n", "f").value["key"]
    assert (type(value), value) == (type(READ[text]), READ[text])


# (text, code, line:column)
REFUSED = [
    ("a: no", "yaml-trap", "1:4"), ("a: Yes", "yaml-trap", "1:4"), ("a: off", "yaml-trap", "1:4"), ("a: 010", "yaml-trap", "1:4"),
    ("a: 1:30", "yaml-trap", "1:4"), ("a: 2305.18290", "yaml-trap", "1:4"), ("a: 1_000", "yaml-trap", "1:4"), ("a: 0x1F", "yaml-trap",
        "1:4"),
    ("a: &x 1", "yaml-trap", "1:4"), ("a: !!str 1", "yaml-trap", "1:4"), ("a: {b: min(0, z)}", "yaml-trap", "1:15"), ("<<: {a: 1}",
        "yaml-trap", "1:1"),
    ("a: 1\na: 2", "duplicate-key", "2:1"), ("a: {b: 1, b: 2}", "duplicate-key", "1:11"), ("", "empty-file", ""), ("- a", "wrong-value",
        "1:1"),
    ("? [1]\n: 2", "wrong-value", "1:3"), ("a: b: c", "yaml-syntax", "1:5"), ("a: 1\n---\nb: 2", "yaml-syntax", "2:1"), ("a: \x07",
        "yaml-syntax", ""),
    ("a: " + "9" * 5000, "formula-limit", "1:4"), ("a: " + "[" * 30 + "]" * 30, "formula-limit", "1:23"), ("x" * 300_000, "formula-limit",
        "1:1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "code", "where"), REFUSED)
def test_refused(text: str, code: str, where: str) -> None:
    with pytest.raises(ObjectiveError) as caught:
        read_document(text, "f")
    assert caught.value.code == code, caught.value
    assert str(caught.value.place) == (f"f:{where}" if where else "f")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(list("a:1-{}[],'\"\n &*!|>?#%@`\t0.e")), max_size=30).map("".join)))
def test_soup_raises_objective_errors_only(text: str) -> None:
    raised: ObjectiveError | None = None
    try:
        read_document(text, "f")
    except ObjectiveError as problem:
        raised = problem
    assert raised is None or str(raised)


def float32(x: Fraction) -> float:
    """A number as a tensor of single precision holds it."""
    return torch.tensor(float(x), dtype=torch.float32).item()


INTERVALS = [
    ("(0, inf)", [1e-300, 1e300], [0, -1, float("inf"), float("nan")]), ("[0, 1/2)", [0, 0.49], [0.5, -1e-9]), ("[-1, 1]", [-1, 1], [1.01]),
    ("(-inf, inf)", [0, -1e308], [float("inf"), float("-inf")]), ("[1, 1]", [1], [0.999]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "inside", "outside"), INTERVALS)
def test_interval(text: str, inside: list[float], outside: list[float]) -> None:
    interval = Interval.parse(text)
    assert all(x in interval for x in inside)
    assert not any(x in interval for x in outside)


@pytest.mark.parametrize("end", ["0.1", "0.3", "0.7", "1/3", "2/3", "-0.1", "-0.3", "1e-5", "123456.789", "1e22", "1e-300", "1e300"])
@pytest.mark.parametrize("written", [float, float32, Fraction])
def test_an_end_is_in_a_closed_interval_and_in_no_open_one(end: str, written: Callable[[Fraction], float]) -> None:
    """Decimals are no floats: the nearest float64 and float32 lie above some of them and below others."""
    exact = Fraction(end)
    number = written(exact)
    if number == 0 or abs(number) == float("inf"):
        pytest.skip("float32 has no such number")
    assert number in Interval.parse(f"(-inf, {end}]")
    assert number in Interval.parse(f"[{end}, inf)")
    assert number in Interval.parse(f"[{end}, {end}]")
    assert number not in Interval.parse(f"(-inf, {end})")
    assert number not in Interval.parse(f"({end}, inf)")
    assert Interval.parse(f"[{end}, inf)").nearest(number) == float(exact)


def test_the_float_beside_an_end_is_another_number() -> None:
    closed = Interval.parse("[0.1, 0.3]")
    assert math.nextafter(0.1, 0) not in closed
    assert math.nextafter(0.3, 1) not in closed
    assert math.nextafter(0.1, 1) in closed
    assert closed.nearest(0.2) == 0.2
    assert 0.0 not in Interval.parse("[1e-400, 1]")
    assert 1e308 in Interval.parse("(0, 1e999]")


@pytest.mark.parametrize(
    "text",
    ["", "0, 1", "(0, 1", "(1, 0)", "(1, 1)", "(0, 1/0)", "(nan, 1)", "[-inf, 0)", "(inf, -inf)", "(0, 1e999999999)", "(0, 1, 2)", ","],
)
def test_no_interval(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Interval.parse(text)
