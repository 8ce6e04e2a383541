"""A process that has imported what a run needs, and forks: halo begins in milliseconds, in a process of its own that may die.

Started as `python nursery.py`. It reads one request a line, and answers each with a line: a new process with its number, `poll` with
the exit code of that process and its seconds of computing, or null while it lives.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import resource
import sys
import tempfile
import traceback
from importlib.metadata import entry_points
from pkgutil import walk_packages
from typing import Any

import halo
from halo.cli.main import main

LOADED = (
    "accelerate", "datasets", "transformers", "transformers.models.auto.modeling_auto", "transformers.models.llama.modeling_llama",
    "safetensors.torch", "yaml",
)  # fmt: skip
"""What a run imports of others. Of halo everything is: an edit while the attacks go on changes none of them."""
MEMORY = 12 << 30
"""Bytes of address space: torch alone takes some five thousand million. What reads without an end is stopped here."""


def own() -> list[str]:
    """Every module of halo, but the packages of others that it writes, and what runs when it is imported."""
    found = [name for _, name, _ in walk_packages(halo.__path__, "halo.")]
    return [name for name in found if not name.startswith("halo.templates") and name != "halo.__main__"]


def polled(process: int) -> tuple[int, float] | None:
    """The exit code of a process that ended, as `subprocess` tells it, and the seconds that it computed for."""
    found, status, used = os.wait4(process, os.WNOHANG)
    if not found:
        return None
    return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime


def become(asked: dict[str, Any]) -> None:
    """In the new process: takes the folder, environment and files that were asked for."""
    os.setsid()
    for name, value in asked["environment"].items():
        os.environ[name] = value
    sys.path[:0] = filter(None, asked["environment"].get("PYTHONPATH", "").split(":"))
    tempfile.tempdir = None  # it was looked up before TMPDIR was given
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.chdir(asked["folder"])
    for number, file in enumerate((os.devnull, asked["out"], asked["err"])):
        opened = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    exec(asked["before"], {})  # what a test of the tests breaks in memory


def answer(talk: int, value: object) -> None:
    os.write(talk, json.dumps(value).encode() + b"\n")


def served(talk: int) -> list[str]:
    """Answers requests until there are no more; comes back in a new process only, with the words for halo."""
    for name in (*LOADED, *own()):
        importlib.import_module(name)
    for plugin in entry_points(group="halo"):
        plugin.load()
    gc.freeze()  # a new process shares what is here instead of copying it
    os.write(talk, b"ready\n")
    for line in sys.stdin:
        asked = json.loads(line)
        if "poll" in asked:
            answer(talk, polled(asked["poll"]))
            continue
        process = os.fork()
        if not process:
            os.close(talk)
            become(asked)
            return list(asked["words"])
        answer(talk, process)
    sys.exit(0)


def run(words: list[str]) -> int:
    """As `halo WORDS` does it; what is raised is printed as the interpreter prints it."""
    try:
        return main(words)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return 1


if __name__ == "__main__":
    answers = os.dup(1)
    os.dup2(2, 1)  # what an import prints is no answer
    code = run(served(answers))
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if not stream.closed:
            stream.flush()
    os._exit(code)  # to take torch down in good order takes longer than most cases
