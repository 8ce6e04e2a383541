"""What `halo` offers: it is there, it is imported when it is asked for, and nothing shadows it."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from refusals import refused

import halo
import halo.plugin
import halo.testing
from halo.errors import ObjectiveError, SettingsError

LIGHT = ("load_objective", "list_objectives", "check", "diff", "plot")


def loaded_after(code: str) -> set[str]:
    """Which of the heavy libraries a fresh interpreter has loaded."""
    names = ("torch", "sympy", "matplotlib", "transformers")
    script = f"{code}\nimport sys\nprint(*[name for name in {names!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_importing_halo_loads_nothing_heavy() -> None:
    assert loaded_after("import halo; dir(halo)") == set()


def test_what_needs_no_torch_loads_none() -> None:
    """`plot` draws, so it loads matplotlib."""
    used = "; ".join(f"halo.{name}" for name in LIGHT)
    work = "halo.load_objective('dpo').source; halo.list_objectives(words=['KTO']); halo.plot('dpo')"
    assert "torch" not in loaded_after(f"import halo; {used}; {work}")


@pytest.mark.parametrize("name", halo.__all__)
def test_every_name_is_there_and_says_what_it_is(name: str) -> None:
    found = getattr(halo, name)
    assert inspect.getdoc(found)
    assert name in dir(halo)
    if name != "HaloError":
        assert importlib.import_module(halo._HOMES[name]).__dict__[name] is found


def test_type_checkers_see_every_name() -> None:
    """The names that are imported later are those imported for types."""
    source = Path(halo.__file__).read_text()
    typed = source.split("if TYPE_CHECKING:", 1)[1].split("__version__", 1)[0]
    assert all(name in typed for name in halo._HOMES)
    assert {*halo._HOMES, "HaloError"} == {*halo.__all__}


def test_no_name_is_both_a_function_and_a_package() -> None:
    for name in halo.__all__:
        assert importlib.util.find_spec(f"halo.{name}") is None, name


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'chek'"):
        _ = halo.chek


def test_a_loaded_objective_is_a_source() -> None:
    loaded = halo.load_objective("dpo", {"beta": 0.3})
    assert halo.load_objective(loaded) is loaded
    assert halo.load_objective(loaded, {"beta": 0.4}).parameters == {"beta": 0.4}
    assert halo.compile_objective(loaded, validate=False).objective_parameters == {"beta": 0.3}
    assert not halo.check(loaded).relatives, "it is no relative of itself"


def test_lists_are_found_by_what_they_are() -> None:
    (kto,) = (entry for entry in halo.list_objectives(feedback="labelled", halo="proved") if entry.name == "kto")
    assert (kto.reference, kto.year) == (True, 2024)
    with refused(SettingsError, "wrong-value", at="feedback"):
        halo.list_objectives(feedback="pairde")


def test_mistakes_are_one_message() -> None:
    with refused(ObjectiveError, "unknown-name", at="dpo.yaml"):
        halo.compile_objective("dpo", {"gamma": 1})
    with refused(SettingsError, "unknown-name", at="parameters"):
        halo.diff("dpo", "ipo", {"x": 1})
    with refused(SettingsError, "unknown-setting", at="settings"):
        halo.train("dpo", None, {"max_stepps": 2})
    with refused(ObjectiveError, "wrong-unit", at="objective:3:9"):
        halo.load_objective("name: mine\nextends: dpo\nreward: sum(logp) - mean(ref_logp)\n")
    assert halo.check("name: mine\nextends: dpo\nreward: sum(logp) - mean(ref_logp)\n").failed


@pytest.mark.parametrize("kind", [str, Path])
def test_the_settings_of_a_run_may_be_a_file(kind: type, tmp_path: Path) -> None:
    """A mistake in it is its own: it was read, whether a text or a path names it."""
    file = tmp_path / "settings.yaml"
    file.write_text("max_stepps: 2\n")
    with refused(SettingsError, "unknown-setting", at="settings.yaml:1:1"):
        halo.train("dpo", None, kind(file))


def test_a_file_may_say_its_version() -> None:
    assert halo.load_objective("halo: 1\nname: mine\nextends: dpo\n").objective.declaration.halo == 1
    with refused(ObjectiveError, "wrong-value", at="objective:1:7"):
        halo.load_objective("halo: 2\nname: mine\nextends: dpo\n")
