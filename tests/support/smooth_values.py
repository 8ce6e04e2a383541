"""Value functions by family, as researchers write them: smooth ones, kinks at parameters, poles, and rewards with an end.

Each is one change of DPO. Of six questions the share that is decided is counted (`SHARES` of `tests/checks/test_smooth_values.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

DOMAINS = {"a": "(0, 1)", "b": "(0, inf)", "t": "(-inf, inf)", "k": "[1, 4]"}
"""Of the parameters, by the letter that stands for one."""
DEFAULTS = {"a": 0.25, "b": 0.5, "t": 1.0, "k": 2.0}
OTHERS = ({"a": "0.9", "b": "3", "t": "-2", "k": "1"}, {"a": "0.1", "b": "0.2", "t": "7", "k": "4"})
WORDS = "sum(logp - ref_logp)"


@dataclass(frozen=True)
class Smooth:
    """A value function, where z and the difference of scores can be (text: an interval), and what else differs from DPO.

    The parameters are the letters of `DOMAINS` that stand alone in the text. beta is 1.
    """

    text: str
    z: str = "(-inf, inf)"
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def letters(self) -> list[str]:
        return [letter for letter in DOMAINS if re.search(rf"\b{letter}\b", self.text)]

    @property
    def file(self) -> dict[str, Any]:
        """The objective: DPO with this v."""
        declared = {letter: {"default": DEFAULTS[letter], "domain": DOMAINS[letter]} for letter in self.letters}
        plain = {"name": "mine", "feedback": "paired", "reward": WORDS, "reference_point": "rejected", "value": self.text, "sign": -1}
        return plain | ({"parameters": declared} if declared else {}) | self.changes


ODDS = {"reward": "mean(logp)", "reference_point": "none"}
CLIPPED = {"reward": "clip(sum(logp - ref_logp), -1, 1)"}
SQUASHED = {"reward": "tanh(sum(logp - ref_logp))"}


def plain(*texts: str) -> tuple[Smooth, ...]:
    return tuple(Smooth(text) for text in texts)


def below_0(*texts: str) -> tuple[Smooth, ...]:
    return tuple(Smooth(text, "(-inf, 0)", ODDS) for text in texts)


def clipped(*texts: str) -> tuple[Smooth, ...]:
    return (*(Smooth(text, "[-2, 2]", CLIPPED) for text in texts), *(Smooth(text, "(-2, 2)", SQUASHED) for text in texts))


FAMILIES: dict[str, tuple[Smooth, ...]] = {
    "softsign": plain(
        "softsign(z)", "softsign(z/b)", "b*softsign(z) - a*relu(-z)", "z/(1 + abs(z))", "z/(b + abs(z))", "z/sqrt(1 + z**2)", "z/sqrt(b + z**2)",
        "softsign(z)**3", "-(1 - softsign(z))**2", "softsign(z - t)", "1 - softsign(-z)/2", "z*abs(z)/(1 + z**2)",
    ),
    "arctan": plain(
        "atan(z)", "atan(z/b)", "b*atan(z)", "atan(z - t)", "z + atan(z)", "z - atan(z)", "-atan(z)**2", "z*atan(z)", "atan(exp(z))", "a*z + (1 - a)*atan(z)",
        "-(2 - atan(z))**2", "atan(z)**3", "asinh(z)", "asinh(b*z)/b", "erf(z)", "erf(z/b)", "-(1 - erf(z))**2", "log(2 + atan(z))",
    ),
    "log-cosh": plain(
        "-log((exp(z) + exp(-z))/2)", "-log((exp(z - 1) + exp(1 - z))/2)", "z - softplus(2*z)", "-b*log((exp(z/b) + exp(-z/b))/2)",
        "-log((exp(z - t) + exp(t - z))/2)", "z - log(exp(z) + exp(-z))", "-log(1 + (exp(z) + exp(-z))/2)", "-log(1 + z**2)", "-log(1 + (z/b)**2)",
        "-log(1 + (z - t)**2)", "logsigmoid(z) - log(1 + z**2)",
    ),
    "Huber": plain(
        "1 - sqrt(1 + z**2)", "b**2 * (1 - sqrt(1 + (z/b)**2))", "1 - sqrt(1 + (z - 1)**2)", "where(abs(z) <= 1, -z**2/2, 1/2 - abs(z))",
        "where(abs(z) <= b, -z**2/2, b*(b/2 - abs(z)))", "where(z >= 1, 0, where(z <= 0, z - 1/2, -(1 - z)**2/2))",
        "where(z >= b, 0, -(b - z)**2/(2*b + (b - z)))", "where(abs(z - 1) <= 1, -(z - 1)**2/2, 1/2 - abs(z - 1))", "1 - (1 + z**2)**(1/4)",
        "-sqrt(b + (z - t)**2)", "z - sqrt(1 + z**2)",
    ),
    "Gompertz": plain(
        "exp(-exp(-z))", "exp(-b*exp(-z))", "exp(-exp(-z/b))", "1 - exp(-exp(z))", "b*(1 - exp(-exp(z)))", "-exp(-z)", "-exp(-z/b)", "log(1 - exp(-exp(z)))",
        "-log(1 + exp(-exp(z)))", "exp(-exp(t - z))", "exp(-exp(-z)) - exp(-z)", "exp(-exp(-z)) + a*z",
    ),
    "powers": plain(
        "tanh(z)**3", "tanh(z)**2", "tanh(z/b)**3", "tanh(b*z)**5", "-(1 - tanh(z))**2", "-(1 - tanh(z))**3", "tanh(z) + tanh(z)**3", "tanh(z) - tanh(z)**3/3",
        "sigmoid(z)**b", "sigmoid(z)**3", "-(1 - sigmoid(z))**b", "(1 + tanh(z))**(1/2)", "-(1 - tanh(z))**k", "logsigmoid(z)**3", "-softplus(-z)**2",
    ),
    "products": plain(
        "a*logsigmoid(z) + (1 - a)*tanh(z)", "z*sigmoid(z)", "z*sigmoid(b*z)", "sigmoid(z)*sigmoid(b*z)", "sigmoid(z)*logsigmoid(z)", "tanh(z)*sigmoid(z)",
        "b*sigmoid(z) - a*softplus(-z)", "z*exp(-z**2)", "z*exp(-z)", "-exp(-z**2)", "-exp(-b*z**2)", "b*logsigmoid(z/b)", "(1 - a)*logsigmoid(z) - a*logsigmoid(-z)",
        "a*tanh(z) + b*z", "logsigmoid(z) + a*tanh(z/b)", "k*logsigmoid(z) - z**2/(2*b)", "z*tanh(z)", "-z*tanh(z)", "t*logsigmoid(z)", "z/(1 + exp(-b*z))",
        "a*sigmoid(2*z) + (1 - a)*sigmoid(z/2)", "-(z - 1/(2*b))**2 * sigmoid(-z)",
    ),
    "kink at a parameter": plain(
        "-relu(b - z)", "-relu(b - z)**2", "min(z, b)", "max(z, -b)", "clip(z, -b, b)", "-abs(z - b)", "-abs(z - t)", "logsigmoid(min(z, b))", "min(logsigmoid(z), -a)",
        "where(z > b, b + 1 - exp(b - z), z)", "where(z > t, tanh(z - t), z - t)", "where(z >= b, log(z) - log(b), z/b - 1)", "tanh(max(z, -b))", "-relu(t - z)**3",
        "softsign(min(z, b))", "logsigmoid(z) - relu(z - b)", "-relu(b - tanh(z))", "min(b*z, z)",
    ),
    "below 0": below_0(
        "log1mexp(z)", "-log1mexp(z)", "z - log1mexp(z)", "logsigmoid(z - log1mexp(z))", "b*z - log1mexp(z)", "log(-z)", "-log(-z)", "1/z", "-1/z", "-sqrt(-z)", "exp(z)",
        "exp(z)/(1 - exp(z))", "logsigmoid(z)", "z", "-z**2",
    ),
    "poles": plain(
        "1/(exp(z) - 2)", "-1/(exp(z) - 2)", "1/(z - 1)", "-1/(z**2 - 2)", "tanh(1/(exp(z) - 2))", "z/(exp(z) - 3)", "1/(exp(z) - 2)**2", "sigmoid(z)/(tanh(z) - 1/2)",
        "log(exp(z) - 2)", "1/(z**3 - 2)", "1/(exp(z) - 1 - b)", "1/(z - t)",
    ),
    "clipped rewards": clipped("logsigmoid(z)", "-(z - 1)**2", "-(z - 3)**2", "-exp(-z)", "z", "exp(z)", "sigmoid(z)", "b*z - z**2", "tanh(z)**3"),
}  # fmt: skip
