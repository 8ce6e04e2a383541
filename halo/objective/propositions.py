"""What can be true of an objective: the propositions that `halo check` decides and `expect:` may name. A new one is one row.

All that needs no algebra reads this table: the schema and the errors of `expect:`, and the groups and words of reports. The check
that decides a proposition is a file of its own in `halo/checks`, and names its row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import StrictFloat, StrictInt, StrictStr

_Formula = StrictInt | StrictFloat | StrictStr


@dataclass(frozen=True)
class Form:
    """How a file says what it expects of a proposition.

    type     what may stand there, for pydantic; a mapping is one from roles
    formula  whether what stands there is a formula
    """

    type: Any
    formula: bool = False


VERDICT = Form(Literal["proved", "refuted"])
REQUIRED = Form(Literal["proved"])
"""Of a proposition that no objective may have refuted, whether its file expects it or not."""
WAY = Form(dict[str, Literal["up", "down", "both", "none"]])
VALUE = Form(_Formula | dict[str, _Formula], formula=True)


@dataclass(frozen=True)
class Proposition:
    """Something that may be true of an objective.

    name        stable: in reports, in --json and under `expect:`
    group       the heading that it stands under in a report
    meaning     what is so where it is proved
    detail      what docs/checks.md adds to that
    expects     how a file says what it expects
    definition  what it is held against, where that has a name
    """

    name: str
    group: str
    meaning: str
    detail: str = ""
    expects: Form = VERDICT
    definition: str = ""


# -- well-formed -----------------------------------------------------------------------------------------------------------

_WELL_FORMED = "Well-formed"
DOMAIN = Proposition(
    "domain", _WELL_FORMED, "every formula has a value for every declared parameter value and every reachable input", expects=REQUIRED
)
UNITS = Proposition(
    "units",
    _WELL_FORMED,
    "sums over tokens and averages per token are never mixed",
    "`value` says what each parameter counts in",
    expects=REQUIRED,
)
REACH = Proposition("reach", _WELL_FORMED, "every declared role, parameter, column and term influences the loss", expects=REQUIRED)
NO_OVERFLOW = Proposition(
    "no_overflow",
    _WELL_FORMED,
    "every intermediate fits float32",
    "at the default and search values of the parameters, for sums of log-probabilities down to -2000",
)

# -- the value function ----------------------------------------------------------------------------------------------------

_VALUE_FUNCTION = "Value function v(z)"
MONOTONE = Proposition("monotone", _VALUE_FUNCTION, "v never falls", "v is non-decreasing on the real line")
CONCAVE_ON_GAINS = Proposition("concave_on_gains", _VALUE_FUNCTION, "v is concave on gains, z > 0")
BOUNDED = Proposition("bounded", _VALUE_FUNCTION, "v has a bound on the side that the loss falls towards")
SATURATES = Proposition("saturates", _VALUE_FUNCTION, "v' tends to 0 at both ends")
LIPSCHITZ = Proposition("lipschitz", _VALUE_FUNCTION, "v' is bounded", "`value` is the least bound, where it was found")

# -- human-aware losses ----------------------------------------------------------------------------------------------------

HALO = Proposition(
    "halo",
    "Human-aware loss",
    "the loss is a HALO, v applied to an implied reward against a reference point",
    "Definition 3.4 (below); beside a regularizer, `core` says it of the rest",
    definition="Definition 3.4: r = l log(pi/pi_ref), one v, a = +1 or -1",
)

# -- gradients -------------------------------------------------------------------------------------------------------------

_PULLS = "Which way it pulls"
DIRECTION = Proposition(
    "direction",
    _PULLS,
    "the completion is pulled one way only",
    "asked of each role, as `direction.chosen`: raising its log-probability never raises (`up`) or never lowers (`down`) the loss, or does "
    "nothing to it (`none`): that is its `value`. Refuted with two points it is `both`; undecided where an entropy or divergence of the "
    "policy has a gradient, which log-probabilities alone do not show",
    expects=WAY,
)
AT_REFERENCE = Proposition(
    "at_reference",
    _PULLS,
    "with policy = reference the loss is made of parameters alone",
    "`value` is the loss there; the reason adds the gradient",
    expects=VALUE,
)
STOP_GRADIENT_EFFECT = Proposition(
    "stop_gradient_effect", _PULLS, "what is detached changes the gradient of the rest", "under an affine v it does not"
)

# -- where it leads --------------------------------------------------------------------------------------------------------

_LEADS = "Where it leads"
FINITE_OPTIMUM = Proposition("finite_optimum", _LEADS, "the loss of a sure preference is least at a finite difference of scores")
PREFERENCE_LINK = Proposition(
    "preference_link",
    _LEADS,
    "the optimum for preference probability p stays bounded as p tends to 0 and 1",
    "Psi(p) is that optimum: sure preferences are not overfitted",
)

# -- what it ignores -------------------------------------------------------------------------------------------------------

_IGNORES = "What it ignores"
LOG_PARTITION_CANCELS = Proposition("log_partition_cancels", _IGNORES, "adding c(x) to every score changes nothing, so log Z(x) cancels")
LENGTH_NEUTRAL = Proposition("length_neutral", _IGNORES, "at fixed log-probability per token the loss does not depend on lengths")
SYMMETRY = Proposition(
    "symmetry", _IGNORES, "a pair and the swapped pair have likelihoods that add up to 1", "exp(-loss) is a Bradley-Terry likelihood"
)

PROPOSITIONS: dict[str, Proposition] = {
    one.name: one
    for one in (
        DOMAIN,
        UNITS,
        REACH,
        NO_OVERFLOW,
        MONOTONE,
        CONCAVE_ON_GAINS,
        BOUNDED,
        SATURATES,
        LIPSCHITZ,
        HALO,
        DIRECTION,
        AT_REFERENCE,
        STOP_GRADIENT_EFFECT,
        FINITE_OPTIMUM,
        PREFERENCE_LINK,
        LOG_PARTITION_CANCELS,
        LENGTH_NEUTRAL,
        SYMMETRY,
    )
}
"""In the order in which they are asked and reported. `domain` is the first: where it is refuted, proofs speak of the rest."""


def proposition_of(check: str) -> Proposition | None:
    """The proposition that a finding is about: its check's name, before the dot. None for one that is not known here."""
    return PROPOSITIONS.get(check.partition(".")[0])


def is_required(check: str) -> bool:
    """Whether no objective may have it refuted."""
    return check.partition(".")[0] in required()


def required() -> list[str]:
    """The names of those that no objective may have refuted."""
    return [one.name for one in PROPOSITIONS.values() if one.expects is REQUIRED]
