"""Many questions: counted and priced first, each asked once, several at a time, and kept as soon as it is answered."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import closing
from typing import Any

from halo.plugin import Place, RunFailed, SettingsError
from halo_judges.client import GOES_ON, Client, Failed, Question, Reply
from halo_judges.kept import Kept
from halo_judges.options import Asked
from halo_judges.verdicts import Unreadable

Say = Callable[[str], None]
EVERY, IN_A_ROW, BYTES = 10.0, 8, 4
"""Seconds between lines of progress; failures one after the other that end a run; bytes of a token, about, in English."""


class Asking:
    """Replies by question. `read` raises Unreadable for a reply that answers nothing: it is not kept, and asked again next time."""

    def __init__(self, options: Asked, name: str, read: Callable[[str], object]) -> None:
        self.options, self.name, self.read = options, name, read
        self.client, self.kept = Client(options, "--scorer"), Kept()
        self.found: dict[str, Reply | str] = {}
        self.unkept = ""

    def question(self, text: str) -> Question:
        """What is asked, in one message."""
        how: dict[str, Any] = {"max_completion_tokens": self.options.max_tokens}
        if self.options.temperature is not None:
            how["temperature"] = self.options.temperature
        return Question(({"role": "user", "content": text},), how)

    def reply(self, question: Question) -> Reply | str:
        """What was answered, or why nothing was."""
        return self.found[self._key(question)]

    def ask(self, questions: Iterable[Question], say: Say) -> None:
        """All that is not known yet. Raises SettingsError where there are more than the limit, RunFailed for an endpoint that is down."""
        new = {key: question for question in questions if (key := self._key(question)) not in self.found}
        if not new:
            return
        for key, question in new.items():
            kept = self.kept.get(self.client.identity(question))
            if kept is not None and not self._unreadable(kept):
                self.found[key] = kept
        left = {key: question for key, question in new.items() if key not in self.found}
        self._announce(len(new), list(left.values()), say)
        if left:
            self._ask_all(left, say)

    def cost(self, replies: Iterable[Reply]) -> float | None:
        """By the price that was given."""
        prices = self.options.prices
        if prices is None:
            return None
        return sum(prices[0] * one.tokens_in + prices[1] * one.tokens_out for one in replies)

    def _announce(self, count: int, left: Sequence[Question], say: Say) -> None:
        size = sum(len(one["content"].encode()) for question in left for one in question.messages) // BYTES
        most = len(left) * self.options.max_tokens
        said = f"{count:,} questions to {self.options.model} at {self.options.url}: "
        said += f"{count - len(left):,} answered before, {len(left):,} to ask"
        if left:
            said += f", about {size:,} tokens in and at most {most:,} out"
        if left and self.options.prices is not None:
            said += f", about {self.options.prices[0] * size + self.options.prices[1] * most:.4g} at most"
        say(f"{self.name:<10} {said}")
        if len(left) > self.options.limit:
            message = f"{len(left):,} questions are to be asked, and limit={self.options.limit} allows no more than that: none was asked"
            raise SettingsError("wrong-value", message, place=Place("--scorer"), hint=f"limit={len(left)}")

    def _ask_all(self, left: dict[str, Question], say: Say) -> None:
        begun = said = time.monotonic()
        fresh, row = list[Reply](), 0
        with closing(self._answered(left)) as answers:
            for done, (key, told) in enumerate(answers, 1):
                self.found[key] = told if isinstance(told, str) else self._unreadable(told) or told
                if isinstance(told, Reply):
                    fresh.append(told)
                row = row + 1 if isinstance(told, str) else 0
                if row == IN_A_ROW:
                    raise RunFailed("model", f"{row} questions failed one after the other, the last with: {told}", hint=GOES_ON)
                if time.monotonic() - said >= EVERY:
                    said = time.monotonic()
                    minutes, seconds = divmod(round((said - begun) / done * (len(left) - done)), 60)
                    say(f"{self.name:<10} {done:,} of {len(left):,} questions, left {minutes}:{seconds:02d}")
        self._account(len(left), fresh, sum(isinstance(self.found[key], str) for key in left), say)

    def _account(self, asked: int, fresh: Sequence[Reply], failed: int, say: Say) -> None:
        cost = self.cost(fresh)
        spent = f"{sum(one.tokens_in for one in fresh):,} tokens in, {sum(one.tokens_out for one in fresh):,} out"
        spent += f", {cost:.4g}" if cost is not None else ""
        say(f"{self.name:<10} {asked:,} asked: {spent}; {failed:,} without a usable reply")
        if self.unkept:
            say(f"{self.name:<10} replies cannot be kept ({self.unkept}): they will be asked again; HALO_CACHE names another folder")

    def _answered(self, left: dict[str, Question]) -> Generator[tuple[str, Reply | str], None, None]:
        """As they come. What ends the run ends all that has not been sent."""
        pool = ThreadPoolExecutor(self.options.parallel)
        try:
            waiting: dict[Future[Reply | str], str] = {pool.submit(self._one, question): key for key, question in left.items()}
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _one(self, question: Question) -> Reply | str:
        """Asked and kept, at once: what was sent when a run ends is kept too."""
        try:
            reply = self.client.ask(question)
        except Failed as problem:
            return str(problem)
        if not self._unreadable(reply):
            try:
                self.kept.put(self.client.identity(question), reply)
            except OSError as problem:
                self.unkept = str(problem.strerror or problem)
        return reply

    def _unreadable(self, reply: Reply) -> str:
        """Why a reply says nothing; empty where it says something."""
        if reply.finish == "length":
            return f"the reply was cut after {self.options.max_tokens} tokens"
        try:
            self.read(reply.text)
        except Unreadable as problem:
            return str(problem)
        return ""

    def _key(self, question: Question) -> str:
        return json.dumps(self.client.identity(question), sort_keys=True)
