"""What can look wrong about an objective, and what a fix must make right: each in a few words for the author."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from mpmath import mp, mpf

from halo.analysis.curvature import Calculus
from halo.analysis.identity import is_zero, shown
from halo.analysis.scalar import topological_scalar, variables
from halo.analysis.sign import sign_of
from halo.compiler.graph import Node, Part
from halo.lint.rewriting import parts_of
from halo.lint.trial import ALWAYS, AT_START, HOLDS, OPEN, Case
from halo.objective.formula import Call, parse
from halo.objective.propositions import AT_REFERENCE, BOUNDED, DOMAIN, HALO, NO_OVERFLOW, REACH, SATURATES, Proposition


@dataclass(frozen=True)
class Diagnosis:
    """`seen` says what is wrong ("" if nothing is); `gone` what is true after an edit ("" if the edit did not help)."""

    seen: Callable[[Case], str]
    gone: Callable[[Case, Case], str]


PLAUSIBLE = 887
"""no_overflow tries sums of up to 2000 nats; what is past float32 (e**88.7) at 200 already is more than e**887 there."""


def _proved(of: Proposition, then: str) -> Callable[[Case, Case], str]:
    """What is true after an edit by which a proposition is proved."""
    return lambda before, after: then if after.rank(of) == HOLDS else ""


def _refuted(of: Proposition, then: str) -> Diagnosis:
    """A proposition is refuted, and proved in the end."""

    def seen(case: Case) -> str:
        return next((f.reason for f in case.findings(of) if f.verdict == "refuted"), "")

    return Diagnosis(seen, _proved(of, then))


# -- pulls ---------------------------------------------------------------------------------------------------------------


def _pulls(case: Case) -> str:
    wrong = [role for role, level in case.levels.items() if level < ALWAYS and case.directions[role] != "none"]
    return ", ".join(_pulled(case, role) for role in wrong)


def _pulled(case: Case, role: str) -> str:
    way = case.directions[role]
    if way in ("both", "?"):
        at_start = case.start(role)
        way = _UNDIRECTED.get(at_start, f"{at_start} at the start")
    return f"log π({role}) is pulled {way}"


_UNDIRECTED = {"both": "up or down as the numbers have it", "none": "up and down", "?": "both up and down"}


def _pulls_right(before: Case, after: Case) -> str:
    """Every pull at least as right as before and right at the reference; and if nothing was wrong there, right for good."""
    least = AT_START
    if min(before.levels.values(), default=0) >= OPEN:
        least = ALWAYS
    better = all(after.levels.get(role, 0) >= max(level, least) for role, level in before.levels.items())
    if not better:
        return ""
    return ", ".join(_pulled(after, role) for role in after.levels)


def _start(case: Case) -> str:
    """No completion is pulled where training starts."""
    roles = [role for role, wanted in case.wanted.items() if wanted in ("up", "down") and role in case.directions]
    if not case.compiled.declared.needs.reference or not roles or any(case.start(role) != "none" for role in roles):
        return ""
    return "where policy = reference, as when training starts, nothing is pulled"


def _started(before: Case, after: Case) -> str:
    ways = {role: after.start(role) for role in after.levels}
    if any(way != after.wanted[role] for role, way in ways.items()):
        return ""
    return "at the start " + ", ".join(f"log π({role}) is pulled {way}" for role, way in ways.items())


# -- definition ----------------------------------------------------------------------------------------------------------


def _halo(case: Case) -> str:
    if HALO.name in case.subject.expected or not case.subject.terms:
        return ""
    found = case.findings(HALO)
    if not found or found[-1].verdict == "proved":  # the last is that of the core
        return ""
    return found[-1].reason


def _expectation(case: Case) -> str:
    """Only `at_reference`: the other expectations have diagnoses of their own."""
    if AT_REFERENCE.name not in case.subject.expected:
        return ""
    unmet = [one for one in case.unmet if one.check.partition(".")[0] == AT_REFERENCE.name]
    return "".join(f"expect.{one.check} is {one.expected}, found {one.found}" for one in unmet[:1])


def _overflow(case: Case) -> str:
    """An exponential of a whole completion's log-ratio. One of a token, or one that beta keeps small, does not get there."""
    for finding in case.findings(NO_OVERFLOW):
        tokenwise = any(part.z is not None and "token" in part.z.axes for part in case.subject.terms)
        if finding.verdict == "refuted" and not tokenwise and abs(mpf(finding.witness["value"])) > mp.exp(PLAUSIBLE):
            return f"{finding.reason.partition(' is ')[0]} leaves float32 at log-ratios that some hundred tokens may well have"
    return ""


def _domain(case: Case) -> str:
    for finding in case.findings(DOMAIN):
        if finding.verdict != "proved":
            what = finding.reason.partition(" has no value")[0].partition(" is not shown")[0]
            return f"{what} does not always have a value"
    return ""


# -- what is written -----------------------------------------------------------------------------------------------------


def attached_points(case: Case) -> Iterator[Part]:
    """Terms of labelled feedback whose reference point pulls the completions that it only measures, unevenly.

    Under an affine v the pull is the same for every example, and it cancels between the labels.
    """
    if not case.subject.feedback.labels or "mismatched" not in case.compiled.declared.needs.gradient:
        return
    view = case.subject.view
    for part in case.subject.terms:
        z = case.subject.z_of(part)
        slope = view.s.derivative(view.value(part), z)
        if part.reference_point is None or z not in variables(slope):
            continue
        point = view.scalar(part.reference_point, view.generic(part))
        if not any(n.op == "stop" for n in topological_scalar(point)):
            yield part


def _attached(case: Case) -> str:
    if not any(attached_points(case)):
        return ""
    return "the loss has a gradient in the mismatched completions, which it only measures"


def _detached(before: Case, after: Case) -> str:
    if "mismatched" in after.compiled.declared.needs.gradient:
        return ""
    return "the mismatched completions are measured without a gradient"


def repeated(case: Case) -> Iterator[tuple[Part, str]]:
    """Terms in which z is scaled by the same parameter twice: in normalizer, in reward, or by v(p z)."""
    view, s = case.subject.view, case.subject.view.s
    for part in case.subject.terms:
        z, where = case.subject.z_of(part), view.generic(part)
        factors = [view.scalar(node, where) for node in (part.normalizer, part.reward) if node is not None]
        value = view.value(part)
        along_z = s.call("mul", z, s.derivative(value, z))
        read = dict.fromkeys(v for node in (*factors, value) for v in variables(node))
        for parameter in (v for v in read if v.op == "parameter"):
            scaled = [_scales(case, parameter, factor, factor) for factor in factors]
            if _scales(case, parameter, value, along_z) + sum(scaled) > 1:
                yield part, str(parameter.data)


def _scales(case: Case, parameter: Node, node: Node, by: Node) -> bool:
    """Whether d node / d log parameter is `by`: of a factor that is itself, of v(p z) what z does."""
    if parameter not in variables(node):
        return False
    s = case.subject.view.s
    gap = s.call("sub", s.call("mul", parameter, s.derivative(node, parameter)), by)
    return is_zero(s, gap, case.subject.view.box) is True


def _repeated(case: Case) -> str:
    for _, name in repeated(case):
        return f"z is multiplied by {name} twice, so that the pull at the reference is {name}**2"
    return ""


def negative_margins(case: Case) -> Iterator[Part]:
    """Terms whose margin, made of parameters, lets z pass earlier instead of later: the pull at equal rewards is weaker."""
    view = case.subject.view
    for part in case.subject.terms:
        if part.margin is None or not case.subject.single(part):
            continue
        margin = view.scalar(part.margin, view.generic(part))
        if any(v.op != "parameter" for v in variables(margin)):
            continue
        if _pull_gained(case, part, margin) == -1 and _pull_gained(case, part, view.s.call("neg", margin)) in (0, 1):
            yield part


def _pull_gained(case: Case, part: Part, margin: Node) -> int | None:
    """The sign of what the margin adds to the pull at equal rewards: v' at z = -margin against v' at z = 0."""
    s, z, box = case.subject.view.s, case.subject.z_of(part), case.subject.view.box
    slope = s.derivative(case.subject.view.unstopped(case.subject.view.value(part)), z)
    before = s.number(Fraction(-1, 1000))  # the slope at a kink is that before it
    here, there = (s.substitute(slope, {z: at}) for at in (before, s.call("sub", before, margin)))
    way = sign_of(here, box)
    if not way or sign_of(there, box) not in (way, 0):
        return None
    return sign_of(s.call("mul", s.number(way), s.call("sub", there, here)), box)


def _negative_margin(case: Case) -> str:
    part = next(negative_margins(case), None)
    if part is None or part.margin is None:
        return ""
    margin = shown(case.subject.view.scalar(part.margin))
    return f"z = reward - reference_point - margin, so that the margin {margin} lets pairs go before the better reward is ahead"


def _summed(case: Case) -> str:
    declared = case.declaration
    chains = [declared.reduce, *(t.reduce for t in declared.terms.values()), *(r.reduce for r in declared.regularizers.values())]
    if not any((chain or {}).get("examples") == "sum" for chain in chains):
        return ""
    return "a batch of twice the size has twice the gradient: the learning rate depends on the batch"


def _flat(case: Case) -> str:
    """DPO's shape with a v that is flat at both ends; `expect: at_reference` says that it is meant."""
    terms = case.subject.terms
    if not case.subject.feedback.is_pair or len(terms) != 1 or case.at(("reference_point",)) != "rejected":
        return ""
    value = parse(case.at(case.path(terms[0], "value")))
    if not any(isinstance(f, Call) and f.function == "sigmoid" for f in parts_of(value)):
        return ""
    if AT_REFERENCE.name in case.subject.expected or case.rank(SATURATES) < HOLDS:
        return ""
    meant = "if that is meant, say so by `expect: {at_reference: ...}`"
    return f"v is flat at both ends, so that a pair ranked badly wrong is hardly pulled ({meant})"


def _steep(before: Case, after: Case) -> str:
    if after.rank(SATURATES) == HOLDS:
        return ""
    return "the worse a pair is ranked, the more it is pulled"


def _clamped(case: Case) -> str:
    """A reference point that is never positive, by a clamp at 0."""
    view = case.subject.view
    for part in case.subject.terms:
        if part.reference_point is not None and case.subject.feedback.labels:
            point = view.unstopped(view.scalar(part.reference_point, view.generic(part)))
            if point.op == "apply" and point.data == "min" and Calculus(view.box).span(point).high <= 0:
                return (
                    "the mean log-ratio of mismatched answers estimates a KL divergence, which is never negative: "
                    "clamped from above, z0 is nearly always 0"
                )
    return ""


def _gone(seen: Callable[[Case], str], then: str) -> Diagnosis:
    """A diagnosis that an edit has helped where nothing of it is seen any more."""
    return Diagnosis(seen, lambda before, after: "" if seen(after) else then)


def _all_met(before: Case, after: Case) -> str:
    return "" if after.unmet else "every expectation holds"


DIAGNOSES: dict[str, Diagnosis] = {
    "unreached": _refuted(REACH, "everything declared reaches the loss"),
    "pulls": Diagnosis(_pulls, _pulls_right),
    "undefined": Diagnosis(_domain, _proved(DOMAIN, "the loss always has a value")),
    "unbounded": _refuted(BOUNDED, "the loss has a lower bound"),
    "expectation": Diagnosis(_expectation, _all_met),
    "not_human_aware": Diagnosis(_halo, _proved(HALO, "it is a human-aware loss")),
    "start": Diagnosis(_start, _started),
    "overflow": Diagnosis(_overflow, _proved(NO_OVERFLOW, "no intermediate leaves float32")),
    "attached": Diagnosis(_attached, _detached),
    "repeated": _gone(_repeated, "the pull at the reference is proportional to the parameter"),
    "negative_margin": _gone(_negative_margin, "the better reward must be ahead by the margin"),
    "summed": _gone(_summed, "the gradient is an average over the batch"),
    "flat": Diagnosis(_flat, _steep),
    "clamped": _gone(_clamped, "z0 follows the estimate"),
}
"""In the order in which they are looked into: what an earlier fix takes along is not reported twice."""
