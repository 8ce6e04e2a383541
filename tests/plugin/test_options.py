"""Options of what plugins supply: one model, read from a command line and a settings file, and shown in the help."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field
from refusals import refused

from halo.cli.main import main
from halo.data.reading import Source, read_examples
from halo.errors import SettingsError
from halo.plugin import Backend, DataFormat, Example, Options, Place, ReferenceStrategy, as_text, parts
from halo.plugin.registry import given
from halo.training.settings import read_settings


class Mine(Options):
    """One of each type."""

    every: int = Field(64, ge=1, description="steps between updates")
    share: float = Field(0.5, gt=0, le=1)
    folder: str = ""
    slow: bool = False
    way: Literal["up", "down"] = "up"


STRATEGY = ReferenceStrategy("mine", "of this test", lambda context: None, options=Mine)


def test_both_forms_say_the_same() -> None:
    text = "mine:every=2,share=0.25,folder=/a:b=c,slow=true,way=down"
    mapping = {"name": "mine", "every": 2, "share": 0.25, "folder": "/a:b=c", "slow": True, "way": "down"}
    assert STRATEGY.with_options(parts(text)[1]) == STRATEGY.with_options(parts(mapping)[1]) == Mine(**parts(mapping)[1])
    assert parts(as_text(mapping)) == ("mine", {key: str(value) for key, value in mapping.items() if key != "name"})
    assert parts("mine") == parts({"name": "mine"}) == ("mine", {})
    assert STRATEGY.with_options({}) == Mine()


@pytest.mark.parametrize("options", ["evry=2", "every=often", "every=0", "every=1.5", "share=2", "share=nan", "slow=often", "way=left"])
def test_what_is_wrong_is_one_message(options: str) -> None:
    with refused(SettingsError, "unknown-setting" if options == "evry=2" else "wrong-value", at="--reference"):
        STRATEGY.with_options(parts(f"mine:{options}")[1])


@pytest.mark.parametrize("bad", ["moving:every", "moving:=2", "moving:every=1,every=2"])
def test_a_text_that_cannot_be_taken_apart_is_refused_with_its_flag(bad: str) -> None:
    with refused(SettingsError, "wrong-value", at="--reference"):
        read_settings(None, {"--reference": bad})


def test_a_settings_file_may_hold_a_mapping(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("reference: {name: moving, every: 2}\nbackend: single\n")
    assert parts(read_settings(str(file), {}).reference) == ("moving", {"every": 2})
    file.write_text("seed: 1\nreference: {every: 2}\n")
    with refused(SettingsError, "wrong-value", at="settings.yaml:2:12"):
        read_settings(str(file), {})


def test_a_format_reads_with_its_options(tmp_path: Path) -> None:
    class Prefix(Options):
        before: str = ""

    def read(row: Any, place: Place, options: Prefix) -> Example:
        return Example("paired", options.before + row["q"], (row["a"], row["b"]), place)

    form = DataFormat("mine", "paired", ("q", "a", "b"), read, options=Prefix)
    (tmp_path / "rows.jsonl").write_text('{"q": "1", "a": "2", "b": "3"}\n')
    path = str(tmp_path / "rows.jsonl")
    assert read_examples(path, [form])[0][0].prompt == "1"
    assert read_examples(path, [form], format_name="mine:before=Q ")[0][0].prompt == "Q 1"
    assert read_examples(Source(path=path, format={"name": "mine", "before": "P "}), [form])[0][0].prompt == "P 1"
    with refused(SettingsError, "unknown-setting", at="--data-format"):
        read_examples(path, [form], format_name="mine:behind=Q")


def test_a_backend_is_built_with_its_options() -> None:
    backend = Backend("mine", "", lambda context: None, options=Mine)
    assert backend.with_options({"every": "3"}) == Mine(every=3)
    with refused(SettingsError, "unknown-setting", at="--backend"):
        backend.with_options({"evry": "3"})


@pytest.mark.parametrize(("wrong", "hint"), [({"gives": "logp"}, "logps"), ({"abilities": {"move"}}, "moves")])
def test_an_ability_that_there_is_not_is_refused(wrong: dict[str, Any], hint: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean '{hint}'"):
        ReferenceStrategy("mine", "", lambda context: None, **wrong)


def test_the_help_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    with given("reference", STRATEGY):
        assert main(["train", "--help"]) == 0
    text = capsys.readouterr().out
    assert "  mine                 of this test\n    every=64           steps between updates, a whole number from 1\n" in text
