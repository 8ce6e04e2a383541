"""The one table of words. A new word is one row; its lowering, printing, high-precision form and tests derive from it.

Four kinds of row: `Input` (what data and models supply), `Function` (works element by element), `Reduction` (takes
an axis away) and `Placing` (keeps the axis: an element among all of them). The kinds of feedback and their roles stand
here too. torch and mpmath appear only as text or as the
argument `m` (the mpmath module), so that nothing heavy is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["token", "completion", "example", "batch"]
Monotone = Literal["up", "down", "none"]
Curvature = Literal["affine", "convex", "concave", "none"]


@dataclass(frozen=True)
class Input:
    """A quantity that is given, not computed. `unit` is its power of "token" (nats count as 1).

    `needs` names what must supply it: `policy`, `reference`, `sampler`, `head`, `vocabulary` (full-vocabulary sums of
    the fused head) or nothing. `policy` says whether its value depends on the trained weights, `reference` whether a
    sum over the vocabulary reads the reference's distribution.
    """

    level: Level
    unit: int
    meaning: str
    needs: str = ""
    policy: bool = False
    reference: bool = False


@dataclass(frozen=True)
class Function:
    """A word that works element by element. Arguments are x, y, ... in `derivative`, `torch` and `plain`.

    `domain` holds the open interval of each argument (ends as text), `range` that of the value; `monotone` and
    `curvature` describe it in its first argument on that domain; `inflection` marks what is convex below 0 and concave
    above. `closed` says that the ends of `domain` belong to it. `derivative` is a formula for each argument. `torch`
    is the stable spelling for tensors, `plain` the one for Python numbers, `exact` the mpmath form. `pure` arguments
    must carry no unit; `unit` says what becomes of it: kept, none, or shared by all arguments.
    """

    arity: tuple[int, int]
    torch: str
    plain: str
    exact: Callable[..., Any]
    derivative: tuple[str, ...] = ()
    domain: tuple[str, str] = ("-inf", "inf")
    range: tuple[str, str] = ("-inf", "inf")
    monotone: Monotone = "none"
    curvature: Curvature = "none"
    unit: Literal["none", "pure", "kept", "shared"] = "none"
    inflection: bool = False
    closed: bool = False


@dataclass(frozen=True)
class Reduction:
    """A word that takes an axis away: `over` names the axis, `unit` is added to its argument's unit.

    `torch` is the function of `halo.loss.words` that does it, called with the value, its mask and the dimensions.
    """

    over: Literal["token", "list", "batch"]
    torch: str
    unit: int = 0


@dataclass(frozen=True)
class Placing:
    """A word that keeps the element and says where it stands among the others: `over` a list or the batch.

    `order` is how an `order` node does it (`rank` or `sort`); or, with R the logsumexp of x over the other completions of
    the list, the word is `function(x - R)`. `symbol` is what a paper calls it.
    """

    over: Literal["list", "batch"]
    meaning: str
    order: Literal["rank", "sort", ""] = ""
    function: str = ""
    symbol: str = ""


INPUTS: dict[str, Input] = {
    "logp": Input("token", -1, "log-probability of each completion token under the policy", "policy", policy=True),
    "ref_logp": Input("token", -1, "the same under the reference", "reference"),
    "old_logp": Input("token", -1, "the same under the policy that sampled it", "sampler"),
    "entropy": Input("token", -1, "entropy of the policy's next-token distribution", "vocabulary", policy=True),
    "ref_entropy": Input("token", -1, "the same of the reference", "vocabulary", reference=True),
    "log_sum_sq_probs": Input("token", -1, "log sum_v p(v)^2 of the policy: the log-prob it expects of its own token", "vocabulary",
        policy=True),
    "kl_ref_policy": Input("token", -1, "KL(reference || policy) of the next token", "vocabulary", policy=True, reference=True),
    "kl_policy_ref": Input("token", -1, "KL(policy || reference) of the next token", "vocabulary", policy=True, reference=True),
    "position": Input("token", 1, "1 for the first completion token, 2 for the next, ..."),
    "length": Input("completion", 1, "number of scored tokens"),
    "score": Input("completion", 0, "an external judge's number"),
    "vocab_size": Input("batch", 0, "number of tokens that the model's head chooses from"),
}  # fmt: skip

FULL_VOCABULARY = tuple(name for name, row in INPUTS.items() if row.needs == "vocabulary")
"""The words that sum over every token the head could say, in the order in which they are scored."""

FUNCTIONS: dict[str, Function] = {
    "add": Function((2, 2), "{0} + {1}", "{0} + {1}", lambda m, x, y: x + y, ("1", "1"), monotone="up", curvature="affine", unit="shared"),
    "sub": Function((2, 2), "{0} - {1}", "{0} - {1}", lambda m, x, y: x - y, ("1", "-1"), monotone="up", curvature="affine", unit="shared"),
    "mul": Function((2, 2), "{0} * {1}", "{0} * {1}", lambda m, x, y: x * y, ("y", "x")),
    "div": Function((2, 2), "{0} / {1}", "{0} / {1}", lambda m, x, y: x / y, ("1 / y", "-x / y**2")),
    "pow": Function((2, 2), "{0}**{1}", "{0}**{1}", lambda m, x, y: m.power(x, y), ("y * x**(y - 1)", "x**y * log(x)")),
    "neg": Function((1, 1), "-{0}", "-{0}", lambda m, x: -x, ("-1",), monotone="down", curvature="affine", unit="kept"),
    "lt": Function((2, 2), "{0} < {1}", "{0} < {1}", lambda m, x, y: x < y, unit="shared"),
    "le": Function((2, 2), "{0} <= {1}", "{0} <= {1}", lambda m, x, y: x <= y, unit="shared"),
    "gt": Function((2, 2), "{0} > {1}", "{0} > {1}", lambda m, x, y: x > y, unit="shared"),
    "ge": Function((2, 2), "{0} >= {1}", "{0} >= {1}", lambda m, x, y: x >= y, unit="shared"),
    "where": Function((3, 3), "words.where({0}, {1}, {2})", "({1} if {0} else {2})", lambda m, c, x, y: x if c else y, unit="shared"),
    "min": Function((2, 8), "words.minimum({*})", "min({*})", lambda m, *xs: min(xs), monotone="up", curvature="concave", unit="shared"),
    "max": Function((2, 8), "words.maximum({*})", "max({*})", lambda m, *xs: max(xs), monotone="up", curvature="convex", unit="shared"),
    "clip": Function((3, 3), "words.clip({0}, {1}, {2})", "min(max({0}, {1}), {2})",
                     lambda m, x, low, high: min(max(x, low), high), monotone="up", unit="shared"),
    "relu": Function((1, 1), "torch.relu({0})", "max({0}, 0.0)", lambda m, x: max(x, m.mpf(0)),
                     range=("0", "inf"), monotone="up", curvature="convex", unit="kept"),
    "abs": Function((1, 1), "torch.abs({0})", "abs({0})", lambda m, x: abs(x), ("sign(x)",), range=("0", "inf"), curvature="convex",
        unit="kept"),
    "sign": Function((1, 1), "torch.sign({0})", "float(({0} > 0) - ({0} < 0))", lambda m, x: m.sign(x), ("0",), range=("-1", "1"),
        monotone="up"),
    "exp": Function((1, 1), "torch.exp({0})", "math.exp({0})", lambda m, x: m.exp(x), ("exp(x)",), range=("0", "inf"), monotone="up",
        curvature="convex"),
    "expm1": Function((1, 1), "words.expm1({0})", "math.expm1({0})", lambda m, x: m.expm1(x), ("exp(x)",),
                      range=("-1", "inf"), monotone="up", curvature="convex"),
    "log": Function((1, 1), "torch.log({0})", "math.log({0})", lambda m, x: m.log(x), ("1 / x",), ("0", "inf"), monotone="up",
        curvature="concave"),
    "log1p": Function((1, 1), "torch.log1p({0})", "math.log1p({0})", lambda m, x: m.log(1 + x), ("1 / (1 + x)",), ("-1", "inf"),
                      monotone="up", curvature="concave"),
    "log1mexp": Function((1, 1), "words.log1mexp({0})",
        "(math.log(-math.expm1({0})) if {0} > -0.6931471805599453 else math.log1p(-math.exp({0})))", lambda m, x: m.log(-m.expm1(x)),
                         ("-exp(x) / (1 - exp(x))",), ("-inf", "0"), ("-inf", "0"), "down", "concave"),
    "sqrt": Function((1, 1), "torch.sqrt({0})", "math.sqrt({0})", lambda m, x: m.sqrt(x), ("1 / (2 * sqrt(x))",), ("0", "inf"), ("0",
        "inf"), "up", "concave", closed=True),
    "sigmoid": Function((1, 1), "words.sigmoid({0})", "(math.exp(min({0}, 0.0)) / (1 + math.exp(-abs({0}))))", lambda m,
        x: 1 / (1 + m.exp(-x)),
                        ("sigmoid(x) * sigmoid(-x)",), range=("0", "1"), monotone="up", unit="pure", inflection=True),
    "logsigmoid": Function((1, 1), "F.logsigmoid({0})", "(min({0}, 0.0) - math.log1p(math.exp(-abs({0}))))", lambda m,
        x: -m.log1p(m.exp(-x)),
                           ("sigmoid(-x)",), range=("-inf", "0"), monotone="up", curvature="concave", unit="pure"),
    "softplus": Function((1, 1), "-F.logsigmoid(-{0})", "(max({0}, 0.0) + math.log1p(math.exp(-abs({0}))))", lambda m, x: m.log1p(m.exp(x)),
                         ("sigmoid(x)",), range=("0", "inf"), monotone="up", curvature="convex", unit="pure"),
    "tanh": Function((1, 1), "words.tanh({0})", "math.tanh({0})", lambda m, x: m.tanh(x), ("4 * sigmoid(2 * x) * sigmoid(-2 * x)",),
                     range=("-1", "1"), monotone="up", unit="pure", inflection=True),
    "atan": Function((1, 1), "torch.atan({0})", "math.atan({0})", lambda m, x: m.atan(x), ("1 / (1 + x**2)",),
        range=("-1.5707963267948967", "1.5707963267948967"), monotone="up", unit="pure", inflection=True),
    "asinh": Function((1, 1), "torch.asinh({0})", "math.asinh({0})", lambda m, x: m.asinh(x), ("1 / sqrt(1 + x**2)",), monotone="up",
        unit="pure", inflection=True),
}  # fmt: skip

REDUCTIONS: dict[str, Reduction] = {
    "sum": Reduction("token", "total", unit=1),
    "mean": Reduction("token", "mean"),
    "list_sum": Reduction("list", "total"),
    "list_mean": Reduction("list", "mean"),
    "list_max": Reduction("list", "largest"),
    "list_min": Reduction("list", "smallest"),
    "list_std": Reduction("list", "std"),
    "list_logsumexp": Reduction("list", "logsumexp"),
    "batch_sum": Reduction("batch", "total"),
    "batch_mean": Reduction("batch", "mean"),
    "batch_max": Reduction("batch", "largest"),
    "batch_std": Reduction("batch", "std"),
}

PLACINGS: dict[str, Placing] = {
    "list_rank": Placing("list", "1 + how many of the list are higher, or equal and earlier; a count, so no gradient", "rank", symbol="rank"),
    "list_softmax": Placing("list", "exp(x) divided by its sum over the list", function="sigmoid", symbol="softmax"),
    "list_log_softmax": Placing("list", "the logarithm of list_softmax", function="logsigmoid", symbol="log softmax"),
    "batch_sort": Placing("batch", "the numbers of all examples in rising order; equal ones stay in their order", "sort", symbol="sort"),
}

SPECIAL = {"stop": "the same value without a gradient"}

LIST_POPULATIONS = ("all", "others", "better", "worse", "suffix")


def known_words() -> set[str]:
    """Every word a formula may use before declarations are added."""
    named = {name for name in FUNCTIONS if name not in _OPERATORS}
    return named | set(INPUTS) | set(REDUCTIONS) | set(PLACINGS) | set(SPECIAL) | {"reward", "z", "loss"}


_OPERATORS = {"add", "sub", "mul", "div", "pow", "neg", "lt", "le", "gt", "ge"}
