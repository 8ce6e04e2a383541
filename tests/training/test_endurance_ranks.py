"""Runs that go on with another number of processes, and runs of two that are told to stop. In float64, over gloo."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny
from launched import EXACT, assert_alike, two_ranks

from halo.cli.main import main
from halo.files.manifest import verified
from halo.training.saving.checkpoints import checkpoints

pytestmark = pytest.mark.workflow

COMMON = ["train", "dpo", *EXACT[: EXACT.index("--max-steps")], "--logging-steps", "1", "--max-grad-norm", "0.1"]
SAVED = ["--max-steps", "6", "--save-steps", "3", "--save-total-limit", "none"]


def resumed(folder: Path, size: int, *more: str) -> list[str]:
    given = ["--resume", str(folder / "checkpoint-3"), "--per-device-train-batch-size", str(size), "--check", "false", "--backend", "auto"]
    return ["train", "dpo", *given, *more]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of one process and of two, six steps straight and from the third on with the other number of processes."""
    folder = tmp_path_factory.mktemp("ranks")
    data = ["--data", tiny.few()]
    one = [*COMMON, *SAVED, *data, "--per-device-train-batch-size", "4"]
    two = [*COMMON, *SAVED, *data, "--per-device-train-batch-size", "2"]
    assert main([*one, "--output-dir", str(folder / "one")]) == 0
    assert main([*one, "--output-dir", str(folder / "one to two")]) == 0
    two_ranks(folder, [[*two, "--output-dir", str(folder / "two to one")], resumed(folder / "one to two", 2)])
    assert main(resumed(folder / "two to one", 4)) == 0
    return folder


@pytest.mark.parametrize("way", ["one to two", "two to one"])
def test_a_run_goes_on_with_another_number_of_processes(way: str, runs: Path) -> None:
    assert_alike(runs / "one", runs / way)


def test_another_number_with_other_batches_is_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(resumed(runs / "two to one", 2)) == 2
    assert "the number of examples in a step changed since this checkpoint (4, now 2)" in capsys.readouterr().err


def test_two_processes_that_are_told_to_stop_save_one_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    given = [*COMMON, "--data", tiny.few(), "--per-device-train-batch-size", "2", "--max-steps", "100000", "--output-dir", str(folder)]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "halo", *given]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 180
        while not (folder / "metrics.jsonl").is_file() or not (folder / "metrics.jsonl").stat().st_size:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)  # which the launcher hands on
        _, err = process.communicate(timeout=90)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    (found,) = checkpoints(folder)
    verified(found)
    assert re.search(rf"halo: rank 0: stopped by SIGTERM after step \d+, which is saved in {found}", err), err
    assert err.count("stopped by SIGTERM after step") == 1  # the first process says it


FAILING = """
import os, sys
import halo.training.step.step as step
from halo.cli.main import main
from halo.errors import RunFailed

real, calls = step.Step.run, 0

def run(self, *arguments, **more):
    global calls
    calls += 1
    if os.environ["RANK"] == os.environ["FAILS"] and calls == 3:
        raise RunFailed("non-finite", "the loss is nan", hint="in this test")
    return real(self, *arguments, **more)

step.Step.run = run
sys.exit(main(sys.argv[1:]))
"""


HANGING = """
import os, signal, sys, time
import halo.training.step.step as step
from halo.cli.main import main

real, calls = step.Step.run, 0

def endless():
    while True:
        time.sleep(1)

def run(self, *arguments, **more):
    global calls
    calls += 1
    if os.environ["RANK"] == os.environ["HANGS"] and calls == 3:
        if os.environ["HOW"] == "frozen":
            os.kill(os.getpid(), signal.SIGSTOP)
        endless()
    return real(self, *arguments, **more)

step.Step.run = run
sys.exit(main(sys.argv[1:]))
"""


def free_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


def start(script: str, folder: Path, environment: dict[str, str], *more: str) -> list[subprocess.Popen[str]]:
    """Two processes of one run that a script changes, without a launcher that would end the one when the other ends."""
    (folder / "run.py").write_text(script)
    given = [
        *COMMON,
        "--data",
        tiny.few(),
        "--per-device-train-batch-size",
        "2",
        "--max-steps",
        "100000",
        "--output-dir",
        str(folder / "run"),
    ]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "OMP_NUM_THREADS": "1", **environment}
    processes = []
    for rank in ("0", "1"):
        own = {**os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank}
        command = [sys.executable, str(folder / "run.py"), *given, *more]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=own))
    return processes


@pytest.mark.parametrize("fails", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_a_process_that_fails_says_so_and_the_others_end_in_seconds(fails: int, tmp_path: Path) -> None:
    processes = start(FAILING, tmp_path, {"FAILS": str(fails)})
    try:
        processes[fails].wait(180)
        said = [process.communicate(timeout=60)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    other = 1 - fails
    assert f"halo: rank {fails}: the loss is nan; in this test" in said[fails]
    assert f"halo: rank {other}: ended, since another process of the run went away" in said[other]
    assert "Traceback" not in said[0] + said[1]
    assert [process.returncode for process in processes] == [1, 1]


@pytest.mark.parametrize(("hangs", "how"), [(0, "busy"), pytest.param(1, "frozen", marks=pytest.mark.slow)])
def test_a_process_that_hangs_is_named_by_the_one_that_waits(hangs: int, how: str, tmp_path: Path) -> None:
    processes = start(HANGING, tmp_path, {"HANGS": str(hangs), "HOW": how}, "--ddp-timeout", "4")
    other = 1 - hangs
    try:
        waiting = processes[other].communicate(timeout=180)[1]
        if how == "frozen":
            processes[hangs].kill()
        hanging = processes[hangs].communicate(timeout=60)[1]
    finally:
        for process in processes:
            process.kill()
    since = "for 4 s (--ddp-timeout)"
    assert f"halo: rank {other}: ended, since it waits {since} for rank {hangs}, which comes no further" in waiting
    assert processes[other].returncode == 1
    if how == "busy":
        assert re.search(rf"halo: rank {hangs}: comes no further {re.escape(since)}; it is at .*run.py:\d+ in endless", hanging)
        assert processes[hangs].returncode == 1
    assert "Traceback" not in waiting + hanging


@pytest.mark.parametrize("fails", [pytest.param("0", marks=pytest.mark.slow), "1", "01"])
def test_a_process_that_fails_before_they_come_together_says_so(fails: str, tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    alone = 'import os, sys\nfrom halo.cli.main import main\nmore = ["--max-length", "x"] if os.environ["RANK"] in os.environ["FAILS"] else []\n'
    script.write_text(alone + "sys.exit(main([*sys.argv[1:], *more]))\n")
    given = [*COMMON, "--data", tiny.few(), "--max-steps", "100000", "--output-dir", str(tmp_path / "run")]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script), *given]
    own = {**os.environ, "OMP_NUM_THREADS": "1", "FAILS": fails}
    done = subprocess.run(command, capture_output=True, text=True, env=own, timeout=120, check=False)
    whose = "rank 1: " if fails == "1" else ""  # where both make the same mistake, the first one says it
    assert done.returncode
    assert re.findall(r"halo: .*", done.stderr) == [f"halo: {whose}--max-length: 'x' is not a whole number [wrong-value]"]
