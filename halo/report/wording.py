"""The words of a report: what each check asks, numbers as long as they must be, formulas in the symbols of the equations.

Nothing here knows a format; `rows` uses it, and the text, Markdown, LaTeX and HTML reports use `rows`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal

from halo.notation.symbols import declared_symbols
from halo.objective.schema import Declaration

GROUPS: dict[str, dict[str, str]] = {
    "Well-formed": {
        "domain": "every formula has a value for every declared parameter value and every reachable input",
        "units": "sums over tokens and averages per token are never mixed",
        "reach": "every declared role, parameter, column and term influences the loss",
        "no_overflow": "every intermediate fits float32",
    },
    "Value function v(z)": {
        "monotone": "v never falls",
        "concave_on_gains": "v is concave on gains, z > 0",
        "bounded": "v has a bound on the side that the loss falls towards",
        "saturates": "v' tends to 0 at both ends",
        "lipschitz": "v' is bounded",
    },
    "Human-aware loss": {"halo": "the loss is a HALO, v applied to an implied reward against a reference point"},
    "Which way it pulls": {
        "direction": "the completion is pulled one way only",
        "at_reference": "with policy = reference the loss is made of parameters alone",
        "stop_gradient_effect": "what is detached changes the gradient of the rest",
    },
    "Where it leads": {
        "finite_optimum": "the loss of a sure preference is least at a finite difference of scores",
        "preference_link": "the optimum for preference probability p stays bounded as p tends to 0 and 1",
    },
    "What it ignores": {
        "log_partition_cancels": "adding c(x) to every score changes nothing, so log Z(x) cancels",
        "length_neutral": "at fixed log-probability per token the loss does not depend on lengths",
        "symmetry": "a pair and the swapped pair have likelihoods that add up to 1",
    },
}
"""What each check asks, in the groups and the order of a report. A check that is not here comes last, under `OTHER`."""
OTHER = "More"

Rewrite = Callable[[str], str]
_NUMBER = re.compile(r"(?<![\w.])\d+\.\d+(?:e[+-]?\d+)?(?![\w.])|(?<![\w./])\d+/\d+(?![\w./])|(?<![\w.,/])\d{13,}(?![\w.])")
_LONG_FRACTION = 8  # characters: 1/4 says more than 0.25, but 5021/14640 less than 0.343
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def group_of(check: str) -> str:
    """The group that a check stands in, by its name before the dot."""
    return next((name for name, checks in GROUPS.items() if check.split(".")[0] in checks), OTHER)


def question_of(check: str) -> str:
    """What `proved` means, in words; nothing for a check that is not known here."""
    return next((checks[check.split(".")[0]] for checks in GROUPS.values() if check.split(".")[0] in checks), "")


# -- numbers -----------------------------------------------------------------------------------------------------------


def shortened(text: str) -> str:
    """The text with its decimals at four digits, or as many more as keep two of them apart and 0.99999 from being 1."""
    found = dict.fromkeys(_NUMBER.findall(text))
    short: dict[str, str] = {}
    for digits in range(4, 13):
        short = {number: _rounded(number, digits) for number in found}
        if len(set(short.values())) == len({_value(number) for number in found}):
            break
    return _NUMBER.sub(lambda match: short[match[0]], text)


def _value(number: str) -> Decimal:
    if "/" in number:
        top, bottom = number.split("/")
        return Decimal(top) / Decimal(bottom) if Decimal(bottom) else Decimal(top)
    return Decimal(number)


def _rounded(number: str, digits: int) -> str:
    if "/" in number and len(number) <= _LONG_FRACTION:
        return number
    value = _value(number)
    if value == value.to_integral_value() and abs(value) < 10**8:
        return shown(value)
    digits = max(digits, value.adjusted() + 1) if value.adjusted() < 8 else digits  # 24153, not 24150
    rounded = (Decimal(f"{value:.{more - 1}e}") for more in range(digits, 40))
    return shown(next((r for r in rounded if r != r.to_integral_value() or abs(value) >= 1000), value))


def shown(value: Decimal) -> str:
    """A decimal as people write it: 45, 0.1095, 4.12e-8."""
    if value == 0:
        return "0"
    exponent = value.adjusted()
    if -4 <= exponent < 8:
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa = f"{value.scaleb(-exponent):f}".rstrip("0").rstrip(".")
    return f"{mantissa}e{exponent}"


def equation_of(name: str, value: str) -> str:
    """A line of a witness: `beta = 1/2` is exact, `slope ≈ -0.109455874779` was computed and cut at twelve digits."""
    bare = value.lstrip("-")
    if not re.fullmatch(r"\d+\.\d+(e[+-]?\d+)?", bare):
        return f"{name} = {value}"
    digits = len(Decimal(bare).normalize().as_tuple().digits)
    return f"{name} {'≈' if digits >= 11 else '='} {'-' * value.startswith('-')}{shown(Decimal(bare))}"


# -- formulas ----------------------------------------------------------------------------------------------------------


def rewriter(declared: Declaration | None) -> Rewrite:
    """A function that writes formulas in a reason as the equations above it do, in Greek and with powers raised."""
    symbols = {name: s.unicode for name, s in declared_symbols(declared).items() if not s.unicode.isascii()} if declared else {}
    own = set(declared.parameters) | set(declared.let) | set(declared.columns) if declared else set()
    words = {"pi_ref": "π_ref", "pi": "π", "theta": "θ", "Psi": "Ψ", "oo": "∞", "inf": "∞"}
    spelt = {name: symbol for name, symbol in words.items() if name not in own} | symbols
    named = re.compile(rf"(?<![\w.])(?:{'|'.join(map(re.escape, spelt))})(?![\w'])")
    return lambda text: _operators(named.sub(lambda match: spelt[match[0]], text))


def _operators(text: str) -> str:
    text = re.sub(r"\blogsigmoid\(", "log σ(", text)
    text = re.sub(r"\bsigmoid\(", "σ(", text)
    text = re.sub(r"\*\*(\d)(?![\d.\w])", lambda match: match[1].translate(_RAISED), text)
    text = re.sub(r"(?<!\*)\*(?= ?[\w(∞])", "·", text)
    return text.replace(">=", "≥").replace("<=", "≤")


def reason_of(text: str, rewrite: Rewrite) -> tuple[str, str, str]:
    """A reason in three: the definition that it is about, the sentence, and the excerpt of a file below it."""
    sentence, _, excerpt = text.partition("\n")
    match = re.match(r"(Definition [\d.]+) \((.*?)\): ", sentence)
    definition = rewrite(f"{match[1]}: {match[2]}") if match else ""
    rest = sentence[match.end() :] if match else sentence
    return definition, rest if excerpt else shortened(rewrite(rest)), excerpt


def witness_of(witness: Mapping[str, str]) -> tuple[str, ...]:
    """The numbers of a witness, each an equation in the names of the file."""
    return tuple(equation_of(name, value) for name, value in witness.items())
