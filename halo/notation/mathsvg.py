"""The equations of an objective as one inline SVG: outlines only, so that every browser and printer shows the same.

Set by matplotlib's mathtext, in `em` and `currentColor`: it scales and darkens with the text around it, and has no ids.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from html import escape

from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath, text_to_path
from matplotlib.transforms import Affine2D

from halo.compiler.pipeline import CompiledObjective
from halo.notation.equations import equations
from halo.notation.pens import LatexPen, UnicodePen
from halo.notation.sums import Equation
from halo.notation.typeset import lines_unicode

EM = 100  # units of the drawing
FONT = FontProperties(family="STIXGeneral", math_fontfamily="stix", size=EM)
AXIS, LEAD, SPACE = 0.25 * EM, 0.62 * EM, 1.4 * EM  # height of a fraction's bar, between lines, before a condition
TIGHT, THIN = r"(?<=[\w})]) \\log", r"\\,\\log"  # TeX parts a factor from an operator, mathtext does not
FRAC, DISPLAYED = r"\frac", r"\dfrac"
SUM, APART = r" ?(\\sum_\{(?:[^{}]|\{[^{}]*\})*\}(?:\^\{[^{}]*\})?)", r"\\;\1\\,"  # nor sums, whose limits would touch
LETTERS = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C", Path.CLOSEPOLY: "Z"}


@dataclass(frozen=True)
class Box:
    """Something set: how far it reaches to the right, above and below its line, and its outlines (y upwards from the line)."""

    width: float
    up: float
    down: float
    outlines: tuple[Path, ...]

    def moved(self, right: float, up: float) -> Box:
        """The same elsewhere; its width is counted from where it was."""
        shift = Affine2D().translate(right, up)
        outlines = tuple(shift.transform_path(outline) for outline in self.outlines)
        return Box(self.width + right, self.up + up, self.down - up, outlines)


def formula_svg(compiled: CompiledObjective) -> str:
    """Every equation, aligned at `=`, as an <svg>; what mathtext cannot set stands there as in a terminal."""
    found = list(zip(equations(compiled, LatexPen())[0], equations(compiled, UnicodePen())[0], strict=True))
    lefts = [_set(f"{latex.left} =", f"{plain.left} =") for latex, plain in found]
    margin = max(box.width for box in lefts) + 0.28 * EM
    rows = [
        _together([left.moved(margin - left.width - 0.28 * EM, 0), _right(*both).moved(margin, 0)])
        for left, both in zip(lefts, found, strict=True)
    ]
    whole = _below(rows)
    label = escape("; ".join(" ".join(line.split()) for line in lines_unicode(compiled)))
    width, height = whole.width + 4, whole.up + whole.down + 4  # a hair on every side
    wide = 1.12 * width / EM
    size = f"width:{wide:.2f}em;min-width:min({wide:.2f}em,36rem);aspect-ratio:{width:.0f}/{height:.0f}"
    path = "".join(_letters(outline) for outline in whole.outlines)
    return (
        f'<svg class="formula" role="img" aria-label="{label}" style="{size}" viewBox="-2 {-whole.up - 2:.0f} {width:.0f} {height:.0f}">'
        f'<path fill="currentColor" d="{path}"/></svg>'
    )


def _right(latex: Equation, plain: Equation) -> Box:
    if not latex.cases:
        return _set(latex.right, plain.right)
    pairs = list(zip(latex.cases, plain.cases, strict=True))
    values, conditions = ([_set(one[column], other[column]) for one, other in pairs] for column in (0, 1))
    start = max(box.width for box in values) + SPACE
    block = _below([_together([value, condition.moved(start, 0)]) for value, condition in zip(values, conditions, strict=True)])
    height = block.up + block.down
    brace = _brace(height)
    return _together([brace, block.moved(brace.width + 0.2 * EM, AXIS + height / 2 - block.up)])


def _together(boxes: list[Box]) -> Box:
    """Boxes on one line, each where it was put."""
    outlines = tuple(outline for box in boxes for outline in box.outlines)
    return Box(max(b.width for b in boxes), max(b.up for b in boxes), max(b.down for b in boxes), outlines)


def _below(boxes: list[Box]) -> Box:
    """Boxes one under the other, on the line of the first."""
    placed = [boxes[0]]
    for box in boxes[1:]:
        placed.append(box.moved(0, -(placed[-1].down + LEAD + box.up)))
    return _together(placed)


def _set(latex: str, plain: str) -> Box:
    text = f"${re.sub(SUM, APART, re.sub(TIGHT, THIN, latex)).replace(FRAC, DISPLAYED)}$"
    try:
        width, height, down = text_to_path.get_text_width_height_descent(text, FONT, ismath=True)
    except ValueError:  # a control text, or cases within a formula
        text = plain.replace("$", r"\$")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # letters that the font lacks are boxes
            width, height, down = text_to_path.get_text_width_height_descent(plain, FONT, ismath=False)
            return Box(width, height - down, down, (TextPath((0, 0), text, prop=FONT),))
    return Box(width, height - down, down, (TextPath((0, 0), text, prop=FONT),))


def _brace(height: float) -> Box:
    """A brace of any height, around the axis: mathtext has none."""
    path = TextPath((0, 0), r"$\{$", prop=FONT)
    box = path.get_extents()
    stretch = Affine2D().translate(-box.x0, -box.y0).scale(1, height / box.height).translate(0, AXIS - height / 2)
    return Box(box.width, AXIS + height / 2, height / 2 - AXIS, (stretch.transform_path(path),))


def _letters(path: Path) -> str:
    """The outline in SVG's letters, y downwards."""
    pieces = []
    for points, code in path.iter_segments(curves=True, simplify=False):
        numbers = []
        if code != Path.CLOSEPOLY:
            numbers = [f"{x:.1f}" for x in (points.reshape(-1, 2) * (1, -1)).ravel()]
        pieces.append(LETTERS[code] + " ".join(numbers))
    return "".join(pieces)
