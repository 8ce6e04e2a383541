"""The one table of words. A new word is one row; all that halo does with it, and its tests, derive from the row.

Four kinds of row: `Input` (what data and models supply), `Function` (works element by element; these rows stand in
`halo.objective.functions`), `Reduction` (takes an axis away) and `Placing` (keeps the axis: an element among all of them).
The kinds of feedback and their roles stand in `feedback.py`. torch appears only as text, so that nothing heavy is imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from halo.objective.functions import FUNCTIONS as FUNCTIONS
from halo.objective.functions import LETTERS as LETTERS
from halo.objective.functions import Function as Function
from halo.objective.functions import Kink as Kink
from halo.objective.functions import clamping as clamping
from halo.objective.functions import jumping as jumping
from halo.objective.functions import kinked as kinked
from halo.objective.functions import switches_twice as switches_twice

Level = Literal["token", "completion", "example", "batch"]


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
    "score": Input("completion", 0, "the number that a scorer or a person gave"),
    "vocab_size": Input("batch", 0, "number of tokens that the model's head chooses from"),
}  # fmt: skip

FULL_VOCABULARY = tuple(name for name, row in INPUTS.items() if row.needs == "vocabulary")
"""The words that sum over every token the head could say, in the order in which they are scored."""

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
    "list_rank": Placing(
        "list", "1 + how many of the list are higher, or equal and earlier; a count, so no gradient", "rank", symbol="rank"
    ),
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
