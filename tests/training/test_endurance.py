"""Runs that are damaged, changed, stopped and doubled: what is said, and what is on the disk afterwards. In float32, on the embedded policy."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from full_disk import fill, small_disk
from runs import assembled
from safetensors.torch import load_file

from halo.cli.main import main
from halo.errors import RunFailed, SettingsError
from halo.files.lock import Lock
from halo.files.manifest import MANIFEST, verified
from halo.starter.defaults import POLICY
from halo.training.run.loop import train
from halo.training.saving.checkpoints import checkpoints
from halo.training.saving.folder import Folder
from halo.training.settings import Settings

COMMON = ["--learning-rate", "1e-3", "--per-device-train-batch-size", "4", "--logging-steps", "1", "--check", "false", "--use-cpu"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six steps with checkpoints 2, 4 and 6, of a model and data of its own, in `run`, and what it was made of beside it."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(POLICY, folder / "model")
    shutil.copy(tiny.few(), folder / "rows.jsonl")
    given = ["--model", str(folder / "model"), "--data", str(folder / "rows.jsonl"), "--output-dir", str(folder / "run")]
    assert main(["train", "dpo", *COMMON, *given, "--max-steps", "6", "--save-steps", "2", "--save-total-limit", "none"]) == 0
    return folder


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    """The same, to be spoilt."""
    shutil.copytree(trained, tmp_path / "copy")
    return tmp_path / "copy"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def column(folder: Path, key: str) -> list[float]:
    return [json.loads(line)[key] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def resumed(copy: Path, *more: str, at: str = "run") -> int:
    made_of = ["--model", str(copy / "model"), "--data", str(copy / "rows.jsonl")]
    return main(["train", "dpo", "--resume", str(copy / at), "--check", "false", *made_of, *more])


def same_weights(one: Path, other: Path) -> bool:
    left, right = (load_file(folder / "model.safetensors") for folder in (one, other))
    return all(torch.equal(left[name], right[name]) for name in left)


# -- what a checkpoint is --------------------------------------------------------------------------------------------------


def test_every_checkpoint_is_whole_and_the_last_one_is_kept(trained: Path) -> None:
    assert [found.name for found in checkpoints(trained / "run")] == ["checkpoint-2", "checkpoint-4", "checkpoint-6"]
    for found in checkpoints(trained / "run"):
        told = verified(found)
        assert set(told["files"]) == {name for name in names(found) if name != MANIFEST}
        assert {"examples", "start", "reference", "tokenizer", "template", "batch", "ranks", "numerics", "versions"} == set(told["about"])
    assert not [name for name in names(trained / "run") if name.endswith(".draft")]


def test_the_way_from_a_checkpoint_is_the_way_past_it(copy: Path, trained: Path) -> None:
    assert resumed(copy, at="run/checkpoint-4") == 0
    assert same_weights(copy / "run", trained / "run")
    assert column(copy / "run", "loss") == column(trained / "run", "loss")
    (apart,) = [name for name in names(copy / "run") if name.startswith("abandoned-after-4-")]
    assert names(copy / "run" / apart) == ["checkpoint-6", "metrics.jsonl"]
    assert column(copy / "run" / apart, "step") == [5, 6]


# -- damage ----------------------------------------------------------------------------------------------------------------


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 16
    file.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], None]] = {
    "a bit of the optimizer's state": lambda folder: flip(folder / "optimizer.pt"),
    "a bit of the weights": lambda folder: flip(folder / "model.safetensors"),
    "a bit of the tokenizer": lambda folder: flip(folder / "tokenizer.json"),
    "a file that is gone": lambda folder: (folder / "trainer_state.json").unlink(),
    "a file cut short": lambda folder: os.truncate(folder / "optimizer.pt", 1000),
    "a manifest that is none": lambda folder: (folder / MANIFEST).write_text("{"),
}


@pytest.mark.parametrize("how", sorted(DAMAGE))
def test_damage_is_named_with_the_newest_good_checkpoint(how: str, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    DAMAGE[how](copy / "run" / "checkpoint-6")
    before = names(copy / "run")
    assert resumed(copy, "--max-steps", "8") == 2
    said = capsys.readouterr().err
    good = copy / "run" / "checkpoint-4"
    assert re.search(rf"checkpoint-6 is damaged: .*; the newest good one is {good}: --resume {good} \[resume\]", said), said
    assert names(copy / "run") == before
    assert resumed(copy, "--max-steps", "8", at="run/checkpoint-4") == 0
    assert column(copy / "run", "step") == list(range(1, 9))


def test_what_else_lies_in_a_checkpoint_is_not_read(copy: Path) -> None:
    for name in ("adapter_model.safetensors", "pytorch_model.bin"):
        (copy / "run" / "checkpoint-6" / name).write_bytes(b"\xff" * 64)
    assert resumed(copy, "--max-steps", "8") == 0


def test_a_torn_line_of_the_metrics_is_dropped_with_a_word(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (copy / "run" / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 7, "lo')
    assert resumed(copy, "--max-steps", "8") == 0
    assert "was torn off in writing and is dropped" in capsys.readouterr().out
    assert column(copy / "run", "step") == list(range(1, 9))


def test_settings_that_somebody_edited_are_said(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = copy / "run" / "settings.yaml"
    resumed(copy, "--max-steps", "7")
    assert "is not as the run wrote it" not in capsys.readouterr().out
    file.write_text(re.sub("learning_rate: .*", "learning_rate: 0.002", file.read_text()))
    resumed(copy, "--max-steps", "8")
    assert f"{file} is not as the run wrote it: it is taken as it stands" in capsys.readouterr().out


def test_a_damaged_line_of_the_metrics_is_one_message(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = copy / "run" / "metrics.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], "{", *lines[2:]]) + "\n")
    assert resumed(copy, "--max-steps", "8") == 2
    said = capsys.readouterr().err
    assert f"halo: {file}:2: a line that is no JSON object" in said
    assert "Traceback" not in said


def test_weights_that_are_no_numbers_are_never_kept(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rate at which the last step's update leaves the numbers: no further loss would show it."""
    before = (copy / "run" / "model.safetensors").read_bytes()
    assert resumed(copy, "--learning-rate", "1e39", "--lr-scheduler-type", "constant", "--max-steps", "7", "--save-steps", "1") == 1
    said = capsys.readouterr().err
    assert "the weights are no longer finite after step 7" in said
    assert f"the last good checkpoint is {copy / 'run' / 'checkpoint-6'}" in said
    assert (copy / "run" / "model.safetensors").read_bytes() == before
    assert "checkpoint-7" not in names(copy / "run")


# -- what is published ------------------------------------------------------------------------------------------------------


def test_a_run_publishes_no_path_of_this_machine_and_says_what_is_needed_to_do_it_again(trained: Path) -> None:
    for file in (trained / "run").rglob("*"):
        if file.is_file() and file.suffix in (".md", ".yaml", ".json", ".jsonl", ".txt", ".jinja", ".py", ".lock"):
            assert str(trained.parent) not in file.read_text(), file
    card = (trained / "run" / "README.md").read_text()
    for said in ("base_model: model", "| seed | 42 |", "| steps | 6 |", "| examples | ", "halo-align ", "torch ", "transformers ", "halo train ./objective.yaml"):
        assert said in card, said
    modes = {oct(file.stat().st_mode & 0o777) for file in (trained / "run").iterdir() if file.is_file()}
    (trained / "neighbour").write_text("")
    assert modes == {oct((trained / "neighbour").stat().st_mode & 0o777)}


def test_a_run_can_be_loaded_by_a_program(trained: Path, tmp_path: Path) -> None:
    import halo

    run = halo.load_run(trained / "run")
    assert run.parameters == {"beta": 0.1}
    assert [record["step"] for record in run.metrics] == [1, 2, 3, 4, 5, 6]
    assert (run.settings["model_name_or_path"], run.settings["learning_rate"]) == ("model", 1e-3)
    assert run.model().num_parameters() > 0
    assert run.tokenizer().chat_template
    with pytest.raises(halo.HaloError, match=r"holds no run: it has no objective\.yaml and no settings\.yaml"):
        halo.load_run(tmp_path)


def test_the_objective_of_a_run_holds_its_parameters(tmp_path: Path) -> None:
    import halo

    given = ["--data", tiny.few(), "--max-steps", "1", "--output-dir", str(tmp_path / "run")]
    assert main(["train", "cdpo", *COMMON, *given, "--set", "beta=0.7", "--set", "epsilon=0.25"]) == 0
    assert halo.load_run(tmp_path / "run").parameters == {"beta": 0.7, "epsilon": 0.25}
    assert halo.load_objective(str(tmp_path / "run" / "objective.yaml")).parameters == {"beta": 0.7, "epsilon": 0.25}
    assert "/" not in (tmp_path / "run" / "settings.yaml").read_text().replace("report_to", "")


# -- what changed ----------------------------------------------------------------------------------------------------------


def other_rows(copy: Path) -> None:
    lines = (copy / "rows.jsonl").read_text().splitlines()
    row = json.loads(lines[3])
    lines[3] = json.dumps({**row, "chosen": row["rejected"], "rejected": row["chosen"]})
    (copy / "rows.jsonl").write_text("\n".join(lines) + "\n")


def other_weights(copy: Path) -> None:
    from safetensors.torch import save_file

    file = copy / "model" / "model.safetensors"
    weights = load_file(file)
    name = sorted(weights)[0]
    weights[name] = weights[name] + 1e-3
    save_file(weights, file, {"format": "pt"})


def other_template(copy: Path) -> None:
    """A turn is introduced by another sign. The embedded policy has its template in a file of its own, or in the tokenizer's."""
    (copy / "model" / "chat_template.jinja").write_text("{% for m in messages %}{{ m['content'] }}{% endfor %}{{ '' }}")


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "rows": (other_rows, "the examples or their order changed"),
    "weights": (other_weights, "the weights that training began with changed"),
    "template": (other_template, "the chat template, or how it is used changed"),
}


@pytest.mark.parametrize("what", sorted(CHANGES))
def test_a_run_goes_on_with_what_it_was_about_or_not_at_all(what: str, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, said = CHANGES[what]
    change(copy)
    before = names(copy / "run")
    assert resumed(copy, "--max-steps", "8") == 2
    assert said in capsys.readouterr().err
    assert names(copy / "run") == before
    assert resumed(copy, "--max-steps", "8", "--resume-anyway") == 0
    assert f"{said} since this checkpoint" in capsys.readouterr().out
    assert column(copy / "run", "step") == list(range(1, 9))


def test_another_batch_is_another_run(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert resumed(copy, "--max-steps", "8", "--per-device-train-batch-size", "2") == 2
    assert "the number of examples in a step changed since this checkpoint (4, now 2)" in capsys.readouterr().err
    assert resumed(copy, "--max-steps", "8", "--per-device-train-batch-size", "2", "--gradient-accumulation-steps", "2") == 0


OPTIMIZER: dict[str, tuple[Any, Callable[[Any, Any], Any]]] = {
    "learning_rate": (2e-3, lambda groups, scheduler: scheduler.base_lrs[0]),
    "weight_decay": (0.25, lambda groups, scheduler: groups[0]["weight_decay"]),
    "adam_beta1": (0.5, lambda groups, scheduler: groups[1]["betas"][0]),
    "adam_beta2": (0.9, lambda groups, scheduler: groups[1]["betas"][1]),
    "adam_epsilon": (1e-5, lambda groups, scheduler: groups[0]["eps"]),
}
"""A setting, another value, and where the run has it after it was resumed."""


@pytest.mark.parametrize("name", sorted(OPTIMIZER))
def test_a_setting_that_is_said_to_change_changes(name: str, tmp_path: Path) -> None:
    from halo.training.run.loop import _Loop
    from halo.training.run.signals import Signals

    train(assembled(tmp_path, output_dir=str(tmp_path / "whole"), save_steps=3))
    value, read = OPTIMIZER[name]
    from_there = str(tmp_path / "whole" / "checkpoint-3")
    settings = {"learning_rate": 1e-3, name: value, "output_dir": str(tmp_path / "on"), "resume_from_checkpoint": from_there}
    run = assembled(tmp_path, **settings)
    loop = _Loop(run, None, Signals())
    assert loop._resume() == 3
    assert read(run.placement.optimizer.param_groups, loop.scheduler) == value
    assert run.placement.optimizer.param_groups[1]["weight_decay"] == 0
    rate = run.placement.optimizer.param_groups[0]["lr"]
    assert rate == pytest.approx(run.settings.learning_rate * 3 / 5)  # linear over six steps, one of warmup: as never interrupted


# -- two at once -----------------------------------------------------------------------------------------------------------


def test_a_folder_that_a_run_has_is_not_given_to_another(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = names(copy / "run")
    lock = Lock.take(copy / "run")
    assert resumed(copy, "--max-steps", "8") == 2
    said = capsys.readouterr().err
    assert f"{copy / 'run'} is in use: process {os.getpid()} on " in said
    lock.release()
    assert sorted({*before, ".halo.lock"}) == names(copy / "run")


def test_runs_of_one_second_have_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "strftime", lambda *_: "20260101-120000")
    found = {Folder.chosen("dpo", Settings()).path for _ in range(50)}
    assert len(found) == 50
    assert all(re.fullmatch(r"runs/dpo-20260101-120000-[0-9a-f]{8}", str(folder)) for folder in found)


def test_a_folder_that_nobody_named_is_made_and_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Folder.chosen("dpo", Settings())
    folder.path.mkdir(parents=True)
    with pytest.raises(SettingsError, match="cannot be written: File exists"):
        folder.take(True)
    assert names(folder.path) == []


def test_what_cannot_be_loaded_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert main(["train", "dpo", "--model", "./empty", "--data", tiny.few(), "--check", "false"]) == 2
    assert names(tmp_path) == ["empty"]


# -- signals ---------------------------------------------------------------------------------------------------------------

ENDLESS = ["--max-steps", "100000"]


def started(folder: Path, *more: str, stdout: Any = subprocess.PIPE) -> subprocess.Popen[str]:
    """A run in a process of its own that has taken a step."""
    command = [sys.executable, "-m", "halo", "train", "dpo", *COMMON, *ENDLESS, "--data", tiny.few(), "--output-dir", str(folder), *more]
    process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while not (folder / "metrics.jsonl").is_file() or not (folder / "metrics.jsonl").stat().st_size:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


SIGNALS = [pytest.param(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow)]


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_ends_a_run_after_a_step_with_a_checkpoint(number: int, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    process = started(tmp_path / "run")
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    (found,) = checkpoints(tmp_path / "run")
    step = int(found.name.split("-")[1])
    name = signal.Signals(number).name
    assert f"halo: stopped by {name} after step {step}, which is saved in {found}" in err
    assert "Traceback" not in err
    assert column(tmp_path / "run", "step") == list(range(1, step + 1))
    assert main(["train", "dpo", "--resume", str(tmp_path / "run"), "--max-steps", str(step + 2), "--check", "false"]) == 0
    assert column(tmp_path / "run", "step") == list(range(1, step + 3))


TWICE = """
import os, signal
from halo.training.run.signals import Signals
with Signals():
    os.kill(os.getpid(), signal.SIGTERM)
    print("once", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print("twice", flush=True)
"""


def test_a_second_signal_ends_it_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "once\n")


@pytest.mark.slow  # tests/endurance kills runs too
def test_sigkill_leaves_a_run_that_can_go_on(tmp_path: Path) -> None:
    process = started(tmp_path / "run", "--save-steps", "1", "--save-total-limit", "3")
    while len(checkpoints(tmp_path / "run")) < 2:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    for found in checkpoints(tmp_path / "run"):
        verified(found)
    step = int(checkpoints(tmp_path / "run")[-1].name.split("-")[1])
    assert main(["train", "dpo", "--resume", str(tmp_path / "run"), "--max-steps", str(step + 2), "--check", "false"]) == 0
    assert column(tmp_path / "run", "step") == list(range(1, step + 3))
    assert not [name for name in names(tmp_path / "run") if name.endswith(".draft")]


@pytest.mark.slow
def test_nobody_who_listens_does_not_stop_a_run(tmp_path: Path) -> None:
    process = started(tmp_path / "run")
    assert process.stdout is not None
    process.stdout.close()
    steps = len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    deadline = time.monotonic() + 60
    while len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) < steps + 200:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    assert process.returncode == 143
    assert len(checkpoints(tmp_path / "run")) == 1


# -- disks -----------------------------------------------------------------------------------------------------------------


class Filling:
    """Somebody else, who fills the disk after a step."""

    def __init__(self, disk: Path, step: int) -> None:
        self.disk, self.step = disk, step

    def progress(self, step: int, total: int, record: Any) -> None:
        if step == self.step:
            fill(self.disk, 100_000)


class Removing:
    """Somebody else, who removes the folder after a step."""

    def __init__(self, folder: Path, step: int) -> None:
        self.folder, self.step = folder, step

    def progress(self, step: int, total: int, record: Any) -> None:
        if step == self.step:
            shutil.rmtree(self.folder)


def rescued(said: str) -> Path:
    """Where a message says that the run is."""
    return Path(re.search(r"the run is saved up to here in (\S+);", said).group(1))  # type: ignore[union-attr]


def test_a_folder_that_vanishes_takes_no_step_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    whole, run = (assembled(tmp_path, output_dir=str(tmp_path / name), max_steps=4) for name in ("whole", "run"))
    train(whole)
    with pytest.raises(RunFailed, match=r"metrics could not be written to .*/run: No such file or directory") as failed:
        train(run, Removing(tmp_path / "run", 2))
    place = rescued(str(failed.value))
    assert [found.name for found in checkpoints(place)] == ["checkpoint-3"]
    assert main(["train", "dpo", "--resume", str(place), "--check", "false"]) == 0
    assert column(place, "loss") == column(tmp_path / "whole", "loss")
    assert same_weights(place, tmp_path / "whole")


def test_a_disk_that_fills_up_loses_no_good_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with small_disk(tmp_path / "disk", "64m") as disk:
        run = assembled(tmp_path, output_dir=str(disk / "run"), max_steps=4, save_steps=1)
        with pytest.raises(RunFailed, match=r"checkpoint-3 could not be written: .*") as failed:
            train(run, Filling(disk, 3))
        assert [found.name for found in checkpoints(rescued(failed.value.hint))] == ["checkpoint-3"]
        assert [verified(found)["step"] for found in checkpoints(disk / "run")] == [1, 2]
        assert not [name for name in names(disk / "run") if name.endswith(".draft")]


def test_a_model_that_cannot_be_written_is_rescued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is filled by somebody else while the run takes its last step."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with small_disk(tmp_path / "disk", "64m") as disk:
        run = assembled(tmp_path, output_dir=str(disk / "run"), max_steps=2)

        with pytest.raises(RunFailed, match=r"the trained model could not be written to .*") as failed:
            train(run, Filling(disk, 2))
        place = Path(re.search(r"it is in (\S+);", str(failed.value)).group(1))  # type: ignore[union-attr]
        assert "model.safetensors" in names(place)
        assert "model.safetensors" not in names(disk / "run")
        assert column(disk / "run", "step") == [1, 2]


def test_a_disk_without_room_is_told_before_the_first_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        assert main(["train", "dpo", *COMMON, "--data", tiny.few(), "--max-steps", "2", "--output-dir", str(disk / "run")]) == 2
        assert re.search(r"the disk of .* has 0\.00 GB free, and the run writes 0\.0\d GB", capsys.readouterr().err)
        assert names(disk) == []


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert main(["train", "dpo", *COMMON, "--model", "./nowhere/at/all", "--output-dir", str(disk / "run")]) == 2
        assert f"{disk / 'run'} cannot be written: Read-only file system" in capsys.readouterr().err
