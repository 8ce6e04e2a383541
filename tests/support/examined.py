"""Examinations made by hand, for tests of how they are written."""

from __future__ import annotations

from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding
from halo.checks.results import Examination, Expectation, Mistake, Relative
from halo.compiler.pipeline import CompiledObjective, compile_source

EVIL = "<script>alert('x')</script> & \"q\" \\input{x} $y$ #%^~_{} | \\` *b* \x1b[31m é ζ 中"
YAML = """name: mine
feedback: paired
title: {title}
parameters:
  beta: {{default: 0.1, domain: "(0, inf)", meaning: {title}}}
reward: sum(logp - ref_logp)
normalizer: beta
reference_point: rejected
value: logsigmoid(z)
sign: -1
"""


def compiled(title: str = "A title") -> CompiledObjective:
    import json

    return compile_source(YAML.format(title=json.dumps(title)))


def examination(text: str = "plain") -> Examination:
    """One of everything; `text` stands wherever the text of a third party may."""
    witness = {"beta": "1/2", "chosen.length": "11/10", "slope": "-0.109455874779", "value": "-100.0"}
    findings = (
        Finding("domain", PROVED, "defined everywhere"),
        Finding("monotone", PROVED, "same for both", scope="v of desirable", steps=("logsigmoid(z): up, in (-inf, 0)",) * 2),
        Finding("monotone", PROVED, "same for both", scope="v of undesirable", steps=("logsigmoid(z): up, in (-inf, 0)",) * 2),
        Finding("lipschitz", UNDECIDED, text, scope=text + "!"),
        Finding("halo", REFUTED, "v = -beta * z**2 falls from -100.0 to -400.123456789 as z >= 1"),
        Finding("halo", PROVED, "fine", scope="core"),
        Finding("symmetry", REFUTED, "adds up to 0.999999999, not 1", witness=witness),
        Finding("brand_new", PROVED, "a check that the report has never heard of"),
    )
    expectations = (Expectation("halo", "proved", "refuted", False), Expectation("direction.chosen", "up", "up", True))
    mistakes = (Mistake("sign_flip", f"mine.yaml:9:1 {text}", f"the sign is turned {text}", f"sign: -1 {text}"),)
    relatives = (Relative("dpo", "equal", f"mine is dpo with {text}"),)
    return Examination("mine", findings, expectations, mistakes, relatives, ("lipschitz",))


def refused_file() -> Examination:
    """Units that do not fit: nothing was compiled, and the reason has an excerpt."""
    reason = "mine.yaml:6:9: a sum and a mean; divide both [wrong-unit]\n    reward: sum(logp) + mean(logp)\n            ^"
    return Examination("mine", (Finding("units", REFUTED, reason),))
