"""docs/gallery is what `halo gallery` writes of the shipped objectives. HALO_UPDATE_GOLDEN=1 writes it anew."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from refusals import refused_command

from halo.cli.main import main
from halo.compiler.pipeline import compile_source
from halo.figures.curve import curves
from halo.figures.sketch import sketch
from halo.plugin.objectives import find_objective

GALLERY = Path(__file__).parents[2] / "docs" / "gallery"


def test_it_is_up_to_date(tmp_path: Path) -> None:
    if os.environ.get("HALO_UPDATE_GOLDEN"):
        for file in GALLERY.glob("*"):
            file.unlink()
        assert main(["gallery", str(GALLERY)]) == 0
    assert main(["gallery", str(tmp_path / "gallery")]) == 0
    fresh = {file.name: file.read_text() for file in (tmp_path / "gallery").iterdir()}
    kept = {file.name: file.read_text() for file in GALLERY.iterdir()}
    assert sorted(fresh) == sorted(kept)
    assert [name for name in fresh if fresh[name] != kept[name]] == []


def test_every_objective_has_a_page_with_its_command_and_citation() -> None:
    index = (GALLERY / "README.md").read_text()
    for name in find_objective.names():
        page = (GALLERY / f"{name}.md").read_text()
        paper = compile_source(name, None, find_objective).objective.declaration.paper
        assert f"halo train {name}" in page
        assert f"({name}.md)" in index
        assert paper is None or paper.arxiv is None or f"https://arxiv.org/abs/{paper.arxiv}" in page


@pytest.mark.parametrize("name", ["dpo", "kto", "cal_dpo", "discopop_padll"])
def test_the_lines_of_a_sketch_pass_through_the_curve(name: str) -> None:
    """Pixels turned back into numbers: DPO's loss at z = 0 is log 2, wherever the file puts it."""
    compiled = compile_source(name, None, find_objective)
    text = sketch(compiled)
    assert text is not None
    tree = ET.fromstring(text)
    frame, *_ = [e for e in tree.iter("{http://www.w3.org/2000/svg}rect") if e.get("fill") == "none"]
    left, top, width, height = (float(frame.get(key, "nan")) for key in ("x", "y", "width", "height"))
    low, high = (
        float(e.text or "nan") for e in [e for e in tree.iter("{http://www.w3.org/2000/svg}text") if e.get("text-anchor") == "end"][:2]
    )
    drawn = [e.get("points", "") for e in tree.iter("{http://www.w3.org/2000/svg}polyline") if e.get("stroke-width")]
    first = curves(compiled, -6, 6, vary=False)[0]
    for x, y in (map(float, point.split(",")) for point in drawn[0].split()):
        z, loss = -6 + 12 * (x - left) / width, high - (high - low) * (y - top) / height
        if any(abs(z - kink) < 0.05 for kink in first.kinks):
            continue  # at a jump both of its ends are drawn
        assert loss == pytest.approx(min(max(first.at(z)[1], low), high), abs=0.02 * (high - low))


def test_bad_places_are_refused_before_anything_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "README.md").write_text("mine\n")
    (tmp_path / "file").write_text("")
    refused_command(capsys, "missing-key", "gallery")
    refused_command(capsys, "output-folder", "gallery", str(tmp_path), at="FOLDER")
    refused_command(capsys, "wrong-value", "gallery", str(tmp_path / "file"), at="FOLDER")
    refused_command(capsys, "not-found", "gallery", str(tmp_path / "no" / "where"), at="FOLDER")
    refused_command(capsys, "not-found", "gallery", str(tmp_path / "new"), "nosuch")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["README.md", "file"]
    assert (tmp_path / "README.md").read_text() == "mine\n"
