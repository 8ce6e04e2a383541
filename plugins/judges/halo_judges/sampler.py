"""The sampler `endpoint`: a model behind chat completions writes, with a template of its own. Texts come back, and no ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from halo.plugin import Request, RunFailed, Sample, SamplerContext
from halo_judges.client import GOES_ON, Client, Failed, Question, Reply
from halo_judges.kept import Kept

LONGEST, SEEDS = 256, 2**31
"""Tokens after which a completion is cut unless --max-new-tokens says it, as elsewhere in halo; seeds that every server takes."""


class Writer:
    """A request for each completion, with a seed of its own, which an endpoint may heed or not. Replies are kept by what was asked."""

    def __init__(self, context: SamplerContext) -> None:
        self.context, self.options = context, context.options
        self.client, self.kept = Client(context.options, "--sampler"), Kept()
        self.longest = context.max_new_tokens or LONGEST
        said = f"{self.options.model} at {self.options.url}: at most {self.longest:,} tokens out for each completion"
        if self.options.prices is not None:
            said += f", at most {self.options.prices[1] * self.longest:.4g} for them"
        context.say(f"endpoint   {said}")

    def sample(self, batch: Sequence[Request]) -> list[Sample]:
        pool = ThreadPoolExecutor(self.options.parallel)
        try:
            return list(pool.map(self._one, batch))
        finally:
            pool.shutdown(cancel_futures=True)

    def _one(self, request: Request) -> Sample:
        """Raises RunFailed for a question without a reply: a completion cannot be left out."""
        question = self._question(request)
        asked = self.client.identity(question)
        reply = self.kept.get(asked)
        if reply is None:
            try:
                reply = self.client.ask(question)
            except Failed as problem:
                raise RunFailed("model", f"the prompt {request.key} has no completion: {problem}", hint=GOES_ON) from None
            try:
                self.kept.put(asked, reply)
            except OSError as problem:
                self.context.say(f"endpoint   a reply cannot be kept ({problem.strerror or problem}); HALO_CACHE names another folder")
        return self._sample(reply)

    def _sample(self, reply: Reply) -> Sample:
        """Stop texts are looked for here: an endpoint does not say whether one of them or its model's own end stopped it."""
        at = min((place for stop in self.context.stop if (place := reply.text.find(stop)) >= 0), default=-1)
        if at >= 0:
            return Sample(reply.text[:at], "stop")
        return Sample(reply.text, "end" if reply.finish == "stop" else "length")

    def _question(self, request: Request) -> Question:
        how: dict[str, Any] = {"max_completion_tokens": self.longest, "seed": request.noise % SEEDS}
        if self.options.temperature is not None:
            how["temperature"] = self.options.temperature
        if self.options.top_p < 1:
            how["top_p"] = self.options.top_p
        return Question(_messages(request.prompt), how)


def _messages(prompt: Any) -> tuple[Mapping[str, str], ...]:
    """A text is what a user says."""
    if isinstance(prompt, str):
        return ({"role": "user", "content": prompt},)
    return tuple({key: value for key, value in one.items() if value is not None} for one in prompt)
