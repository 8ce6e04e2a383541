"""The kit on samplers: core's pass, planted mistakes are caught."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from halo.plugin import Options, Request, Sample, Sampler, SamplerContext
from halo.plugin.registry import choose
from halo.sampling.samplers.given import GivenCompletions
from halo.sampling.samplers.options import Drawn
from halo.sampling.samplers.stopping import decoded
from halo.sampling.samplers.writing import Writing
from halo.starter.defaults import POLICY
from halo.testing import check_sampler, policy, requests, sampler_context
from halo.training.model.loading import load_tokenizer
from halo.training.settings import Settings

DRAWN = "temperature=1.3,top_k=5,repetition_penalty=1.2"


@pytest.mark.parametrize(("name", "options"), [("sample", DRAWN), ("greedy", ""), ("given", "columns=rejected+chosen+topic")])
def test_cores_samplers_pass(name: str, options: str) -> None:
    check_sampler(choose("sampler", name), options)


@pytest.mark.parametrize("name", ["beam", "diverse-beam"])
def test_samplers_whose_completions_depend_on_one_another_pass(name: str) -> None:
    check_sampler(choose("sampler", name), rows=[{"prompt": prompt} for prompt in ("sort 62", "sort 41056", "sort 449405")])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sample", "beam", "diverse-beam"])
def test_cores_samplers_pass_as_they_are(name: str) -> None:
    check_sampler(choose("sampler", name))


class Right(Writing):
    """A sound sampler, which the planted ones differ from in one thing."""

    def __init__(self, context: SamplerContext) -> None:
        super().__init__(context, context.options)

    def sample(self, batch: Sequence[Request]) -> list[Any]:
        return [self.changed(request, sample) for request, sample in zip(batch, super().sample(batch), strict=True)]

    def changed(self, request: Request, sample: Sample) -> Any:
        return sample


class Twice(Right):
    """As many samples as it likes."""

    def sample(self, batch: Sequence[Request]) -> list[Any]:
        return [*super().sample(batch), *super().sample(batch[:1])]


class Nothing(Right):
    def sample(self, batch: Sequence[Request]) -> Any:
        return None


class Texts(Right):
    def changed(self, request: Request, sample: Sample) -> Any:
        return sample.text


class Turned(Right):
    """Prompts sorted by length for speed, and never sorted back."""

    def sample(self, batch: Sequence[Request]) -> list[Any]:
        return super().sample(sorted(batch, key=lambda request: (len(request.ids), request.key, request.index)))


class Begun(Right):
    """A second BOS before the prompt."""

    def sample(self, batch: Sequence[Request]) -> list[Any]:
        return super().sample([replace(request, ids=(request.ids[0], *request.ids)) for request in batch])


class Sloppy(Right):
    """The log-probs of the logits, whatever the temperature."""

    def changed(self, request: Request, sample: Sample) -> Any:
        assert sample.logps
        return replace(sample, logps=tuple(1.3 * number for number in sample.logps))


class OfTheCut(Right):
    """Log-probs of what top-k left."""

    def changed(self, request: Request, sample: Sample) -> Any:
        assert sample.logps
        assert sample.kept
        return replace(sample, logps=tuple(a - b for a, b in zip(sample.logps, sample.kept, strict=True)))


class Crowded(Right):
    """The noise of a batch is its first request's."""

    def sample(self, batch: Sequence[Request]) -> list[Any]:
        return super().sample([replace(request, noise=batch[0].noise + k) for k, request in enumerate(batch)])


class Counting(Right):
    """A stream of noise that goes on from call to call."""

    calls = 0

    def sample(self, batch: Sequence[Request]) -> list[Any]:
        self.calls += 1
        return super().sample([replace(request, noise=request.noise ^ self.calls) for request in batch])


class Warming(Right):
    """The first batch of a process is drawn in another way."""

    def sample(self, batch: Sequence[Request]) -> list[Any]:
        path = os.environ.setdefault("HALO_TEST_WARM", str(id(self)))
        found = super().sample(batch if path == str(id(self)) else [replace(request, noise=request.noise ^ 1) for request in batch])
        os.environ["HALO_TEST_WARM"] = str(id(self))
        return found


class Calibrated(Right):
    """What the first batch was decides all that follow."""

    first = ""

    def sample(self, batch: Sequence[Request]) -> list[Any]:
        self.first = self.first or batch[0].key
        return super().sample([replace(request, noise=request.noise ^ int(self.first, 16)) for request in batch])


class ByNumber(Right):
    """How many completions there are is part of the noise."""

    def sample(self, batch: Sequence[Request]) -> list[Any]:
        return super().sample([replace(request, noise=request.noise ^ self.context.n) for request in batch])


class Unseeded(Right):
    """The noise of prompt and index alone."""

    def sample(self, batch: Sequence[Request]) -> list[Any]:
        return super().sample([replace(request, noise=int(request.key, 16) + request.index) for request in batch])


class Unended(Right):
    """The id that ends a completion is left out."""

    def changed(self, request: Request, sample: Sample) -> Any:
        if sample.finish != "end" or not sample.ids or not sample.logps:
            return sample
        kept = sample.kept[:-1] if sample.kept else None
        return replace(sample, ids=sample.ids[:-1], logps=sample.logps[:-1], kept=kept)


class Cut(Right):
    def changed(self, request: Request, sample: Sample) -> Any:
        return replace(sample, finish="length")


class Endless(Right):
    """Padding behind the end."""

    def changed(self, request: Request, sample: Sample) -> Any:
        size = self.context.max_new_tokens - len(sample.ids or ())
        if sample.finish != "end" or not size:
            return sample
        return Sample(sample.text, "length", (*(sample.ids or ()), *[self.context.end[0]] * size))


class Spelt(Right):
    """The end token stands in the text."""

    def changed(self, request: Request, sample: Sample) -> Any:
        return replace(sample, text=decoded(self.tokenizer, sample.ids or ()))


class Stripped(Right):
    def changed(self, request: Request, sample: Sample) -> Any:
        return replace(sample, text=sample.text[1:])


class Longer(Right):
    def __init__(self, context: SamplerContext) -> None:
        super().__init__(replace(context, max_new_tokens=context.max_new_tokens + 1))


class Shorter(Right):
    def __init__(self, context: SamplerContext) -> None:
        super().__init__(replace(context, max_new_tokens=context.max_new_tokens - 2))


class Stopless(Right):
    """Stop texts are not looked for."""

    def __init__(self, context: SamplerContext) -> None:
        super().__init__(replace(context, stop=()))


class StoppedLate(Right):
    """What comes before the last occurrence of a stop text that begins within the last two characters."""

    def changed(self, request: Request, sample: Sample) -> Any:
        if sample.finish != "stop" or not sample.ids or not sample.logps:
            return sample
        size = len(sample.ids) - 1
        kept = sample.kept[:size] if sample.kept else None
        return Sample(decoded(self.tokenizer, sample.ids[:size]), "stop", sample.ids[:size], sample.logps[:size], kept)


class StoppedAlways(Right):
    def changed(self, request: Request, sample: Sample) -> Any:
        return sample if sample.finish == "end" else replace(sample, finish="stop")


class Odd(Right):
    def changed(self, request: Request, sample: Sample) -> Any:
        return replace(sample, finish="eos")


class Listed(Right):
    def changed(self, request: Request, sample: Sample) -> Any:
        return replace(sample, ids=list(sample.ids or ()))


class Fewer(Right):
    def changed(self, request: Request, sample: Sample) -> Any:
        return replace(sample, logps=(sample.logps or ())[:-1])


class Tensors(Right):
    def changed(self, request: Request, sample: Sample) -> Any:
        return replace(sample, logps=torch.tensor(sample.logps))


class Masses(Right):
    """The mass itself, not its log."""

    def changed(self, request: Request, sample: Sample) -> Any:
        return replace(sample, kept=tuple(2.0 ** (number or 0) for number in sample.kept or ()))


class Idless(Right):
    def changed(self, request: Request, sample: Sample) -> Any:
        return Sample(sample.text, sample.finish)


class Numbered(Right):
    def changed(self, request: Request, sample: Sample) -> Any:
        return replace(sample, ids=None, kept=None)


class Unsampled(Right):
    def changed(self, request: Request, sample: Sample) -> Any:
        return replace(sample, finish="")


class Greedy(Writing):
    def __init__(self, context: SamplerContext) -> None:
        super().__init__(context, None)


class Loaded(GivenCompletions):
    """Reads the row, and loads a model all the same."""

    def __init__(self, context: SamplerContext) -> None:
        super().__init__(context)
        context.model()


class Invented(GivenCompletions):
    def sample(self, batch: Sequence[Request]) -> list[Sample]:
        return [Sample("a text of nobody", "") for _ in batch]


class WithIds(GivenCompletions):
    def sample(self, batch: Sequence[Request]) -> list[Sample]:
        return [replace(sample, ids=(1, 2)) for sample in super().sample(batch)]


class Bare:
    """No `sample`."""


def mine(build: Any, **more: Any) -> Sampler:
    return Sampler("mine", "", build, **{"options": Drawn, "temperature": lambda options: float(options.temperature)} | more)


GIVEN = {"options": choose("sampler", "given").options, "temperature": lambda options: 1.0, "count": lambda options, n: 2}
ROWLESS = {**GIVEN, "writes": False, "random": False}
BEAM = choose("sampler", "beam")

WRONG: dict[str, tuple[Sampler, str]] = {
    "one too many": (mine(Twice), "gives 25 for 24 requests; a list with one Sample for each, in their order"),
    "nothing": (mine(Nothing), "gives a NoneType for 24 requests"),
    "texts": (mine(Texts), "among its samples; a halo.plugin.Sample"),
    "another order": (mine(Turned), "behind request.ids as they are"),
    "a second BOS": (mine(Begun), "behind request.ids as they are"),
    "another temperature": (mine(Sloppy), "log pi of the whole distribution at temperature 1.3"),
    "the cut in the log-probs": (mine(OfTheCut), "no cut and no penalty in it"),
    "the batch at large": (mine(Crowded), "asked one at a time a completion is"),
    "state between calls": (mine(Counting), "asked again a completion is"),
    "the first batch": (mine(Warming), "completion is"),
    "how many there are": (mine(ByNumber), "where one of each prompt is asked for a completion is"),
    "no seed": (mine(Unseeded), "another seed gives the same completions; draw with request.noise"),
    "no chance": (mine(Greedy, temperature=lambda options: 1.0), "another seed gives the same completions"),
    "chance in silence": (mine(Right, random=False), "says random=False, and another seed gives other completions"),
    "no end": (mine(Unended), "has the finish 'end' and ends with the id"),
    "always cut": (mine(Cut), "'end' if and only if that is one of context.end"),
    "behind the end": (mine(Endless), "which ends it (context.end)"),
    "the end in the text": (mine(Spelt), "and its ids without the one that ends it are"),
    "another text": (mine(Stripped), "and its ids without the one that ends it are"),
    "too long": (mine(Longer), "has 8 ids, and context.max_new_tokens is 7"),
    "too short": (mine(Shorter), "has the finish 'length' after 5 ids; it is cut at context.max_new_tokens, 7"),
    "no stop": (mine(Stopless), "which holds the stop text"),
    "too early a stop": (mine(StoppedLate), "it ends where the first of them begins, with the finish 'stop'"),
    "a stop for no reason": (mine(StoppedAlways), "has the finish 'stop', and no stop text was given"),
    "another finish": (mine(Odd), "has the finish 'eos'; one of"),
    "a list": (mine(Listed), "a tuple of int"),
    "a log-prob short": (mine(Fewer), "one for each"),
    "tensors": (mine(Tensors), "a tuple of finite float, in nats"),
    "masses": (mine(Masses), "the log of a mass is at most 0"),
    "no ids": (mine(Idless), "has no ids, and the sampler says that a model writes"),
    "numbers of no ids": (mine(Numbered), "has log-probs and no ids"),
    "nobody's": (mine(Unsampled), "has the finish '' and ids"),
    "beams apart": (replace(BEAM, name="mine", together=False), "asked one at a time a completion is"),
    "builds none": (mine(lambda context: Bare()), "has no `sample(batch)`"),
    "no completions": (mine(Right, count=lambda options, n: 0), "count(options, 2) is 0; how many completions a prompt gets, from 1"),
    "no temperature": (mine(Right, temperature=lambda options: 0), "temperature(options) is 0; a number above 0"),
    "a model for nothing": (mine(Loaded, **ROWLESS), "says writes=False and asks for the model"),
    "a text of no row": (mine(Invented, **ROWLESS), "which is no text of its row"),
    "ids of no model": (mine(WithIds, **ROWLESS), "has the ids (1, 2), and the sampler says that no model writes"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_planted_mistake_is_caught(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HALO_TEST_WARM", raising=False)
    sampler, said = WRONG[case]
    with pytest.raises(AssertionError) as caught:
        check_sampler(sampler, DRAWN if sampler.options is Drawn else "")
    assert said in str(caught.value)
    assert str(caught.value).startswith("the sampler mine: ")


def test_what_a_batch_may_change_is_said() -> None:
    """A server's completions may depend on what else it is busy with; the same batches still give the same."""
    check_sampler(mine(Crowded), DRAWN, invariant=False)
    with pytest.raises(AssertionError, match="asked again a completion is"):
        check_sampler(mine(Counting), DRAWN, invariant=False)
    with pytest.raises(AssertionError, match="after a restart `halo sample` wrote"):
        check_sampler(mine(Calibrated), DRAWN, invariant=False)


def test_rows_of_ones_own() -> None:
    rows = [{"prompt": f"question {k}", "mine": f"answer {k}"} for k in range(4)]
    sampler = replace(choose("sampler", "given"), count=lambda options, n: 1)
    check_sampler(sampler, {"columns": "mine"}, rows=rows)


def test_the_context_is_filled_as_in_a_run() -> None:
    class Every(Options):
        every: float = 2.0

    sampler = Sampler("mine", "", Right, options=Every)
    context = sampler_context(sampler, "every=3", stop=("7",))
    assert (context.options, context.stop, context.n) == (Every(every=3.0), ("7",), 2)
    assert context.end == (policy().config.eos_token_id,)
    assert context.model().config.use_cache
    asked = requests(sampler, count=3)
    assert [request.index for request in asked[:3]] == [0, 1, 2]
    assert len({request.noise for request in asked}) == len(asked) == 36
    by_prompt = {request.prompt: request for request in asked if isinstance(request.prompt, str)}
    assert by_prompt["sort 9"].row["topic"] == "digits"
    tokenizer = load_tokenizer(str(POLICY), Settings())
    assert tokenizer.decode(by_prompt["sort 9"].ids) == "<bos><|user|>sort 9<|assistant|>"
