"""The formula language as a table: text -> the tree, written back; what is refused, at which character."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halo.objective.formula import MAX_NODES, Call, Formula, FormulaError, Name, Number, parse, to_text

READ = {
    "1": "1", "0.1": "0.1", "1e-6": "1e-06", "1e12": "1000000000000.0e0", "1/3": "1/3", "1 / 4": "0.25", "-2": "-2",
    "beta": "beta", "chosen.length": "chosen.length", "a + b - c": "a + b - c", "a - (b - c)": "a - (b - c)",
    "a + (b + c)": "a + (b + c)", "a * (b / c)": "a * (b / c)", "a / b * c": "a / b * c", "(a + b) * c": "(a + b) * c",
    "-x**2": "-x**2", "(-x)**2": "(-x)**2", "(-2)**2": "(-2)**2", "x**-1": "x**(-1)", "2**x": "2**x", "x / (1/3)": "x / (1/3)",
    "(1/3)**2": "(1/3)**2", "a**b**c": "a**b**c", "(a**b)**c": "(a**b)**c", "--x": "-(-x)", "-(a * b)": "-(a * b)", "a - -b": "a - (-b)",
    "sum(logp - ref_logp)": "sum(logp - ref_logp)", "min(0, z)": "min(0, z)", "where(z > 0, 1, 0)": "where(z > 0, 1, 0)",
    "(a < b) < c": "(a < b) < c", "sum(\n  logp\n)": "sum(logp)",
}  # fmt: skip


@pytest.mark.parametrize("text", READ)
def test_read(text: str) -> None:
    assert to_text(parse(text)) == READ[text]
    assert parse(READ[text]) == parse(text)


# (the formula, the character at fault, the code)
REFUSED = [
    ("", 0, "formula-syntax"), ("a +", 3, "formula-syntax"), ("a ^ 2", 2, "formula-syntax"), ("2beta", 0, "formula-syntax"),
    ("x = 1", 2, "formula-syntax"), ("a.b.c", 0, "formula-syntax"), ("f(x)(y)", 0, "formula-syntax"), ("f(*x)", 0, "formula-syntax"),
    ("f(x=1)", 0, "formula-syntax"), ("a if b else c", 2, "formula-syntax"), ("lambda", 0, "formula-syntax"), ("'a'", 0, "formula-syntax"),
    ("a, b", 0, "formula-syntax"), ("a < b < c", 0, "formula-syntax"), ("a == b", 0, "formula-syntax"), ("a // b", 0, "formula-syntax"),
    ("a % b", 0, "formula-syntax"), ("~a", 0, "formula-syntax"), ("_a", 0, "formula-syntax"), ("a.__b__", 0, "formula-syntax"),
    ("x / 0", 4, "formula-syntax"), ("1e400", 0, "formula-limit"), ("9" * 12, 0, "formula-limit"), ("9**9**9", 3, "formula-limit"),
    ("x**99", 3, "formula-limit"), ("1e300 / 1e-300", 0, "formula-limit"), ("99999e300", 0, "formula-limit"), ("(" * 50, 40,
        "formula-limit"),
    ("((x)", 0, "formula-syntax"), ("1j", 0, "formula-syntax"), ("1e5j", 0, "formula-syntax"), ("0x10", 0, "formula-syntax"), ("None", 0,
        "formula-syntax"),
    ("x" * 3000, 0, "formula-limit"), ("[x]", 0, "formula-syntax"), ("\u03b2", 0, "formula-syntax"), ("a\x00", 1, "formula-syntax"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "offset", "code"), REFUSED)
def test_refused(text: str, offset: int, code: str) -> None:
    with pytest.raises(FormulaError) as caught:
        parse(text)
    assert (caught.value.offset, caught.value.code) == (offset, code), caught.value.message


numbers = st.one_of(
    st.integers(-(10**9), 10**9).map(Fraction),
    st.fractions(max_denominator=999).filter(lambda f: abs(f) < 10**6),
    st.floats(1e-200, 1e200).map(lambda x: Fraction(repr(x))),
).map(Number)
names = st.sampled_from([Name("beta"), Name("logp"), Name("length", "chosen"), Name("z")])


def combined(inner: st.SearchStrategy[Formula]) -> st.SearchStrategy[Formula]:
    def operator(function: str, left: Formula, right: Formula) -> Formula:
        if function == "div" and isinstance(right, Number):
            right = Name("beta")  # a fraction of two numbers is read as one number
        if function == "pow" and not isinstance(right, Name):
            right = Number(Fraction(3))
        return Call(function, (left, right))

    operators = st.sampled_from(["add", "sub", "mul", "div", "pow", "lt", "le", "gt", "ge"])
    negated = inner.filter(lambda f: not isinstance(f, Number)).map(lambda f: Call("neg", (f,)))
    called = st.lists(inner, min_size=1, max_size=3).map(lambda a: Call("f", tuple(a)))
    return st.one_of(st.builds(operator, operators, inner, inner), negated, called)


def size(formula: Formula) -> int:
    return 1 + sum(map(size, formula.arguments)) if isinstance(formula, Call) else 2


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.recursive(st.one_of(numbers, names), combined, max_leaves=20))
def test_written_and_read_again(tree: Formula) -> None:
    assert size(tree) < MAX_NODES
    assert parse(to_text(tree)) == tree


tokens = st.sampled_from(
    [
        "(",
        ")",
        "+",
        "-",
        "*",
        "**",
        "/",
        "<",
        ".",
        ",",
        "1",
        "0",
        "1e5",
        "9",
        "x",
        "f(",
        "role.x",
        " ",
        "\n",
        "\r",
        "\t",
        "\x0c",
        "=",
        "e",
        "j",
        "_",
        "~",
        "%",
    ]
)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.one_of(st.lists(tokens, max_size=30).map("".join), st.text(max_size=40)))
def test_soup_raises_formula_errors_only(text: str) -> None:
    offset = 0
    try:
        parse(text)
    except FormulaError as problem:
        offset = problem.offset
    assert 0 <= offset <= len(text)
