"""`halo check --report`: pages that stand alone, tell everything, hold no markup of third parties, and are written whole or not at all."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from examined import EVIL, compiled, examination, refused_file
from refusals import refused, refused_command

from halo.cli.main import main
from halo.compiler.pipeline import CompiledObjective, compile_source
from halo.errors import SettingsError
from halo.figures.inline import LIGHT_AND_DARK, described, inlined
from halo.figures.plot import svg
from halo.plugin.objectives import find_objective
from halo.report import folder as folder_module
from halo.report import page as page_module
from halo.report.folder import GENERATOR
from halo.report.overview import index_page
from halo.report.page import page
from halo.report.pages import write_report

VOID = {"meta", "br", "col", "link", "img"}
ALONE = {"path", "use"}  # of SVG, closed in themselves


class Reader(HTMLParser):
    """A strict reader: every tag closed in its order, every id once, every reference kept."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), attrs
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert not reader.open
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for tag, attributes in reader.tags:
        assert tag not in ("script", "link", "iframe", "img", "object", "embed", "base", "form"), tag
        assert not any(name.startswith("on") or name == "src" for name in attributes), attributes
        for reference in re.findall(r"url\(([^)]*)\)", " ".join(filter(None, attributes.values()))):
            assert reference.removeprefix("#") in ids, reference
        for name in ("href", "xlink:href"):
            target = attributes.get(name) or ""
            if target.startswith("#"):
                assert target[1:] in ids, target
            elif target:  # a link to follow, nothing that is fetched
                assert tag == "a", (tag, target)
                assert re.fullmatch(r"https?://[^\s]*|[\w.]+\.html", target), target
        for name in ("aria-labelledby", "aria-describedby"):
            assert all(wanted in ids for wanted in (attributes.get(name) or "").split())
    style = text[text.index("<style>") : text.index("</style>")]
    assert "@import" not in style
    assert "url(" not in style
    return reader


@pytest.mark.parametrize("name", ["dpo", "csft", "ppo_offline", "rrhf"])
def test_a_page_stands_alone(name: str) -> None:
    from halo.examine.supervisor import examine

    one = compile_source(name, None, find_objective)
    found = examine(one)
    text = page(one, found)
    reader = read(text)
    names = [tag for tag, _ in reader.tags]
    assert names.count("h1") == 1
    assert names.index("h1") < names.index("h2") < names.index("table")
    words = " ".join(reader.words)
    for finding in found.findings:
        assert finding.check in words
    drawings = [attributes for tag, attributes in reader.tags if tag == "svg"]
    assert len(drawings) >= 2
    assert all(attributes["role"] == "img" and ("aria-label" in attributes or "aria-labelledby" in attributes) for attributes in drawings)
    assert '<html lang="en">' in text


def test_the_reader_can_fail() -> None:
    good = page(compiled(), examination())
    wrongs = {
        "</main>": "", "<h2 ": '<h2 onclick="x" ', "<footer>": "<footer><script>x</script>", 'href="#': 'href="#no-',
        "</footer>": '</footer><img src="http://x/y.png">', "<style>": "<style>@import 'x';", 'id="findings"': 'id="formula"',
    }  # fmt: skip
    for old, new in wrongs.items():
        assert old in good
        with pytest.raises(AssertionError):
            read(good.replace(old, new, 1))


def test_everything_is_told() -> None:
    text = page(compiled(), examination())
    words = " ".join(" ".join(read(text).words).split())
    for wanted in (
        "✗ fails halo expected to hold, it does not: v = ", "– not so symmetry", "✓ holds", "? undecided", "1 of 2 expectations met",
        "Likely mistake: sign_flip", "sign: -1 plain", "mine is dpo with plain", "Stopped by the clock: lipschitz", "Steps (1)",
        "log σ(z): up, in (-∞, 0)", "slope ≈ -0.109455874779", "adds up to 0.999999999, not 1", "Definition 3.4: r = l log(π/π_ref)",
        "[v of desirable, undesirable]", "More", "v never falls", "Value function, loss of one item", "Policy = reference at z = 0", "name: mine",
    ):  # fmt: skip
        assert wanted in words, wanted
    assert words.index("Look at this first") < words.index("Findings")


def test_third_parties_write_no_markup() -> None:
    for text in (page(compiled(EVIL), examination(EVIL)), index_page([("mine.html", compiled(EVIL), examination(EVIL))])):
        reader = read(text)
        assert "<script>" not in text
        assert "\x1b" not in text
        assert any("<script>alert('x')</script>" in words for words in reader.words)
    assert "default-src 'none'" in text


def test_a_paper_links_to_the_web_only() -> None:
    source = "paper: {title: T, year: 2024, url: 'URL'}\n"
    lines = [line for line in page_lines(source.replace("URL", "javascript:alert(1)")) if "javascript" in line]
    assert lines
    assert not any("href=" in line.split("javascript")[0][-12:] for line in lines)
    assert any('<a href="https://x.org/a?b&amp;c">' in line for line in page_lines(source.replace("URL", "https://x.org/a?b&c")))


def page_lines(more: str) -> list[str]:
    one = compile_source(f"name: mine\nfeedback: paired\nreward: sum(logp)\nreference_point: rejected\nvalue: z\nsign: -1\n{more}")
    return page(one, examination()).splitlines()


def test_without_a_graph_there_is_the_finding_and_its_excerpt() -> None:
    text = page(None, refused_file())
    reader = read(text)
    assert "svg" not in [tag for tag, _ in reader.tags]
    assert "<pre>    reward: sum(logp) + mean(logp)\n            ^</pre>" in text


def test_what_cannot_be_drawn_is_said() -> None:
    only = compile_source("name: only\nfeedback: demonstrations\nregularizers:\n  nll: {role: completion, expression: -sum(logp)}\n")
    assert "no value function to draw" in page(only, examination())
    assert "no figure against the reward gap" in page(compile_source("rdpo", None, find_objective), examination())


# -- figures in a page -------------------------------------------------------------------------------------------------


def test_figures_follow_light_and_dark() -> None:
    known = {colour.lower() for colour in LIGHT_AND_DARK}
    for names in (["ppo_offline"], ["dpo", "ipo", "slic_hf", "kto", "ppo_offline", "orpo", "rrhf", "simpo"]):
        text = svg([compile_source(name, None, find_objective) for name in names])
        assert set(re.findall(r"#[0-9a-f]{6}(?![0-9a-f])", text)) <= known
        placed = inlined(text, "one", "title", "words")
        assert not re.search(r"(?<!,)#[0-9a-f]{6}(?![0-9a-f])", placed)
        assert "<style" not in placed
        assert "purl.org" not in placed


def test_two_figures_of_one_page_share_no_id() -> None:
    text = svg([compile_source("dpo", None, find_objective)])
    one, other = (set(re.findall(r'\bid="([^"]*)"', inlined(text, name, "t", "d"))) for name in ("a", "b"))
    assert len(one) > 10
    assert not one & other


def test_marks_in_words() -> None:
    from halo.figures.curve import curves

    def of(name: str, **options: object) -> str:
        return described(curves(compile_source(name, None, find_objective), **options), "z")  # type: ignore[arg-type]

    assert of("ipo") == "Policy = reference at z = -5. The loss is least at z = 0."
    assert of("kto") == "Policy = reference at z = 0."
    assert "Kink at z = 0.2231 (desirable, epsilon = 0.25)." in of("ppo_offline")
    assert of("orpo") == "Nothing is marked."


# -- files -------------------------------------------------------------------------------------------------------------


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pages"
    assert main(["check", "dpo", "--report", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}/dpo.html: 14 hold, 4 do not; 8 of 8 expectations met\n"
    first = (out / "dpo.html").read_bytes()
    assert [file.name for file in out.iterdir()] == ["dpo.html"]
    assert main(["check", "dpo", "ipo", f"--report={out}"]) == 0
    assert capsys.readouterr().out.endswith(f"{out}/index.html\n")
    assert sorted(file.name for file in out.iterdir()) == ["dpo.html", "index.html", "ipo.html"]
    index = read((out / "index.html").read_text())
    assert {attributes["href"] for tag, attributes in index.tags if tag == "a"} == {"dpo.html", "ipo.html"}
    assert b"index.html" in (out / "dpo.html").read_bytes()
    assert main(["check", "dpo", "--report", str(out)]) == 0
    assert (out / "dpo.html").read_bytes() == first


def test_an_unmet_expectation_is_exit_1_and_a_page_all_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    text = "name: mine\nfeedback: paired\nreward: sum(logp - ref_logp)\nreference_point: rejected\nvalue: -z**2\nsign: -1\nexpect: {halo: proved}\n"
    file.write_text(text)
    assert main(["check", str(file), "--report", str(tmp_path)]) == 1
    assert "  fails halo: expected to hold, it does not: v = " in capsys.readouterr().out
    text = (tmp_path / "mine.html").read_text()
    assert text.index("Look at this first") < text.index("expected to hold, it does not: v = ") < text.index("Findings</h2>")


def test_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    import os
    import subprocess

    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-m", "halo", "check", "kto", "csft", "--report", str(tmp_path / seed)]
        subprocess.run(command, check=True, capture_output=True, env=environment)
    for name in ("kto.html", "csft.html", "index.html"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


TARGETS = {  # the code
    "file": "wrong-value",
    "no/where": "not-found",
    "theirs": "output-folder",
    "folders": "output-folder",
    "": "missing-key",
}


@pytest.mark.parametrize("target", TARGETS)
def test_a_wrong_folder_is_one_message_and_nothing_written(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("x")
    Path("theirs").mkdir()
    Path("theirs/dpo.html").write_text("<p>my own page")
    Path("folders/dpo.html").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    refused_command(capsys, TARGETS[target], "check", "ipo", "dpo", f"--report={target}", at="--report", silent=True)
    assert sorted(tmp_path.rglob("*")) == before
    assert Path("theirs/dpo.html").read_text() == "<p>my own page"


def test_a_link_to_somewhere_else_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.html"
    (tmp_path / "mine.html").symlink_to(elsewhere)
    with refused(SettingsError, "output-folder", at="--report"):
        write_report([(compiled(), examination())], tmp_path)
    assert not elsewhere.exists()


def test_a_figure_that_fails_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "dpo", "ipo", "--report", str(tmp_path)]) == 0
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    real = page_module.traced

    def failing(objectives: list[CompiledObjective], *arguments: object, **options: object) -> object:
        if objectives[0].objective.name == "ipo":
            raise SettingsError("wrong-value", "the figure fails")
        return real(objectives, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(page_module, "traced", failing)
    capsys.readouterr()
    assert main(["check", "dpo", "ipo", "--report", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "halo: the figure fails [wrong-value]\n"
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_full_disk_leaves_the_folder_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = [(compiled(), examination()), (compiled(), refused_file())]
    write_report(pair[:1], tmp_path)
    before = (tmp_path / "mine.html").read_bytes()

    def full(self: Path, text: str, **options: object) -> int:
        with self.open("w", encoding="utf-8") as half:
            half.write(text[: len(text) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with refused(SettingsError, "output-folder", at="--report"):
        write_report(pair[:1], tmp_path)
    assert (tmp_path / "mine.html").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["mine.html"]


def test_names_of_pages() -> None:
    assert folder_module.page_file("dpo") == "dpo.html"
    assert folder_module.page_file("index") == "objective_index.html"
    assert folder_module.page_file("../../etc/x y<") == "_.._etc_x_y_.html"
    with refused(SettingsError, "wrong-value", at="--report"):
        write_report([(compiled(), examination()), (None, refused_file())], Path())


def test_a_page_says_that_halo_wrote_it() -> None:
    assert GENERATOR in page(None, refused_file())[:2000]
