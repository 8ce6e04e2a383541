"""One objective as one HTML page that needs nothing else: formula, findings, expectations, mistakes, relatives, figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from halo.checks.results import Examination
from halo.compiler.pipeline import CompiledObjective
from halo.errors import SettingsError
from halo.figures.curve import Curve, gap_range
from halo.figures.inline import described, inlined
from halo.figures.item import Against
from halo.figures.plot import of_curves, svg_text, traced
from halo.notation.mathsvg import formula_svg
from halo.notation.typeset import formula_latex, legend_unicode, parameter_rows
from halo.report.rendering import rendered
from halo.report.rows import counts, expectation_style, expectations_met, groups, title_of
from halo.report.wording import FAILS

CAPTIONS: dict[Against, str] = {
    "z": "Value function, loss of one item and its gradient weight, against z.",
    "gap": "The same against the reward gap u, before normalizer and margin: what the parameters do to the loss.",
}


def page(compiled: CompiledObjective | None, examination: Examination, index: str = "") -> str:
    """The whole page. `index`: the file that lists the others, if there are others."""
    found = groups(compiled, examination)
    given: dict[str, Any] = {
        "name": examination.objective,
        "title": title_of(compiled),
        "index": index,
        "tally": [*counts(examination), (expectation_style(examination), expectations_met(examination))],
        "failing": [row for group in found if group.title == FAILS for row in group.rows],
        "groups": [group for group in found if group.title != FAILS],
        "mistakes": examination.mistakes,
        "stopped": examination.stopped,
        "expectations": examination.expectations,
        "relatives": examination.relatives,
        "paper": None,
        "formula": None,
        "figures": None,
        "declared": None,
    }
    if compiled is not None:
        given |= {
            "paper": compiled.objective.declaration.paper,
            "formula": _formula(compiled),
            "figures": list(_figures(compiled)),
            "declared": compiled.stage("objective"),
        }
    return rendered("page.html.j2", **given)


def _formula(compiled: CompiledObjective) -> dict[str, object]:
    return {
        "drawing": Markup(formula_svg(compiled)),
        "legend": legend_unicode(compiled),
        "parameters": parameter_rows(compiled),
        "latex": formula_latex(compiled),
    }


# -- figures -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figure:
    """A drawing and its caption; or words that say why there is none."""

    words: str
    drawing: Markup | None = None


def _figures(compiled: CompiledObjective) -> Iterator[Figure]:
    """Against z, and against the gap where that says something else. Data that scales the gap, or no value function: in words."""
    if all(part.regularizer for part in compiled.declared.parts):
        yield Figure("There are regularizers only, and no value function to draw.")
        return
    first = traced([compiled], against="z")
    yield _figure(compiled, first, "z")
    try:
        reach = gap_range(compiled)
        second = traced([compiled], -reach, reach, against="gap")
    except SettingsError:
        yield Figure("The normalizer or the margin depends on the data, so there is no figure against the reward gap.")
        return
    if [(curve.x, curve.loss) for curve in first] != [(curve.x, curve.loss) for curve in second]:
        yield _figure(compiled, second, "gap")


def _figure(compiled: CompiledObjective, found: list[Curve], against: Against) -> Figure:
    drawing = svg_text(of_curves([compiled], found, against, title=False))
    caption = f"{CAPTIONS[against]} {described(found, against)}"
    name = f"{compiled.objective.name}: value function, loss and gradient weight"
    return Figure(caption, Markup(inlined(drawing, f"plot-{against}", name, caption)))
