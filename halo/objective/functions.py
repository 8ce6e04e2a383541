"""The table of functions: a word that works element by element is one row, and all that halo knows of it follows from the row.

Nothing heavy is imported: torch appears as text, and the numbers that `exact` works on arrive as its argument `m`, which has
mpmath's names: mpmath itself, floats, or exact fractions (`halo.analysis.numbers`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Monotone = Literal["up", "down", "none"]
Curvature = Literal["affine", "convex", "concave", "none"]


@dataclass(frozen=True)
class Kink:
    """Where a function changes from one smooth piece to another: as the first of a pair passes the second.

    `pairs` are formulas of the arguments; none stands for the arguments themselves (`min`, `max`), or for the two sides of the
    condition (`where`). `below` and `above` are the pieces on the two sides of the first pair. `jump` says that they may differ
    where they meet.
    """

    pairs: tuple[tuple[str, str], ...] = ()
    below: str = ""
    above: str = ""
    jump: bool = False


@dataclass(frozen=True)
class Function:
    """A word that works element by element. Arguments are x, y, ... in formulas, {0}, {1}, ... in `torch` and `plain`.

    How it is computed
      torch, plain  the stable spelling for tensors, and the one for Python numbers
      exact         the value, from the functions of `m`
      rational      where the value of a function that `m` supplies is rational all the same: argument and value
      definition    the word in other words: intervals and algebra see this. With neither a derivative nor a kink the word is
                    shorthand: whatever is proved is proved of its definition.

    What is true of it
      derivative    a formula for each argument
      kink          where its pieces meet
      domain, range the open interval of each argument and of the value, ends as text; `closed`: finite ends belong to them
      monotone, curvature  in the first argument on that domain; `inflection`: convex below 0 and concave above
      unit          what becomes of it: kept, none, or shared by all arguments; `pure` arguments must carry none

    How it is written
      symbol        in LaTeX and in plain text: a name, or a template with {x}; `fence`: what stands around the argument instead
      written       a formula that is written in its place
    """

    arity: tuple[int, int]
    torch: str
    plain: str
    exact: Callable[..., Any]
    rational: tuple[tuple[str, str], ...] = ()
    definition: str = ""
    derivative: tuple[str, ...] = ()
    kink: Kink | None = None
    domain: tuple[str, str] = ("-inf", "inf")
    range: tuple[str, str] = ("-inf", "inf")
    closed: bool = False
    monotone: Monotone = "none"
    curvature: Curvature = "none"
    inflection: bool = False
    unit: Literal["none", "pure", "kept", "shared"] = "none"
    symbol: tuple[str, str] | None = None
    fence: str = ""
    written: str = ""

    @property
    def shorthand(self) -> bool:
        """Whether proofs speak of the definition instead."""
        return bool(self.definition) and not self.derivative and self.kink is None

    def names(self, word: str) -> tuple[str, str]:
        """What the word is called in LaTeX and in plain text."""
        return self.symbol or (r"\operatorname{" + word.replace("_", r"\_") + "}", word)


LETTERS = "xyzuvw"
"""What the arguments of a function are called in the formulas of its row."""

ONE_ARGUMENT, TWO, THREE, SEVERAL = (1, 1), (2, 2), (3, 3), (2, 8)

FUNCTIONS: dict[str, Function] = {
    "add": Function(
        TWO, "{0} + {1}", "{0} + {1}", lambda m, x, y: x + y,
        derivative=("1", "1"), monotone="up", curvature="affine", unit="shared",
    ),
    "sub": Function(
        TWO, "{0} - {1}", "{0} - {1}", lambda m, x, y: x - y,
        derivative=("1", "-1"), monotone="up", curvature="affine", unit="shared",
    ),
    "mul": Function(TWO, "{0} * {1}", "{0} * {1}", lambda m, x, y: x * y, derivative=("y", "x")),
    "div": Function(TWO, "{0} / {1}", "{0} / {1}", lambda m, x, y: x / y, derivative=("1 / y", "-x / y**2")),
    "pow": Function(
        TWO, "{0}**{1}", "{0}**{1}", lambda m, x, y: m.power(x, y),
        derivative=("y * x**(y - 1)", "x**y * log(x)"),
    ),
    "neg": Function(ONE_ARGUMENT, "-{0}", "-{0}", lambda m, x: -x, derivative=("-1",), monotone="down", curvature="affine", unit="kept"),
    "lt": Function(TWO, "{0} < {1}", "{0} < {1}", lambda m, x, y: x < y, unit="shared", symbol=("<", "<")),
    "le": Function(TWO, "{0} <= {1}", "{0} <= {1}", lambda m, x, y: x <= y, unit="shared", symbol=(r"\leq", "≤")),
    "gt": Function(TWO, "{0} > {1}", "{0} > {1}", lambda m, x, y: x > y, unit="shared", symbol=(">", ">")),
    "ge": Function(TWO, "{0} >= {1}", "{0} >= {1}", lambda m, x, y: x >= y, unit="shared", symbol=(r"\geq", "≥")),
    "where": Function(
        THREE, "words.where({0}, {1}, {2})", "({1} if {0} else {2})", lambda m, c, x, y: x if c else y,
        kink=Kink(jump=True), unit="shared",
    ),
    "min": Function(
        SEVERAL, "words.minimum({*})", "min({*})", lambda m, *xs: min(xs),
        kink=Kink(), monotone="up", curvature="concave", unit="shared", symbol=(r"\min", "min"),
    ),
    "max": Function(
        SEVERAL, "words.maximum({*})", "max({*})", lambda m, *xs: max(xs),
        kink=Kink(), monotone="up", curvature="convex", unit="shared", symbol=(r"\max", "max"),
    ),
    "clip": Function(
        THREE, "words.clip({0}, {1}, {2})", "min(max({0}, {1}), {2})", lambda m, x, low, high: min(max(x, low), high),
        definition="min(max(x, y), z)", kink=Kink((("x", "y"), ("x", "z")), "min(y, z)", "min(x, z)"), monotone="up", unit="shared",
    ),
    "relu": Function(
        ONE_ARGUMENT, "torch.relu({0})", "max({0}, 0.0)", lambda m, x: max(x, m.mpf(0)),
        definition="max(x, 0)", kink=Kink((("x", "0"),), "0", "x"), range=("0", "inf"), closed=True, monotone="up", curvature="convex",
        unit="kept", written="max(0, x)",
    ),
    "abs": Function(
        ONE_ARGUMENT, "torch.abs({0})", "abs({0})", lambda m, x: abs(x),
        definition="max(x, -x)", derivative=("sign(x)",), kink=Kink((("x", "0"),), "-x", "x"), range=("0", "inf"), closed=True,
        curvature="convex", unit="kept", fence="|",
    ),
    "sign": Function(
        ONE_ARGUMENT, "torch.sign({0})", "float(({0} > 0) - ({0} < 0))", lambda m, x: m.sign(x),
        derivative=("0",), kink=Kink((("x", "0"),), "-1", "1", jump=True), range=("-1", "1"), closed=True, monotone="up",
    ),
    "exp": Function(
        ONE_ARGUMENT, "torch.exp({0})", "math.exp({0})", lambda m, x: m.exp(x), rational=(("0", "1"),),
        derivative=("exp(x)",), range=("0", "inf"), monotone="up", curvature="convex",
    ),
    "expm1": Function(
        ONE_ARGUMENT, "words.expm1({0})", "math.expm1({0})", lambda m, x: m.expm1(x), rational=(("0", "0"),), definition="exp(x) - 1",
        derivative=("exp(x)",), range=("-1", "inf"), monotone="up", curvature="convex", written="exp(x) - 1",
    ),
    "log": Function(
        ONE_ARGUMENT, "torch.log({0})", "math.log({0})", lambda m, x: m.log(x), rational=(("1", "0"),),
        derivative=("1 / x",), domain=("0", "inf"), monotone="up", curvature="concave",
    ),
    "log1p": Function(
        ONE_ARGUMENT, "torch.log1p({0})", "math.log1p({0})", lambda m, x: m.log1p(x), rational=(("0", "0"),), definition="log(1 + x)",
        derivative=("1 / (1 + x)",), domain=("-1", "inf"), monotone="up", curvature="concave", written="log(1 + x)",
    ),
    "log1mexp": Function(
        ONE_ARGUMENT,
        "words.log1mexp({0})",
        "(math.log(-math.expm1({0})) if {0} > -0.6931471805599453 else math.log1p(-math.exp({0})))",
        lambda m, x: m.log(-m.expm1(x)), definition="log(1 - exp(x))",
        derivative=("-exp(x) / (1 - exp(x))",), domain=("-inf", "0"), range=("-inf", "0"), monotone="down", curvature="concave",
        written="log(1 - exp(x))",
    ),
    "sqrt": Function(
        ONE_ARGUMENT, "words.sqrt({0})", "math.sqrt({0})", lambda m, x: m.sqrt(x),
        derivative=("1 / (2 * sqrt(x))",), domain=("0", "inf"), range=("0", "inf"), closed=True, monotone="up", curvature="concave",
        symbol=(r"\sqrt{{x}}", "√({x})"),
    ),
    "sigmoid": Function(
        ONE_ARGUMENT, "words.sigmoid({0})", "(math.exp(min({0}, 0.0)) / (1 + math.exp(-abs({0}))))", lambda m, x: 1 / (1 + m.exp(-x)),
        definition="1 / (1 + exp(-x))",
        derivative=("sigmoid(x) * sigmoid(-x)",), range=("0", "1"), monotone="up", inflection=True, unit="pure", symbol=(r"\sigma", "σ"),
    ),
    "logsigmoid": Function(
        ONE_ARGUMENT, "F.logsigmoid({0})", "(min({0}, 0.0) - math.log1p(math.exp(-abs({0}))))",
        lambda m, x: min(x, m.mpf(0)) - m.log1p(m.exp(-abs(x))), definition="-log(1 + exp(-x))",
        derivative=("sigmoid(-x)",), range=("-inf", "0"), monotone="up", curvature="concave", unit="pure",
    ),
    "softplus": Function(
        ONE_ARGUMENT, "-F.logsigmoid(-{0})", "(max({0}, 0.0) + math.log1p(math.exp(-abs({0}))))",
        lambda m, x: max(x, m.mpf(0)) + m.log1p(m.exp(-abs(x))), definition="log(1 + exp(x))",
        derivative=("sigmoid(x)",), range=("0", "inf"), monotone="up", curvature="convex", unit="pure", written="log(1 + exp(x))",
    ),
    "tanh": Function(
        ONE_ARGUMENT, "words.tanh({0})", "math.tanh({0})", lambda m, x: m.tanh(x), rational=(("0", "0"),),
        definition="1 - 2 / (1 + exp(2 * x))",
        derivative=("4 * sigmoid(2 * x) * sigmoid(-2 * x)",), range=("-1", "1"), monotone="up", inflection=True, unit="pure",
        symbol=(r"\tanh", "tanh"),
    ),
    "atan": Function(
        ONE_ARGUMENT, "torch.atan({0})", "math.atan({0})", lambda m, x: m.atan(x), rational=(("0", "0"),),
        derivative=("1 / (1 + x**2)",), range=("-1.5707963267948967", "1.5707963267948967"),  # pi / 2, its last digit rounded up
        monotone="up", inflection=True, unit="pure", symbol=(r"\arctan", "arctan"),
    ),
    "asinh": Function(
        ONE_ARGUMENT, "torch.asinh({0})", "math.asinh({0})", lambda m, x: m.asinh(x), rational=(("0", "0"),),
        derivative=("1 / sqrt(1 + x**2)",), monotone="up", inflection=True, unit="pure", symbol=(r"\operatorname{arsinh}", "arsinh"),
    ),
    "erf": Function(
        ONE_ARGUMENT, "torch.erf({0})", "math.erf({0})", lambda m, x: m.erf(x), rational=(("0", "0"),),
        derivative=("exp(-x**2) / sqrt(atan(1))",), range=("-1", "1"), monotone="up", inflection=True, unit="pure",  # atan(1) is pi / 4
    ),
    # Of torch's own softsign the gradient cancels far out. Here one of two parts is 0; at 0 the relu's slope is 0, the other's 1.
    "softsign": Function(
        ONE_ARGUMENT,
        "(words.expm1(-torch.log1p(torch.relu(-{0}))) - words.expm1(-torch.log1p(words.only({0} >= 0, {0}))))",
        "({0} / (1 + abs({0})))", lambda m, x: x / (1 + abs(x)), definition="x / (1 + abs(x))",
        derivative=("1 / (1 + abs(x))**2",), range=("-1", "1"), monotone="up", inflection=True, unit="pure",
    ),
}  # fmt: skip


def kinked(word: Any) -> bool:
    """Whether the function has kinks or jumps of its own. (Of a word that is shorthand, those of its definition count.)"""
    row = FUNCTIONS.get(word)
    return row is not None and row.kink is not None


def switches_twice(word: Any) -> bool:
    """Whether more than one pair of scalars switches the function, as the two ends of `clip` do."""
    row = FUNCTIONS.get(word)
    return row is not None and row.kink is not None and len(row.kink.pairs) > 1


def clamping(word: Any) -> bool:
    """Whether the function follows its argument up to a bound: it rises, and kinks without a jump."""
    row = FUNCTIONS.get(word)
    return row is not None and row.kink is not None and not row.kink.jump and row.monotone == "up"


def jumping(word: Any) -> bool:
    """Whether the function may jump."""
    row = FUNCTIONS.get(word)
    return row is not None and row.kink is not None and row.kink.jump
