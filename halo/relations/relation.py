"""How two objectives are related: equal, scaled, shifted, renamed, one a special case of the other, or different.

Candidates are found in floats (`substitution`), and said only if `proof` proves them for all data and all declared parameter
values. `different` is said only if `exclusion` shows of each, at its defaults, that no values of the other's parameters will do;
`distinct`, if it shows so of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, Literal

from halo.analysis.algebra.factors import OutOfReach
from halo.analysis.budgets import MAX_CANDIDATES
from halo.analysis.scalar import is_number
from halo.clock import SECONDS, answers
from halo.compiler.graph import Node
from halo.compiler.graph_text import text
from halo.relations.differences.evidence import Witness
from halo.relations.differences.exclusion import Exclusion
from halo.relations.differences.two_examples import on_two_examples
from halo.relations.proof import Proved, Prover
from halo.relations.rewriting import Incomparable, Unreadable
from halo.relations.rows import Rows, ways
from halo.relations.signature import MARK, Reading, Side, Signal, signal
from halo.relations.substitution import Search

Word = Literal[
    "equal", "scaled", "shifted", "renamed", "special-case", "different", "distinct", "incomparable", "undecided"
]  # fmt: skip
ON_PAIRS = "on lists of two completions, best as chosen and worst as rejected"
AS_PAIRS = "with each pair given as one desirable and one undesirable answer"
UNIFORM = {
    "uniform-sequence": "with log ref the same constant c for every completion",
    "uniform-token": "with log ref = -length * log V",
}


@dataclass(frozen=True)
class Relation:
    """What is known of two objectives.

    substitution  the general one's parameters as formulas of the special one's; `special` and `general` name them
    scale         the factor from the general one's loss to the special one's; `shifted`: gradients agree and values do not
    hypotheses    how examples or references are read for the answer to hold
    """

    left: str
    right: str
    word: Word
    sentence: str
    special: str = ""
    general: str = ""
    substitution: Mapping[str, str] = field(default_factory=dict)
    scale: str = "1"
    shifted: bool = False
    hypotheses: tuple[str, ...] = ()
    reason: str = ""
    witness: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable names."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{self.word}: {self.sentence}", *(f"  {h}" for h in self.hypotheses)]
        if self.reason:
            lines.append(f"  {self.reason}")
        lines += [f"    {name} = {value}" for name, value in self.witness.items()]
        return "\n".join(lines) + "\n"


def relation(left: Side, right: Side) -> Relation:
    """Decides how two objectives are related."""
    readings = _readings(left, right)
    if isinstance(readings, str):
        return _incomparable(left, right, readings)
    hypotheses = tuple(_hypotheses(left, right, readings))
    try:
        return _decided(left, right, readings, hypotheses)
    except Incomparable as problem:
        return _incomparable(left, right, str(problem))
    except (Unreadable, OutOfReach) as problem:
        return _undecided(left, right, str(problem), hypotheses)


def related(left: Side, right: Side, seconds: float = SECONDS) -> Relation:
    """As `relation`, in a process of its own that is ended after so many seconds."""
    stopped = _undecided(left, right, f"stopped by the clock after {seconds:g} s")
    return next(answers(_only, (left, right), seconds), stopped)


def _incomparable(left: Side, right: Side, reason: str) -> Relation:
    return Relation(left.name, right.name, "incomparable", f"{left.name} and {right.name} cannot be compared", reason=reason)


def _undecided(left: Side, right: Side, reason: str, hypotheses: tuple[str, ...] = ()) -> Relation:
    said = f"how {left.name} and {right.name} are related"
    return Relation(left.name, right.name, "undecided", said, hypotheses=hypotheses, reason=reason)


def _only(left: Side, right: Side) -> Iterator[Relation]:
    yield relation(left, right)


def _readings(left: Side, right: Side) -> tuple[Reading, Reading] | str:
    """How each side's examples are read, or why they cannot be compared."""
    graphs = left.compiled.declared, right.compiled.declared
    if graphs[0].needs.control != graphs[1].needs.control:
        return "their completions follow different control texts"
    if graphs[0].needs.moving != graphs[1].needs.moving:
        return "only one of them has a moving reference"
    kinds = left.feedback, right.feedback
    if kinds[0] is kinds[1]:
        return "own", "own"
    if all(kind.compares for kind in kinds):
        ways: list[Reading] = ["lists of two" if kind.is_list else "own" for kind in kinds]
        return ways[0], ways[1]
    if all(kind.labels or kind.is_pair for kind in kinds):
        ways = ["pairs" if kind.labels else "own" for kind in kinds]
        return ways[0], ways[1]
    return f"their examples differ: {left.name} takes {kinds[0]}, {right.name} {kinds[1]} feedback"


def _hypotheses(left: Side, right: Side, readings: Sequence[Reading]) -> Iterator[str]:
    if "lists of two" in readings:
        yield ON_PAIRS
    if "pairs" in readings:
        yield AS_PAIRS
    for reference in dict.fromkeys(filter(None, (left.reference, right.reference))):
        yield UNIFORM[reference]


def _decided(left: Side, right: Side, readings: tuple[Reading, Reading], hypotheses: tuple[str, ...]) -> Relation:
    """With the columns matched by name and then by what they are: a relation that is proved; else a difference by name."""
    missed, differ = "", None
    for rows in ways(left.columns, right.columns):
        mine = signal(left, readings[0], rows)
        other = signal(right, readings[1], rows, mine.view, MARK)
        given = (*hypotheses, *rows.notes(left.name, right.name))
        found, missing = _same(mine, other, rows, given)
        if found:
            return found
        missed, differ = missed or missing, differ or (mine, other, given)
    assert differ is not None, "the names themselves are a way"
    return _different(*differ) or _undecided(left, right, missed or "no substitution was found, and none was excluded", differ[2])


def _same(left: Signal, right: Signal, rows: Rows, hypotheses: tuple[str, ...]) -> tuple[Relation | None, str]:
    """One as a special case of the other, of which every row must be the other's too; else why not."""
    forward, missed = special_case(left, right)
    backward, missed_too = special_case(right, left)
    if (forward or backward) and not (forward and rows.forward) and not (backward and rows.backward):
        raise Incomparable(f"their formulas agree, and {rows.difference(left.side.name, right.side.name)}")
    forward, backward = forward if rows.forward else None, backward if rows.backward else None
    if forward and backward:
        word = mutual_word(forward)
        if rows.names and word == "equal":
            word = "renamed"
        return _related(word, left, right, left, right, forward, hypotheses), ""
    if forward:
        return _related("special-case", left, right, left, right, forward, hypotheses), ""
    if backward:
        return _related("special-case", left, right, right, left, backward, hypotheses), ""
    return None, "; ".join(dict.fromkeys(filter(None, (missed, missed_too))))


def _different(left: Signal, right: Signal, hypotheses: tuple[str, ...]) -> Relation | None:
    """Neither is a special case of the other, or one is not, and of the other nothing is known: a witness is told."""
    names = left.side.name, right.side.name
    forward, backward = _excluded(left, right), _excluded(right, left)
    word: Word = "different"
    said = f"neither of {names[0]} and {names[1]} is a special case of the other"
    if forward is None or backward is None:
        word = "distinct"
        special, general = names if forward else names[::-1]
        said = f"{special} is no special case of {general}; whether {general} is one of {special} was not decided"
    if forward:
        reason, numbers = _filled(forward, *names)
    elif backward:
        reason, numbers = _filled(backward, *names[::-1])
    else:
        return None
    return Relation(*names, word, said, hypotheses=hypotheses, reason=reason, witness=numbers)


def special_case(left: Signal, right: Signal) -> tuple[Proved | None, str]:
    """Values of the right's parameters for which it teaches what the left does; else what was found but does not hold."""
    prover, missed = Prover(left, right), ""
    for candidate in islice(Search(left, right).candidates(), MAX_CANDIDATES):
        outside = prover.outside(candidate)
        if outside:
            missed = missed or f"{_written(candidate.values, right)} would do, but that is {outside}"
            continue
        proved = prover.proved(candidate)
        if proved:
            return proved, ""
        missed = missed or f"{_written(candidate.values, right) or 'the same parameters'} fits in floats, and was not proved"
    return None, missed


def _excluded(left: Signal, right: Signal) -> Witness | None:
    """Why no values of the right's parameters make it the left: seen on one example, or else on two."""
    found = Exclusion(left, right).witness()
    if found is None:
        two = on_two_examples(left, right)
        found = Exclusion(left, right, two).witness() if two else None
    return found


def _filled(witness: Witness, left: str, right: str) -> tuple[str, dict[str, str]]:
    names = {"{left}": left, "{right}": right}

    def fill(pattern: str) -> str:
        for key, name in names.items():
            pattern = pattern.replace(key, name)
        return pattern

    return fill(witness.reason), {fill(key): value for key, value in witness.numbers.items()}


# -- words -----------------------------------------------------------------------------------------------------------------


def mutual_word(proved: Proved) -> Word:
    """The relation of two objectives each of which is a special case of the other."""
    if any(_bare(value) != name for name, value in proved.candidate.values.items()):
        return "renamed"
    if not is_number(proved.candidate.scale, 1):
        return "scaled"
    if not proved.values:
        return "shifted"
    return "equal"


def _related(
    word: Word, left: Signal, right: Signal, special: Signal, general: Signal, proved: Proved, hypotheses: tuple[str, ...]
) -> Relation:
    return Relation(
        left.side.name, right.side.name, word, sentence(special.side.name, general, proved), special.side.name, general.side.name,
        {name: _formula(value) for name, value in proved.candidate.values.items()},
        _formula(proved.candidate.scale), not proved.values, hypotheses,
    )  # fmt: skip


def sentence(special: str, general: Signal, proved: Proved) -> str:
    """`mine is simpo with gamma = 2 * beta * m`."""
    scale, said = proved.candidate.scale, f"{special} is "
    if not is_number(scale, 1):
        said += f"{_grouped(scale)} times "
    said += general.side.name
    given = _written(proved.candidate.values, general)
    if given:
        said += f" with {given}"
    if not proved.values:
        said += ", up to what has no gradient"
    return said


def _written(values: Mapping[str, Node], general: Signal) -> str:
    """The substitution; a parameter that keeps its name is not mentioned."""
    return ", ".join(f"{name} = {_formula(value)}" for name, value in values.items() if _bare(value) != name)


def _grouped(node: Node) -> str:
    written = _formula(node)
    if " + " in written or " - " in written:
        return f"({written})"
    return written


def _formula(node: Node) -> str:
    return text(node, {}).replace(MARK, "")


def _bare(node: Node) -> str:
    """The name of a parameter; of any other formula none."""
    if node.op != "parameter":
        return ""
    return str(node.data).removesuffix(MARK)
