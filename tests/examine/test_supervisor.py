"""The process beside us: what it says is kept, its clock is reported and what it stopped is asked again, its bugs are ours."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from halo.analysis.verdict import Finding
from halo.cache import cache_folder
from halo.checks.catalogue import CHECKS
from halo.checks.results import Examination, Mistake, Relative
from halo.checks.subject import Subject
from halo.compiler.pipeline import CompiledObjective, compile_source
from halo.examine import cache, examiner
from halo.examine.supervisor import examine
from halo.plugin.objectives import find_objective


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HALO_CACHE", str(tmp_path))
    return tmp_path


def compiled(name: str = "dpo", **parameters: float) -> CompiledObjective:
    return compile_source(name, parameters, find_objective)


def plain(examination: Examination) -> dict[str, Any]:
    data = examination.to_json()
    for finding in data["findings"]:
        finding.pop("milliseconds")
    return data


def never(subject: Subject) -> Iterator[Finding]:
    raise AssertionError("asked again")
    yield


def test_a_second_look_is_read_and_not_asked(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = examine(compiled())
    assert plain(first) == plain(examiner.examined(compiled()))
    monkeypatch.setitem(CHECKS, "domain", replace(CHECKS["domain"], ask=never))
    assert examine(compiled()) == first
    with pytest.raises(RuntimeError, match="asked again"):
        examine(compiled(), fresh=True)
    with pytest.raises(RuntimeError, match="asked again"):
        examine(compiled(beta=0.7))


def test_a_file_that_cannot_be_read_counts_as_none(kept: Path) -> None:
    first = examine(compiled())
    (file,) = kept.rglob("*.json")
    file.write_text(file.read_text()[:100])
    assert plain(examine(compiled())) == plain(first)
    assert list(kept.rglob("*.draft")) == []


@pytest.mark.parametrize("change", [("proved", "refuted"), ("refuted", "proved")])
def test_a_file_that_somebody_edited_counts_as_none(change: tuple[str, str], kept: Path) -> None:
    examine(compiled())
    (file,) = kept.rglob("*.json")
    assert change[0] in file.read_text()
    file.write_text(file.read_text().replace(*change))
    assert cache.read(file.stem) is None


def test_an_examination_of_another_objective_under_this_name_counts_as_none(kept: Path) -> None:
    examine(compiled())
    (file,) = kept.rglob("*.json")
    file.rename(file.with_name(f"{'0' * 32}.json"))
    assert cache.read("0" * 32) is None


def test_a_user_without_a_home_has_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HALO_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", none)
    assert cache_folder("checks").is_relative_to(tempfile.gettempdir())


def test_the_key_is_what_the_checks_read(tmp_path: Path) -> None:
    def keyed(text: str) -> str:
        (tmp_path / "mine.yaml").write_text(text)
        return cache.key(compile_source(tmp_path / "mine.yaml", None, find_objective))

    plain_key = keyed("name: mine\nextends: dpo\n")
    assert keyed("# a remark\nname: mine\nextends: dpo\ntitle: other words\n") == plain_key
    assert keyed("name: mine\nextends: dpo\nparameters: {beta: {default: 0.1, domain: '[0, inf)'}}\n") != plain_key
    assert keyed("name: mine\nextends: dpo\nexpect: {halo: refuted}\n") != plain_key
    assert keyed("name: mine\nextends: dpo\nvalue: z\n") != plain_key


def test_the_clock_is_reported_and_what_was_decided_is_kept(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(subject: Subject) -> Iterator[Finding]:
        time.sleep(600)
        yield Finding("monotone", "proved", "never said")

    monkeypatch.setitem(CHECKS, "monotone", replace(CHECKS["monotone"], ask=endless))
    examination = examine(compiled(), seconds=2)
    assert examination.stopped == ("monotone",)
    verdicts = {f.check: f for f in examination.findings}
    assert (verdicts["monotone"].verdict, verdicts["monotone"].reason) == ("undecided", "stopped by the clock after 2 s")
    assert verdicts["symmetry"].verdict == "proved"
    assert examination.expectations
    assert examination.unmet == ()
    monkeypatch.undo()
    monkeypatch.setenv("HALO_CACHE", str(kept))

    for name, check in CHECKS.items():

        def counted(subject: Subject, name: str = name, ask: Any = check.ask) -> Any:
            (kept / "asked.txt").open("a").write(f"{name}\n")  # in a process of its own
            return ask(subject)

        monkeypatch.setitem(CHECKS, name, replace(check, ask=counted))
    again = examine(compiled())
    assert (kept / "asked.txt").read_text().split() == ["monotone"]
    assert again.stopped == ()
    assert plain(again) == plain(examiner.examined(compiled()))
    (kept / "asked.txt").unlink()
    assert examine(compiled()) == again
    assert not (kept / "asked.txt").exists()


def test_a_folder_that_cannot_be_written_hurts_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HALO_CACHE", str(tmp_path / "file"))
    assert examine(compiled()).findings


def test_an_examination_survives_json() -> None:
    finding = Finding("domain", "refuted", "because", "1", "loss", {"z": "1/2"}, ("a", "b"), 1.5)
    whole = Examination("mine", (finding,), (), (Mistake("a", "b", "c", "d"),), (Relative("dpo", "equal", "this is DPO"),), ("relatives",))
    assert Examination.from_json(whole.to_json()) == whole
