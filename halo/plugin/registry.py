"""Finds plugins through the entry-point group `halo`, core's own included, and answers "who supplies what".

A plugin that cannot be imported is named and left out. What else can be wrong with one is a mistake, one message that names
plugin, distribution and hook: a misspelt or unmarked hook, a hook that raises or returns the wrong thing, a name given twice.
Mistakes are raised where something of that kind is asked for. `HALO_DISABLED_PLUGINS` (names, separated by commas) switches plugins off.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import FrameType
from typing import Any

import pluggy

from halo.backends.interface import Backend
from halo.completions.evaluating import Evaluator
from halo.completions.sampling import Sampler
from halo.completions.scoring import CompletionScorer
from halo.data.interface import DataFormat
from halo.errors import PluginError, nearest
from halo.limits import TooLong, timed
from halo.plugin.command import Command
from halo.plugin.spec import PROJECT, Hooks
from halo.reference.interface import ReferenceStrategy
from halo.visible import visible

KINDS: dict[str, tuple[str, type]] = {
    "format": ("halo_data_formats", DataFormat),
    "reference": ("halo_reference_strategies", ReferenceStrategy),
    "backend": ("halo_backends", Backend),
    "sampler": ("halo_samplers", Sampler),
    "scorer": ("halo_scorers", CompletionScorer),
    "evaluator": ("halo_evaluators", Evaluator),
    "objectives": ("halo_objective_folders", Path),
    "recipes": ("halo_recipe_folders", Path),
    "command": ("halo_commands", Command),
}
"""What can be supplied: by which hook, as what."""
CORE = "builtin"
IMPORT_SECONDS, MESSAGE = 60.0, 500
"""For one plugin's module: ten times what torch takes. Characters of what it raised."""
HOOKS = tuple(hook for hook, _ in KINDS.values())
NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Owner:
    """A plugin (the name of its entry point) and the distribution that it came with."""

    plugin: str
    distribution: str
    version: str

    @classmethod
    def of(cls, entry: EntryPoint) -> Owner:
        return cls(entry.name, entry.dist.name, entry.dist.version) if entry.dist else cls(entry.name, "unknown", "")

    def __str__(self) -> str:
        return f"{self.plugin} ({self.distribution} {self.version})"

    def mistake(self, what: str, hint: str = "") -> PluginError:
        """What is wrong with this plugin."""
        return PluginError("plugin", f"the plugin {self}: {what}", hint=hint or f"HALO_DISABLED_PLUGINS={self.plugin} switches it off")


@dataclass(frozen=True)
class Supplied:
    """One thing a plugin supplies: its kind, its name and who owns it."""

    kind: str
    name: str
    owner: Owner
    thing: Any

    @property
    def plugin(self) -> str:
        """The plugin's name."""
        return self.owner.plugin


@dataclass(frozen=True)
class Loaded:
    """The plugins that work; those that cannot be imported, with the reason; names switched off; what is wrong with those loaded."""

    manager: pluggy.PluginManager
    owners: dict[str, Owner] = field(default_factory=dict)
    broken: dict[Owner, str] = field(default_factory=dict)
    off: dict[str, bool] = field(default_factory=dict)
    """Every name of HALO_DISABLED_PLUGINS, and whether there is a plugin of that name."""
    mistakes: list[PluginError] = field(default_factory=list)


@cache
def loaded() -> Loaded:
    """Loads every plugin once, core's own first."""
    state = Loaded(pluggy.PluginManager(PROJECT))
    state.manager.add_hookspecs(Hooks)
    entries = sorted(entry_points(group=PROJECT), key=lambda e: (e.name != CORE, e.name))
    # core is not switched off: nothing would be left
    off = [name.strip() for name in os.environ.get("HALO_DISABLED_PLUGINS", "").split(",") if name.strip()]
    state.off.update({name: any(entry.name == name for entry in entries) for name in off})
    for entry in entries:
        owner = Owner.of(entry)
        if entry.name in state.owners:
            what = f"two plugins are called {entry.name!r}: {state.owners[entry.name]} and {owner}"
            state.mistakes.append(PluginError("plugin", what, hint=f"uninstall one; HALO_DISABLED_PLUGINS={entry.name} switches both off"))
        elif entry.name not in state.off or entry.name == CORE:
            _load(entry, owner, state)
    return state


def _load(entry: EntryPoint, owner: Owner, state: Loaded) -> None:
    try:
        with _apart(), timed(IMPORT_SECONDS):
            plugin = _given_by(entry.load)
        state.manager.register(plugin, name=entry.name)
    except pluggy.PluginValidationError as problem:
        state.manager.unregister(name=entry.name)  # some of its hooks may be in already
        state.mistakes.append(owner.mistake(_plain(problem), hint="a hook takes no arguments; docs/plugins.md has them all"))
    except TooLong:
        state.broken[owner] = f"importing it takes longer than {IMPORT_SECONDS:.0f} s"
    except (Exception, SystemExit, Raised) as problem:  # whatever a third party's module raises while it is imported
        state.broken[owner] = _plain(problem) if isinstance(problem, Raised) else f"{_kind(problem)}: {_plain(problem)}"
    else:
        state.owners[entry.name] = owner
        state.mistakes.extend(_hooks_that_are_none(plugin, owner, state.manager))


class Raised(Exception):
    """A third party's code raised what ends a process: KeyboardInterrupt that nobody typed, GeneratorExit, one of its own of that rank."""


def _given_by(call: Callable[[], Any]) -> Any:
    """What a third party's code gives. Raises KeyboardInterrupt only where somebody asked for it."""
    typed = []
    before = signal.getsignal(signal.SIGINT)

    def interrupt(number: int, frame: FrameType | None) -> None:
        typed.append(number)
        raise KeyboardInterrupt

    listens = threading.current_thread() is threading.main_thread() and before is not signal.SIG_IGN
    if listens:
        signal.signal(signal.SIGINT, interrupt)
    try:
        return call()
    except (Exception, SystemExit, TooLong):
        raise
    except BaseException as problem:
        if typed:
            raise
        raise Raised(f"{_kind(problem)}: {_plain(problem)}") from None
    finally:
        if listens:
            signal.signal(signal.SIGINT, before)


@contextmanager
def _apart() -> Iterator[None]:
    """Around a third party's code: what it prints is no part of halo's answer, and what it does to stdout and stderr is undone."""
    out, err = sys.stdout, sys.stderr
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stdout, sys.stderr = out, err


def _kind(problem: BaseException) -> str:
    """The name of its class, which is a third party's text too."""
    return visible(type(problem).__name__, MESSAGE)


def _plain(problem: BaseException) -> str:
    """What was raised, on one line and without control characters, which a terminal would obey."""
    try:
        text = " ".join(str(problem).split())
    except Exception:  # its __str__ is a third party's too
        text = "its text cannot be read"
    return "".join(one if one.isprintable() else "?" for one in text)[:MESSAGE]


def _hooks_that_are_none(plugin: object, owner: Owner, manager: pluggy.PluginManager) -> Iterator[PluginError]:
    """A marked function of a name that no hook has, and a function of a hook's name that is not marked: neither is ever called."""
    marked = manager.get_hookcallers(plugin) or []
    for caller in marked:
        if not caller.has_spec():
            yield owner.mistake(f"there is no hook {caller.name!r}", hint=nearest(caller.name, HOOKS))
    names = {caller.name for caller in marked}
    for hook in HOOKS:
        if hook not in names and callable(getattr(plugin, hook, None)):
            yield owner.mistake(f"{hook} is not marked as a hook", hint="put @hookimpl, of halo.plugin, above it")


def supplied(kind: str) -> list[Supplied]:
    """Everything of one kind. Raises PluginError for the first mistake there is."""
    found, mistakes = collected(kind)
    for mistake in (*loaded().mistakes, *mistakes):
        raise mistake
    return found


def collected(kind: str) -> tuple[list[Supplied], list[PluginError]]:
    """Everything of one kind, each name once, and what is wrong with what its hooks gave."""
    state, found, mistakes = loaded(), dict[str, Supplied](), list[PluginError]()
    for implementation in getattr(state.manager.hook, KINDS[kind][0]).get_hookimpls():
        owner = state.owners[str(implementation.plugin_name)]
        try:
            things = _returned(kind, owner, implementation.function)
        except PluginError as mistake:
            mistakes.append(mistake)
            continue
        for thing in things:
            item = Supplied(kind, str(getattr(thing, "name", "") if kind != "objectives" else thing), owner, thing)
            first = found.setdefault(item.name, item)
            if first is not item:
                mistakes.append(twice(kind, item.name, first.owner, owner))
    return list((found | {item.name: item for item in _GIVEN if item.kind == kind}).values()), mistakes


def twice(kind: str, name: str, first: Owner, second: Owner, where: str = "") -> PluginError:
    """A name that was given twice, with both owners."""
    message = f"two plugins supply the {kind} {name!r}: {first} and {second}{where}"
    if first == second:
        return first.mistake(f"supplies the {kind} {name!r} twice{where}")
    return PluginError("plugin", message, hint=f"HALO_DISABLED_PLUGINS={second.plugin} switches one off")


def _returned(kind: str, owner: Owner, function: Callable[[], Any]) -> list[Any]:
    """What a hook gives. Raises PluginError, naming plugin, distribution and hook, for what is not as the hook says."""
    hook, wanted = KINDS[kind]
    try:
        with _apart():
            things = _given_by(lambda: _read(function()))
    except Raised as problem:
        raise owner.mistake(f"{hook} failed with {_plain(problem)}") from problem
    except (Exception, SystemExit) as problem:  # a third party's hook
        raise owner.mistake(f"{hook} failed with {_kind(problem)}: {_plain(problem)}") from problem
    if not isinstance(things, list):
        raise owner.mistake(f"{hook} returned {_shown(things)}", hint=f"a hook returns a list of {wanted.__name__}, [] for none")
    for thing in things:
        if not isinstance(thing, wanted):
            raise owner.mistake(f"{hook} returned a list with {_shown(thing)} in it", hint=f"its entries are each a {wanted.__name__}")
        if isinstance(thing, Path) and not _is_folder(thing):
            shown = visible(str(thing), MESSAGE)
            raise owner.mistake(f"{hook} returned {shown}, which is no folder", hint="does the wheel hold it?")
        if not isinstance(thing, Path) and not NAME.fullmatch(name := str(getattr(thing, "name", ""))):
            raise owner.mistake(f"{hook} returned the name {name!r}", hint="a name has letters, digits, - and _ only")
    return things


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name that is too long, a NUL
        return False


def _read(things: Any) -> Any:
    """Of a list of a third party's own kind, what it gives when it is read."""
    return list(things) if isinstance(things, list) else things


def _shown(value: object) -> str:
    return "None" if value is None else f"a {visible(type(value).__name__, MESSAGE)}"


_GIVEN: list[Supplied] = []


@contextmanager
def given(kind: str, thing: Any) -> Iterator[None]:
    """For the block, `thing` is supplied too, in the place of what else has its kind and name: for `halo.testing`."""
    item = Supplied(kind, thing.name, Owner("given", "halo.testing", ""), thing)
    _GIVEN.append(item)
    try:
        yield
    finally:
        _GIVEN.remove(item)


def choose(kind: str, name: str) -> Any:
    """The thing of that name, or PluginError with the nearest name."""
    things = {item.name: item.thing for item in supplied(kind)}
    if name not in things:
        raise PluginError("plugin", f"there is no {kind} named {name!r}", hint=nearest(name, things))
    return things[name]
