"""What gives completions their scores. One call scores whole groups, so that pointwise, pairwise and listwise judges are one kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from halo.data.tokenized import Finish
from halo.errors import Place
from halo.options import Options, validated


@dataclass(frozen=True)
class Completed:
    """A completion as it is trained on: its text, its ids where it was sampled, how it ended."""

    text: str
    finish: Finish
    ids: tuple[int, ...] | None = None


@dataclass(frozen=True)
class ScoreGroup:
    """A prompt with its completions. `prompt_ids`: as it was sampled from; `row`: what else the prompt's row holds, by column."""

    key: str
    prompt: Any
    completions: tuple[Completed, ...]
    row: Mapping[str, Any]
    prompt_ids: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Verdict:
    """A number for each completion of a group; None where there is none, with the reason in its place: it is asked again next time.

    parts  what the number of each is made of or cost, by name: tokens, questions asked, verdicts that changed with the order
    """

    scores: tuple[float | None, ...]
    reasons: tuple[str, ...] = ()
    parts: tuple[Mapping[str, float], ...] = ()


class Judging(Protocol):
    """A scorer at work. One that has `prepare(groups, say)` too is told all groups that are left before the first is scored, once:
    it counts and prices what it is about to ask, and may ask it then. `say` takes a line for people. One that has `close()` is told
    when nothing comes any more.
    """

    def score(self, groups: Sequence[ScoreGroup]) -> Sequence[Verdict]:
        """One for each group, in their order."""


@dataclass(frozen=True)
class ScorerContext:
    """options: as given or by default, an instance of `CompletionScorer.options`; device: where a model is to lie."""

    options: Any
    device: Any
    trust_remote_code: bool = False


@dataclass(frozen=True)
class CompletionScorer:
    """A way to score completions.

    name      what `--scorer` calls it; build: see ScorerContext; options: the model of its options
    about     options -> what its scores depend on beside them, in plain values: a model's fingerprint
    at_once   groups in one call
    relative  whether a score says how a completion stands among those of its group, as a judge's does: then scores of groups that were
              asked apart have no common scale. Either way the order of a group's completions does not matter
    reaches_out  whether it runs code or talks to a service: a recipe may use it only where the command line repeats it
    """

    name: str
    meaning: str
    build: Callable[[ScorerContext], Judging]
    options: type[Options] = Options
    about: Callable[[Any], Mapping[str, Any]] = lambda options: {}
    at_once: int = 16
    relative: bool = False
    reaches_out: bool = False

    def with_options(self, given: Mapping[str, Any]) -> Options:
        """The options, validated. Raises SettingsError for an unknown name, or a value that is not as its option must be."""
        return validated(self.options, given, "scorer", self.name, Place("--scorer"))
