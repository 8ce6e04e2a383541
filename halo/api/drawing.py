"""`halo.plot`: the curves of objectives as a figure. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from halo.api.loading import Source, load_objective
from halo.compiler.pipeline import CompiledObjective
from halo.errors import Place, SettingsError, nearest

if TYPE_CHECKING:  # matplotlib is loaded where something is drawn
    from matplotlib.figure import Figure


def plot(
    sources: Source | Sequence[Source],
    file: str | Path | None = None,
    parameters: Mapping[str, float] | None = None,
    *,
    low: float = -8.0,
    high: float = 8.0,
    against: Literal["z", "gap"] = "z",
) -> Figure:
    """Value function, loss and gradient weight of one or several objectives, saved to `file` (.png or .svg) if there is one.

    parameters  fixed in every objective that has them
    low, high   the range of z; `against="gap"` draws against the reward gap before normalizer and margin
    Raises HaloError.
    """
    from halo.figures.plot import check_file, drawn, save

    if not low < high:
        raise SettingsError("wrong-value", f"the range from {low:g} to {high:g} is empty", place=Place("low"), hint="low is below high")
    if file is not None:
        check_file(Path(file))
    several: Sequence[Source]
    if isinstance(sources, str | Path | Mapping | CompiledObjective):
        several = [sources]
    else:
        several = list(sources)
    page = drawn(pinned(several, parameters or {}, "parameters"), low, high, tuple(parameters or {}), against)
    if file is not None:
        save(page, Path(file))
    return page


def pinned(sources: Sequence[Source], parameters: Mapping[str, float], place: str) -> list[CompiledObjective]:
    """Every objective with the parameters that it has; each must belong to one of them."""
    loaded = [load_objective(source) for source in sources]
    known = [set(one.declared.parameters) for one in loaded]
    for name in parameters:
        if not any(name in names for names in known):
            message = f"none of {', '.join(one.objective.name for one in loaded)} has a parameter {name!r}"
            raise SettingsError("unknown-name", message, place=Place(place), hint=nearest(name, sorted(set().union(*known))))
    return [
        load_objective(source, {name: value for name, value in parameters.items() if name in names})
        for source, names in zip(sources, known, strict=True)
    ]
