"""The table of known mistakes: by which diagnoses each is suspected, and which edits would undo it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from halo.lint import fixes, formula_fixes
from halo.lint.trial import Case, Edit


@dataclass(frozen=True)
class Rule:
    """One kind of mistake. `edits` yields the likeliest fix first; `why` says in one clause what was done."""

    name: str
    diagnoses: tuple[str, ...]
    edits: Callable[[Case], Iterator[Edit]]
    why: str


PARAMETER_NOT_POSITIVE = Rule(
    "parameter-not-positive", ("pulls", "undefined", "not_human_aware"), fixes.positive, "as declared, the parameter may be 0 or negative"
)
"""It hides every other mistake, and so is also tried together with one."""

RULES = (
    Rule("own-reward", ("unreached",), lambda case: formula_fixes.other_points(case, False), "the reward is compared with itself"),
    Rule("no-reference-point", ("unreached",), lambda case: formula_fixes.other_points(case, True), "the reward is compared with nothing"),
    Rule(
        "value-without-z",
        ("unreached",),
        formula_fixes.values_of_z,
        "the value reads the reward, not z = reward - reference_point - margin",
    ),
    Rule(
        "reference-negated",
        ("pulls",),
        lambda case: formula_fixes.rewards(case, formula_fixes.turned_ratio),
        "the log-ratio is taken the wrong way round",
    ),
    Rule(
        "ratio-of-logs",
        ("pulls", "not_human_aware"),
        lambda case: formula_fixes.rewards(case, formula_fixes.log_of_ratio),
        "a ratio of logarithms is no logarithm of a ratio",
    ),
    Rule("labels-swapped", ("pulls",), fixes.swapped_labels, "the entries of desirable and undesirable are exchanged"),
    Rule("roles-swapped", ("pulls",), fixes.swapped_roles, "chosen and rejected are exchanged"),
    Rule("regularizer-on-wrong-role", ("pulls",), fixes.moved_regularizers, "the likelihood of the worse answer is raised"),
    Rule("regularizer-turned", ("pulls",), fixes.turned_regularizers, "the regularizer is added, so that it pushes down what it measures"),
    Rule("loss-as-value", ("pulls",), fixes.negated_values, "the value is a loss already, and sign -1 turns it round"),
    Rule("argument-negated", ("pulls",), fixes.turned_arguments, "the value falls in z"),
    Rule("wrong-sign", ("pulls",), fixes.flipped_signs, "the sign in front of v is the wrong one (-1 raises v, +1 lowers it)"),
    Rule("weight-attached", ("pulls",), formula_fixes.stopped_weights, "the weight is made of the policy and has a gradient of its own"),
    Rule("reference-point-attached", ("attached", "pulls"), formula_fixes.stopped_points, "the reference point has a gradient of its own"),
    Rule("column-may-be-negative", ("pulls",), fixes.columns, "a negative number in the data turns the loss round"),
    PARAMETER_NOT_POSITIVE,
    Rule("smoothing-beyond-half", ("pulls", "undefined"), fixes.below_half, "label smoothing past 1/2 believes the other label"),
    Rule(
        "log-probability-as-probability",
        ("undefined",),
        formula_fixes.probabilities,
        "a log-probability stands where a probability is meant",
    ),
    Rule(
        "log-of-negative",
        ("undefined",),
        lambda case: formula_fixes.renamed(case, "log", "logsigmoid"),
        "z may be negative, and has no logarithm then",
    ),
    Rule(
        "hinge-turned",
        ("unbounded",),
        formula_fixes.lower_hinges,
        "this hinge pulls those that have won, for ever, and leaves the losers alone",
    ),
    Rule("precedence", ("expectation",), formula_fixes.divided, "1 / 2 * x is half of x"),
    Rule("link-mistaken", ("flat", "expectation"), formula_fixes.links, "sigmoid and log sigmoid are different value functions"),
    Rule(
        "reference-added",
        ("not_human_aware",),
        lambda case: formula_fixes.rewards(case, formula_fixes.difference),
        "log π + log ref is no log-ratio",
    ),
    Rule(
        "reference-missing",
        ("not_human_aware",),
        formula_fixes.with_reference,
        "the sum over tokens grows with the length, and nothing is subtracted from it",
    ),
    Rule(
        "margin-turned",
        ("negative_margin", "start", "pulls", "expectation"),
        formula_fixes.turned_margins,
        "the margin stands on the wrong side",
    ),
    Rule("dead-at-reference", ("start",), formula_fixes.with_margin, "v has no slope at z = 0"),
    Rule("unbounded-exponential", ("overflow",), formula_fixes.bounded_exponents, "an exponential of a sum over tokens has no bound"),
    Rule("parameter-twice", ("repeated",), formula_fixes.unscaled, "normalizer * reward and v(z) both scale"),
    Rule("summed-over-examples", ("summed",), formula_fixes.averaged, "the loss is a sum over the batch"),
    Rule("clamp-turned", ("clamped",), formula_fixes.raised_clamps, "the reference point is clamped on the wrong side"),
)
"""Where several fixes are equally good the earlier rule is named."""
