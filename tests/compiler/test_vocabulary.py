"""Every row of the vocabulary and of the stability table, tested from the row itself."""

from __future__ import annotations

import itertools
import math
import random
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from independent import Arithmetic, valued
from mpmath import inf, mp, mpf

from halo.compiler.stability import ROWS, Row
from halo.loss import words
from halo.objective.formula import Call, Formula, Name, parse
from halo.objective.vocabulary import FUNCTIONS, Function

DIGITS = 400
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
POINTS = [0.0, 1e-300, 1e-30, 1e-8, 0.01, 0.3, 0.6931, 0.7, 1.0, 1.5, 2.0, 3.7, 10.0, 30.0, 36.7, 40.0, 87.0, 300.0, 700.0, 1e5]
OPERATORS = {"add", "sub", "mul", "div", "pow", "neg", "lt", "le", "gt", "ge"}
NAMES = "xyuvw"


class Words(Arithmetic):
    """Words that neither the evaluator nor mpmath knows are read from their rows: a new word needs nothing here."""

    def __getattr__(self, word: str) -> Any:
        return getattr(mp, word, None) or partial(FUNCTIONS[word].exact, mp)


WORDS = Words()


def candidates(word: str, row: Function) -> list[float]:
    low, high = (float(end) for end in row.domain)
    both = [*POINTS, *(-p for p in POINTS if p)]
    if word in ("exp", "expm1"):
        both = [x for x in both if x < 80]
    if word in ("mul", "div", "pow"):
        both = [x for x in both if 1e-9 <= abs(x) <= 40 and (word == "mul" or x > 0)]
    return [x for x in both if low < x < high]


def arguments(word: str, row: Function) -> list[tuple[float, ...]]:
    """Tuples of arguments inside the domain: all points of one argument, a sample of the combinations of several."""
    values, size = candidates(word, row), row.arity[0]
    if word == "where":
        return [(float(c), x, y) for c in (0, 1) for x in values[::4] for y in values[::5]]
    if word == "clip":
        return [(x, -1.5, 2.5) for x in values]
    grid = list(itertools.product(values, repeat=size))
    return grid if len(grid) <= 80 else random.Random(word).sample(grid, 80)


def spelled(template: str, names: list[str]) -> str:
    return template.replace("{*}", ", ".join(names)) if "{*}" in template else template.format(*names)


def on_tensors(word: str, values: list[Any]) -> Any:
    names = [f"a{i}" for i in range(len(values))]
    scope = {"torch": torch, "words": words, "F": F} | dict(zip(names, values, strict=True))
    return eval(spelled(FUNCTIONS[word].torch, [f"({name})" for name in names]), scope)


def near(got: float, true: Any, dtype: torch.dtype, scale: Any = 0) -> bool:
    """Equal to the type's precision, wherever the true number is one of the type."""
    limits = torch.finfo(dtype)
    if abs(true) > limits.max:
        return True
    return got == got and abs(mpf(got) - true) <= TOLERANCE[dtype] * max(abs(true), scale) + limits.tiny


@pytest.fixture(autouse=True)
def _precise() -> Any:
    with mp.workdps(DIGITS):
        yield


def exact_value(word: str, point: tuple[float, ...]) -> Any:
    given = [bool(point[0]), *map(mpf, point[1:])] if word == "where" else [mpf(x) for x in point]
    return mpf(FUNCTIONS[word].exact(mp, *given))


def cancelled(word: str, point: tuple[float, ...]) -> Any:
    """Sums of rounded numbers lose what their terms are larger by."""
    return max(map(abs, point)) if word in ("add", "sub") else 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("word", FUNCTIONS)
def test_torch_spelling(word: str, dtype: torch.dtype) -> None:
    row = FUNCTIONS[word]
    for point in arguments(word, row):
        tensors = [torch.tensor(x, dtype=dtype) for x in point]
        rounded = tuple(t.item() for t in tensors)
        low, high = (float(end) for end in row.domain)
        if word != "where" and not all(low < x < high for x in rounded):
            continue
        given = [tensors[0].bool(), *tensors[1:]] if word == "where" else tensors
        got, true = float(on_tensors(word, given)), exact_value(word, rounded)
        assert near(got, true, dtype, cancelled(word, rounded)), (word, rounded, got, mp.nstr(true, 17))


@pytest.mark.parametrize("word", [word for word, row in FUNCTIONS.items() if row.derivative])
def test_gradient(word: str) -> None:
    row = FUNCTIONS[word]
    for point in arguments(word, row):
        if word in ("abs", "sign") and point[0] == 0:
            continue
        leaves = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in point]
        gradients = torch.autograd.grad(on_tensors(word, leaves), leaves, allow_unused=True)
        at = dict(zip(NAMES, map(mpf, point), strict=False))
        for formula, gradient in zip(row.derivative, gradients, strict=True):
            true = valued(parse(formula), at, WORDS)
            got = 0.0 if gradient is None else gradient.item()
            assert near(got, true, torch.float64), (word, point, formula, got, mp.nstr(true, 17))


@pytest.mark.parametrize("word", [word for word, row in FUNCTIONS.items() if row.derivative])
def test_derivative_is_the_slope(word: str) -> None:
    """The table's derivative is that of its exact form: a difference in 400 digits."""
    step = mpf(10) ** -150
    row = FUNCTIONS[word]
    for point in arguments(word, row)[:40]:
        if word in ("abs", "sign") and point[0] == 0:
            continue
        at = [mpf(x) for x in point]
        if min((abs(x) for x in at if x), default=1) < mpf(10) ** -100:
            continue
        for i, formula in enumerate(row.derivative):
            above, below = ([*at[:i], at[i] + s, *at[i + 1 :]] for s in (step, -step))
            slope = (row.exact(mp, *above) - row.exact(mp, *below)) / (2 * step)
            true = valued(parse(formula), dict(zip(NAMES, at, strict=False)), WORDS)
            assert abs(slope - true) <= mpf(10) ** -60 * max(1, abs(true)), (word, point, formula)


@pytest.mark.parametrize("word", FUNCTIONS)
def test_plain_spelling(word: str) -> None:
    row = FUNCTIONS[word]
    for point in arguments(word, row):
        names = [f"({x!r})" for x in point]
        if word == "where":
            names[0] = "(1 < 2)" if point[0] else "(2 < 1)"
        true = exact_value(word, point)
        if abs(true) < torch.finfo(torch.float64).max:
            got = float(eval(spelled(row.plain, names), {"math": math}))
            assert near(got, true, torch.float64, cancelled(word, point)), (word, point, got, mp.nstr(true, 17))


@pytest.mark.parametrize("word", [word for word in FUNCTIONS if word not in OPERATORS])
def test_plain_spelling_is_an_atom(word: str) -> None:
    """What surrounds it cannot take it apart."""
    row = FUNCTIONS[word]
    point = next(p for p in arguments(word, row) if 0 not in p[-2:] and exact_value(word, p) not in (0, inf))
    names = ["(1 < 2)" if word == "where" and i == 0 else repr(x) for i, x in enumerate(point)]
    text = spelled(row.plain, names)
    if not text.startswith("-"):
        assert eval(f"6 / {text}", {"math": math}) == 6 / eval(text, {"math": math})


@pytest.mark.parametrize("word", [word for word in FUNCTIONS if word not in {"lt", "le", "gt", "ge", "where"}])
def test_range_direction_and_curvature(word: str) -> None:
    row = FUNCTIONS[word]
    low, high = (mpf(end) for end in row.range)
    slack = mpf(10) ** -15  # atan's ends are printed to a double
    rng = random.Random(word)
    values = [mpf(x) for x in candidates(word, row)]
    for _ in range(200):
        a, b = sorted(rng.sample(values, 2))
        rest = {"clip": [mpf(-1), mpf(2)]}.get(word) or [rng.choice(values) for _ in range(row.arity[0] - 1)]
        middle = (a + b) / 2
        at_a, at_b, at_middle = (row.exact(mp, x, *rest) for x in (a, b, middle))
        assert all(low - slack <= value <= high + slack for value in (at_a, at_b, at_middle)), (word, a, b)
        if row.monotone != "none":
            assert at_a <= at_b if row.monotone == "up" else at_a >= at_b, (word, a, b)
        bend = (at_a + at_b) / 2 - at_middle
        tiny = mpf(10) ** -300 * max(1, abs(at_a), abs(at_b))
        if row.curvature in ("affine", "convex"):
            assert bend >= -tiny, (word, a, b)
        if row.curvature in ("affine", "concave"):
            assert bend <= tiny, (word, a, b)


def letters(formula: Formula) -> set[str]:
    if isinstance(formula, Call):
        return set().union(*map(letters, formula.arguments))
    return {formula.name} if isinstance(formula, Name) else set()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.pattern)
def test_both_sides_of_a_rewrite_agree(row: Row) -> None:
    left, right = parse(row.pattern), parse(row.replacement)
    assert letters(right) <= letters(left)
    rng, checked = random.Random(row.pattern), 0
    for _ in range(200):
        at = {name: mpf(rng.choice([rng.uniform(-3, 3), rng.uniform(-200, 200)])) for name in sorted(letters(left))}
        at |= {name: abs(at[name]) for name in row.positive}
        try:
            before = valued(left, at, WORDS)
        except (ValueError, ZeroDivisionError):
            continue
        if isinstance(before, mpf) and abs(before) != inf:  # where the left side is a real number, the right one is the same
            checked += 1
            assert abs(before - valued(right, at, WORDS)) <= mpf(10) ** -200 * max(1, abs(before)), at
    assert checked > 20
