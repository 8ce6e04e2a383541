"""What an evaluator is: measures, each of which says for one prompt what every contestant's answers are worth. No torch.

An evaluator gives numbers of single prompts. The mean over prompts, its interval, comparisons in pairs and groups by a column are halo's,
the same for every measure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from halo.completions.scoring import Completed
from halo.errors import Place
from halo.options import Options, validated

Values = tuple[float, ...]
"""What one prompt gives a measure: the number itself, or the several that its statistic is made of."""


@dataclass(frozen=True)
class Answer:
    """A completion with what is known of it.

    score  of the scorer, None without one; parts: of the scorer too, by name
    drawn  log-prob in nats of the whole answer under what it was drawn from; None where that is not known, as of beams and given texts
    own    whether that is the model's own distribution: temperature 1, nothing cut, no penalty
    """

    completed: Completed
    score: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    drawn: float | None = None
    own: bool = False

    @property
    def text(self) -> str:
        return self.completed.text


@dataclass(frozen=True)
class Asked:
    """A prompt and, for each contestant, its answers by index.

    row      what else the prompt's row holds, by column
    prompts  each contestant's own, where they differ: a later turn of a conversation follows the contestant's own answers
    unit     what the bootstrap draws: the prompt, or the conversation that it is a turn of; "" is the prompt itself
    share    what it counts within its unit: of the prompts of one turn of a conversation together 1
    """

    key: str
    prompt: Any
    answers: tuple[tuple[Answer, ...], ...]
    row: Mapping[str, Any] = field(default_factory=dict)
    prompts: tuple[Any, ...] = ()
    unit: str = ""
    share: float = 1.0


@dataclass(frozen=True)
class Measure:
    """A number of each contestant.

    of         a prompt -> for each contestant its values, or None where it has none there: it is left out and counted
    statistic  weights (B, n) of prompts, values (n, k) -> B numbers; None: the weighted mean of the only value. `halo.statistics.combining`
               has others
    share      whether it is a share, between 0 and 1: shown in percent, its interval never outside
    bounds     what else it cannot leave, as a rank cannot leave 1 and the number of contestants
    paired     whether differences from the baseline say something that the number itself does not
    curve      the curve that the number is a point of, and where: best of n, at n
    """

    name: str
    meaning: str
    of: Callable[[Asked], Sequence[Values | None]]
    statistic: Callable[[Any, Any], Any] | None = None
    share: bool = False
    paired: bool = True
    bounds: tuple[float, float] | None = None
    curve: tuple[str, float] | None = None


@dataclass(frozen=True)
class EvaluationContext:
    """What an evaluator may use.

    names     of the contestants; the first is the baseline where `baseline` says so
    n         completions that each contestant has of a prompt, at most
    score     what the scores are called; "" without a scorer
    relative  whether scores compare the contestants' answers of one prompt and index, and have no scale beyond that
    options   the evaluator's, as given or by default: an instance of its `Evaluator.options`
    """

    names: tuple[str, ...]
    baseline: bool
    n: int
    score: str
    relative: bool
    options: Any


@dataclass(frozen=True)
class Evaluator:
    """A way to judge models by their answers.

    name      what `halo eval` calls it; measures: see EvaluationContext; options: the model of its options
    needs     what it cannot do without: `scores`, a `baseline`
    """

    name: str
    meaning: str
    measures: Callable[[EvaluationContext], Sequence[Measure]]
    options: type[Options] = Options
    needs: frozenset[Literal["scores", "baseline"]] = frozenset()

    def with_options(self, given: Mapping[str, Any]) -> Options:
        """The options, validated. Raises SettingsError for an unknown name, or a value that is not as its option must be."""
        return validated(self.options, given, "evaluator", self.name, Place("halo eval"))
