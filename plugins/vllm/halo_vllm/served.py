"""A model behind vLLM's /v1/completions: a request for each completion, with its prompt's ids and a seed of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from openai import APIConnectionError, APIError, APIStatusError, NotFoundError, OpenAI

from halo.plugin import Place, Request, RunFailed, Sample, SamplerContext, SettingsError, nearest
from halo_vllm.mode import check_mode
from halo_vllm.reply import Reply

COMMAND = "vllm serve MODEL --logprobs-mode processed_logprobs --generation-config vllm"


class ServedModel:
    """All requests of a batch are sent at once: the server puts them into batches of its own."""

    def __init__(self, context: SamplerContext) -> None:
        self.context, self.how = context, context.options
        self.tokenizer = context.tokenizer()
        self.secret = os.environ.get(self.how.key, "")
        self.client = OpenAI(base_url=self.how.url, api_key=self.secret or "none", max_retries=self.how.retries, timeout=self.how.timeout)
        self.model = self._found()
        self.checked = False

    def sample(self, batch: Sequence[Request]) -> list[Sample]:
        if not self.checked:
            check_mode(lambda temperature: self._distribution(batch[0], temperature), COMMAND)
            self.checked = True
        pool = ThreadPoolExecutor(len(batch))
        try:
            return list(pool.map(self._one, batch))
        finally:
            pool.shutdown(cancel_futures=True)

    def _one(self, request: Request) -> Sample:
        context = self.context
        asked = {
            "max_tokens": context.max_new_tokens,
            "temperature": self.how.temperature,
            "top_p": self.how.top_p,
            "seed": request.noise % 2**63,  # the server reads 64 bits with a sign
            "stop": list(context.stop),
            "logprobs": 0,
        }
        more = {"top_k": self.how.top_k, "min_p": self.how.min_p, "stop_token_ids": list(context.end)}
        reply = Reply.of(self._asked(request, asked, more), request, context.end)
        logps = None if self.how.cuts else reply.logps  # under a cut they are of what was left, and halo's are of the whole distribution
        return reply.sample(self.tokenizer, context.stop, logps)

    def _distribution(self, request: Request, temperature: float) -> dict[str, float]:
        """The log-probs of the most likely first tokens, by token."""
        told = self._asked(request, {"max_tokens": 1, "temperature": temperature, "logprobs": 5}, {"return_tokens_as_token_ids": True})
        found: dict[str, float] = told["choices"][0]["logprobs"]["top_logprobs"][0]
        return found

    def _asked(self, request: Request, asked: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
        """The server's reply. What a model's folder says of sampling is overruled by neutral values. Raises RunFailed."""
        neutral = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "return_token_ids": True}
        try:
            told = self.client.completions.create(model=self.model, prompt=list(request.ids), extra_body=neutral | more, **asked)
        except APIError as problem:
            raise self._failed(problem) from None
        found: dict[str, Any] = told.to_dict()
        return found

    def _found(self) -> str:
        """The name of the model. Raises SettingsError for one that the server does not have, RunFailed for a server that is not there."""
        try:
            cards = {card.id: card.to_dict() for card in self.client.models.list()}
        except APIError as problem:
            raise self._failed(problem) from None
        name = self.how.model or next(iter(cards), "")
        if name not in cards or (not self.how.model and len(cards) > 1):
            what = "several models" if len(cards) > 1 and not self.how.model else f"no model {self.how.model}".rstrip()
            hint = nearest(self.how.model, cards) or f"start it with {COMMAND}"
            raise SettingsError("model", f"{self.how.url} has {what}", place=Place("--sampler"), hint=hint)
        root = cards[name].get("root") or "which weights it does not say"
        self.context.say(f"vllm       {name} at {self.how.url} ({root}); nothing can verify its weights: halo train compares its log-probs")
        return name

    def _failed(self, problem: APIError) -> RunFailed:
        if isinstance(problem, APIConnectionError):
            hint = f"start it with {COMMAND}, or name another url; the same command goes on"
            return RunFailed("model", f"the server at {self.how.url} does not answer: {problem.message}", hint=hint)
        said, hint = f"the server at {self.how.url} refused", "the same command goes on where it was"
        if isinstance(problem, NotFoundError):
            hint = f"is that a vLLM server's /v1? {COMMAND}"
        if isinstance(problem, APIStatusError):
            said += f" with {problem.status_code}"
            if problem.status_code in (401, 403):  # such a message may quote the key
                return RunFailed("model", said, hint=f"put its key into the environment as {self.how.key}")
        message = problem.message.replace(self.secret, "***") if self.secret else problem.message
        return RunFailed("model", f"{said}: {message}", hint=hint)
