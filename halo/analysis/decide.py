"""The decision procedure: refute at exact points, prove by rules, split at kinks, prove by algebra, else say so.

Sound by construction: a refutation is numbers that anyone can check, a proof a list of steps each of which holds on a box
at least as large as the one asked about. Nothing here depends on the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from math import inf

from mpmath import mp, mpf

from halo.analysis.budgets import MAX_SPLITS
from halo.analysis.curvature import CONCAVE, CONSTANT, UP, Box, Calculus
from halo.analysis.evaluate import FloatMath, Line, at_kink, points, sure_value, surely_below, values
from halo.analysis.normal_form import Algebra, OutOfReach
from halo.analysis.ranges import REALS, Span
from halo.analysis.scalar import Scalars, is_number, topological_scalar, variables
from halo.analysis.verdict import PROVED as PROVED
from halo.analysis.verdict import REFUTED as REFUTED
from halo.analysis.verdict import UNDECIDED as UNDECIDED
from halo.analysis.verdict import Outcome as Outcome
from halo.analysis.verdict import Verdict as Verdict
from halo.compiler.graph import Node, text


def shown(node: Node) -> str:
    """A scalar as a formula; a sum over tokens keeps the name it has for people, as in `chosen.log π`."""
    names: dict[Node, str] = {}
    for inner in topological_scalar(node):
        if inner.op == "reduce":
            names[inner] = f"{inner.data.replace(' ', '_')}({shown(inner.args[0])})"
    return text(node, names)


def number(value: Fraction | mpf) -> str:
    """A witness's number: a fraction as it is, a computed value to 12 digits."""
    return str(value) if isinstance(value, Fraction) else mp.nstr(value, 12)


def named(point: Mapping[Node, Fraction]) -> dict[str, str]:
    """A point by the names of its variables."""
    return {shown(node): str(value) for node, value in point.items()}


@dataclass
class Question:
    """One scalar on one box, along x restricted to `region`."""

    s: Scalars
    node: Node
    x: Node
    box: Box
    region: Span = REALS
    first: Mapping[Node, list[Fraction]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.box = {**self.box, self.x: self.region}

    # -- the two questions -----------------------------------------------------------------------------------------------

    def monotone(self) -> Verdict:
        """Is it non-decreasing in x on the region, for every value of the rest?"""
        return self._decided("non-decreasing", self._fall(), UP)

    def concave(self) -> Verdict:
        """Is it concave in x on the region, for every value of the rest?"""
        return self._decided("concave", self._sag(), CONCAVE)

    def _decided(self, what: str, witness: Verdict | None, wanted: str) -> Verdict:
        if witness is not None:
            return witness
        steps: list[str] = []
        shape = Calculus(self.box, self.x).shape(self.node)
        if not shape.defined:
            return Verdict(UNDECIDED, "not shown to be defined everywhere; no counterexample was found")
        if (shape.trend in (UP, CONSTANT)) if wanted == UP else (shape.curvature in (CONCAVE, "affine")):
            return Verdict(PROVED, f"{what} by composition", tuple(explained(self.node, self.box, self.x, wanted)))
        if self._by_pieces(self.node, self.box, wanted, steps, 0):
            return Verdict(PROVED, f"{what}: {'the slope' if wanted == UP else 'the second derivative'} has one sign", tuple(steps))
        return Verdict(UNDECIDED, f"no counterexample was found, and no proof that it is {what}")

    # -- refutation ------------------------------------------------------------------------------------------------------

    def _lines(self) -> Iterator[Line]:
        others = [v for v in variables(self.node) if v is not self.x]
        for fixed in points(self.box, others, first=self.first):
            yield Line(self.node, self.x, fixed, self.region)

    def _fall(self) -> Verdict | None:
        for line in self._lines():
            for a, b in line.falls():
                low, high = (sure_value(self.node, {**line.fixed, self.x: p}) for p in (b, a))
                if surely_below(low, high):
                    assert low is not None
                    assert high is not None
                    witness = {**named(line.fixed), "from": str(a), "to": str(b), "value at from": number(high), "value at to": number(low)}
                    at = _at(line.fixed)
                    name = shown(self.x)
                    return Verdict(REFUTED, f"falls from {number(high)} at {name} = {a} to {number(low)} at {name} = {b}{at}", (), witness)
        return None

    def _sag(self) -> Verdict | None:
        for line in self._lines():
            for a, c, b in line.sags():
                va, vc, vb = (sure_value(self.node, {**line.fixed, self.x: p}) for p in (a, c, b))
                if va is None or vc is None or vb is None:
                    continue
                part = (c - a) / (b - a)
                with mp.workdps(60):
                    chord = va + (vb - va) * part.numerator / part.denominator
                if surely_below(vc, chord):
                    witness = {
                        **named(line.fixed), "left": str(a), "middle": str(c), "right": str(b),
                        "value at left": number(va), "value at middle": number(vc), "value at right": number(vb),
                    }  # fmt: skip
                    name = shown(self.x)
                    reason = f"at {name} = {c} the value {number(vc)} lies below the chord from {a} to {b}, {number(chord)}{_at(line.fixed)}"
                    return Verdict(REFUTED, reason, (), witness)
        return None

    # -- proof by pieces and algebra -------------------------------------------------------------------------------------

    def _by_pieces(self, node: Node, box: Box, wanted: str, steps: list[str], depth: int) -> bool:
        kink = next((n for n in topological_scalar(node) if _switching(n, self.x)), None)
        if kink is None:
            return self._smooth(node, box, wanted, steps)
        if depth == MAX_SPLITS:
            return False
        return self._split(node, kink, box, wanted, steps, depth)

    def _smooth(self, node: Node, box: Box, wanted: str, steps: list[str]) -> bool:
        shape = Calculus(box, self.x).shape(node)
        if (shape.trend in (UP, CONSTANT)) if wanted == UP else (shape.curvature in (CONCAVE, "affine")):
            steps.append(f"{shown(node)} on {self.x.data} in {box[self.x]}: by composition")
            return True
        slope = self.s.derivative(node, self.x)
        target, sign, name = (slope, 1, "slope") if wanted == UP else (self.s.derivative(slope, self.x), -1, "second derivative")
        found = sign_of(target, box)
        if found in (sign, 0):
            steps.append(f"{name} of {shown(node)} on {self.x.data} in {box[self.x]} is {'>=' if sign > 0 else '<='} 0: signs of its factors")
            return True
        return False

    def _split(self, node: Node, kink: Node, box: Box, wanted: str, steps: list[str], depth: int) -> bool:
        """Both sides of the kink at its threshold t, and how they meet there."""
        pair = switch(self.s, kink)
        at = threshold(self.s, *pair, self.x, box)
        if at is None:
            return False
        t, rising = at
        low, high = _branches(self.s, kink, pair)
        left_branch, right_branch = (low, high) if rising else (high, low)
        left, right = (self.s.substitute(node, {kink: branch}) for branch in (left_branch, right_branch))
        span = Calculus(box).span(t)
        region = box[self.x]
        sides = []
        for branch, piece, limit in ((left, "left", Span(-inf, span.high)), (right, "right", Span(span.low, inf))):
            inside = region.within(limit)
            if inside is None:
                continue
            sides.append(piece)
            if not self._by_pieces(branch, {**box, self.x: inside}, wanted, steps, depth + 1):
                return False
        return len(sides) < 2 or self._meet(left, right, t, box, wanted, kink, steps)

    def _meet(self, left: Node, right: Node, t: Node, box: Box, wanted: str, kink: Node, steps: list[str]) -> bool:
        there = {self.x: t}
        if kink.data in ("where", "sign"):
            ends = [self.s.substitute(side, there) for side in (left, right)]
            if kink.data == "sign":  # its value at the jump is neither side's
                ends.insert(1, self.s.substitute(self.s.substitute(self.node, {kink: self.s.number(0)}), there))
            jumps = [sign_of(self.s.call("sub", after, before), box) for before, after in pairwise(ends)]
            if any(jump != 0 and (wanted != UP or jump != 1) for jump in jumps):
                return False
            steps.append(f"at {self.x.data} = {shown(t)} the value {'does not fall' if wanted == UP else 'does not jump'}")
        if wanted == UP:
            return True
        slopes = [self.s.substitute(self.s.derivative(side, self.x), there) for side in (left, right)]
        if sign_of(self.s.call("sub", slopes[1], slopes[0]), box) not in (-1, 0):
            return False
        steps.append(f"at {self.x.data} = {shown(t)} the slope does not rise")
        return True


def threshold(s: Scalars, a: Node, b: Node, x: Node, box: Box) -> tuple[Node, bool] | None:
    """Where a - b, affine in x with a slope of one strict sign, is 0; and whether it rises there."""
    difference = s.call("sub", a, b)
    slope = s.derivative(difference, x)
    if x in variables(slope):
        algebra = Algebra(box)
        try:
            form = algebra.normal(slope)
        except OutOfReach:
            return None
        if any(algebra.by_symbol[g].key is x or algebra.by_symbol[g].kind != "v" for g in form.free_symbols):
            return None
    span = Calculus(box).span(slope)
    if not (span.positive or span.negative):
        return None
    origin = s.substitute(difference, {x: s.number(0)})
    return s.call("neg", s.call("div", origin, slope)), span.positive


def settled(s: Scalars, node: Node, x: Node, box: Box, side: int) -> Node:
    """The node as it is far out at +oo (side 1) or -oo: every kink on the branch that holds there for good."""
    far = Span(Fraction(10**4), inf) if side > 0 else Span(-inf, Fraction(-(10**4)))
    for _ in range(MAX_SPLITS * 2):
        kink = next((n for n in topological_scalar(node) if _switching(n, x)), None)
        if kink is None:
            break
        pair = switch(s, kink)
        difference = s.call("sub", *pair)
        span, affine = Calculus({**box, x: far}).span(difference), threshold(s, *pair, x, {**box, x: REALS})
        above = span.positive or (affine is not None and affine[1] == (side > 0))
        below = span.negative or (affine is not None and affine[1] != (side > 0))
        if above == below:
            break
        node = s.substitute(node, {kink: _branches(s, kink, pair)[1 if above else 0]})
    return node


def switching_at(s: Scalars, node: Node, x: Node, box: Box) -> Node | None:
    """The threshold of the first kink along x, if it has a closed form."""
    kink = next((n for n in topological_scalar(node) if _switching(n, x)), None)
    if kink is None:
        return None
    found = threshold(s, *switch(s, kink), x, {**box, x: REALS})
    return found[0] if found else None


def sign_of(node: Node, box: Box) -> int | None:
    """+1: >= 0 on the box, -1: <= 0, 0: identically 0, None: not decided. By ranges, then by algebra."""
    span = Calculus(box).span(node)
    if span.exact == 0:
        return 0
    if span.nonnegative or span.nonpositive:
        return 1 if span.nonnegative else -1
    algebra = Algebra(box)
    try:
        form = algebra.normal(node)
        return 0 if algebra.is_zero(form) else algebra.sign(form)
    except OutOfReach:
        return None


def sign_in_cases(s: Scalars, node: Node, box: Box, depth: int = MAX_SPLITS) -> int | None:
    """As `sign_of`; where that is not decided, on both sides of each number at which a variable switches a kink."""
    found = sign_of(node, box)
    cut = next(filter(None, (_cut(s, inner) for inner in topological_scalar(node))), None) if found is None and depth else None
    if cut is None:
        return found
    kink, v, at, rising = cut
    low, high = _branches(s, kink, switch(s, kink))
    left, right = (low, high) if rising else (high, low)
    region, point = box.get(v, REALS), Span.point(at)
    cases = [(left, Span(-inf, at)), (right, Span(at, inf)), *([(s.number(0), point)] if kink.data == "sign" else [])]
    signs = {
        sign_in_cases(s, s.substitute(node, {kink: branch}), {**box, v: inside}, depth - 1)
        for branch, side in cases
        if (inside := region.within(side)) is not None
    }
    if None in signs or {1, -1} <= signs:
        return None
    return 1 if 1 in signs else -1 if -1 in signs else 0


def _cut(s: Scalars, node: Node) -> tuple[Node, Node, Fraction, bool] | None:
    """A kink that a bare variable switches at a number: the kink, the variable, the number, whether the pair's difference rises with it."""
    if node.op != "apply" or node.data not in ("min", "max", "relu", "abs", "sign", "where"):
        return None
    a, b = switch(s, node)
    if a.op in ("input", "parameter") and is_number(b):
        return node, a, b.data, True
    return (node, b, a.data, False) if b.op in ("input", "parameter") and is_number(a) else None


def is_zero(s: Scalars, node: Node, box: Box) -> bool | None:
    """True: proved identically 0; False: a point where it is not 0; None: neither was shown."""
    if nonzero_point(node, box, tries=3) is not None:  # seen at once if it is not 0; else the proof is the cheaper question
        return False
    algebra = Algebra(box)
    try:
        if algebra.is_zero(algebra.normal(node)):
            return True
    except OutOfReach:
        pass
    return None if nonzero_point(node, box) is None else False


def is_free_of(s: Scalars, node: Node, x: Node, box: Box) -> bool | None:
    """Whether the value does not depend on x. By two values of x, not by the slope: that of a step is 0 almost everywhere."""
    if x not in variables(node):
        return True
    slope = s.derivative(node, x)
    steps = any(n.op == "apply" and n.data in ("where", "sign") for n in topological_scalar(node))
    verdict = is_zero(s, slope, box)
    if verdict is False or (verdict is True and not steps):
        return verdict is True
    elsewhere = s.variable(f"another {shown(x)}", x.slot, x.axes)
    return is_zero(s, s.call("sub", s.substitute(node, {x: elsewhere}), node), {**box, elsewhere: box.get(x, REALS)})


def nonzero_point(node: Node, box: Box, tries: int = 48, off_kinks_of: Node | None = None) -> tuple[dict[Node, Fraction], mpf] | None:
    """A point where the scalar is surely not 0, and its value there; the most promising ones by floats are tried first.

    A slope at a kink of its curve is a convention: points at a kink of `off_kinks_of` are left out.
    """
    others = variables(off_kinks_of) if off_kinks_of is not None else []
    tried = points(box, list(dict.fromkeys([*variables(node), *others])), 48)
    rough = [abs(float(values([node], point, FloatMath)[node])) for point in tried]
    order = sorted(range(len(tried)), key=lambda i: (-_promise(rough[i]), i))
    for i in order[:tries]:
        value = sure_value(node, tried[i])
        if value is not None and abs(value) > mpf(10) ** -25 and not (off_kinks_of is not None and at_kink(off_kinks_of, tried[i])):
            return tried[i], value
    return None


def _promise(rough: float) -> int:
    """2 where floats see a value that rounding does not explain, 1 where they cannot tell."""
    return 2 if 1e-6 < rough < 1e6 else 1 if rough != 0 else 0


def _at(fixed: Mapping[Node, Fraction]) -> str:
    return f" ({', '.join(f'{name} = {value}' for name, value in named(fixed).items())})" if fixed else ""


# -- kinks ---------------------------------------------------------------------------------------------------------------


def _switching(node: Node, x: Node) -> bool:
    """Whether this very node has a kink or jump along x, and none below it."""
    if node.op != "apply" or node.data not in ("min", "max", "clip", "relu", "abs", "sign", "where"):
        return False
    sides = node.args[0].args if node.data == "where" else node.args
    return any(x in topological_scalar(side) for side in sides) and not any(
        _switching(inner, x) for argument in sides for inner in topological_scalar(argument) if inner is not node
    )


def switch(s: Scalars, kink: Node) -> tuple[Node, Node]:
    """The two scalars whose order switches the kink."""
    if kink.data == "where":
        return kink.args[0].args[0], kink.args[0].args[1]
    if kink.data in ("relu", "abs", "sign"):
        return kink.args[0], s.number(0)
    return kink.args[0], kink.args[1]


def meets(s: Scalars, node: Node, pair: tuple[Node, Node], x: Node, box: Box) -> bool:
    """Whether the two branches of a `where` are shown to agree where its sides are equal, so that it does not jump along x."""
    at = threshold(s, *pair, x, box)
    if at is None:
        return False
    gap = s.substitute(s.call("sub", node.args[1], node.args[2]), {x: at[0]})
    return is_zero(s, gap, box) is True


def jumps(s: Scalars, node: Node, moved: Callable[[Node], bool], box: Box) -> bool:
    """Whether a scalar may jump as one of its `moved` variables does: a `sign`, or a `where` not shown to be continuous."""
    for inner in topological_scalar(node):
        if inner.op == "apply" and inner.data in ("where", "sign"):
            pair = switch(s, inner)
            along = [v for side in pair for v in variables(side) if moved(v)]
            if along and (inner.data == "sign" or not meets(s, inner, pair, along[0], box)):
                return True
    return False


def _branches(s: Scalars, kink: Node, pair: tuple[Node, Node]) -> tuple[Node, Node]:
    """The kink where the first of the pair is smaller, and where it is larger."""
    a, b = pair
    zero = s.number(0)
    match kink.data:
        case "where":
            smaller = kink.args[0].data in ("lt", "le")
            return (kink.args[1], kink.args[2]) if smaller else (kink.args[2], kink.args[1])
        case "relu":
            return zero, a
        case "abs":
            return s.call("neg", a), a
        case "sign":
            return s.number(-1), s.number(1)
        case "clip":
            return s.call("min", b, kink.args[2]), s.call("min", a, kink.args[2])
        case _:
            rest = kink.args[2:]
            low, high = (a, b) if kink.data == "min" else (b, a)
            return (s.call(kink.data, low, *rest), s.call(kink.data, high, *rest)) if rest else (low, high)


def explained(node: Node, box: Box, x: Node, wanted: str) -> Iterator[str]:
    """The trace of a proof by composition: what is known of each sub-formula along x."""
    calculus = Calculus(box, x)
    calculus.shape(node)
    for inner in topological_scalar(node):
        if inner in calculus.known and inner.op == "apply" and not calculus.known[inner].constant:
            shape = calculus.known[inner]
            yield f"{shown(inner)}: {shape.trend if wanted == UP else shape.curvature}, in {shape.span}"

