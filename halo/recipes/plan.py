"""A recipe -> its commands, round by round, each with a key of all that it depends on and a place of its own.

A stage's key is a hash of its command, of the keys of what it takes, and of the weights and files it names. So a changed option gives the
stage and all that follow from it new places, and an equal one finds what is there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halo.errors import HaloError, SettingsError, nearest
from halo.recipes.identity import declared, forget, identity
from halo.recipes.loading import Loaded
from halo.recipes.schema import LAST, START
from halo.recipes.typed import command
from halo.starter.defaults import EMBEDDED, POLICY, model_named

DIGITS = 8
"""Of a key, in the name of a stage's folder."""


@dataclass(frozen=True)
class Step:
    """One command of a recipe.

    round   from 1; name: of the stage; kind: its command; words: what stands before the flags; flags: by name, as a settings file has them
    out     what it fills; key: of all that it depends on; scores: what score and eval stages call their scores
    """

    round: int
    name: str
    kind: str
    words: tuple[str, ...]
    flags: Mapping[str, Any]
    out: Path
    key: str

    @property
    def command(self) -> str:
        """As it would be typed."""
        return command(self.kind, self.words, self.flags)


@dataclass
class _Round:
    """What the stages of a round can take: by stage name the steps of that stage, in their order; keys: of all places so far."""

    number: int
    start: str
    last: str
    keys: dict[str, str]
    steps: dict[str, list[Step]] = field(default_factory=dict)


def planned(loaded: Loaded, out: Path) -> list[Step]:
    """Every command, in order, each with a place in the folder `out`. Raises HaloError for a stage that takes what is not there."""
    forget()
    recipe, found = loaded.recipe, list[Step]()
    start = model_named(recipe.model or EMBEDDED)
    model, keys = start, dict[str, str]()
    for number in range(1, recipe.rounds + 1):
        this = _Round(number, start, model, keys)
        where = out / f"round-{number}" if recipe.rounds > 1 else out
        for name in recipe.stages:
            this.steps[name] = list(_Stage(loaded, this, name, where).steps())
            found += this.steps[name]
            keys |= {str(step.out): step.key for step in this.steps[name]}
            if recipe.stages[name].kind == "train":
                this.last = model = str(this.steps[name][-1].out)
    assert all(step.out.is_relative_to(out) and ".." not in step.out.relative_to(out).parts for step in found), "outside of the folder"
    return found


@dataclass(frozen=True)
class _Stage:
    """One stage of one round."""

    loaded: Loaded
    round: _Round
    name: str
    where: Path

    @property
    def options(self) -> dict[str, Any]:
        return self.loaded.recipe.stages[self.name].options

    def steps(self) -> Iterator[Step]:
        """One command, or one for each folder that is scored."""
        kind = self.loaded.recipe.stages[self.name].kind
        yield from getattr(self, f"_{kind}")()

    def _sample(self) -> Iterator[Step]:
        flags = self._flags("model") | self._defaults("prompts", "seed")
        model = self._model(self.options.get("model", LAST))
        words = () if _given(flags.get("sampler")) else (model,)
        yield self._step("sample", words, flags, "out")

    def _score(self) -> Iterator[Step]:
        """The scores are called by what they are made with, so that another scorer's stand beside them."""
        flags = self._flags("of")
        name = f"{self.name}-{self._key('score', flags, [])[:DIGITS]}"
        for step in self._of("sample"):
            own = {**flags, "name": name}
            yield Step(
                self.round.number, self.name, "score", (str(step.out),), own, step.out / "scores" / f"{name}.jsonl",
                self._key("score", own, [step.key]),
            )  # fmt: skip

    def _pair(self) -> Iterator[Step]:
        folders = [str(step.out) for step in self._of("sample")]
        flags = {**self._flags("of"), **self._defaults("seed")}
        if "by" not in flags:
            raise self._error("by", "it says by which score", "by: REWARD, the name of a score stage")
        if "without" in flags:
            flags["without"] = self._without(flags["without"])
        flags["by"], keys = self._by(flags["by"])
        yield self._step("pair", tuple(folders), flags, "out", suffix=".jsonl", more=keys)

    def _train(self) -> Iterator[Step]:
        flags = self._flags("objective", "set", "data", "model", "model_name_or_path")
        if "objective" not in self.options:
            raise self._error("objective", "it names no objective", "objective: dpo")
        if "data" in self.options:
            flags["data"] = self._data(self.options["data"])
        elif pairs := [step for steps in self.round.steps.values() for step in steps if step.kind == "pair"]:
            flags["data"] = str(pairs[-1].out)
        model = self._model(self.options.get("model", self.options.get("model_name_or_path", LAST)))
        flags["model_name_or_path"] = model
        if self.loaded.recipe.reference == START and model != self.round.start and "reference_model_name_or_path" not in flags:
            flags["reference_model_name_or_path"] = self.round.start
        flags |= self._defaults("seed", given=flags)
        objective = str(self.options["objective"])
        words = (objective, *(f"--set={name}={value}" for name, value in self._parameters().items()))
        yield self._step("train", words, flags, "output_dir", more=[self._declared(objective)])

    def _eval(self) -> Iterator[Step]:
        flags, keys = self._flags("evaluators", "of", "against"), list[str]()
        if "prompts" not in flags and self.loaded.recipe.held_out:
            flags["prompts"] = self.loaded.recipe.held_out
        flags |= self._defaults("seed", given=flags)
        if "against" in self.options:
            flags["against"] = self._contestant(self.options["against"])
        if "by" in flags:
            flags["by"], keys = self._by(flags["by"])
        contestants = [self._contestant(one) for one in self._wanted("of", LAST)]
        if flags.get("scorer") and "name" not in flags and self._samples() & {*contestants, flags.get("against")}:
            flags["name"] = f"{self.name}-{self._key('score', {'scorer': flags['scorer']}, [])[:DIGITS]}"  # in a folder that others use too
        which = "+".join(map(str, self._wanted("evaluators", "win")))
        yield self._step("eval", (which, *contestants), flags, "out", more=keys)

    # -- what a stage takes --------------------------------------------------------------------------------------------

    def _flags(self, *wiring: str) -> dict[str, Any]:
        """The options that are flags of the command."""
        return {name: value for name, value in self.options.items() if name not in wiring and value is not None}

    def _defaults(self, *names: str, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What the recipe says for all stages, where this one says nothing."""
        said = given if given is not None else self.options
        return {name: value for name in names if name not in said and (value := getattr(self.loaded.recipe, name)) is not None}

    def _parameters(self) -> Mapping[str, Any]:
        """Of the objective. Raises SettingsError for what is no mapping of names to numbers."""
        found = self.options.get("set")
        if found is None:
            return {}
        if not isinstance(found, Mapping):
            raise self._error("set", f"set is a mapping of parameters to numbers, not {found!r}", "set: {beta: 0.1}")
        for name, value in found.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise self._error("set", f"{name}={value!r} is not a number", "set: {beta: 0.1}")
        return found

    def _declared(self, objective: str) -> str:
        try:
            return declared(objective)
        except HaloError as problem:
            where = f"{problem.place}: " if problem.place else ""
            raise self._error("objective", f"{where}{problem.message}", problem.hint) from None

    def _samples(self) -> set[Any]:
        """The folders of all sample stages so far."""
        return {str(step.out) for steps in self.round.steps.values() for step in steps if step.kind == "sample"}

    def _by(self, by: Any) -> tuple[Any, list[str]]:
        """The scores by the names that score stages give them, and the keys of these stages; other names are columns of the data."""
        own = {name: self.round.steps[name] for name in _names(by) if name in self.round.steps}
        scores = {name: steps for name, steps in own.items() if steps and steps[0].kind == "score"}
        keys = [step.key for steps in scores.values() for step in steps]
        return _renamed(by, {name: str(steps[0].flags["name"]) for name, steps in scores.items()}), keys

    def _without(self, names: Any) -> Any:
        """Sample stages by the folders that they fill; other names are columns."""
        given = names.split(",") if isinstance(names, str) else _listed(names)
        own = {name: steps[0] for name, steps in self.round.steps.items() if steps and steps[0].kind == "sample"}
        return [str(own[name].out) if isinstance(name, str) and name in own else name for name in given if name]

    def _wanted(self, option: str, default: str) -> list[Any]:
        """What an option names, one or several. Raises SettingsError for a list of nothing."""
        found = _listed(self.options.get(option, default))
        if not found:
            raise self._error(option, f"{option} names nothing", f"leave it out, or {option}: {default}")
        return found

    def _model(self, name: str) -> str:
        if name == EMBEDDED:
            return model_named(name)
        if name == START:
            return self.round.start
        if name == LAST:
            return self.round.last
        return str(self._named(name, "model", "train").out)

    def _contestant(self, name: str) -> str:
        if name in (START, LAST, EMBEDDED):
            found = self._model(name)
            return EMBEDDED if found == str(POLICY) else found
        return str(self._named(name, "of", "train", "sample").out)

    def _data(self, value: Any) -> Any:
        """Pair stages, by name, or what --data takes, or both in a list."""
        if not isinstance(value, list):
            return self._data_of(value)
        found = [self._data_of(one) for one in value]
        return found if any(not isinstance(one, str) or "," in one for one in found) else ",".join(found)

    def _data_of(self, name: Any) -> Any:
        return str(self._named(name, "data", "pair").out) if isinstance(name, str) and name in self.round.steps else name

    def _of(self, kind: str) -> list[Step]:
        """The stages that the option `of` names, or all of that kind before this one."""
        if "of" in self.options:
            return [self._named(name, "of", kind) for name in self._wanted("of", "")]
        found = [step for steps in self.round.steps.values() for step in steps if step.kind == kind]
        if not found:
            raise self._error("of", f"there is no {kind} stage before it", f"put one above {self.name}")
        return found

    def _named(self, name: str, option: str, *kinds: str) -> Step:
        """The step of a stage above this one. Raises SettingsError."""
        known = [name for name, steps in self.round.steps.items() if steps and steps[0].kind in kinds]
        if name not in known:
            what, also = " or ".join(kinds), (START, LAST) if "train" in kinds else ()
            raise self._error(option, f"no {what} stage above {self.name} is called {name!r}", nearest(str(name), [*known, *also]))
        return self.round.steps[name][-1]

    def _error(self, option: str, message: str, hint: str) -> SettingsError:
        kind = self.loaded.recipe.stages[self.name].kind
        place = self.loaded.place("stages", self.name, kind, option)
        return SettingsError("wrong-value", f"{self.name}: {message}", place=place, hint=hint)

    # -- keys ----------------------------------------------------------------------------------------------------------

    def _step(
        self, kind: str, words: tuple[str, ...], flags: Mapping[str, Any], out: str, suffix: str = "", more: Sequence[str] = ()
    ) -> Step:
        """The step, in a place that its key names."""
        key = self._key(kind, flags, more, words)
        place = self.where / f"{self.name}-{key[:DIGITS]}{suffix}"
        return Step(self.round.number, self.name, kind, words, {**flags, out: str(place)}, place, key)

    def _key(self, kind: str, flags: Mapping[str, Any], more: Sequence[str], words: Sequence[str] = ()) -> str:
        told = [kind, identity(list(words), self.round.keys), identity(dict(flags), self.round.keys), list(more)]
        return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _given(sampler: Any) -> bool:
    """Whether the data holds the completions, and no model is asked. What names no sampler at all is refused when the step is checked."""
    name = sampler.get("name") if isinstance(sampler, Mapping) else sampler
    return isinstance(name, str) and name.partition(":")[0] == "given"


def _names(by: Any) -> list[str]:
    """The scores that `by` names: a mapping of name to weight, or NAME or NAME=WEIGHT,... in a text."""
    if isinstance(by, Mapping):
        return list(by)
    return [part.partition("=")[0] for part in by.split(",")] if isinstance(by, str) else []


def _renamed(by: Any, names: Mapping[str, str]) -> Any:
    """The same by other names."""
    if isinstance(by, Mapping):
        return {names.get(name, name): weight for name, weight in by.items()}
    if not isinstance(by, str):
        return by
    pairs = [part.partition("=") for part in by.split(",")]
    return ",".join(f"{names.get(name, name)}{equals}{weight}" for name, equals, weight in pairs)
