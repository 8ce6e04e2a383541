"""An objective read as scalars: z free or written out, and ranges that only the reading declares."""

from __future__ import annotations

import pytest

from halo.analysis.ranges import NEGATIVE, REALS, Span
from halo.analysis.scalar import inner_variables, variables
from halo.checks.subject import Subject
from halo.compiler.pipeline import compile_source

SHARED = """\
name: shared
feedback: ranked
parameters: {beta: {default: 1, domain: "(0, inf)"}}
role: completion
reward: sum(logp - ref_logp)
normalizer: beta
reference_point: none
value: z * list_mean(sigmoid(others.reward - z))
sign: -1
reduce: {completions: sum, examples: mean}
"""
"""z stands in its own item and in that of every other completion of the list."""


def subject(source: str) -> Subject:
    return Subject(compile_source(source))


def test_z_is_free_in_a_value_and_written_out_in_what_is_read_before_and_after() -> None:
    asked = subject(SHARED)
    view, (part,) = asked.view, asked.parts
    whole = view.whole(part)
    assert view.z not in inner_variables(whole)
    free = view.value(part)
    assert view.z in variables(free)
    assert view.value(part) is free
    assert view.whole(part) is whole
    assert view.z not in inner_variables(view.argument(part))


def test_z_inside_a_reduction_is_written_out_and_said_to_be_opaque() -> None:
    asked = subject(SHARED)
    value = asked.view.unstopped(asked.view.value(asked.parts[0]))
    (reduction,) = [v for v in variables(value) if v.op == "reduce"]
    assert asked.view.z not in inner_variables(reduction)
    assert asked.view.opaque == {reduction}


def test_the_box_is_read_only_and_known_before_the_first_question() -> None:
    view = subject(SHARED).view
    ranges = {(v.slot, v.data): span for v, span in view.box.items()}
    assert ranges["completion", "log π"] == ranges["completion", "log ref"] == NEGATIVE
    with pytest.raises(TypeError):
        view.box[view.z] = REALS  # type: ignore[index]


def test_a_range_that_is_declared_again_only_widens() -> None:
    view = subject(SHARED).view
    c = view.declare(view.s.variable("another"), NEGATIVE)
    view.declare(c, Span.point(0))
    assert view.box[c] == Span(NEGATIVE.low, Span.point(0).high)


def test_a_reading_in_another_mode_shares_variables_and_leaves_this_one_alone() -> None:
    view = subject(SHARED).view
    before = view.alone_loss()
    tied = view.variant(tied=True)
    assert tied.alone_loss() is not before
    assert not any(v.data == "log ref" for v in inner_variables(tied.alone_loss()))
    assert tied.s is view.s
    assert dict(tied.box) == dict(view.box)
    assert view.alone_loss() is before
