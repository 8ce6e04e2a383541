"""A program of somebody's own, in any language: a JSON line for each group goes in, one with scores comes out."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from halo.completions.scoring import ScoreGroup, ScorerContext, Verdict
from halo.errors import Place, RunFailed, SettingsError
from halo.grading.function import checked

SECONDS = 10
"""That a program has to end once there are no more lines."""


class Command:
    """The program runs as long as there are groups; it is started without a shell."""

    def __init__(self, context: ScorerContext) -> None:
        words = shlex.split(str(context.options.run))
        if not words:
            raise SettingsError("wrong-value", "command names no program", place=Place("--scorer"), hint="command:run='python3 score.py'")
        self.name = words[0]
        try:
            self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        except OSError as problem:
            message = f"{self.name} cannot be started: {problem.strerror or problem}"
            raise SettingsError("not-found", message, place=Place("--scorer"), hint="give its path") from None

    def score(self, groups: Sequence[ScoreGroup]) -> list[Verdict]:
        return [self._of(group) for group in groups]

    def close(self) -> None:
        """The program is told that nothing comes any more, and is waited for."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _of(self, group: ScoreGroup) -> Verdict:
        asked = {"prompt": group.prompt, "completions": [one.text for one in group.completions], "columns": dict(group.row)}
        told = self._answer(json.dumps(asked, default=str) + "\n")
        try:
            found: Any = json.loads(told)["scores"]
        except (ValueError, KeyError, TypeError):
            raise RunFailed("plugin", f"{self.name} answered {told[:200]!r}", hint='a line such as {"scores": [0.5, 1]}') from None
        return checked(found, len(group.completions), self.name)

    def _answer(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(line)
            self.process.stdin.flush()
            told = self.process.stdout.readline()
        except BrokenPipeError:
            told = ""
        if not told:
            code = self.process.wait()
            raise RunFailed("plugin", f"{self.name} ended with {code} and gave no answer", hint="what it said stands above")
        return told
