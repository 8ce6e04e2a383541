"""A function is one row: no table of halo lacks one, and a row that is added while halo runs works everywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from mpmath import mp, mpf

import halo
from halo.analysis.algebra.normal_form import Algebra
from halo.analysis.curvature import Calculus
from halo.analysis.kinks import branches_of, switch
from halo.analysis.numbers.digits import Digits
from halo.analysis.numbers.doubles import DOUBLES
from halo.analysis.ranges import Span
from halo.analysis.scalar import COMPARE, Scalars, switching_pairs
from halo.analysis.values import sure_value, values
from halo.cli.main import main
from halo.compiler.exact import Evaluator
from halo.compiler.graph import Node
from halo.compiler.indices import ExactBatch
from halo.compiler.pipeline import compile_source
from halo.loss.inputs import Completions, LossInputs
from halo.notation.typeset import formula_latex, lines_unicode
from halo.objective.formula import PRECEDENCE
from halo.objective.functions import FUNCTIONS, Function, Kink
from halo.plugin.objectives import find_objective

LANGUAGE = Path(__file__).resolve().parents[2] / "docs" / "language.md"
EXTENDING = LANGUAGE.with_name("extending.md")

ADDED = {
    "gelu": Function(  # shorthand, with neither a derivative nor a kink: everything is proved of the definition
        (1, 1), "F.gelu({0})", "({0} * (1 + math.erf({0} / math.sqrt(2))) / 2)", lambda m, x: x * (1 + m.erf(x / m.sqrt(m.mpf(2)))) / 2,
        definition="x * (1 + erf(x / sqrt(2))) / 2", range=("-1", "inf"), unit="pure",
    ),
    "hardtanh": Function(  # shorthand whose definition has kinks
        (1, 1), "F.hardtanh({0})", "min(max({0}, -1), 1)", lambda m, x: min(max(x, m.mpf(-1)), m.mpf(1)),
        definition="clip(x, -1, 1)", range=("-1", "1"), unit="pure", symbol=(r"\operatorname{htanh}", "htanh"),
    ),
    "erfc": Function(  # without a definition: known by its values, by how it runs and by its slope
        (1, 1), "torch.erfc({0})", "math.erfc({0})", lambda m, x: m.erfc(x), rational=(("0", "1"),),
        derivative=("-exp(-x**2) / sqrt(atan(1))",), range=("0", "2"), monotone="down", unit="pure",
    ),
    "leaky": Function(  # a corner of its own
        (1, 1), "F.leaky_relu({0}, 0.01)", "max({0}, {0} / 100)", lambda m, x: max(x, x / 100), definition="max(x, x / 100)",
        derivative=("where(x > 0, 1, 1 / 100)",), kink=Kink((("x", "0"),), "x / 100", "x"), monotone="up", curvature="convex", unit="kept",
    ),
}  # fmt: skip
"""Words that halo does not have, each of another sort."""


def applied(word: str, row: Function, s: Scalars) -> tuple[Node, dict[Node, Fraction]]:
    """The word at variables, and a point inside its domain, off its kinks."""
    low, high = (Fraction(-4) if "inf" in row.domain[0] else Fraction(row.domain[0]), Fraction(5))
    high = high if "inf" in row.domain[1] else Fraction(row.domain[1])
    arguments = [s.variable(letter) for letter in "xyzuvw"[: row.arity[0]]]
    point = {v: low + (high - low) * Fraction(2 + i, 7) for i, v in enumerate(arguments)}
    if word == "where":
        return s.call("where", s.apply("gt", arguments[0], s.number(0)), *arguments[1:]), point
    if word == "pow":
        return s.call("pow", arguments[0], s.number(3)), {arguments[0]: point[arguments[0]]}
    return s.call(word, *arguments), point


def spoken_of(text: str) -> bool:
    return any(ord(c) > 32 for c in text)


def lacking(word: str) -> dict[str, Any]:
    """What halo does with every function, by name of the part that does it, and what went wrong there."""
    s, row, problems = Scalars(), FUNCTIONS[word], dict[str, Any]()
    node, point = applied(word, row, s)
    box = {v: Span(x - Fraction(1, 100), x + Fraction(1, 100)) for v, x in point.items()}
    with mp.workdps(50):
        true = values([node], point, Digits())[node]

        def floats() -> bool:
            return abs(values([node], point, DOUBLES)[node] - true) < 1e-12

        def enclosures() -> bool:
            found = sure_value(node, point)
            return found is not None and abs(found - true) < mpf(10) ** -40

        def exact_batches() -> bool:
            batch = ExactBatch({"completion": []})
            given = [True, *(mpf(1), mpf(2))] if word == "where" else [mpf(x.numerator) / x.denominator for x in point.values()]
            return bool(mp.isfinite(Evaluator(batch, {}).applied(word, given if word != "pow" else [given[0], mpf(3)])))

        def ranges() -> bool:
            shape = Calculus(box, next(iter(point))).shape(node)
            exact = Fraction(str(mp.nstr(true, 45)))
            return shape.defined and shape.span.low - Fraction(1, 10**40) <= exact <= shape.span.high + Fraction(1, 10**40)

        def algebra() -> bool:
            form = Algebra(box)
            return spoken_of(str(form.pretty(form.normal(node))))

        def slopes() -> bool:
            for x in point:
                h = Fraction(1, 10**15)
                above, below = (values([node], {**point, x: point[x] + side}, Digits())[node] for side in (h, -h))
                slope = values([s.derivative(node, x)], point, Digits())
                if abs(slope[s.derivative(node, x)] - (above - below) * 10**15 / 2) > 1e-12:
                    return False
            return True

        def kinks() -> bool:
            if node.op != "apply" or node.data != word or row.kink is None:
                return True
            below, above = branches_of(s, node, switch(s, node))
            return bool(switching_pairs(node)) and {values([n], point, Digits())[n] for n in (below, above)} >= {true}

        parts: dict[str, Callable[[], bool]] = {
            "floats": floats, "enclosures": enclosures, "exact batches": exact_batches, "ranges": ranges, "algebra": algebra,
            "slopes": slopes, "kinks": kinks,
        }  # fmt: skip
        if word in COMPARE:  # true or false: asked only by a `where`
            parts = {}
        for name, works in parts.items():
            try:
                problems |= {} if works() else {name: "wrong"}
            except Exception as problem:  # whatever a table without the word raises
                problems[name] = repr(problem)
    if word not in PRECEDENCE and word not in ADDED and word not in LANGUAGE.read_text():
        problems["docs/language.md"] = "does not name it"
    return problems


@pytest.mark.parametrize("word", FUNCTIONS)
def test_no_table_lacks_a_word(word: str) -> None:
    assert lacking(word) == {}


@pytest.mark.parametrize("word", ADDED)
def test_no_table_lacks_a_word_that_is_added(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FUNCTIONS, word, ADDED[word])
    assert lacking(word) == {}


def test_the_row_of_the_page_is_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """What docs/extending.md shows works as it stands there."""
    (block,) = re.findall(r"```python\n(.*?)```", EXTENDING.read_text(), flags=re.S)
    ((word, row),) = eval(f"{{{block}}}", {"Function": Function, "ONE_ARGUMENT": (1, 1)}).items()  # our own page
    monkeypatch.setitem(FUNCTIONS, word, row)
    monkeypatch.setitem(ADDED, word, row)
    assert lacking(word) == {}
    loss = halo.compile_objective(f"name: mine\nextends: dpo\nvalue: -{word}(z)\nexpect: {{}}\n")
    assert word not in loss.source  # it is printed as its torch spelling


# -- from the file to a training step --------------------------------------------------------------------------------------


def written(folder: Path, value: str) -> str:
    file = folder / "mine.yaml"
    file.write_text(f"name: mine\nextends: dpo\nvalue: {value}\nexpect: {{}}\n")
    return str(file)


VALUES = {
    "erf": "erf(z)", "softsign": "softsign(z)", "gelu": "gelu(z)", "hardtanh": "hardtanh(z)", "erfc": "1 - erfc(z)", "leaky": "leaky(z)",
}  # fmt: skip


@pytest.fixture(params=VALUES)
def word(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param in ADDED:
        monkeypatch.setitem(FUNCTIONS, request.param, ADDED[request.param])
    return str(request.param)


@pytest.mark.parametrize("word", ["erf", "softsign", "gelu", "hardtanh"], indirect=True)
def test_check_show_and_plot(word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, VALUES[word])
    assert main(["check", file, "--json", "--fresh"]) == 0
    findings = {f["check"]: f["verdict"] for f in json.loads(capsys.readouterr().out)[0]["findings"] if f["scope"] in ("v", "loss")}
    assert findings["domain"] == "proved"
    assert (findings["bounded"] == "proved") == (word != "gelu")
    if word != "gelu":  # it falls before it rises
        assert findings["monotone"] == "proved"
    for stage in ([], ["--stage", "source"], ["--stage", "graph"]):
        assert main(["show", file, *stage]) == 0
        assert spoken_of(capsys.readouterr().out)
    compiled = compile_source(file, None, find_objective)
    name = {"hardtanh": "htanh"}.get(word, word)
    assert name in formula_latex(compiled)
    assert any(name in line for line in lines_unicode(compiled))
    assert main(["plot", file, "--out", str(tmp_path / "mine.svg")]) == 0


def test_loss_and_training_step(word: str, tmp_path: Path) -> None:
    """The loss is what the word's exact form says, and one step of training lowers it."""
    loss = halo.compile_objective(written(tmp_path, VALUES[word]))
    mask, ref = torch.ones(1, 2, dtype=torch.bool), torch.tensor([[-1.0, -2.0]], dtype=torch.float64)
    logp = [(ref + shift).requires_grad_() for shift in (0.75, -1.25)]
    batch = LossInputs({slot: Completions(mask=mask, token_logps=own, ref_token_logps=ref) for slot, own in zip(("chosen", "rejected"), logp, strict=True)})
    before = loss(batch).loss
    z = mpf("0.1") * (mpf("1.5") + mpf("2.5"))
    exact = (lambda x: 1 - FUNCTIONS[word].exact(mp, x)) if word == "erfc" else (lambda x: FUNCTIONS[word].exact(mp, x))
    assert before.item() == pytest.approx(float(-exact(z)), rel=1e-12)
    before.backward()
    with torch.no_grad():
        for own in logp:
            assert own.grad is not None
            own -= 0.1 * own.grad
    assert loss(batch).loss < before


@pytest.mark.parametrize("word", ["gelu"], indirect=True)
def test_training_run(word: str, tmp_path: Path) -> None:
    fixed = ["--data", tiny.few(), "--max-steps", "1", "--dtype", "float64", "--use-cpu", "--check", "false", "--output-dir", str(tmp_path / "run")]
    assert main(["train", written(tmp_path, VALUES[word]), *fixed]) == 0
