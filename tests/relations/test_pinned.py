"""An objective with its parameters held at numbers is a special case of itself: nothing may exclude it, on one example or on two."""

from __future__ import annotations

import random
from fractions import Fraction
from math import inf

import pytest

from halo.analysis.ranges import Span
from halo.api.asking import side
from halo.objective.schema import Interval
from halo.plugin.objectives import find_objective
from halo.relations.differences.exclusion import Exclusion
from halo.relations.differences.two_examples import on_two_examples
from halo.relations.places import sampled
from halo.relations.rewriting import Unreadable
from halo.relations.rows import ways
from halo.relations.signature import MARK, Side, signal

QUICK = ("alphapo", "aot", "arpo", "cdpo", "dpo", "dr_dpo", "exo_pair", "f_dpo_js", "kto", "mallows_po", "rainbowpo", "robust_dpo", "simpo", "slic_hf", "tis_dpo", "wpo")
"""Of every way to be excluded: words, batches, kinks, several parameters."""


def pinned(name: str, general: Side) -> Side:
    """At numbers of their domains: defaults, ends, and others."""
    rng, pins = random.Random(name), {}
    for parameter, declared in general.compiled.declared.parameters.items():
        span = Span.of(Interval.parse(declared.domain))
        choices = [Fraction(str(declared.default)), sampled(span, rng.randrange(1, 990))]
        if span.low > -inf and not span.low_open:
            choices.append(Fraction(span.low))
        pins[parameter] = rng.choice(choices)
    return Side(general.compiled, pins)


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in sorted(find_objective.files())])
def test_it_is_never_excluded(name: str) -> None:
    general = side(name)
    special = pinned(name, general)
    rows = next(iter(ways(special.columns, general.columns)))
    try:
        left = signal(special, "own", rows)
        right = signal(general, "own", rows, left.view, MARK)
    except Unreadable:
        pytest.skip("the loss is not compared at all")
    assert Exclusion(left, right).witness() is None, dict(special.pins)
    two = on_two_examples(left, right)
    assert two is None or Exclusion(left, right, two).witness() is None, dict(special.pins)
