"""The door: what is supplied, duplicates, broken and misspelt plugins, switching off."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any

import pytest

from halo.cli.main import main
from halo.errors import PluginError
from halo.plugin import DataFormat, hookimpl, registry


class Extra:
    """A plugin that supplies one format."""

    @staticmethod
    @hookimpl
    def halo_data_formats() -> list[DataFormat]:
        return [DataFormat("pairs", "paired", ("a",), lambda row, place: None)]  # type: ignore[arg-type,return-value]


class Misspelt:
    """A hook that does not exist."""

    @staticmethod
    @hookimpl
    def halo_data_formatz() -> list[DataFormat]:
        return []


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    registry.loaded.cache_clear()
    yield
    registry.loaded.cache_clear()


def install(monkeypatch: pytest.MonkeyPatch, name: str, plugin: Any) -> None:
    """Puts a plugin beside the builtin one; an exception is raised when it is loaded."""

    class Entry:
        dist = SimpleNamespace(name="halo-align-extra", version="1.0")

        def __init__(self) -> None:
            self.name = name

        def load(self) -> Any:
            if isinstance(plugin, Exception):
                raise plugin
            return plugin

    real = list(registry.entry_points(group="halo"))
    assert all(isinstance(entry, EntryPoint) for entry in real)
    monkeypatch.setattr(registry, "entry_points", lambda group: [*real, Entry()])


def test_core_registers_through_the_same_door(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins"]) == 0
    printed = capsys.readouterr().out
    assert "builtin  (halo-align" in printed
    for thing in ("hh, pairs, ranked, labels, demonstrations", "frozen, uniform, none", "single, ddp"):
        assert thing in printed


def test_a_name_supplied_twice_names_both_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "extra", Extra)
    with pytest.raises(PluginError, match=r"builtin \(halo-align.*and extra \(halo-align-extra 1.0\)"):
        registry.supplied("format")
    registry.loaded.cache_clear()
    monkeypatch.setenv("HALO_DISABLED_PLUGINS", "extra")
    assert "extra" not in {item.plugin for item in registry.supplied("format")}


def test_a_broken_plugin_is_named_and_help_lives(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    install(monkeypatch, "broken", ImportError("no module named thing"))
    assert main(["--help"]) == 0
    assert main(["plugins"]) == 0
    assert "broken  disabled" in capsys.readouterr().out


def test_a_misspelt_hook_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    install(monkeypatch, "misspelt", Misspelt)
    assert main(["plugins"]) == 2
    assert "halo_data_formatz" in capsys.readouterr().err


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(PluginError, match="did you mean 'frozen'"):
        registry.choose("reference", "frozn")
