"""One question to an endpoint. Retries, growing waits, Retry-After and timeouts are the library's; what still fails is told apart here."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError, OpenAI

from halo.plugin import HaloError, Place, RunFailed, SettingsError
from halo_judges.options import Endpoint

GOES_ON = "what was answered is kept: the same command goes on"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LONGEST = 300
"""Characters of an endpoint's words that are shown."""


class Failed(Exception):
    """This question has no reply; another one may have."""


@dataclass(frozen=True)
class Question:
    """messages: as chat completions have them; how: temperature, seed and the like, as the endpoint names them."""

    messages: tuple[Mapping[str, str], ...]
    how: Mapping[str, Any]


@dataclass(frozen=True)
class Reply:
    """finish: as the endpoint says it; tokens_in, tokens_out: as it counted them, 0 where it does not."""

    text: str
    finish: str
    tokens_in: int
    tokens_out: int


class Client:
    """The key is read from the environment when this is made, is sent to the endpoint, and goes nowhere else."""

    def __init__(self, options: Endpoint, flag: str) -> None:
        self.options = options
        place = Place(flag)
        if not options.url:
            hint = f"{flag} NAME:url=http://localhost:8000/v1,model=NAME, or OPENAI_BASE_URL in the environment"
            raise SettingsError("missing-key", "there is no endpoint", place=place, hint=hint)
        if not options.model:
            raise SettingsError("missing-key", "there is no model", place=place, hint="model=NAME, as the endpoint calls it")
        if not NAME.fullmatch(options.key):  # it may be a key itself: it is not quoted
            hint = "export OPENAI_API_KEY=..., or key=NAME for a variable of another name"
            raise SettingsError("wrong-value", "key is the name of an environment variable, never a key", place=place, hint=hint)
        self.secret = os.environ.get(options.key, "")
        self.api = OpenAI(
            base_url=options.url, api_key=self.secret or "none", max_retries=options.retries, timeout=options.timeout
        )  # fmt: skip

    def identity(self, question: Question) -> dict[str, Any]:
        """All that a reply depends on, as far as anybody outside can know."""
        asked = {"url": self.options.url, "model": self.options.model}
        return asked | {"messages": [dict(one) for one in question.messages], "how": dict(question.how)}

    def ask(self, question: Question) -> Reply:
        """Raises Failed, or HaloError where no other question would fare better."""
        messages: Any = [dict(one) for one in question.messages]
        try:
            told = self.api.chat.completions.create(model=self.options.model, messages=messages, **question.how)
        except APIError as problem:
            raise self._failed(problem) from None
        except ValueError as problem:  # a body that is no JSON
            raise Failed(self.clean(f"the endpoint's reply cannot be read: {problem}")) from None
        try:
            choice, used = told.choices[0], told.usage
            counts = (int(used.prompt_tokens or 0), int(used.completion_tokens or 0)) if used else (0, 0)
            return Reply(self.clean(choice.message.content or ""), str(choice.finish_reason), *counts)
        except (AttributeError, IndexError, TypeError):
            raise Failed("the endpoint's reply is no chat completion") from None

    def clean(self, text: str) -> str:
        """Without the key, should an endpoint say it back."""
        return text.replace(self.secret, "***") if self.secret else text

    def _failed(self, problem: APIError) -> Failed | HaloError:
        where = f"{self.options.model} at {self.options.url}"
        if isinstance(problem, APITimeoutError):
            return Failed(f"no reply within {self.options.timeout:g} seconds")
        if isinstance(problem, APIConnectionError):
            hint = f"start it, or name another url; {GOES_ON}"
            return RunFailed("model", f"the endpoint {self.options.url} does not answer", hint=hint)
        if not isinstance(problem, APIStatusError):
            return Failed(self.clean(f"the endpoint's reply cannot be read: {problem.message}"))
        status = problem.status_code
        if status in (401, 403):  # such a message may quote a part of the key
            state = f"the key in {self.options.key}" if self.secret else f"a request without a key: {self.options.key} is not set"
            return SettingsError("model", f"{self.options.url} refused {state} ({status})", place=Place(self.options.key), hint=GOES_ON)
        said = self.clean(f"{status}: {_said(problem.body)}").rstrip(": ")
        if status == 404:
            return SettingsError("model", f"there is no {where}: {said}", hint="url=http://HOST/v1 and model=, as the endpoint calls it")
        if status == 429:
            return RunFailed("model", f"{where} wants no more questions now: {said}", hint=f"wait, or ask with parallel=1; {GOES_ON}")
        return Failed(said)


def _said(body: object) -> str:
    """What an endpoint says of its refusal: the message of a JSON body, or the body."""
    while isinstance(body, Mapping):
        body = next((body[name] for name in ("error", "message", "detail") if name in body), "")
    return str(body or "")[:LONGEST]
