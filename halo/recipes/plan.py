"""A recipe -> its commands, round by round, each with a key of all that it depends on and a place of its own.

A stage's key is a hash of its command, of the keys of what it takes, and of the weights and files it names. So a changed option gives the
stage and all that follow from it new places, and an equal one finds what is there.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from halo.errors import SettingsError, nearest
from halo.evaluation.contestants import EMBEDDED
from halo.files.manifest import digest
from halo.options import as_text
from halo.recipes.loading import Loaded
from halo.recipes.schema import LAST, START
from halo.reference.fingerprint import weights_fingerprint
from halo.starter.defaults import POLICY

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
        return shlex.join(["halo", self.kind, *self.words, *_typed(self.flags)])


@dataclass
class _Round:
    """What the stages of a round can take: by stage name the steps of that stage, in their order; keys: of all places so far."""

    number: int
    start: str
    last: str
    keys: dict[str, str]
    steps: dict[str, list[Step]] = field(default_factory=dict)


def planned(loaded: Loaded, out: Path) -> list[Step]:
    """Every command, in order. Raises SettingsError for a stage that takes what is not there."""
    recipe, found = loaded.recipe, list[Step]()
    start = recipe.model or str(POLICY)
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
        words = () if flags.get("sampler") == "given" or _given(flags.get("sampler")) else (model,)
        yield self._step("sample", words, flags, "out")

    def _score(self) -> Iterator[Step]:
        for step in self._of("sample"):
            flags = {**self._flags("of"), "name": self.name}
            key = self._key("score", flags, [step.key])
            yield Step(self.round.number, self.name, "score", (str(step.out),), flags, step.out / "scores" / f"{self.name}.jsonl", key)

    def _pair(self) -> Iterator[Step]:
        folders = [str(step.out) for step in self._of("sample")]
        flags = {**self._flags("of"), **self._defaults("seed")}
        if "by" not in flags:
            raise self._error("by", "it says by which score", "by: REWARD, the name of a score stage")
        yield self._step("pair", tuple(folders), flags, "out", suffix=".jsonl", more=self._keys("score"))

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
        parameters = self.options.get("set") or {}
        words = (str(self.options["objective"]), *(f"--set={name}={value}" for name, value in parameters.items()))
        yield self._step("train", words, flags, "output_dir")

    def _eval(self) -> Iterator[Step]:
        flags = self._flags("evaluators", "of", "against")
        if "prompts" not in flags and self.loaded.recipe.held_out:
            flags["prompts"] = self.loaded.recipe.held_out
        flags |= self._defaults("seed", given=flags)
        if "against" in self.options:
            flags["against"] = self._contestant(self.options["against"])
        contestants = [self._contestant(one) for one in _listed(self.options.get("of", LAST))]
        yield self._step("eval", (str(self.options.get("evaluators", "win")), *contestants), flags, "out")

    # -- what a stage takes --------------------------------------------------------------------------------------------

    def _flags(self, *wiring: str) -> dict[str, Any]:
        """The options that are flags of the command."""
        return {name: value for name, value in self.options.items() if name not in wiring and value is not None}

    def _defaults(self, *names: str, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What the recipe says for all stages, where this one says nothing."""
        said = given if given is not None else self.options
        return {name: value for name in names if name not in said and (value := getattr(self.loaded.recipe, name)) is not None}

    def _model(self, name: str) -> str:
        if name == START:
            return self.round.start
        if name == LAST:
            return self.round.last
        return str(self._named(name, "model", "train").out)

    def _contestant(self, name: str) -> str:
        if name in (START, LAST):
            found = self._model(name)
            return EMBEDDED if found == str(POLICY) else found
        return str(self._named(name, "of", "train", "sample").out)

    def _data(self, value: Any) -> str:
        """Pair stages, by name, or what --data takes."""
        names = _listed(value)
        if all(isinstance(name, str) and name in self.round.steps for name in names):
            return ",".join(str(self._named(name, "data", "pair").out) for name in names)
        return str(value)

    def _of(self, kind: str) -> list[Step]:
        """The stages that the option `of` names, or all of that kind before this one."""
        if "of" in self.options:
            return [self._named(name, "of", kind) for name in _listed(self.options["of"])]
        found = [step for steps in self.round.steps.values() for step in steps if step.kind == kind]
        if not found:
            raise self._error("of", f"there is no {kind} stage before it", f"put one above {self.name}")
        return found

    def _keys(self, kind: str) -> list[str]:
        return [step.key for steps in self.round.steps.values() for step in steps if step.kind == kind]

    def _named(self, name: str, option: str, *kinds: str) -> Step:
        """The step of a stage above this one. Raises SettingsError."""
        known = [name for name, steps in self.round.steps.items() if steps and steps[0].kind in kinds]
        if name not in known:
            what = " or ".join(kinds)
            raise self._error(option, f"no {what} stage above {self.name} is called {name!r}", nearest(str(name), [*known, START, LAST]))
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
        told = [kind, [self._identity(word) for word in words], {name: self._identity(value) for name, value in flags.items()}, list(more)]
        return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()

    def _identity(self, value: Any) -> Any:
        """What a word or flag stands for: the key of a step, the weights of a model, the content of a file, or itself."""
        if not isinstance(value, str):
            return value
        keys = self.round.keys
        if value in keys:
            return keys[value]
        if "," in value and all(part in keys for part in value.split(",")):
            return [keys[part] for part in value.split(",")]
        return _content(value)


@cache
def _content(value: str) -> str:
    """Of a file its hash, of a model's folder its weights; of anything else, and of what is not there yet, the text."""
    path = Path(value)
    if len(value) < 1000 and path.is_file():
        return digest(path)
    if len(value) < 1000 and (path / "config.json").is_file():
        return weights_fingerprint(value)
    return value


def _typed(flags: Mapping[str, Any]) -> Iterator[str]:
    """Flags as they are typed."""
    for name, value in flags.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            yield flag
        elif isinstance(value, Mapping) and "name" in value:
            yield from (flag, as_text(value))
        elif isinstance(value, Mapping):
            yield from (flag, ",".join(f"{key}={one}" for key, one in value.items()))
        elif isinstance(value, list | tuple):
            yield from (flag, ",".join(str(one).replace("\n", "\\n") for one in value))
        else:
            yield from (flag, str(value).lower() if isinstance(value, bool) else str(value))


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _given(sampler: Any) -> bool:
    """Whether the data holds the completions, and no model is asked."""
    return sampler is not None and as_text(sampler).partition(":")[0] == "given"
