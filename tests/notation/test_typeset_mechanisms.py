"""Ranks, shares, sorts, statistics and the vocabulary's size as a paper writes them."""

from __future__ import annotations

import math

import pytest
from matplotlib.mathtext import MathTextParser

from halo.compiler.pipeline import compile_source
from halo.figures.item import Item
from halo.notation.equations import equations
from halo.notation.pens import UnicodePen
from halo.notation.typeset import single_lines, typeset
from halo.plugin.objectives import find_objective

LISTS = "feedback: scored\nrole: completion\nreward: sum(logp)\nreference_point: none\nsign: -1\nreduce: {completions: sum, examples: mean}\n"
PAIRS = "extends: dpo\nlet: {gap: sum(chosen.logp) - sum(rejected.logp)}\n"

WRITTEN = {
    LISTS + "value: list_softmax(score) * list_log_softmax(z)": "L(θ) = E_{(x,Y)~D}[-Σ_{y∈Y} softmax_Y(s(y)) · log softmax_Y(z)]",
    LISTS + "let: {place: list_rank(reward)}\nvalue: z / place": "place(y) = rank_Y(r_θ(x,y))",
    "extends: dpo\nreward: batch_sort(sum(logp - ref_logp))": "r_θ(x,y) = β sort_B(log(π_θ(y|x) / π_ref(y|x)))",
    PAIRS + "statistics: {s: {of: gap, reduce: mean, update: ema(0.9)}}\nmargin: s": "s = ema_{0.9}(E_B[gap])",
    PAIRS + "statistics: {delta: {of: gap, reduce: std, update: all}}\nmargin: delta": "δ = std_seen[gap]",
    "extends: dpo\nmargin: log(vocab_size)": "z = r_θ(x,y_w) - r_θ(x,y_l) - log(|V|)",
}


def test_in_a_figure_the_others_of_the_list_stand_still() -> None:
    """v(z) = log softmax rises to 0 against others held at 1, and a rank is no z."""
    compiled = compile_source(f"name: mine\n{LISTS}value: list_log_softmax(z) * list_rank(z)\n", None, find_objective)
    item = Item(compiled, compiled.declared.parts[0], {}, "z")
    assert [float(item.value(x)) for x in (1, 31)] == pytest.approx([-math.log(2), -math.exp(-30)])


@pytest.mark.parametrize("text", WRITTEN, ids=WRITTEN.values())
def test_written(text: str) -> None:
    compiled = compile_source(f"name: mine\n{text}\n", None, find_objective)
    lines = [f"{e.left} = {e.right}" for e in equations(compiled, UnicodePen())[0]]
    assert WRITTEN[text] in lines, lines
    for line in single_lines(compiled):
        MathTextParser("agg").parse(f"${line}$")
    assert "effective batch" in typeset(compiled, "md") or "_B" not in WRITTEN[text]
