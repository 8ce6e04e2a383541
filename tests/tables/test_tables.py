"""Tables and the page: what a text holds is never markup, and a page needs nothing but itself."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from html.parser import HTMLParser

from halo.tables.figures import Point, colours_of, curves, intervals
from halo.tables.page import Beside, Page
from halo.tables.table import Table, as_latex, as_markdown, as_text

ODD = "<b>&amp; 5_% | $x$ \\ {y}"
TABLE = Table("win", ("measure", ODD), (("rate", "62.0 % [51.2, 72.1]"), ("a longer name", ODD)), ("a note",))


def test_columns_stand_side_by_side() -> None:
    lines = as_text([TABLE]).splitlines()
    assert lines[0] == "win"
    assert len({line.index(word) for line, word in ((lines[1], ODD), (lines[2], "62.0"), (lines[3], ODD))}) == 1


def test_nothing_in_a_text_is_markup() -> None:
    md = as_markdown([TABLE])
    assert r"\<b\>\&amp; 5\_% \| \$x\$ \\ {y}" in md
    assert all(row.count("|") - row.count(r"\|") == 3 for row in md.splitlines() if row.startswith("|"))
    tex = as_latex([TABLE])
    assert r"\%" in tex
    assert r"\_" in tex
    assert "$x$" not in tex


class Tags(HTMLParser):
    """Every tag with its attributes, and whether each is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def made() -> Page:
    colours = colours_of(["a", ODD])
    points = {"a": [Point(1, 0.5, 0.4, 0.6), Point(2, 0.7, None, None)], ODD: [Point(1, 0.2, 0.1, 0.3), Point(2, 0.3, 0.2, 0.4)]}
    figures = [
        intervals(ODD, {name: own[0] for name, own in points.items()}, colours, 0.5, "one", ODD),
        curves("best of n", "n", points, colours, "two", "a curve"),
    ]
    answers = [Beside("a prompt", (("a", "", ODD), (ODD, "cut", "<script>alert(1)</script>")))]
    return Page(ODD, [ODD], [ODD], [TABLE], figures, answers, "said", "halo eval")


def test_a_page_runs_nothing_and_fetches_nothing() -> None:
    page = made().html()
    tags = Tags()
    tags.feed(page)
    assert "script" not in {tag for tag, _ in tags.seen}
    assert all(not {"src", "onload", "onclick"} & set(given) for _, given in tags.seen)
    assert all((given.get("href") or "#").startswith("#") for tag, given in tags.seen if tag in ("a", "link"))
    assert "alert(1)" in tags.text  # it stands there as the answer that it is
    ids = [given["id"] for _, given in tags.seen if "id" in given]
    assert len(ids) == len(set(ids))


def test_a_figure_is_an_image_with_a_title_and_words() -> None:
    for figure in made().figures:
        tree = ET.fromstring(str(figure.drawing).replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1))
        assert tree.attrib["role"] == "img"
        assert [child.tag for child in tree][:2] == ["title", "desc"]


def test_a_contestant_has_one_colour_in_every_figure() -> None:
    names = [f"model {place}" for place in range(9)]
    assert colours_of(names)["model 1"] == colours_of(names[:2])["model 1"]
    assert len(set(colours_of(names[:7]).values())) == 7
