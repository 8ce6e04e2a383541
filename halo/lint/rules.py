"""The table of known slips: for which symptoms each is suspected, and which edits would undo it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from halo.lint import fixes, formula_fixes
from halo.lint.trial import Case, Edit


@dataclass(frozen=True)
class Slip:
    """One kind of mistake. `edits` yields the likeliest cure first; `why` says in one clause what was done."""

    name: str
    symptoms: tuple[str, ...]
    edits: Callable[[Case], Iterator[Edit]]
    why: str


SLIPS = (
    Slip("own-reward", ("reach",), lambda case: formula_fixes.other_points(case, False), "the reward is compared with itself"),
    Slip("no-reference-point", ("reach",), lambda case: formula_fixes.other_points(case, True), "the reward is compared with nothing"),
    Slip("value-without-z", ("reach",), formula_fixes.values_of_z, "the value reads the reward, not z = reward - reference_point - margin"),
    Slip("reference-negated", ("pulls",), lambda case: formula_fixes.rewards(case, formula_fixes.turned_ratio), "the log-ratio is taken the wrong way round"),
    Slip("ratio-of-logs", ("pulls", "halo"), lambda case: formula_fixes.rewards(case, formula_fixes.log_of_ratio), "a ratio of logarithms is no logarithm of a ratio"),
    Slip("labels-swapped", ("pulls",), fixes.swapped_labels, "the entries of desirable and undesirable are exchanged"),
    Slip("roles-swapped", ("pulls",), fixes.swapped_roles, "chosen and rejected are exchanged"),
    Slip("regularizer-on-wrong-role", ("pulls",), fixes.moved_regularizers, "the likelihood of the worse answer is raised"),
    Slip("regularizer-turned", ("pulls",), fixes.turned_regularizers, "the regularizer is added, so that it pushes down what it measures"),
    Slip("loss-as-value", ("pulls",), fixes.negated_values, "the value is a loss already, and sign -1 turns it round"),
    Slip("argument-negated", ("pulls",), fixes.turned_arguments, "the value falls in z"),
    Slip("wrong-sign", ("pulls",), fixes.flipped_signs, "the sign in front of v is the wrong one (-1 raises v, +1 lowers it)"),
    Slip("weight-attached", ("pulls",), formula_fixes.stopped_weights, "the weight is made of the policy and has a gradient of its own"),
    Slip("reference-point-attached", ("attached", "pulls"), formula_fixes.stopped_points, "the reference point has a gradient of its own"),
    Slip("column-may-be-negative", ("pulls",), fixes.columns, "a negative number in the data turns the loss round"),
    Slip("parameter-not-positive", ("pulls", "domain", "halo"), fixes.positive, "as declared, the parameter may be 0 or negative"),
    Slip("smoothing-beyond-half", ("pulls", "domain"), fixes.below_half, "label smoothing past 1/2 believes the other label"),
    Slip("log-probability-as-probability", ("domain",), formula_fixes.probabilities, "a log-probability stands where a probability is meant"),
    Slip("log-of-negative", ("domain",), lambda case: formula_fixes.renamed(case, "log", "logsigmoid"), "z may be negative, and has no logarithm then"),
    Slip("hinge-turned", ("bounded",), formula_fixes.lower_hinges, "this hinge pulls those that have won, for ever, and leaves the losers alone"),
    Slip("precedence", ("belief",), formula_fixes.divided, "1 / 2 * x is half of x"),
    Slip("link-mistaken", ("flat", "belief"), formula_fixes.links, "sigmoid and log sigmoid are different value functions"),
    Slip("reference-added", ("halo",), lambda case: formula_fixes.rewards(case, formula_fixes.difference), "log π + log ref is no log-ratio"),
    Slip("reference-missing", ("halo",), formula_fixes.with_reference, "the sum over tokens grows with the length, and nothing is subtracted from it"),
    Slip("margin-turned", ("eased", "start", "pulls", "belief"), formula_fixes.turned_margins, "the margin stands on the wrong side"),
    Slip("dead-at-reference", ("start",), formula_fixes.with_margin, "v has no slope at z = 0"),
    Slip("unbounded-exponential", ("overflow",), formula_fixes.bounded_exponents, "an exponential of a sum over tokens has no bound"),
    Slip("parameter-twice", ("repeated",), formula_fixes.unscaled, "normalizer * reward and v(z) both scale"),
    Slip("summed-over-examples", ("summed",), formula_fixes.averaged, "the loss is a sum over the batch"),
    Slip("clamp-turned", ("clamped",), formula_fixes.raised_clamps, "the reference point is clamped on the wrong side"),
)  # fmt: skip
"""Where several cures are equally good the earlier slip is named."""
