"""What a sampler supplies, what it is asked and what it gives. No torch is imported here when halo runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from halo.data.tokenized import Finish
from halo.errors import Place
from halo.options import Options, validated


@dataclass(frozen=True)
class Request:
    """One completion that is asked for. What it gets depends on nothing else.

    key    16 hexadecimal digits of the prompt
    index  which of its prompt's completions it is, from 0
    ids    the prompt's token ids, the template written once: what a completion follows in training
    noise  128 bits of seed, key and index
    row    what else the prompt's row holds, by column
    prompt the text or the messages themselves, for what writes a template of its own, as a server does
    """

    key: str
    index: int
    ids: tuple[int, ...]
    noise: int
    row: Mapping[str, Any]
    prompt: Any = None


@dataclass(frozen=True)
class Sample:
    """One completion.

    text    what is scored and trained on: its ids decoded, without the one that ends it
    finish  `end`: the model ended it, with the last id; `stop`: a stop text did, of which nothing is left; `length`: it was cut;
            "": nobody sampled it
    ids     None for a text that nobody sampled
    logps   log pi_T of each id in nats, under the sampling temperature and nothing else
    kept    of each id the log of the mass that the cut of the support kept; None where nothing was cut
    """

    text: str
    finish: Finish
    ids: tuple[int, ...] | None = None
    logps: tuple[float, ...] | None = None
    kept: tuple[float, ...] | None = None


class Sampling(Protocol):
    """A sampler at work."""

    def sample(self, batch: Sequence[Request]) -> Sequence[Sample]:
        """One for each request, in their order. Called with one batch of the plan after the other."""


@dataclass(frozen=True)
class SamplerContext:
    """What a sampler may use.

    model           loads the policy, ready to write, on `device`; its fingerprint and numerics stand in the manifest
    tokenizer       loads its tokenizer
    end             the ids that end a completion; the first is what training ends it with
    max_new_tokens  after which a completion is cut
    stop            texts that end a completion where they begin
    n               completions of each prompt
    options         the sampler's, as given or by default: an instance of its `Sampler.options`
    say             a line for people
    """

    model: Callable[[], Any]
    tokenizer: Callable[[], Any]
    end: tuple[int, ...]
    max_new_tokens: int
    stop: tuple[str, ...]
    n: int
    device: Any
    options: Any
    say: Callable[[str], None] = print


@dataclass(frozen=True)
class Sampler:
    """A way to get completions.

    name         what `--sampler` calls it; build: see SamplerContext; options: the model of its options
    writes       whether a model writes them; else the prompts' rows hold them, and no model is loaded
    together     whether the completions of a prompt depend on one another, as beams do: they are asked for in one batch
    random       whether the seed matters
    temperature  option -> the temperature of the log-probs
    count        options, n -> how many completions each prompt gets
    reaches_out  whether it runs code or talks to a service: a recipe may use it only where the command line repeats it
    """

    name: str
    meaning: str
    build: Callable[[SamplerContext], Sampling]
    options: type[Options] = Options
    writes: bool = True
    together: bool = False
    random: bool = True
    temperature: Callable[[Any], float] = lambda options: 1.0
    count: Callable[[Any, int], int] = lambda options, n: n
    reaches_out: bool = False

    def with_options(self, given: Mapping[str, Any]) -> Options:
        """The options, validated. Raises SettingsError for an unknown name, or a value that is not as its option must be."""
        return validated(self.options, given, "sampler", self.name, Place("--sampler"))
