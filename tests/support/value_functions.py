"""Value functions as text: known ones with their verdicts, and random ones."""

from __future__ import annotations

import random
from fractions import Fraction

from halo.analysis.ranges import POSITIVE, Span

BOX = {"b": POSITIVE, "e": Span(Fraction(0), Fraction(1, 2), False, True), "a": Span(Fraction(0), Fraction(1), True, True)}

KNOWN = {  # v: (non-decreasing, concave on gains), as in the papers and shared table
    "logsigmoid(z)": "pp", "-softplus(-z)": "pp", "log(1/(1+exp(-z)))": "pp", "sigmoid(z)": "pp", "1 - sigmoid(-z)": "pp",
    "-z**2": "rp", "min(0, z)": "pp", "-relu(-z)": "pp", "-relu(1 - z)**2": "pp", "-exp(-z)": "pp", "-(1+exp(z))**(-2)": "pp",
    "(1-e)*logsigmoid(z) + e*logsigmoid(-z)": "rp", "((1-e)*logsigmoid(z) - e*logsigmoid(-z))/(1-2*e)": "pp",
    "a*logsigmoid(z) + (1-a)*logsigmoid(-z)": "rp", "logsigmoid(z) + logsigmoid(-z)/2": "rp", "logsigmoid(-z)/2": "rp",
    "exp(z)": "pr", "2/b*softplus(z)": "pr", "min(exp(z), 1+e)": "pr", "max(exp(z), 1-e)": "pr",
    "sigmoid(z)**b*logsigmoid(z)": "rr", "(1-sigmoid(z/b))*logsigmoid(z) - sigmoid(z/b)*exp(-z)": "rr",
    "(1-sigmoid(z))*logsigmoid(z) - sigmoid(z)*exp(-z)": "pp", "logsigmoid(z)/2 - exp(-z)/2": "pp",
    "where(z<0, 0.45, 0.9)*logsigmoid(z)": "rp", "a*logsigmoid(z/0.9) - (1-a)*exp(-0.9*z)": "pp",
    "where(z>=0, z**a, -b*(-z)**a)": "pp", "where(z>0, z, z+1)": "rp", "where(z>1, 2*z-1, z)": "pr", "sign(z)**2": "rp",
    "logsigmoid(clip(z, -2*b, 2*b))": "pp", "sigmoid(z)**2": "pr", "z*sigmoid(z)": "rr", "tanh(z)": "pp", "asinh(z)": "pp",
    "-abs(z-b)": "rp", "z/(1+abs(z))": "pp", "-b*z": "rp", "z": "pp", "-sigmoid(z)": "rr",
}  # fmt: skip


def random_text(rng: random.Random, depth: int) -> str:
    if depth == 0:
        return rng.choice(["z", "z", "z", "1", "2", "1/2", "b", "e"])
    inner, other = random_text(rng, depth - 1), random_text(rng, rng.randint(0, depth - 1))
    return rng.choice([
        f"({inner} + {other})", f"({inner} - {other})", f"({inner} * {other})", f"-({inner})", f"sigmoid({inner})", f"logsigmoid({inner})",
        f"softplus({inner})", f"tanh({inner})", f"relu({inner})", f"abs({inner})", f"min({inner}, {other})", f"max({inner}, {other})",
        f"({inner})**2", f"where(z > {rng.choice(['0', '1', 'b'])}, {inner}, {other})", f"clip({inner}, -1, b)", f"sign({inner})",
    ])  # fmt: skip
