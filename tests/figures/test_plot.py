"""What `halo plot` draws: the numbers against closed forms, the marks where they belong, the same bytes each time."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from refusals import refused, refused_command

from halo.cli.main import main
from halo.compiler.pipeline import CompiledObjective, compile_source
from halo.errors import SettingsError
from halo.figures import plot
from halo.figures.curve import Curve, curves, gap_range, several
from halo.figures.item import Against
from halo.figures.plot import drawn, svg
from halo.objective.schema import Parameter
from halo.plugin.objectives import find_objective


def lines(source: str, against: Against = "z", vary: bool = False, **parameters: float) -> list[Curve]:
    return curves(compile_source(source, parameters, find_objective), against=against, vary=vary)


def mine(value: str, more: str = "") -> str:
    return f"name: mine\nfeedback: paired\nreward: sum(logp - ref_logp)\nreference_point: rejected\nvalue: {value}\nsign: -1\n{more}"


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


CLOSED = {  # objective: by role the loss and -d loss / dz, from the papers
    "dpo": {"": (lambda z: math.log1p(math.exp(-z)), lambda z: sigmoid(-z))},
    "ipo": {"": (lambda z: z * z, lambda z: -2 * z)},
    "slic_hf": {"": (lambda z: max(0.0, -z), lambda z: 1.0 if z < 0 else 0.0)},
    "sft": {"": (lambda z: -z, lambda z: 1.0)},
    "kto": {
        "desirable": (lambda z: 1 - sigmoid(z), lambda z: sigmoid(z) * sigmoid(-z)),
        "undesirable": (sigmoid, lambda z: -sigmoid(z) * sigmoid(-z)),
    },
    "ppo_offline": {
        "desirable": (lambda z: -min(math.exp(z), 1.5), lambda z: math.exp(z) if z < math.log(1.5) else 0.0),
        "undesirable": (lambda z: max(math.exp(z), 0.5), lambda z: -math.exp(z) if z > math.log(0.5) else 0.0),
    },
}


@pytest.mark.parametrize("name", CLOSED)
def test_the_curve_is_the_closed_form(name: str) -> None:
    found = {curve.role: curve for curve in lines(name)}
    assert set(found) == set(CLOSED[name])
    for role, (loss, weight) in CLOSED[name].items():
        curve = found[role]
        points = [i for i, x in enumerate(curve.x) if x == x]
        assert len(points) > 390
        assert [curve.loss[i] for i in points] == pytest.approx([loss(curve.x[i]) for i in points], rel=1e-12, abs=1e-12)
        assert [curve.slope[i] for i in points] == pytest.approx([weight(curve.x[i]) for i in points], rel=1e-9, abs=1e-12)


# value, kinks, minima of -value; each by hand
MARKS = {
    "min(0, z)": ([0], []),
    "-abs(z - 1)": ([1], [1]),
    "sigmoid(z)": ([], []),
    "-(z - 3)**2": ([], [3]),
    "-(z - 0.123)**2 * (z + 2)**2": ([], [-2, 0.123]),
    "clip(z, -2, 5)": ([-2, 5], []),
    "max(min(z, 1), min(2 * z, -4))": ([1], []),
    "where(z > 0.5, z, 2 * z)": ([0.5], []),
    "where(z > 0, z, z)": ([], []),
    "min(z, 2 * z, 3 * z + 10)": ([-10, 0], []),
    "relu(z) - 2 * relu(z - 1)": ([0, 1], [1]),
    "sign(z)": ([0], []),
    "min(z, 0) + max(z, 0)": ([], []),
    "-log1p(z + 1) - z**2": ([], []),
}


@pytest.mark.parametrize("value", MARKS)
def test_kinks_and_minima(value: str) -> None:
    kinks, optima = MARKS[value]
    (curve,) = lines(mine(value))
    inside = [k for k in kinks if -8 < k < 8]
    assert list(curve.kinks) == pytest.approx(inside, abs=1e-12)
    if "log1p" in value:  # not defined below -2; its minimum by the quadratic formula: 1 / (2 + z) + 2 z = 0
        optima = [(-2 + math.sqrt(2)) / 2]
        assert all(v != v for x, v in zip(curve.x, curve.value, strict=True) if x <= -2)
    assert list(curve.optima) == pytest.approx(optima, abs=1e-12)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("dpo", 0.0), ("ipo", -5.0), ("kto", 0.0), ("kto_no_z0", 0.0), ("ppo_offline", 0.0), ("simpo", None), ("sft", None), ("rrhf", None),
        ("slic_hf", None), ("orpo", None), ("kto_no_reference", None), ("rdpo", None), (mine("z", "margin: 3"), -3.0),
        (mine("z", "normalizer: batch_mean(chosen.length)\n"), 0.0),
        (mine("z").replace("sum(logp - ref_logp)", "sum(exp(logp - ref_logp)) - length"), 0.0),
        (mine("z").replace("rejected", "batch_mean(chosen.reward)"), 0.0),
        (mine("z").replace("sum(logp - ref_logp)", "sum(logp)").replace("rejected", "batch_mean(chosen.reward)"), None),
        (mine("z").replace("sum(logp - ref_logp)", "sum(where(position > 2, logp - ref_logp, 0))"), 0.0),
        (mine("z").replace("sum(logp - ref_logp)", "sum(exp(logp - ref_logp))"), None),
        (mine("z").replace("sum(logp - ref_logp)", "mean(exp(logp - ref_logp))"), 0.0),
    ],
)  # fmt: skip
def test_where_policy_and_reference_agree(source: str, expected: float | None) -> None:
    found = {curve.reference for curve in lines(source)}
    assert found == {expected}


def test_against_the_gap_the_optimum_of_ipo_is_half_of_one_over_tau() -> None:
    for tau in (0.1, 0.5):
        (curve,) = lines("ipo", against="gap", tau=tau)
        assert curve.optima == pytest.approx([1 / (2 * tau)])
        assert curve.reference == 0
    (curve,) = lines("simpo", against="gap", beta=2, gamma=1)
    assert curve.at(3.0)[1] == pytest.approx(math.log1p(math.exp(-(2 * 3.0 - 1))), rel=1e-14)
    assert curve.at(3.0)[2] == pytest.approx(2 * sigmoid(-5.0), rel=1e-14)


def test_a_gap_that_data_scales_is_refused() -> None:
    with refused(SettingsError, "wrong-value", at="--against"):
        lines("rdpo", against="gap")


def test_the_first_parameter_that_matters_takes_several_values() -> None:
    assert [c.parameters["epsilon"] for c in lines("ppo_offline", vary=True)] == [0.25, 0.25, 0.5, 0.5, 0.75, 0.75]
    assert len(lines("dpo", vary=True)) == 1  # beta is inside z
    assert [c.parameters["beta"] for c in lines("dpo", against="gap", vary=True)] == [0.01, 0.05, 0.1]
    compiled = compile_source("ppo_offline", {"epsilon": 0.3}, find_objective)
    assert {c.parameters["epsilon"] for c in curves(compiled, fixed=("epsilon",))} == {0.3}


@pytest.mark.parametrize(
    ("parameter", "default", "expected"),
    [
        (Parameter(default=1, domain="(0, inf)"), 1, [0.5, 1, 2]),
        (Parameter(default=0, domain="[0, inf)"), 0, [0, 0.5, 1, 2]),
        (Parameter(default=-1, domain="(-inf, 0)"), -1, [-2, -1, -0.5]),
        (Parameter(default=0.1, domain="[0, 1/2)"), 0.1, [0.1, 0.125, 0.25, 0.375]),
        (Parameter(default=2), 2, [1, 2, 4]),
        (Parameter(default=3, search=[1, 2, 3, 4, 5, 6, 7]), 3, [1, 3, 5, 6, 7]),
        (Parameter(default=0.01, search=[0.5, 1]), 0.01, [0.01, 0.5, 1]),
    ],
)
def test_values_worth_drawing(parameter: Parameter, default: float, expected: list[float]) -> None:
    assert several(parameter, default) == expected


def test_data_beside_z_is_held_and_said() -> None:
    text = mine("z * bonus + length", "weight: ratio\ncolumns:\n  bonus: {level: completion}\n  ratio: {level: example, default: 3}\n")
    compiled = compile_source(text)
    (curve,) = curves(compiled)
    assert curve.at(2.0)[1] == -3 * (2.0 * 1 + 1)
    assert dict(curve.held) == {"chosen.bonus": 1, "chosen.length": 1, "ratio": 3}
    assert "held chosen.bonus = 1, chosen.length = 1, ratio = 3" in notes(compiled)


def notes(*compiled: CompiledObjective) -> str:
    return " ".join(text.get_text() for text in drawn(compiled).texts)


def test_roles_with_one_curve_are_one_line() -> None:
    assert [(c.role, c.loss[0]) for c in lines("csft")] == [("", 8.0)]
    assert [c.role for c in lines("kto_concave")] == ["desirable", "undesirable"]


def test_a_parameter_that_changes_nothing_in_a_term_is_not_varied_there() -> None:
    text = mine("z", "parameters: {w: {default: 1}}\nterms:\n  one: {role: chosen, weight: w}\n  two: {role: rejected}\n")
    compiled = compile_source(text.replace("reference_point: rejected", "reference_point: none"))
    assert [(c.term, c.parameters) for c in curves(compiled)] == [("one", {"w": 0.5}), ("one", {"w": 1}), ("one", {"w": 2}), ("two", {})]
    entries = [text.get_text() for text in drawn([compiled]).legends[0].get_texts()]
    assert entries == ["$w = 0.5$, one", "$w = 1$, one", "$w = 2$, one", "two"]


def test_curves_that_coincide_are_both_seen() -> None:
    both = [compile_source(name, None, find_objective) for name in ("dpo", "simpo")]
    wide, narrow = [line for line in drawn(both).axes[1].lines if len(line.get_xdata()) > 100]
    assert wide.get_linewidth() > narrow.get_linewidth() + 1
    assert "simpo: the same curve as dpo" in notes(*both)
    assert "the same curve" not in notes(*both[:1])


def test_a_curve_outside_a_panel_is_said() -> None:
    page = drawn([compile_source("ipo", None, find_objective)], against="gap")
    said = " ".join(text.get_text() for text in page.texts)
    assert r"$\tau = 0.01$: above or below the panels of value and loss" in said
    for axes, hidden in zip(page.axes, (1, 1, 0), strict=True):
        low, high = axes.get_ylim()
        curves_drawn = [line for line in axes.lines if len(line.get_xdata()) > 100]
        assert sum(not any(low <= y <= high for y in line.get_ydata()) for line in curves_drawn) == hidden


def test_a_reference_outside_every_panel_is_said() -> None:
    three = [compile_source(name, None, find_objective) for name in ("dpo", "ipo", "kto")]
    assert "ipo: policy = reference at z = -5, outside every panel" in notes(*three)
    assert "outside every panel" not in notes(*three[1:2])


def test_a_colour_that_comes_round_again_has_another_stroke() -> None:
    names = ("dpo", "ipo", "slic_hf", "cpo", "sft", "orpo", "rrhf", "simpo")
    handles = drawn([compile_source(name, None, find_objective) for name in names]).legends[0].legend_handles
    assert handles[0].get_color() == handles[7].get_color()
    assert len({(handle.get_color(), handle.get_linestyle()) for handle in handles}) == 8


def test_a_legend_has_no_short_last_column() -> None:
    entries = [f"$\\beta = {i}$, undesirable" for i in range(6)]
    assert plot._columns(entries) == 3
    assert plot._columns(["a"] * 4) == 4
    assert plot._columns([]) == 1


@pytest.mark.parametrize(("source", "expected"), [("dpo", 100), ("ipo", 20), ("kto", 100), ("simpo", 5), ("sft", 10)])
def test_the_gap_runs_as_far_as_z_does(source: str, expected: float) -> None:
    assert gap_range(compile_source(source, None, find_objective)) == expected


def test_what_the_panels_hold() -> None:
    """The lines, marks and labels of the figure itself, not of the data that went in."""
    page = drawn([compile_source(name, None, find_objective) for name in ("dpo", "ipo", "slic_hf")])
    value, loss, weight = page.axes
    assert [axes.get_title(loc="left") for axes in page.axes] == [
        r"value function  $v$", r"loss of an item  $\ell$", r"gradient weight  $-\,\partial \ell / \partial z$",
    ]  # fmt: skip
    for axes in (value, loss, weight):
        assert axes.get_xlim() == (-8, 8)
    long = [line for line in loss.lines if len(line.get_xdata()) > 100]
    assert len({line.get_color() for line in long}) == 3
    at_minus_four = [line.get_ydata()[list(line.get_xdata()).index(-4.0)] for line in long]
    assert at_minus_four == pytest.approx([math.log1p(math.exp(4)), 16, 4])
    marks = {
        (line.get_marker(), float(line.get_xdata()[0]), round(float(line.get_ydata()[0]), 6))
        for line in weight.lines
        if line.get_marker() in "D*o"
    }
    assert marks == {("o", 0.0, 0.5), ("o", -5.0, 10.0), ("*", 0.0, 0.0), ("D", marks_x(marks, 1.0), 1.0), ("D", marks_x(marks, 0.0), 0.0)}
    low, high = weight.get_ylim()
    assert low < -0.5
    assert 1.1 < high < 8  # ipo runs away and must not flatten the others
    entries = [text.get_text() for legend in page.legends for text in legend.get_texts()]
    assert entries == ["dpo", "ipo", "slic_hf", "policy = reference", "minimum of the loss", "kink"]
    assert any("slic_hf: without its regularizer nll" in text.get_text() for text in page.texts)


def marks_x(marks: set[tuple[str, float, float]], y: float) -> float:
    """Where the kink's mark at height y is: beside 0, on its own side."""
    (x,) = [x for marker, x, height in marks if marker == "D" and height == y]
    assert abs(x) < 1e-6
    assert (x < 0) == (y == 1.0)
    return x


def test_nothing_is_cut_off_and_nothing_overlaps() -> None:
    for names in (["kto"], ["ppo_offline"], ["dpo", "ipo", "slic_hf", "kto", "ppo_offline", "orpo", "rrhf", "simpo"]):
        page = drawn([compile_source(name, None, find_objective) for name in names])
        renderer = page.canvas.get_renderer()
        boxes = [legend.get_window_extent(renderer) for legend in page.legends]
        boxes += [text.get_window_extent(renderer) for text in page.texts] + [axes.get_tightbbox(renderer) for axes in page.axes]
        width, height = page.canvas.get_width_height()
        for box in boxes:
            assert box.x0 >= 0
            assert box.y0 >= 0
            assert box.x1 <= width
            assert box.y1 <= height
        for i, one in enumerate(boxes):
            for other in boxes[i + 1 :]:
                assert not (one.x0 < other.x1 - 1 and other.x0 < one.x1 - 1 and one.y0 < other.y1 - 1 and other.y0 < one.y1 - 1), names


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_twice_the_same_bytes(suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        assert main(["plot", "dpo", "kto", "--out", str(tmp_path / f"{name}.{suffix}")]) == 0
    first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in ("a", "b"))
    assert first == second
    assert first.startswith(b"\x89PNG" if suffix == "png" else b"<?xml")
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"a.{suffix}", f"b.{suffix}"]
    assert main(["plot", "dpo", "--out", str(tmp_path / f"a.{suffix}")]) == 0
    assert (tmp_path / f"a.{suffix}").read_bytes() != second
    assert "dpo, z from -8 to 8" in capsys.readouterr().out


def test_svg_stands_inside_a_page() -> None:
    text = svg([compile_source("dpo", None, find_objective)])
    assert text.startswith("<svg")
    assert text.rstrip().endswith("</svg>")
    assert "<!DOCTYPE" not in text


REFUSED = {  # the code, the place
    "dpo --out a.pdf": ("wrong-value", "--out"),
    "dpo --out a": ("wrong-value", "--out"),
    "dpo": ("missing-key", "--out"),
    "--out a.svg": ("missing-key", ""),
    "dpo --out no/where.svg": ("not-found", "--out"),
    "dpo --out folder.svg": ("not-found", "--out"),
    "dpo --out a.svg --from 3 --to 3": ("wrong-value", "--from"),
    "dpo --out a.svg --from low": ("wrong-value", "--from"),
    "dpo --out a.svg --to inf": ("wrong-value", "--to"),
    "dpo --out a.svg --against gab": ("wrong-value", "--against"),
    "dpo ipo --out a.svg --set bet=1": ("unknown-name", "--set"),
    "dpo ktoo --out a.svg": ("not-found", ""),
    "dpo --out a.svg --set beta=-1": ("out-of-domain", "dpo.yaml"),
    "only.yaml --out a.svg": ("wrong-value", ""),
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_a_wrong_command_writes_nothing(
    arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.svg").mkdir()
    (tmp_path / "only.yaml").write_text(
        "name: only\nfeedback: demonstrations\nregularizers:\n  nll: {role: completion, expression: -sum(logp)}\n"
    )
    before = sorted(tmp_path.rglob("*"))
    code, where = REFUSED[arguments]
    refused_command(capsys, code, "plot", *arguments.split(), at=where)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_that_was_there_outlives_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.svg"
    file.write_text("the old figure")

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as half:
            half.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    refused_command(capsys, "wrong-value", "plot", "dpo", "--out", str(file), at="--out")
    assert file.read_text() == "the old figure"
    assert list(tmp_path.iterdir()) == [file]


def test_drawing_leaves_the_settings_of_matplotlib_alone() -> None:
    before = dict(plot.matplotlib.rcParams)
    svg([compile_source("dpo", None, find_objective)])
    assert dict(plot.matplotlib.rcParams) == before
