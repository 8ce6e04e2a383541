"""`halo COMMAND ...`: finds the command, prints one line for a user's mistake, a traceback for a bug.

Exit codes: 0 done; 1 a check or a run failed; 2 bad input; 130 interrupted.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
import threading
import time
from typing import Any

import halo
from halo.errors import HaloError, RunStopped, SettingsError, nearest
from halo.plugin.registry import collected, loaded, supplied
from halo.visible import visible

COMMANDS = {
    "train": "train a model with an objective",
    "data": "a dry run of the data: what is kept, left out and trained on, and what it will take",
    "sample": "completions for prompts, from a model or from the data, in a folder",
    "score": "a number for each completion: by a reward model, a likelihood, a function or a program",
    "pair": "feedback from scored completions: pairs, lists or labels",
    "eval": "what models' answers are worth beside one another, with intervals",
    "loop": "a whole workflow from one file: sampling, scoring, pairing, training, evaluation, round by round",
    "check": "what can be proved or refuted about an objective, and whether it keeps what its file expects",
    "diff": "how two objectives are related: equal, scaled, a special case (with the substitution), or different (with numbers)",
    "show": "print an objective: as declared, as a graph, as torch source, as mathematics",
    "plot": "value function, loss and gradient weight as a figure",
    "gallery": "a page and a figure for every objective",
    "export": "a trained adapter merged into its base, as a whole model",
    "list": "the objectives that can be used by name",
    "import": "what a configuration of another framework is in halo",
    "new": "an objective or a plugin of your own, to start from",
    "schema": "JSON Schema of objective or settings files, for editors",
    "plugins": "what is installed, and who supplies what",
    "cache": "what is kept so as not to be computed again, and how to be rid of it",
}


MODULES = {"import": "importing"}
"""Where a command's name is none for a module."""


def run_core(name: str, words: list[str]) -> int:
    """Runs a command of core's, which needs no plugin to be found."""
    result: int = importlib.import_module(f"halo.cli.{MODULES.get(name, name)}").run(words)
    return result


def usage() -> str:
    """The overview that `halo --help` prints. It lives whatever is wrong with a plugin."""
    items, mistakes = collected("command")
    commands = COMMANDS | {item.name: item.thing.meaning for item in items if item.name not in COMMANDS}
    rows = "\n".join(f"  halo {name:<9} {meaning}" for name, meaning in commands.items())
    text = f"halo: alignment objectives that are declared, not programmed\n\n{rows}\n\n"
    text += "`halo COMMAND --help` says more. First try: halo train kto\n"
    if mistakes or loaded().broken or loaded().mistakes:
        text += "A plugin cannot be used; `halo plugins` says which and why.\n"
    return text


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    if arguments is None:
        arguments = sys.argv[1:]
    try:
        return _dispatched(arguments)
    except HaloError as problem:
        if _speaks(problem):
            print(f"halo: {_whose()}{problem}", file=sys.stderr)
        if isinstance(problem, RunStopped):
            _end_quietly()
        return problem.exit_code
    except KeyboardInterrupt:
        print("halo: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as problem:
        if isinstance(problem, OSError) and problem.errno == errno.ENAMETOOLONG:  # nobody but the user gives such a name
            name = visible(str(problem.filename), 60)
            print(f"halo: {_whose()}{HaloError('not-found', f'{name} is too long for the name of a file')}", file=sys.stderr)
            return 2
        if not _is_lost_peer(problem):
            raise
        print(f"halo: {_whose()}ended, since another process of the run went away", file=sys.stderr)
        return 1


def _group() -> Any:
    """torch.distributed where the processes of a launch have formed a group of several, else None. It is not imported for this."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_initialized() or distributed.get_world_size() < 2:
        return None
    return distributed


def _end_quietly() -> None:
    """A second signal ends the process at once, also while Python shuts down: its own handler would print a traceback then."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_DFL)


SOON = 3.0
"""Seconds within which a launcher ends the processes that are left, when one has ended."""


def _speaks(problem: HaloError) -> bool:
    """Processes of one launch make the same mistakes until they form a group: then the first one of each machine says it.

    The others give it the time, and their launcher the time to end them: one that is still there has made a mistake of its own.
    """
    group = _group()
    if group is not None:
        return not problem.shared or group.get_rank() == 0
    if os.environ.get("LOCAL_RANK", "0") != "0":
        time.sleep(SOON)
    return True


def _whose() -> str:
    """Which process of a launch speaks."""
    group = _group()
    if group is not None:
        return f"rank {group.get_rank()}: "
    if os.environ.get("LOCAL_RANK", "0") == "0":
        return ""
    return f"rank {os.environ.get('RANK', '?')}: "


LOST = ("connection closed", "connection reset", "broken pipe", "gloo", "nccl", "timed out")
"""What the libraries between processes say where one is gone."""


def _is_lost_peer(problem: Exception) -> bool:
    """Whether it is how a process learns that another one of its group ended, and not a bug of its own."""
    named = type(problem).__name__ in ("RuntimeError", "DistBackendError", "DistNetworkError", "DistStoreError")
    return _group() is not None and named and any(word in str(problem).lower() for word in LOST)


def _dispatched(arguments: list[str]) -> int:
    _check_package()
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage(), end="")
        return 0
    if arguments[0] == "--version":
        print(f"halo {halo.__version__}")
        return 0
    name, rest = arguments[0], arguments[1:]
    if name in COMMANDS:
        return run_core(name, rest)
    plugged = {item.name: item for item in supplied("command")}
    if name not in plugged:
        raise SettingsError("unknown-setting", f"there is no command {name!r}", hint=nearest(name, COMMANDS | plugged))
    result = plugged[name].thing.run(rest)
    if not isinstance(result, int):
        raise plugged[name].owner.mistake(f"the command {name} returned {result!r}, which is no exit code")
    return result


def _check_package() -> None:
    """PyPI's spinner package is called `halo` too and installs files into the same folder."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        other = version("halo")
    except PackageNotFoundError:
        return
    hint = "pip uninstall halo, then pip install --force-reinstall --no-deps halo-align"
    raise HaloError(
        "wrong-package", f"the package halo {other} (terminal spinners) is installed in this environment and shares our folder", hint=hint
    )


if __name__ == "__main__":
    sys.exit(main())
