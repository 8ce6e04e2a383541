"""Names of an objective file -> the symbols of a paper: lambda_d is λ_D, the rejected completion y_l.

Every symbol has two spellings, LaTeX and Unicode. Two declared names never share a symbol, nor take one of the notation's own.
"""

from __future__ import annotations

from dataclasses import dataclass

from halo.objective.schema import Declaration

_SMALL = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi omega"
_LARGE = "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
GREEK = dict(zip(f"{_SMALL} {_LARGE}".split(), "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ", strict=True))
_SHORT = {"eps": "epsilon", "lam": "lambda", "lambd": "lambda"}
_LABELS = {"d": "D", "u": "U"}  # the KTO paper's lambda_D and lambda_U
_OWN = {
    "x", "y", "Y", "t", "r", "z", "e", "c", "B", "D", "E", "L", "π", "θ", "σ", "z_0", "z_w", "z_l", "z_D", "z_U", "z_t", "y_w", "y_l",
    "y_D", "y_U", "y_t", "r_θ", "r_t", "π_θ", "π_ref", "π_old", "Σ", "c_y",
}  # fmt: skip


@dataclass(frozen=True)
class Symbol:
    """One symbol in both spellings. `log`: it is written `log of something`, so it binds like a product."""

    latex: str
    unicode: str
    log: bool = False


@dataclass(frozen=True)
class Completion:
    """The symbol of a completion: a letter, perhaps a prime, perhaps a subscript; its tokens carry the subscript t as well."""

    letter: str
    subscript: str = ""
    prime: str = ""

    def symbol(self, token: str = "") -> Symbol:
        """The completion itself, or with `token` (`t` or `<t`) that part of it."""
        roman = self.subscript
        if len(roman) > 1:
            roman = rf"\mathrm{{{escaped(roman)}}}"
        below = ",".join(part for part in (roman, token) if part)
        plain = ",".join(part for part in (self.subscript, token) if part)
        name = self.letter + self.prime
        return Symbol(name + subscript(below), name + plain_subscript(plain))


def completion(role: str) -> Completion:
    """How a role's completion is written when a formula names it; "" is the completion at hand."""
    known = {
        "": Completion("y"), "completion": Completion("y"), "prompt": Completion("x"),
        "chosen": Completion("y", "w"), "rejected": Completion("y", "l"),
        "desirable": Completion("y", "D"), "undesirable": Completion("y", "U"), "mismatched": Completion("y", prime="'"),
        "all": Completion("y", prime="'"), "others": Completion("y", prime="'"), "better": Completion("y", prime="'"),
        "worse": Completion("y", prime="'"), "suffix": Completion("y", prime="'"),
    }  # fmt: skip
    return known.get(role) or Completion("y", role)


def declared_symbols(declared: Declaration) -> dict[str, Symbol]:
    """A symbol for every parameter, column, let and statistic."""
    found: dict[str, Symbol] = {}
    taken = set(_OWN)
    labelled = bool(declared.kind.labels)
    for name in (*declared.parameters, *declared.columns, *declared.let, *declared.statistics):
        choices = (_conventional(name, labelled), _roman(name), Symbol(rf"\mathtt{{{escaped(name)}}}", f"`{name}`"))
        found[name] = next(choice for choice in choices if choice.unicode not in taken)
        taken.add(found[name].unicode)
    return found


def escaped(name: str) -> str:
    r"""A name inside \mathrm{...}."""
    return name.replace("_", r"\_")


def subscript(text: str) -> str:
    r"""`_w`, `_{w,t}` or nothing: LaTeX puts one character below, or what is in braces."""
    if not text:
        return ""
    if len(text) == 1:
        return f"_{text}"
    return f"_{{{text}}}"


def plain_subscript(text: str) -> str:
    """The same for a terminal, where braces hold several subscripts together: `_ref`, `_{w,t}`."""
    if not text:
        return ""
    if "," in text:
        return f"_{{{text}}}"
    return f"_{text}"


def _roman(name: str) -> Symbol:
    """A name that means something else as a symbol: upright, and sans-serif where a single letter would look the same."""
    if len(name) == 1 and name.isalpha():
        start = 0x1D5BA - ord("a") if name.islower() else 0x1D5A0 - ord("A")
        return Symbol(rf"\mathsf{{{name}}}", chr(ord(name) + start))
    return Symbol(rf"\mathrm{{{escaped(name)}}}", name)


def _conventional(name: str, labelled: bool) -> Symbol:
    if name == "advantage":
        return Symbol("A", "A")
    if name == "score":
        return Symbol("s", "s")
    head, *rest = name.split("_")
    if head == "log" and rest:
        inner = _conventional("_".join(rest), labelled)
        return Symbol(rf"\log {inner.latex}", f"log {inner.unicode}", log=True)
    head = _SHORT.get(head, head)
    if (head not in GREEK and len(head) > 1) or "" in rest:
        return _roman(name)
    primes = "'" * rest.count("prime")
    below = [part for part in rest if part != "prime"]
    if labelled:
        below = [_LABELS.get(part, part) for part in below]
    latex = rf"\{head}" if head in GREEK else head
    latex, plain = latex + primes, GREEK.get(head, head) + primes.replace("'", "′")
    if below:
        latex += subscript(",".join(_latex(part) for part in below))
        plain += "_" + ",".join(GREEK.get(part, part) for part in below)
    return Symbol(latex, plain)


def _latex(part: str) -> str:
    """One part of a name: a Greek letter, a letter or number as it is, a word upright."""
    if part in GREEK or part in ("max", "min"):
        return rf"\{part}"
    if len(part) == 1 or part.isdigit():
        return part
    return rf"\mathrm{{{part}}}"
