"""The checks: what shipped files expect, verdicts known from the literature, and proofs attacked at random points."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import Any

import pytest
import yaml
from independent import valued
from mpmath import mp, mpf
from refusals import refused, refused_command
from shipped import examination_of, findings_of
from value_functions import BOX, KNOWN, random_text

from halo.analysis.decide import Question, Verdict
from halo.analysis.ranges import POSITIVE, REALS, Span
from halo.analysis.scalar import Scalars
from halo.analysis.values import sure_value
from halo.checks.catalogue import CHECKS
from halo.cli.main import main
from halo.compiler.pipeline import compile_source
from halo.errors import ObjectiveError
from halo.examine.examiner import examined, findings
from halo.objective.formula import Formula, parse
from halo.objective.propositions import PROPOSITIONS
from halo.objective.schema import expect_model
from halo.plugin.objectives import find_objective

LETTER = {"proved": "p", "refuted": "r", "undecided": "u"}


def asked(text: str) -> tuple[Verdict, Verdict]:
    s = Scalars()
    letters = {name: s.make(op="parameter", data=name) for name in BOX} | {"z": s.variable("z")}
    box = {letters[name]: span for name, span in BOX.items()}
    node = s.formula(text, **letters)
    return Question(s, node, letters["z"], box).monotone(), Question(s, node, letters["z"], box, POSITIVE).concave()


@pytest.mark.parametrize("text", KNOWN)
def test_known_value_functions(text: str) -> None:
    assert "".join(LETTER[v.outcome] for v in asked(text)) == KNOWN[text]


def test_no_proof_breaks_at_random_points() -> None:
    rng, decided = random.Random(20261124), 0
    with mp.workdps(60):
        for _ in range(250):
            text = random_text(rng, 3)
            formula, (monotone, concave) = parse(text), asked(text)
            decided += (monotone.outcome != "undecided") + (concave.outcome != "undecided")
            for _ in range(40):
                fixed = {"b": mpf(rng.choice([1, 3, 17])) / rng.choice([1, 4, 9]), "e": mpf(rng.randint(0, 49)) / 100}
                low, high = sorted(mpf(rng.randint(-4000, 4000)) / rng.choice([100, 400, 1000]) for _ in range(2))
                ends = [valued(formula, {**fixed, "z": z}) for z in (low, high)]
                slack = mpf(10) ** -40
                if monotone.proved:
                    assert ends[0] <= ends[1] + slack, (text, low, high, fixed)
                if concave.proved and low > 0:
                    middle = valued(formula, {**fixed, "z": (low + high) / 2})
                    assert middle >= (ends[0] + ends[1]) / 2 - slack, (text, low, high, fixed)
            confirm(formula, monotone, concave)
    assert decided > 420  # of 500: a procedure that decides nothing is not sound, only silent


def confirm(formula: Formula, monotone: Verdict, concave: Verdict) -> None:
    """A witness is numbers that refute, by the test's own arithmetic."""

    def at(witness: dict[str, str], name: str) -> mpf:
        fixed = {k: mpf(Fraction(witness[k]).numerator) / Fraction(witness[k]).denominator for k in (*BOX, name) if k in witness}
        rest = {"b": mpf(1), "e": mpf(0), "a": mpf(1) / 2}  # a letter that folds away is not in the witness
        return valued(formula, {**rest, **fixed, "z": fixed[name]})

    if monotone.outcome == "refuted":
        w = dict(monotone.witness)
        assert Fraction(w["from"]) < Fraction(w["to"])
        assert at(w, "from") > at(w, "to")
    if concave.outcome == "refuted":
        w = dict(concave.witness)
        left, middle, right = (Fraction(w[k]) for k in ("left", "middle", "right"))
        assert 0 < left < middle < right
        part = (middle - left) / (right - left)
        chord = at(w, "left") + (at(w, "right") - at(w, "left")) * part.numerator / part.denominator
        assert at(w, "middle") < chord


@pytest.mark.parametrize("name", find_objective.names())
def test_shipped_objectives_keep_what_they_expect(name: str) -> None:
    examination = examination_of(name)
    assert examination.expectations, "a shipped objective says what it expects"
    assert examination.unmet == ()
    assert not examination.failed


def found_of(name: str) -> dict[str, tuple[str, str | None]]:
    return {f.check: (f.verdict, f.value) for f in findings_of(name) if f.scope != "core"}


def test_answers_of_the_literature() -> None:
    dpo, ipo, simpo, kto = (found_of(name) for name in ("dpo", "ipo", "simpo", "kto"))
    assert dpo["symmetry"][0] == "proved"
    assert dpo["finite_optimum"] == ("refuted", "+oo")
    assert ipo["finite_optimum"] == ("proved", "1/(2*tau)")
    assert ipo["preference_link"] == ("proved", "(2*p - 1)/(2*tau)")
    assert simpo["length_neutral"][0] == "proved"
    assert kto["lipschitz"] == ("proved", "1/4")
    assert kto["log_partition_cancels"][0] == "refuted"
    assert found_of("kto_risk_neutral")["stop_gradient_effect"][0] == "refuted"


@pytest.mark.parametrize(("margin", "verdict"), [
    ("1 + beta * (chosen.length - rejected.length)", "proved"), ("beta * chosen.length", "refuted"),
    ("beta * chosen.length * rejected.length", "refuted"), ("beta * (log(chosen.length) - log(rejected.length))", "proved"),
])  # fmt: skip
def test_a_margin_tilts_the_reference_only_as_a_difference(tmp_path: Path, margin: str, verdict: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"name: mine\nextends: dpo\nnormalizer: 1\nmargin: {margin}\n")
    compiled = compile_source(file, None, find_objective)
    assert next(f.verdict for f in findings(compiled) if f.check == "halo") == verdict


PAIR = "name: mine\nfeedback: paired\nparameters: {beta: {default: 0.1, domain: '(0, inf)'}}\nvalue: logsigmoid(z)\nsign: -1\n"


@pytest.mark.parametrize(("keys", "verdict"), [
    ("reward: beta * sum(chosen.logp - chosen.ref_logp) - beta * sum(rejected.logp - rejected.ref_logp)\nreference_point: none", "proved"),
    ("reward: beta * sum(chosen.logp)\nreference_point: beta * sum(rejected.logp)\n"
     "margin: beta * (sum(chosen.ref_logp) - sum(rejected.ref_logp))", "proved"),
    ("reward: beta * mean(logp - ref_logp)\nreference_point: rejected", "proved"),
    ("reward: beta * sum(logp - ref_logp)\nreference_point: 2 * rejected.reward", "refuted"),
    ("reward: beta * sum(logp - ref_logp)\nreference_point: 1 * reward", "refuted"),
    ("reward: stop(beta * sum(logp - ref_logp))\nreference_point: rejected", "refuted"),
    ("reward: beta * sum(logp - ref_logp)\nreference_point: stop(rejected.reward)", "proved"),
    ("reward: beta * sum(logp)\nreference_point: rejected", "refuted"),  # log V does not cancel
    ("reward: beta * relu(sum(logp) + 3)\nreference_point: rejected", "refuted"),
    ("reward: where(sum(logp) < -3, beta, 2 * beta) * sum(logp - ref_logp)\nreference_point: rejected", "refuted"),
    ("reward: beta * sum(logp - ref_logp)\nreference_point: rejected\nmargin: where(chosen.length > rejected.length, 1, 0)", "refuted"),
    ("reward: beta * sum(logp - ref_logp)\nreference_point: rejected\nmargin: where(sum(chosen.logp) > -1, 1, 0)", "refuted"),
    ("reward: beta * sum(logp - ref_logp) / rejected.length\nreference_point: rejected", "refuted"),
])  # fmt: skip
def test_a_pair_is_judged_by_its_z_and_not_by_its_keys(tmp_path: Path, keys: str, verdict: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"{PAIR}{keys}\n")
    found = next(f for f in findings(compile_source(file, None, find_objective)) if f.check == "halo")
    assert found.verdict == verdict, found.reason


def test_no_direction_is_proved_through_a_spread_over_the_batch() -> None:
    """In a batch of two (chosen log-probs -11 and -9, all others -10) DBAQL pushes the first chosen answer down."""
    verdicts = {f.check: f.verdict for f in findings_of("discopop_dbaql")}
    assert verdicts["direction.chosen"] != "proved"
    assert verdicts["direction.rejected"] != "proved"


def test_a_margin_that_is_0_has_no_length_for_its_kinks() -> None:
    """relu(d) - relu(-d) is d: the slope that a convention gives it at d = 0 is no dependence on a length."""
    text = yaml.safe_dump({
        "name": "mine", "extends": "ln_dpo", "parameters": {"alpha": {"default": 0.1, "domain": "[0, inf)"}},
        "let": {"d": "chosen.length - rejected.length"}, "margin": "alpha * (relu(d) - relu(-d) - d)",
    })  # fmt: skip
    found = {f.check: f.verdict for f in findings(compile_source(text, None, find_objective))}
    assert found["length_neutral"] == "proved"


def test_every_proposition_can_be_expected() -> None:
    assert list(expect_model().model_fields) == list(CHECKS) == list(PROPOSITIONS)


@pytest.mark.parametrize(("expected", "met"), [
    ("finite_optimum: proved", True), ("finite_optimum: refuted", False), ("no_overflow: proved", True), ("preference_link: proved", True),
    ("symmetry: proved", False), ("saturates: refuted", True), ("stop_gradient_effect: refuted", False),
])  # fmt: skip
def test_any_verdict_is_held_against_what_is_expected(tmp_path: Path, expected: str, met: bool) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"name: mine\nextends: ipo\nexpect: {{{expected}}}\n")
    (expectation,) = examined(compile_source(file, None, find_objective)).expectations
    assert expectation.met is met


def test_that_a_loss_has_no_value_cannot_be_expected(tmp_path: Path) -> None:
    with refused(ObjectiveError, "wrong-value", at="objective:3:18"):
        compile_source("name: mine\nextends: dpo\nexpect: {domain: refuted}\n", None, find_objective)


def test_an_unmet_expectation_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\nextends: ipo\nexpect: {halo: proved}\n")
    assert main(["check", str(file)]) == 1
    assert "FAILS     halo                   expected to hold, it does not: v = " in capsys.readouterr().out
    file.write_text("name: mine\nextends: dpo\nparameters: {beta: {default: 0.1, domain: '(0, inf)'}}\nvalue: log(z)\n")
    assert main(["check", str(file)]) == 1
    assert "FAILS     domain" in capsys.readouterr().out
    refused_command(capsys, "not-found", "check", "no_such_objective")


def test_units_that_do_not_fit_are_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\nextends: dpo\nreward: mean(logp - ref_logp) / length\n")
    assert main(["check", str(file), "dpo", "--json"]) == 1
    mine, dpo = json.loads(capsys.readouterr().out)
    assert [(f["check"], f["verdict"]) for f in mine["findings"]] == [("units", "refuted")]
    assert "mine.yaml:3:9: the length is divided out twice in the reward; mean(...) divides" in mine["findings"][0]["reason"]
    assert len(dpo["findings"]) > 15


def test_nothing_is_said_of_the_optimum_of_a_pair_that_is_sorted_apart() -> None:
    found = {f.check: f.verdict for f in findings_of("aot_unpaired")}
    assert not {"finite_optimum", "preference_link"} & set(found)
    assert found["symmetry"] == "refuted"  # sorted apart, no pair has a loss of its own


def test_verdicts_repeat_whatever_the_order_of_sets() -> None:
    def reports(seed: str) -> list[Any]:
        command = [sys.executable, "-m", "halo", "check", "dpo", "kto", "exo_pair", "rrhf", "--json", "--fresh"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
        return [[{**f, "milliseconds": 0} for f in report["findings"]] for report in json.loads(done.stdout)]

    assert reports("1") == reports("4242")


def test_json_and_no_torch() -> None:
    script = "import sys; from halo.cli.main import main; code = main(['check', 'dpo', '--json']); sys.exit(code or 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)
    assert report["objective"] == "dpo"
    keys = {"check", "verdict", "value", "reason", "witness", "steps", "scope", "milliseconds"}
    assert all(set(finding) == keys for finding in report["findings"])


def test_a_verdict_that_is_kept_needs_no_algebra() -> None:
    examination_of("dpo")
    script = "import sys; from halo.cli.main import main; code = main(['check', 'dpo']); sys.exit(code or 'sympy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=120, check=False).returncode == 0


@pytest.mark.parametrize(("text", "value"), [
    ("1 + exp(225) - exp(225)", 1), ("log(exp(200) + 1) - 200 - log(1 + exp(-200))", 0), ("exp(300) * (1 - (1 - exp(-300)))", 1),
    ("(exp(400) + 3) * (exp(400) - 3) - exp(800)", -9), ("1 / (exp(150) + 1 - exp(150))", 1),
])  # fmt: skip
def test_digits_lost_between_large_numbers_are_made_good(text: str, value: int) -> None:
    s = Scalars()
    node = s.formula(text)
    sure = sure_value(node, {})
    assert sure is not None
    assert abs(sure - value) < mpf(10) ** -40


def test_open_and_closed_ends() -> None:
    half_open = Span(Fraction(0), Fraction(1, 2), False, True)
    assert (Span.point(1) - Span.point(2) * half_open).positive  # 1 - 2 eps on [0, 1/2): > 0, exactly
    assert not (Span.point(1) - Span.point(2) * Span(Fraction(0), Fraction(1, 2))).positive
    assert Span(Fraction(0), inf).nonnegative
    assert REALS.reciprocal() is None
