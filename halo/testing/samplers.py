"""Whether a sampler keeps its contract: what it gives for each request, that nothing else decides it, and that a run can go on."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from halo.completions.sampling import Request, Sample, Sampler, Sampling
from halo.data.tokenized import Sampled, from_ids
from halo.errors import Place
from halo.objective.feedback import DEMONSTRATIONS
from halo.plugin.registry import given
from halo.sampling.rows import SAMPLES
from halo.sampling.run import run_sampling
from halo.sampling.settings import SamplingSettings
from halo.scoring.rows import build_rows
from halo.scoring.scorer import Scorer
from halo.testing.one_sample import unsound
from halo.testing.parts import Given, one_thread, options_of, policy, require
from halo.testing.prompts import LONGEST, ROWS, requests, sampler_context, write_rows

NEAR = 1e-4
"""Nats: two ways through one float32 model differ by about 1e-6 in a token."""
COUNT = 2
"""Completions of each prompt."""
Found = dict[tuple[str, int], Sample]
"""By the key of the prompt and the index."""


@one_thread()
def check_sampler(
    sampler: Sampler, options: Given = "", *, invariant: bool = True, rows: Sequence[Mapping[str, Any]] | None = None
) -> None:
    """Raises AssertionError unless the sampler keeps its contract, asked for completions of a dozen prompts by the embedded policy.

    options    as typed after `--sampler name:`, such as "temperature=0.7", or by name
    invariant  False: what else is in its batch may change a completion, as on a server; the same batches still give the same
    rows       of the data, with a column `prompt` and those that the sampler reads; a dozen with `chosen` and `rejected` if left out
    """
    _check_description(sampler, options)
    case = _Case(sampler, options, tuple(rows or ROWS))
    built = case.build()
    asked = case.asked()
    found = _of(case, built, [asked])
    _check_samples(case, asked, found, ())
    _check_written(case, asked, found)
    ways = {"again": [asked]}
    if invariant:
        ways |= {"one at a time": case.groups(asked), "in reverse order": [_joined(case.groups(asked)[::-1])]}
    for way, batches in ways.items():
        _check_same(case, found, _of(case, built, batches), f"asked {way}", "a completion depends on its request alone")
    if invariant and not sampler.together:
        _check_fewer(case, found)
    _check_noise(case, found)
    if sampler.writes:
        _check_stop(case, asked, found, invariant)
    _check_restart(case)


@dataclass(frozen=True)
class _Case:
    """A sampler with options and prompts."""

    sampler: Sampler
    options: Given
    rows: tuple[Mapping[str, Any], ...]

    def unless(self, condition: object, message: str) -> None:
        require(condition, f"the sampler {self.sampler.name}: {message}")

    def count(self, n: int = COUNT) -> int:
        return self.sampler.count(options_of(self.sampler, self.options), n)

    def asked(self, n: int = COUNT, seed: int = 0) -> list[Request]:
        return requests(self.sampler, self.rows, self.count(n), seed)

    def groups(self, asked: Sequence[Request]) -> list[list[Request]]:
        """What must stand in one batch: the completions of a prompt that depend on one another, or one alone."""
        if self.sampler.together:
            return [list(own) for _, own in groupby(asked, key=lambda request: request.key)]
        return [[request] for request in asked]

    def build(self, **more: Any) -> Sampling:
        """Without a model where none writes."""
        context = sampler_context(self.sampler, self.options, **{"n": self.count(), **more})
        if not self.sampler.writes:
            context = replace(context, model=self._refused)
        built = self.sampler.build(context)
        self.unless(callable(getattr(built, "sample", None)), f"builds {built!r}, which has no `sample(batch)`")
        return built

    def _refused(self) -> Any:
        raise AssertionError(f"the sampler {self.sampler.name}: says writes=False and asks for the model; writes=True would be right")


def _joined(groups: Sequence[Sequence[Request]]) -> list[Request]:
    return [request for group in groups for request in group]


def _of(case: _Case, built: Sampling, batches: Sequence[Sequence[Request]]) -> Found:
    """What it gives, asked for one batch after the other. Its requests are told apart by prompt and index."""
    found: Found = {}
    for batch in batches:
        samples = built.sample(batch)
        counted = isinstance(samples, Sequence) and len(samples) == len(batch)
        what = f"{len(samples)}" if isinstance(samples, Sequence) else f"a {type(samples).__name__}"
        case.unless(counted, f"sample(batch) gives {what} for {len(batch)} requests; a list with one Sample for each, in their order")
        for request, sample in zip(batch, samples, strict=True):
            case.unless(isinstance(sample, Sample), f"sample(batch) gives {sample!r} among its samples; a halo.plugin.Sample")
            found[request.key, request.index] = sample
    return found


def _check_description(sampler: Sampler, options: Given) -> None:
    require(isinstance(sampler, Sampler), f"{sampler!r} is no Sampler")
    chosen = options_of(sampler, options)
    count, temperature = sampler.count(chosen, COUNT), sampler.temperature(chosen)
    name = f"the sampler {sampler.name}"
    require(type(count) is int and count >= 1, f"{name}: count(options, {COUNT}) is {count!r}; how many completions a prompt gets, from 1")
    sound = isinstance(temperature, int | float) and 0 < temperature < math.inf
    require(sound, f"{name}: temperature(options) is {temperature!r}; a number above 0, that of its log-probs")


def _check_samples(case: _Case, asked: Sequence[Request], found: Found, stop: tuple[str, ...]) -> None:
    context = sampler_context(case.sampler, case.options, stop=stop)
    for request in asked:
        for wrong in unsound(case.sampler, request, found[request.key, request.index], context):
            case.unless(False, f"completion {request.index} of {request.prompt!r} {wrong}")


# -- log-probs ---------------------------------------------------------------------------------------------------------


def _check_written(case: _Case, asked: Sequence[Request], found: Found) -> None:
    """Log-probs are those of halo's own scorer, behind the ids as they came."""
    temperature = float(case.sampler.temperature(options_of(case.sampler, case.options)))
    told = [(request, sample) for request in asked if (sample := found[request.key, request.index]).ids and sample.logps is not None]
    if not told:
        return
    examples = [
        from_ids(DEMONSTRATIONS, request.ids, [Sampled(sample.ids or (), sample.finish, temperature)], Place(request.key))
        for request, sample in told
    ]
    with torch.no_grad():
        own = Scorer(policy().eval(), "plain")(build_rows(examples, ("completion",))[0])["logp"]
    parts = own.split([len(sample.ids or ()) for _, sample in told])
    hint = f"log pi of the whole distribution at temperature {temperature:g}, no cut and no penalty in it, behind request.ids as they are"
    for (request, sample), part in zip(told, parts, strict=True):
        logps = torch.tensor(sample.logps)
        worst = int((logps - part).abs().argmax())
        numbers = f"the log-prob of token {worst} is {float(logps[worst]):.6g}, and halo's own is {float(part[worst]):.6g}"
        near = abs(float(logps[worst] - part[worst])) <= NEAR
        case.unless(near, f"completion {request.index} of {request.prompt!r}: {numbers}; {hint}")


# -- what decides a sample ---------------------------------------------------------------------------------------------


def _check_same(case: _Case, found: Found, other: Found, way: str, hint: str) -> None:
    for key, sample in other.items():
        before = found[key]
        same = (sample.text, sample.ids, sample.finish) == (before.text, before.ids, before.finish)
        case.unless(same, f"{way} a completion is {_shown(sample)}, and was {_shown(before)}; {hint}")
        for name in ("logps", "kept"):
            gap = _gap(getattr(before, name), getattr(sample, name))
            case.unless(gap <= NEAR, f"{way} the {name} of a completion differ by {gap:.3g} nats; {hint}")


def _gap(one: Sequence[float] | None, other: Sequence[float] | None) -> float:
    if one is None or other is None:
        return 0.0 if one is other else math.inf
    return max((abs(a - b) for a, b in zip(one, other, strict=True)), default=0.0)


def _shown(sample: Sample) -> str:
    return f"{sample.text!r} ({sample.finish or 'given'})"


def _check_fewer(case: _Case, found: Found) -> None:
    """Sample 0 of 1 is sample 0 of 2."""
    other = _of(case, case.build(n=case.count(1)), [case.asked(n=1)])
    _check_same(case, found, other, "where one of each prompt is asked for", "how many others there are changes none")


def _check_noise(case: _Case, found: Found) -> None:
    """The seed matters where the sampler says so, and nowhere else. What was written elsewhere has no noise of ours."""
    other = _of(case, case.build(), [case.asked(seed=1)])
    same = all((found[key].text, found[key].ids) == (sample.text, sample.ids) for key, sample in other.items())
    elsewhere = any(sample.ids is None and sample.finish for sample in other.values())
    if case.sampler.random and not elsewhere:
        hint = "draw with request.noise; or say random=False; or give check_sampler options under which chance shows"
        case.unless(not same, f"another seed gives the same completions; {hint}")
    hint = "random=True, or no use of request.noise"
    case.unless(same or case.sampler.random, f"says random=False, and another seed gives other completions; {hint}")


def _check_stop(case: _Case, asked: Sequence[Request], found: Found, invariant: bool) -> None:
    """Texts that occur, as stop texts: each completion is what it was, up to where one begins."""
    stop = _stop_texts([sample.text for sample in found.values()])
    if not stop:
        return
    stopped = _of(case, case.build(stop=stop), [asked])
    _check_samples(case, asked, stopped, stop)
    if not invariant or case.sampler.together:
        return
    for request in asked:
        sample, before = stopped[request.key, request.index], found[request.key, request.index]
        at = min((before.text.find(text) for text in stop if text in before.text), default=-1)
        right = (before.text, before.finish) if at < 0 else (before.text[:at], "stop")
        hint = f"and without the stop texts {stop} it was {_shown(before)}: it ends where the first of them begins, with the finish 'stop'"
        message = f"completion {request.index} of {request.prompt!r} is {_shown(sample)}, {hint}"
        case.unless((sample.text, sample.finish) == right, message)


def _stop_texts(texts: Sequence[str]) -> tuple[str, ...]:
    """A piece of one character and one of two, each in about a third of the texts."""
    found = []
    for size in (1, 2):
        pieces = sorted({text[k : k + size] for text in texts for k in range(1, len(text) - size + 1)})
        if pieces:
            found.append(min(pieces, key=lambda piece: abs(3 * sum(piece in text for text in texts) - len(texts))))
    return tuple(found)


# -- a run that is stopped ---------------------------------------------------------------------------------------------


class _Stopped(Exception):
    """A run that was killed between two batches."""


def _check_restart(case: _Case) -> None:
    """`halo sample` itself, whole, and again from where it was killed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "rows.jsonl", case.rows)
        count = case.count()
        chosen = {"name": case.sampler.name, **_plain(case)}
        size = count * max(1, len(case.rows) // 3)
        told = {"prompts": str(folder / "rows.jsonl"), "sampler": chosen, "n": COUNT, "max_new_tokens": LONGEST, "batch_size": size}

        def run(sampler: Sampler, out: str) -> list[dict[str, Any]]:
            with given("sampler", sampler):
                where = run_sampling(SamplingSettings.model_validate(told | {"out": str(folder / out), "use_cpu": True}), lambda line: None)
            return [json.loads(line) for line in (where / SAMPLES).read_text(encoding="utf-8").splitlines()]

        whole = run(case.sampler, "whole")
        case.unless(len(whole) == count * len(requests(case.sampler, case.rows, 1)), f"halo sample wrote {len(whole)} rows")
        with suppress(_Stopped):
            run(replace(case.sampler, build=lambda context: _Interrupted(case.sampler.build(context))), "again")
        again = run(case.sampler, "again")
        for before, now in zip(whole, again, strict=True):
            gap = max(_gap(before.pop(name, None), now.pop(name, None)) for name in ("logps", "kept"))
            hint = "the same batches give the same, whichever came before them: keep no state between calls"
            wrote = f"after a restart `halo sample` wrote {now['completion']!r} ({now['finish']!r}), in one go {before['completion']!r}"
            case.unless(before == now and gap <= NEAR, f"{wrote} ({before['finish']!r}); {hint}")


def _plain(case: _Case) -> dict[str, Any]:
    found: dict[str, Any] = dict(options_of(case.sampler, case.options))  # also those that no manifest holds
    return found


class _Interrupted:
    """A sampler that is killed after its first batch."""

    def __init__(self, built: Sampling) -> None:
        self.built, self.batches = built, 0

    def sample(self, batch: Sequence[Request]) -> Sequence[Sample]:
        self.batches += 1
        if self.batches > 1:
            raise _Stopped
        return self.built.sample(batch)
