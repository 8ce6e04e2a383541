"""`halo.check` and `halo.diff`: what is true of an objective, and how two are related. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from halo.analysis.verdict import REFUTED, Finding
from halo.api.loading import Source, load_objective
from halo.checks.results import Examination
from halo.compiler.pipeline import CompiledObjective
from halo.errors import ObjectiveError, Place, SettingsError, nearest
from halo.examine.supervisor import examine
from halo.objective.loading import load
from halo.objective.propositions import UNITS
from halo.plugin.objectives import find_objective

if TYPE_CHECKING:  # a verdict from the cache needs no algebra
    from halo.relations.relation import Relation
    from halo.relations.relatives import Known
    from halo.relations.signature import Side


def check(source: Source, parameters: Mapping[str, float] | None = None, *, fresh: bool = False) -> Examination:
    """What is proved, refuted (with numbers) or undecided about an objective, for all declared parameter values.

    The result has `findings`, `expectations` (what became of the file's `expect:`), `mistakes`, `relatives` and `failed`. Verdicts
    are kept by the content of the objective; `fresh` asks again. Raises HaloError for what does not compile.
    """
    compiled, refusal = readable(source, parameters)
    if compiled is None:
        return refusal
    return examine(compiled, fresh=fresh, known=known_beside(source))


def readable(source: Source, parameters: Mapping[str, float] | None) -> tuple[CompiledObjective | None, Examination]:
    """The compiled objective; where its units do not fit there is none, and that is the finding."""
    try:
        compiled = load_objective(source, parameters)
    except ObjectiveError as error:
        if error.code != "wrong-unit":
            raise
        name = "objective"
        if isinstance(source, str | Path):
            name = Path(source).stem
        return None, Examination(name, (Finding(UNITS.name, REFUTED, str(error)),))
    return compiled, Examination(compiled.objective.name, ())


def known_beside(source: Source) -> Known | None:
    """The objectives among which relatives are looked for. None for one that is among them itself."""
    files = find_objective.files()
    if _is_one_of(source, files):
        return None
    from halo.relations.relatives import Known  # loads the algebra

    return Known(files, find_objective)


def _is_one_of(source: Source, files: Mapping[str, Path]) -> bool:
    if isinstance(source, CompiledObjective):
        name = source.objective.name
        return name in files and load(name, find_objective).values == source.objective.values
    if isinstance(source, Mapping):
        return False
    return str(source) in files or Path(source).resolve() in files.values()


def diff(one: Source, other: Source, parameters: Mapping[str, float] | None = None, *, reference: str = "") -> Relation:
    """How two objectives are related: `word` (`equal`, `renamed`, `special-case`, `different`, ...), with proof or numbers.

    A name or file may fix parameters or the reference of its side: `dpo@uniform-token`, `cdpo@epsilon=0`.
    parameters  fixed in whichever side has them
    reference   `uniform-sequence` or `uniform-token`, for both sides
    Raises HaloError.
    """
    from halo.relations.relation import related

    left, right = (side(source, reference, parameters or {}) for source in (one, other))
    check_known(parameters or {}, {*left.compiled.declared.parameters, *right.compiled.declared.parameters}, "parameters")
    return related(left, right)


def side(source: Source, reference: str = "", parameters: Mapping[str, float] | None = None) -> Side:
    """One side as it is written: `dpo`, `dpo@uniform-token`, `mine.yaml@beta=1/10`.

    `parameters` that the objective does not declare are ignored; what stands after `@` wins over them.

    Raises SettingsError, or ObjectiveError of the objective.
    """
    from halo.relations.signature import Side

    suffix = ""
    if isinstance(source, str) and "\n" not in source and "@" in source.rpartition("/")[2]:
        source, _, suffix = source.rpartition("@")
    reference = _reference(reference, "--reference")
    loaded = load_objective(source)  # once to see which parameters there are, once more with their values
    pins = {key: Fraction(str(value)) for key, value in (parameters or {}).items() if key in loaded.declared.parameters}
    for part in filter(None, suffix.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            reference = _reference(part, f"{source}@{suffix}")
            continue
        try:
            pins[key] = Fraction(value)
        except (ValueError, ZeroDivisionError):
            place = Place(f"{source}@{suffix}")
            raise SettingsError("wrong-value", f"{part!r} is not name=number", place=place, hint="such as beta=1/10") from None
    compiled = load_objective(source, {key: float(value) for key, value in pins.items()})
    if not compiled.declared.needs.reference:
        reference = ""
    return Side(compiled, pins, reference)


def _reference(text: str, place: str) -> str:
    from halo.relations.signature import REFERENCES

    if text and text not in REFERENCES:
        raise SettingsError("wrong-value", f"there is no reference {text!r}", place=Place(place), hint=nearest(text, REFERENCES))
    return text


def check_known(parameters: Mapping[str, float], known: set[str], place: str) -> None:
    """Each parameter belongs to a side. Raises SettingsError."""
    for name in parameters:
        if name not in known:
            message = f"neither objective has a parameter {name!r}"
            raise SettingsError("unknown-name", message, place=Place(place), hint=nearest(name, sorted(known)))
