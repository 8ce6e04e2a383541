"""The words of a report: what each check asks, numbers as long as they must be, formulas in the symbols of the equations.

Nothing here knows a format; `rows` uses it, and the text, Markdown, LaTeX and HTML reports use `rows`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal

from halo.notation.symbols import declared_symbols
from halo.objective.propositions import PROPOSITIONS, proposition_of
from halo.objective.schema import Declaration

OTHER = "More"
"""The group, the last one, of checks that are not known here."""
FAILS = "What fails"
"""The first group: what is not as the file expects, or as it must be."""

WORDS = {"proved": "holds", "refuted": "not so", "undecided": "undecided"}
"""A verdict for readers. That a property is not there is no fault, so it is said plainly."""

Rewrite = Callable[[str], str]
_NUMBER = re.compile(r"(?<![\w.])\d+\.\d+(?:e[+-]?\d+)?(?![\w.])|(?<![\w./])\d+/\d+(?![\w./])|(?<![\w.,/])\d{13,}(?![\w.])")
_LONG_FRACTION = 8  # characters: 1/4 says more than 0.25, but 5021/14640 less than 0.343
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def group_of(check: str) -> str:
    """The group that a check stands in."""
    proposition = proposition_of(check)
    return OTHER if proposition is None else proposition.group


def meaning_of(check: str) -> str:
    """What is so where the check's proposition is proved; nothing for one that is not known here."""
    proposition = proposition_of(check)
    return "" if proposition is None else proposition.meaning


def group_names() -> list[str]:
    """All groups, in the order of a report."""
    return list(dict.fromkeys([FAILS, *(one.group for one in PROPOSITIONS.values()), OTHER]))


def definitions() -> dict[str, str]:
    """What the propositions of a group are held against, by group."""
    return {one.group: one.definition for one in PROPOSITIONS.values() if one.definition}


_EXPECTED = {"proved": "expected to hold", "refuted": "expected not to hold"}
_FOUND = {"proved": "it holds", "refuted": "it does not", "undecided": "undecided"}


def told(expected: str, found: str) -> str:
    """An expectation that is not met: `expected to hold, it does not`, or `expected up, found down`."""
    wanted = _EXPECTED.get(expected, f"expected {expected}")
    return f"{wanted}, {_FOUND.get(found, f'found {found}')}"


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
    top, slash, bottom = number.partition("/")
    if not slash or Decimal(bottom) == 0:
        return Decimal(top)
    return Decimal(top) / Decimal(bottom)


def _rounded(number: str, digits: int) -> str:
    if "/" in number and len(number) <= _LONG_FRACTION:
        return number
    value = _value(number)
    if value == value.to_integral_value() and abs(value) < 10**8:
        return shown(value)
    if value.adjusted() < 8:  # 24153, not 24150
        digits = max(digits, value.adjusted() + 1)
    rounded = (Decimal(f"{value:.{more - 1}e}") for more in range(digits, 40))
    return shown(next((r for r in rounded if r != r.to_integral_value() or abs(value) >= 1000), value))


def shown(value: Decimal) -> str:
    """A decimal as people write it: 45, 0.1095, 4.12e-8."""
    if value == 0:
        return "0"
    exponent = value.adjusted()
    if -4 <= exponent < 8:
        return _trimmed(f"{value:f}")
    return f"{_trimmed(f'{value.scaleb(-exponent):f}')}e{exponent}"


def _trimmed(digits: str) -> str:
    """Without the zeros behind the last decimal that says something."""
    if "." not in digits:
        return digits
    return digits.rstrip("0").rstrip(".")


def equation_of(name: str, value: str) -> str:
    """A line of a witness: `beta = 1/2` is exact, `slope ≈ -0.109455874779` was computed and cut at twelve digits."""
    bare = value.lstrip("-")
    if not re.fullmatch(r"\d+\.\d+(e[+-]?\d+)?", bare):
        return f"{name} = {value}"
    computed = len(Decimal(bare).normalize().as_tuple().digits) >= 11
    return f"{name} {'≈' if computed else '='} {shown(Decimal(value))}"


# -- formulas ----------------------------------------------------------------------------------------------------------


def rewriter(declared: Declaration | None) -> Rewrite:
    """A function that writes formulas in a reason as the equations above it do, in Greek and with powers raised."""
    symbols, own = dict[str, str](), set[str]()
    if declared:
        symbols = {name: symbol.unicode for name, symbol in declared_symbols(declared).items() if not symbol.unicode.isascii()}
        own = {*declared.parameters, *declared.let, *declared.columns}
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


def reason_of(text: str, rewrite: Rewrite) -> tuple[str, str]:
    """A reason in two: the sentence, and the excerpt of a file below it."""
    sentence, _, excerpt = text.partition("\n")
    if excerpt:  # it is a message about the file, in the words of the file
        return sentence, excerpt
    return shortened(rewrite(sentence)), ""


def witness_of(witness: Mapping[str, str]) -> tuple[str, ...]:
    """The numbers of a witness, each an equation in the names of the file."""
    return tuple(equation_of(name, value) for name, value in witness.items())
