"""What this package supplies. halo imports this module and calls what is marked; a scorer that needs torch imports it when it is built."""

from __future__ import annotations

from pydantic import Field

from halo.plugin import CompletionScorer, Options, hookimpl
from my_scorer.words import NearWords


class Target(Options):
    """What `--scorer my-scorer:words=NUMBER` may say."""

    words: int = Field(20, ge=1, description="words that the best answer has")


@hookimpl
def halo_scorers() -> list[CompletionScorer]:
    meaning = "minus the words that an answer has too many or too few"
    return [CompletionScorer("my-scorer", meaning, NearWords, Target)]
