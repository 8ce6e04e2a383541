"""What can look wrong about an objective, and what a cure must make right: each in a few words for the author."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from mpmath import mp, mpf

from halo.analysis.curvature import Calculus
from halo.analysis.identity import is_zero, shown
from halo.analysis.scalar import topological_scalar, variables
from halo.analysis.sign import sign_of
from halo.checks.human_aware import VERSION
from halo.compiler.graph import Node, Part
from halo.lint.rewriting import parts_of
from halo.lint.trial import Case
from halo.objective.formula import Call, parse


@dataclass(frozen=True)
class Symptom:
    """`seen` says what is wrong ("" if nothing is); `gone` what is true after an edit ("" if the edit did not help)."""

    seen: Callable[[Case], str]
    gone: Callable[[Case, Case], str]


PLAUSIBLE = 887
"""no_overflow tries sums of up to 2000 nats; what is past float32 (e**88.7) at 200 already is more than e**887 there."""


def _refuted(check: str, then: str) -> Symptom:
    """A check is refuted, and proved in the end."""

    def seen(case: Case) -> str:
        return next((f.reason for f in case.findings(check) if f.verdict == "refuted"), "")

    return Symptom(seen, lambda before, after: then if after.rank(check) == 2 else "")


# -- pulls ---------------------------------------------------------------------------------------------------------------


def _pulls(case: Case) -> str:
    wrong = [role for role, level in case.levels.items() if level < 3 and case.directions[role] != "none"]
    return ", ".join(_pulled(case, role) for role in wrong)


def _pulled(case: Case, role: str) -> str:
    way = case.directions[role]
    if way in ("both", "?"):
        at_start = case.start(role)
        way = {"both": "up or down as the numbers have it", "none": "up and down", "?": "both up and down"}.get(
            at_start, f"{at_start} at the start"
        )
    return f"log π({role}) is pulled {way}"


def _pulls_right(before: Case, after: Case) -> str:
    """Every pull at least as right as before and right at the reference; and if nothing was wrong there, right for good."""
    least = 3 if min(before.levels.values(), default=0) >= 1 else 2
    better = all(after.levels.get(role, 0) >= max(level, least) for role, level in before.levels.items())
    return ", ".join(_pulled(after, role) for role in after.levels) if better and after.levels else ""


def _start(case: Case) -> str:
    """No completion is pulled where training starts."""
    roles = [role for role, wanted in case.wanted.items() if wanted in ("up", "down") and role in case.directions]
    dead = case.compiled.declared.needs.reference and roles and all(case.start(role) == "none" for role in roles)
    return "where policy = reference, as when training starts, nothing is pulled" if dead else ""


def _started(before: Case, after: Case) -> str:
    ways = {role: after.start(role) for role in after.levels}
    alive = all(way == after.wanted[role] for role, way in ways.items())
    return "at the start " + ", ".join(f"log π({role}) is pulled {way}" for role, way in ways.items()) if alive else ""


# -- definition ----------------------------------------------------------------------------------------------------------


def _halo(case: Case) -> str:
    expect = case.declaration.expect
    if expect is not None and expect.halo is not None:
        return ""
    found = case.findings("halo")
    return found[-1].reason.removeprefix(f"{VERSION}: ") if found and found[-1].verdict != "proved" and case.subject.terms else ""


def _belief(case: Case) -> str:
    """Only `at_reference`: the other expectations have symptoms of their own."""
    found = [f for check in ("halo", "direction", "at_reference") for f in case.findings(check)]
    unmet = [b for b in case.believed(case.compiled, found) if b.check.startswith("at_reference") and not b.met]
    return f"expect.{unmet[0].check} is {unmet[0].expected}, found {unmet[0].found}" if unmet else ""


def _overflow(case: Case) -> str:
    """An exponential of a whole completion's log-ratio. One of a token, or one that beta keeps small, does not get there."""
    for finding in case.findings("no_overflow"):
        tokenwise = any(part.z is not None and "token" in part.z.axes for part in case.subject.terms)
        if finding.verdict == "refuted" and not tokenwise and abs(mpf(finding.witness["value"])) > mp.exp(PLAUSIBLE):
            return f"{finding.reason.partition(' is ')[0]} leaves float32 at log-ratios that some hundred tokens may well have"
    return ""


def _domain(case: Case) -> str:
    found = [f for f in case.findings("domain") if f.verdict != "proved"]
    return f"{found[0].reason.partition(' has no value')[0].partition(' is not shown')[0]} does not always have a value" if found else ""


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
        point = view.scalar(part.reference_point, view.generic(part)) if part.reference_point is not None else None
        if point is not None and z in variables(slope) and not any(n.op == "stop" for n in topological_scalar(point)):
            yield part


def _attached(case: Case) -> str:
    return "the loss has a gradient in the mismatched completions, which it only measures" if any(attached_points(case)) else ""


def _detached(before: Case, after: Case) -> str:
    return "" if "mismatched" in after.compiled.declared.needs.gradient else "the mismatched completions are measured without a gradient"


def repeated(case: Case) -> Iterator[tuple[Part, str]]:
    """Terms in which z is scaled by the same parameter twice: in normalizer, in reward, or by v(p z)."""
    s, box = case.subject.view.s, case.subject.view.box
    for part in case.subject.terms:
        view, z = case.subject.view, case.subject.z_of(part)
        where = view.generic(part)
        factors = [view.scalar(node, where) for node in (part.normalizer, part.reward) if node is not None]
        value = view.value(part)
        for parameter in (
            v for v in dict.fromkeys([*(v for f in factors for v in variables(f)), *variables(value)]) if v.op == "parameter"
        ):
            slope = s.call("mul", parameter, s.derivative(value, parameter))
            through_z = parameter in variables(value) and is_zero(s, s.call("sub", slope, s.call("mul", z, s.derivative(value, z))), box)
            scaled = [
                parameter in variables(f) and is_zero(s, s.call("sub", s.call("mul", parameter, s.derivative(f, parameter)), f), box)
                for f in factors
            ]
            if [through_z, *scaled].count(True) > 1:
                yield part, str(parameter.data)


def _repeated(case: Case) -> str:
    found = next(repeated(case), None)
    return f"z is multiplied by {found[1]} twice, so that the pull at the reference is {found[1]}**2" if found else ""


def easing_margins(case: Case) -> Iterator[Part]:
    """Terms whose margin, made of parameters, lets z pass earlier instead of later: the pull at equal rewards is weaker."""
    view = case.subject.view
    for part in case.subject.terms:
        margin = view.scalar(part.margin, view.generic(part)) if part.margin is not None else None
        if margin is None or any(v.op != "parameter" for v in variables(margin)) or not case.subject.single(part):
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


def _eased(case: Case) -> str:
    part = next(easing_margins(case), None)
    if part is None or part.margin is None:
        return ""
    margin = shown(case.subject.view.scalar(part.margin))
    return f"z = reward - reference_point - margin, so that the margin {margin} lets pairs go before the better reward is ahead"


def _summed(case: Case) -> str:
    declared = case.declaration
    chains = [declared.reduce, *(t.reduce for t in declared.terms.values()), *(r.reduce for r in declared.regularizers.values())]
    found = any((chain or {}).get("examples") == "sum" for chain in chains)
    return "a batch of twice the size has twice the gradient: the learning rate depends on the batch" if found else ""


def _flat(case: Case) -> str:
    """DPO's shape with a v that is flat at both ends; `expect: at_reference` says that it is meant."""
    expect, terms = case.declaration.expect, case.subject.terms
    if (
        not case.subject.feedback.is_pair
        or len(terms) != 1
        or case.at(("reference_point",)) != "rejected"
        or (expect and expect.at_reference is not None)
    ):
        return ""
    value = case.at(case.path(terms[0], "value"))
    if not any(isinstance(f, Call) and f.function == "sigmoid" for f in parts_of(parse(value))) or case.rank("saturates") < 2:
        return ""
    return "v is flat at both ends, so that a pair ranked badly wrong is hardly pulled (if that is meant, say so by `expect: {at_reference: ...}`)"


def _steep(before: Case, after: Case) -> str:
    return "the worse a pair is ranked, the more it is pulled" if after.rank("saturates") < 2 else ""


def _clamped(case: Case) -> str:
    """A reference point that is never positive, by a clamp at 0."""
    view = case.subject.view
    for part in case.subject.terms:
        if part.reference_point is not None and case.subject.feedback.labels:
            point = view.unstopped(view.scalar(part.reference_point, view.generic(part)))
            if point.op == "apply" and point.data == "min" and Calculus(view.box).span(point).high <= 0:
                return "the mean log-ratio of mismatched answers estimates a KL divergence, which is never negative: clamped from above, z0 is nearly always 0"
    return ""


def _always(then: str, symptom: Callable[[Case], str]) -> Callable[[Case, Case], str]:
    return lambda before, after: "" if symptom(after) else then


SYMPTOMS: dict[str, Symptom] = {
    "reach": _refuted("reach", "everything declared reaches the loss"),
    "pulls": Symptom(_pulls, _pulls_right),
    "domain": Symptom(_domain, lambda before, after: "the loss always has a value" if after.rank("domain") == 2 else ""),
    "bounded": _refuted("bounded", "the loss has a lower bound"),
    "belief": Symptom(_belief, lambda before, after: "every expectation holds" if after.beliefs_met else ""),
    "halo": Symptom(_halo, lambda before, after: "it is a human-aware loss" if after.rank("halo") == 2 else ""),
    "start": Symptom(_start, _started),
    "overflow": Symptom(_overflow, lambda before, after: "no intermediate leaves float32" if after.rank("no_overflow") == 2 else ""),
    "attached": Symptom(_attached, _detached),
    "repeated": Symptom(_repeated, _always("the pull at the reference is proportional to the parameter", _repeated)),
    "eased": Symptom(_eased, _always("the better reward must be ahead by the margin", _eased)),
    "summed": Symptom(_summed, _always("the gradient is an average over the batch", _summed)),
    "flat": Symptom(_flat, _steep),
    "clamped": Symptom(_clamped, _always("z0 follows the estimate", _clamped)),
}
"""In the order in which they are looked into: what an earlier cure takes along is not reported twice."""
