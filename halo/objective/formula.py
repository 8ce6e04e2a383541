"""Formula text -> `Formula`, a tree of numbers, names and calls, each with its place in the text.

Nothing is ever executed: Python's `ast` reads the text and an allow-list walks it. Operators become calls (`add`, `mul`,
`pow`, ...), so that the rest of halo knows one kind of node. What a name or function means is decided later, in lowering.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache

MAX_CHARACTERS = 2_000
MAX_NODES = 400
MAX_DEPTH = 40
MAX_MAGNITUDE = 10**9
MAX_EXPONENT = 64
FLOAT_DIGITS = 300  # a float goes to 10**308

OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow", ast.USub: "neg",
    ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge",
}  # fmt: skip
SYMBOLS = {"add": " + ", "sub": " - ", "mul": " * ", "div": " / ", "pow": "**", "lt": " < ", "le": " <= ",
           "gt": " > ", "ge": " >= "}  # fmt: skip
RIGHT_TO_LEFT = ("pow",)
PRECEDENCE = {"lt": 0, "le": 0, "gt": 0, "ge": 0, "add": 1, "sub": 1, "mul": 2, "div": 2, "neg": 3, "pow": 4}


_OTHER_SPACE = re.compile(r"[\r\t\f\v]")


class FormulaError(Exception):
    """A formula that cannot be read: `offset` is the character at fault. The caller knows the file and line."""

    def __init__(self, code: str, message: str, offset: int = 0, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.offset, self.hint = code, message, offset, hint


@dataclass(frozen=True)
class Number:
    """An exact number: 0.1 is 1/10."""

    value: Fraction
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Name:
    """`name`, or `role.name` where `role` is given."""

    name: str
    role: str | None = None
    offset: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.role}.{self.name}" if self.role else self.name


@dataclass(frozen=True)
class Call:
    """A function or operator applied to arguments."""

    function: str
    arguments: tuple[Formula, ...]
    offset: int = field(default=0, compare=False)


Formula = Number | Name | Call


def parse(source: str | int | float) -> Formula:
    """Reads one formula. Raises `FormulaError` with the offset of the culprit."""
    text = str(source) if not isinstance(source, float) else repr(source)
    text = _OTHER_SPACE.sub(" ", text)  # a lone carriage return would be a line break to Python and shift every offset
    _prescan(text)
    try:
        tree = ast.parse(f"({text}\n)", mode="eval")
    except SyntaxError as problem:
        raise _explained(text, problem) from None
    except (RecursionError, MemoryError):
        raise FormulaError("formula-limit", "nested too deeply") from None
    walker = _Walker(text)
    return walker.walk(tree.body, 0)


@cache
def parsed(text: str) -> Formula:
    """A formula of the vocabulary's own tables, read once."""
    return parse(text)


def numbers_and_names(formula: Formula) -> Iterator[Number | Name]:
    """The leaves of a formula, left to right."""
    if isinstance(formula, Call):
        for argument in formula.arguments:
            yield from numbers_and_names(argument)
    else:
        yield formula


def to_text(formula: Formula, outer: int = -1) -> str:
    """The formula as one would type it, with no more parentheses than needed."""
    if isinstance(formula, Name):
        return str(formula)
    if isinstance(formula, Number):
        text = number_text(formula.value)
        return _within(outer, text, _tightness(text))
    if formula.function == "neg":
        return _within(outer, f"-{to_text(formula.arguments[0], PRECEDENCE['neg'])}", PRECEDENCE["add"])
    if formula.function not in SYMBOLS:
        return f"{formula.function}({', '.join(to_text(a) for a in formula.arguments)})"
    level = PRECEDENCE[formula.function]
    left, right = formula.arguments
    tight_left = formula.function in RIGHT_TO_LEFT or level == 0  # a comparison takes none on either side
    tight_right = formula.function not in RIGHT_TO_LEFT
    inner = to_text(left, level + tight_left) + SYMBOLS[formula.function] + to_text(right, level + tight_right)
    return _within(outer, inner, level)


def _within(outer: int, text: str, level: int) -> str:
    """The text in parentheses where what is around it binds more tightly."""
    if outer > level:
        return f"({text})"
    return text


def _tightness(number: str) -> int:
    """How tightly the text of a number binds: `1/3` is a division, `-2` a negation, 2 an atom."""
    if "/" in number:
        return PRECEDENCE["div"]
    if number.startswith("-"):
        return PRECEDENCE["neg"]
    return PRECEDENCE["pow"] + 1


def number_text(value: Fraction) -> str:
    """The shortest exact decimal of a fraction, or `1/3` where there is none; always a text that `parse` reads back."""
    if value.denominator == 1 and abs(value) <= MAX_MAGNITUDE:
        return str(value.numerator)
    if abs(value) < 10**FLOAT_DIGITS:
        as_float = repr(float(value))
        if Fraction(as_float) == value:
            return _marked(as_float, value)
    numerator, denominator = (_marked(str(n), n) for n in value.as_integer_ratio())
    return f"{numerator}/{denominator}".removesuffix("/1")


def _marked(text: str, value: Fraction | int) -> str:
    """A large number is read only with an exponent: `e0` is one."""
    if -MAX_MAGNITUDE <= value <= MAX_MAGNITUDE or "e" in text:
        return text
    return f"{text}e0"


def _prescan(text: str) -> None:
    """What Python would accept or explain badly."""
    if len(text) > MAX_CHARACTERS:
        raise FormulaError("formula-limit", f"the formula has {len(text)} characters", 0, f"at most {MAX_CHARACTERS} are read")
    if not text.strip():
        raise FormulaError("formula-syntax", "the formula is empty", 0, "write a number or an expression")
    depth = 0
    for offset, character in enumerate(text):
        if not (character.isascii() and (character.isprintable() or character.isspace())):
            raise FormulaError("formula-syntax", f"the character {character!r} is not ASCII", offset, "spell it out, such as beta")
        depth += (character in "([{") - (character in ")]}")
        if depth > MAX_DEPTH:
            raise FormulaError("formula-limit", f"parentheses nested more than {MAX_DEPTH} deep", offset)
        if character in _REFUSED:
            message, hint = _REFUSED[character]
            raise FormulaError("formula-syntax", message, offset, hint)
    for word in re.finditer(r"[A-Za-z_]\w*", text):
        if keyword.iskeyword(word[0]):
            hint = _INSTEAD.get(word[0], "choose another name")
            raise FormulaError("formula-syntax", f"{word[0]!r} is a word of Python's and no name", word.start(), hint)
    run = re.search(r"(?<![\w.])(\d+(?:\.\d+)?)(?![eE][-+]?\d)([A-Za-z_]\w*)", text)
    if run:
        raise FormulaError("formula-syntax", f"{run[0]!r} is not a product", run.start(), f"write {run[1]} * {run[2]}")


_INSTEAD = {
    "lambda": "a paper's lambda is spelt lambda_nll and the like",
    "if": "where(condition, then, otherwise) chooses",
    "else": "where(condition, then, otherwise) chooses",
}
_REFUSED = {
    "^": ("'^' is not power here", "write '**'"),
    "[": ("'[' is not allowed in a formula", "there are no subscripts or lists"),
    "{": ("'{' is not allowed in a formula", "a map from role to formula is written in YAML, outside the formula"),
    ";": ("';' is not allowed in a formula", "one expression only"),
    "#": ("'#' is not allowed in a formula", "put the comment after the closing quote"),
    ":": ("':' is not allowed in a formula", "one expression only"),
    '"': ("a text is not allowed in a formula", "names stand without quotes"),
    "'": ("a text is not allowed in a formula", "names stand without quotes"),
    "@": ("'@' is not allowed in a formula", "write '*'"),
    "\\": ("'\\' is not allowed in a formula", "a formula may simply go on in the next line"),
}


def _explained(text: str, problem: SyntaxError) -> FormulaError:
    """Python's syntax error in our words; its offset is in the parenthesised text."""
    if "nested parentheses" in str(problem):
        return FormulaError("formula-limit", "nested too deeply")
    opened, closed = text.count("("), text.count(")")
    if opened != closed:
        return FormulaError("formula-syntax", f"{opened} '(' but {closed} ')'", 0, "balance the parentheses")
    offset = _offset(text, (problem.lineno or 1), (problem.offset or 1) - 1)
    if re.search(r"(?<![<>=!])=(?!=)", text):
        return FormulaError("formula-syntax", "'=' is not allowed in a formula", text.index("="), "the key is the left-hand side")
    return FormulaError("formula-syntax", "cannot be read as a formula", offset, "an operand or operator is missing")


def _offset(text: str, line: int, column: int) -> int:
    """Offset in `text` of a position in `(text\\n)`; ASCII only, so bytes are characters."""
    lines = text.split("\n")
    start = sum(len(one) + 1 for one in lines[: line - 1])
    return max(0, min(start + column - (line == 1), len(text)))


class _Walker:
    """The allow-list."""

    def __init__(self, text: str) -> None:
        self.text, self.nodes = text, 0

    def walk(self, node: ast.expr, depth: int) -> Formula:
        at = _offset(self.text, node.lineno, node.col_offset)
        self.nodes += 1
        if self.nodes > MAX_NODES or depth > MAX_DEPTH:
            raise FormulaError("formula-limit", f"more than {MAX_NODES} parts, or nested more than {MAX_DEPTH} deep", at, "use let:")
        if isinstance(node, ast.Constant):
            return self._number(node, at)
        if isinstance(node, ast.Name):
            return Name(self._identifier(node.id, at), None, at)
        if isinstance(node, ast.Attribute):
            return self._role_name(node, at)
        if isinstance(node, ast.UnaryOp) and type(node.op) in OPERATORS:
            return self._negated(self.walk(node.operand, depth + 1), at)
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            return self._binary(node, at, depth)
        if isinstance(node, ast.Compare):
            return self._comparison(node, at, depth)
        if isinstance(node, ast.Call):
            return self._call(node, at, depth)
        what = re.sub(r"(?<!^)(?=[A-Z])", " ", type(node).__name__).lower()
        hint = "allowed: + - * / **, numbers, names, role.name and calls of known functions"
        raise FormulaError("formula-syntax", f"{what} is not allowed in a formula", at, hint)

    def _number(self, node: ast.Constant, at: int) -> Number:
        if type(node.value) not in (int, float):
            raise FormulaError("formula-syntax", f"{node.value!r} is not a number", at)
        source = self.text[at : at + (node.end_col_offset or 0) - node.col_offset]
        exponent = re.search(r"[eE]([-+]?\d+)$", source)
        if exponent and abs(int(exponent[1])) > FLOAT_DIGITS:
            raise FormulaError("formula-limit", f"{source} is past the range of a float", at)
        value = Fraction(source.replace("_", ""))
        if abs(value) > MAX_MAGNITUDE and not exponent:
            raise FormulaError("formula-limit", f"{source[:40]} is past {MAX_MAGNITUDE}", at, "write it as 1e12 if it is meant")
        return self._in_range(value, at)

    def _in_range(self, value: Fraction, at: int) -> Number:
        if value and not Fraction(10) ** -FLOAT_DIGITS <= abs(value) <= Fraction(10) ** FLOAT_DIGITS:
            raise FormulaError("formula-limit", "a number past the range of a float", at)
        return Number(value, at)

    def _identifier(self, name: str, at: int) -> str:
        if name.startswith("_") or len(name) > 40:
            raise FormulaError("formula-syntax", f"{name[:40]!r} is not a name here", at, "names start with a letter")
        return name

    def _role_name(self, node: ast.Attribute, at: int) -> Name:
        if not isinstance(node.value, ast.Name):
            raise FormulaError("formula-syntax", "the only dotted form is role.name", at, "such as chosen.length")
        return Name(self._identifier(node.attr, at), self._identifier(node.value.id, at), at)

    def _negated(self, inner: Formula, at: int) -> Formula:
        if isinstance(inner, Number):
            return Number(-inner.value, at)
        return Call("neg", (inner,), at)

    def _binary(self, node: ast.BinOp, at: int, depth: int) -> Formula:
        left, right = self.walk(node.left, depth + 1), self.walk(node.right, depth + 1)
        function = OPERATORS[type(node.op)]
        if function == "div" and isinstance(right, Number) and right.value == 0:
            raise FormulaError("formula-syntax", "division by zero", right.offset)
        if function == "pow":
            self._check_exponent(right)
        if function == "div" and isinstance(left, Number) and isinstance(right, Number):
            return self._in_range(left.value / right.value, at)  # 1/3 stays exact
        return Call(function, (left, right), at)

    def _check_exponent(self, exponent: Formula) -> None:
        leaves = list(numbers_and_names(exponent))
        if isinstance(exponent, Call) and all(isinstance(leaf, Number) for leaf in leaves):
            raise FormulaError("formula-limit", "a power in a power of plain numbers", exponent.offset, "write its value")
        if isinstance(exponent, Number) and abs(exponent.value) > MAX_EXPONENT:
            raise FormulaError("formula-limit", f"an exponent past {MAX_EXPONENT}", exponent.offset)

    def _comparison(self, node: ast.Compare, at: int, depth: int) -> Call:
        if len(node.ops) != 1 or type(node.ops[0]) not in OPERATORS:
            raise FormulaError("formula-syntax", "one of < <= > >= between two values", at)
        left, right = self.walk(node.left, depth + 1), self.walk(node.comparators[0], depth + 1)
        return Call(OPERATORS[type(node.ops[0])], (left, right), at)

    def _call(self, node: ast.Call, at: int, depth: int) -> Call:
        if not isinstance(node.func, ast.Name):
            raise FormulaError("formula-syntax", "only named functions can be called", at)
        if node.keywords or any(isinstance(a, ast.Starred) for a in node.args):
            raise FormulaError("formula-syntax", "arguments are plain expressions", at, "no keywords, no *")
        name = self._identifier(node.func.id, at)
        return Call(name, tuple(self.walk(a, depth + 1) for a in node.args), at)
