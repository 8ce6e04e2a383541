"""The door: what is supplied, duplicates, broken and misspelt plugins, hooks that give the wrong thing, switching off."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from refusals import refused, refused_command

from halo.cli.main import COMMANDS, main
from halo.errors import PluginError
from halo.plugin import Backend, Command, DataFormat, ReferenceStrategy, hookimpl, registry
from halo.plugin.objectives import find_objective, shipped_folder

CORE = "halo-align 0.1.0"
OWNER = r"extra \(halo-align-extra 1\.0\)"


def format_named(name: str) -> DataFormat:
    return DataFormat(name, "paired", ("a",), lambda row, place: None)  # type: ignore[arg-type,return-value]


def plugin(hook: str, gives: Callable[[], Any], marked: bool = True) -> Any:
    """A plugin with one hook."""

    def function() -> Any:
        return gives()

    return SimpleNamespace(**{hook: hookimpl(function) if marked else function})


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    registry.loaded.cache_clear()
    yield
    registry.loaded.cache_clear()


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a plugin beside two that are installed; an exception is raised when it is loaded, a function called."""
    real = [entry for entry in registry.entry_points(group="halo") if entry.name in ("builtin", "references")]
    assert all(isinstance(entry, EntryPoint) for entry in real)
    more: list[Any] = []

    def put(thing: Any, name: str = "extra", distribution: str = "halo-align-extra") -> None:
        def load() -> Any:
            if isinstance(thing, BaseException):
                raise thing
            if inspect.isfunction(thing):
                thing()
            return thing

        more.append(SimpleNamespace(name=name, load=load, dist=SimpleNamespace(name=distribution, version="1.0")))
        monkeypatch.setattr(registry, "entry_points", lambda group: [*more, *real])
        registry.loaded.cache_clear()

    return put


def test_core_registers_through_the_same_door(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins"]) == 0
    printed = capsys.readouterr().out
    assert f"builtin  ({CORE})" in printed
    for thing in ("hh, pairs, ranked, labels, demonstrations", "frozen, uniform, none", "single, ddp", ", ".join(COMMANDS)):
        assert thing in printed


def test_the_list_as_json(capsys: pytest.CaptureFixture[str], install: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    install(plugin("halo_data_formats", lambda: [format_named("mine")]))
    install(SyntaxError("invalid"), "broken", "other")
    monkeypatch.setenv("HALO_DISABLED_PLUGINS", "references, extr")
    assert main(["plugins", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    builtin = next(entry for entry in told["plugins"] if entry["name"] == "builtin")
    assert builtin["distribution"] == "halo-align"
    assert builtin["version"] == "0.1.0"
    assert builtin["supplies"]["objectives"] == sorted(file.stem for file in shipped_folder().glob("*.yaml"))
    assert builtin["supplies"]["command"] == list(COMMANDS)
    extra = {"name": "extra", "distribution": "halo-align-extra", "version": "1.0", "supplies": {"format": ["mine"]}}
    assert extra in told["plugins"]
    assert told["disabled"] == [{"name": "broken", "distribution": "other", "version": "1.0", "reason": "SyntaxError: invalid"}]
    assert (told["switched_off"], told["unknown_names"], told["mistakes"]) == (["references"], ["extr"], [])


DUPLICATES = {
    "format": ("halo_data_formats", lambda: [format_named("pairs")]),
    "reference": ("halo_reference_strategies", lambda: [ReferenceStrategy("frozen", "mine", lambda context: None)]),
    "backend": ("halo_backends", lambda: [Backend("single", "mine", lambda context: None)]),
    "command": ("halo_commands", lambda: [Command("train", "mine", lambda words: 7)]),
}


@pytest.mark.parametrize("kind", DUPLICATES)
def test_a_name_supplied_twice_names_both_owners(
    kind: str, install: Callable[..., None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(plugin(*DUPLICATES[kind]))
    with refused(PluginError, "plugin"):
        registry.supplied(kind)
    assert main(["plugins"]) == 2
    said = capsys.readouterr()
    assert said.err.count(f"two plugins supply the {kind}") == 1
    assert f"builtin  ({CORE})" in said.out  # what is right is still listed
    registry.loaded.cache_clear()
    monkeypatch.setenv("HALO_DISABLED_PLUGINS", "extra")
    assert {item.plugin for item in registry.supplied(kind)} >= {"builtin"}


def test_cores_command_is_run_whoever_supplies_its_name(install: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    install(plugin(*DUPLICATES["command"]))
    assert main(["train", "--help"]) == 0
    assert "halo train OBJECTIVE" in capsys.readouterr().out


def test_an_objective_supplied_twice_names_both_owners(
    install: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dpo.yaml").write_text("name: dpo\n")
    install(plugin("halo_objective_folders", lambda: [tmp_path]))
    with refused(PluginError, "plugin"):
        find_objective("kto")
    refused_command(capsys, "plugin", "plugins")


def test_two_distributions_with_one_plugin_name(install: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    install(plugin("halo_data_formats", list))
    install(plugin("halo_data_formats", list), distribution="other")
    with refused(PluginError, "plugin"):
        registry.supplied("format")
    monkeypatch.setenv("HALO_DISABLED_PLUGINS", "extra")
    registry.loaded.cache_clear()
    assert registry.supplied("format")


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (ImportError("no module\nnamed thing"), "ImportError: no module named thing"),
        (SyntaxError("invalid syntax"), "SyntaxError: invalid syntax"),
        (SystemExit(3), "SystemExit: 3"),
        (RuntimeError("CUDA"), "RuntimeError: CUDA"),
        (KeyboardInterrupt(), "KeyboardInterrupt:"),
        (GeneratorExit("why"), "GeneratorExit: why"),
        (ValueError("\x1b[31mred\x1b[0m\rhalo: all is well\x07"), "ValueError: ?[31mred?[0m halo: all is well?"),
        (ValueError("x" * 10_000), f"ValueError: {'x' * 500}"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_broken_plugin_is_named_and_all_else_lives(
    problem: BaseException, said: str, install: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    install(problem)
    assert main(["--help"]) == 0
    assert capsys.readouterr().out.count("A plugin cannot be used; `halo plugins` says which and why.") == 1
    assert main(["plugins"]) == 0
    assert f"extra  (halo-align-extra 1.0)  disabled: it cannot be imported\n  {said}\n" in capsys.readouterr().out
    assert find_objective("dpo")


def test_a_plugin_that_never_comes_back_is_left_out(
    install: Callable[..., None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "IMPORT_SECONDS", 0.3)
    install(lambda: time.sleep(60))
    assert main(["plugins"]) == 0
    assert "importing it takes longer than 0 s" in capsys.readouterr().out
    assert find_objective("dpo")


def test_core_is_not_switched_off(monkeypatch: pytest.MonkeyPatch, install: Callable[..., None]) -> None:
    monkeypatch.setenv("HALO_DISABLED_PLUGINS", "builtin,references")
    install(plugin("halo_data_formats", list))
    assert find_objective("dpo")
    assert "references" not in registry.loaded().owners


def test_what_a_plugin_prints_is_no_part_of_the_answer(install: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    install(plugin("halo_data_formats", lambda: [print("hello"), format_named("mine")][1:]))
    assert main(["plugins", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["plugins"]
    assert "hello" in said.err


def test_help_says_nothing_of_plugins_that_work(install: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    install(plugin("halo_data_formats", lambda: [format_named("mine")]))
    assert main(["--help"]) == 0
    assert "A plugin" not in capsys.readouterr().out


def takes_an_argument(context: object) -> list[DataFormat]:
    return []


WRONG = {
    "misspelt": plugin("halo_data_formatz", list),
    "unmarked": plugin("halo_data_formats", list, marked=False),
    "an argument": SimpleNamespace(halo_data_formats=hookimpl(takes_an_argument)),
    "raises": plugin("halo_data_formats", lambda: {}["a"]),
    "exits": plugin("halo_data_formats", lambda: sys.exit("bye")),
    "no list": plugin("halo_data_formats", lambda: format_named("a")),
    "nothing": plugin("halo_data_formats", lambda: None),
    "another type": plugin("halo_data_formats", lambda: ["pairs"]),
    "no name": plugin("halo_data_formats", lambda: [format_named("a b")]),
    "twice": plugin("halo_data_formats", lambda: [format_named("a"), format_named("a")]),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_a_hook_is_one_message(case: str, install: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    install(WRONG[case])
    refused_command(capsys, "plugin", "plugins")
    with refused(PluginError, "plugin"):
        registry.supplied("format")
    assert main(["--help"]) == 0


def test_a_folder_that_is_none(install: Callable[..., None], tmp_path: Path) -> None:
    install(plugin("halo_objective_folders", lambda: [tmp_path / "gone"]))
    with refused(PluginError, "plugin"):
        registry.supplied("objectives")
    registry.loaded.cache_clear()
    install(plugin("halo_objective_folders", lambda: [str(tmp_path)]), name="second")
    assert any("a list with a str in it; its entries are each a Path" in str(m) for m in registry.collected("objectives")[1])


def test_switching_off_a_name_that_there_is_not(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HALO_DISABLED_PLUGINS", "bultin,")
    assert main(["plugins"]) == 0
    assert "note: HALO_DISABLED_PLUGINS names 'bultin', which no plugin is called; did you mean 'builtin'?" in capsys.readouterr().out


def test_a_command_of_a_plugin(install: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    given: list[list[str]] = []

    def run(words: list[str]) -> Any:
        given.append(words)
        return 3 if words else None

    install(plugin("halo_commands", lambda: [Command("mine", "what is mine", run)]))
    assert main(["--help"]) == 0
    assert "halo mine      what is mine" in capsys.readouterr().out
    assert main(["mine", "a", "--help"]) == 3
    assert given == [["a", "--help"]]
    refused_command(capsys, "plugin", "mine")
    refused_command(capsys, "unknown-setting", "mien")


def test_an_unknown_name_gets_the_nearest() -> None:
    with refused(PluginError, "plugin"):
        registry.choose("reference", "frozn")


def test_given_takes_the_place_of_what_has_its_name() -> None:
    mine, before = format_named("pairs"), registry.choose("format", "pairs")
    with registry.given("format", mine):
        assert registry.choose("format", "pairs") is mine
        assert len(registry.supplied("format")) == len({item.name for item in registry.supplied("format")})
    assert registry.choose("format", "pairs") is before


def test_all_hooks_of_all_plugins_import_nothing_heavy() -> None:
    script = (
        "import sys; from halo.plugin.registry import KINDS, loaded, supplied;"
        "found = {item.plugin for kind in KINDS for item in supplied(kind)};"
        "assert found == set(loaded().owners) and 'builtin' in found, found;"
        "heavy = {'torch', 'transformers', 'datasets', 'accelerate', 'sympy', 'numpy'} & set(sys.modules); sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
