"""What a server said of one completion, held against what was asked, and as a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from halo.plugin import Request, RunFailed, Sample

UPDATE = "a vLLM server that knows return_token_ids is needed (0.32 does)"


@dataclass(frozen=True)
class Reply:
    """ids: with the one that ended it; logps: of each, in nats; finish: what ended it, as the server says."""

    ids: tuple[int, ...]
    logps: tuple[float, ...]
    finish: Literal["end", "stop", "length"]

    @classmethod
    def of(cls, told: Mapping[str, Any], request: Request, end: Sequence[int]) -> Reply:
        """Raises RunFailed for a reply without ids or log-probs, to another prompt, or of a model that ends with another token."""
        try:
            (choice,) = told["choices"]
            ids = tuple(int(one) for one in choice["token_ids"])
            before = tuple(int(one) for one in choice["prompt_token_ids"])
            logps = tuple(float(one) for one in choice["logprobs"]["token_logprobs"])
            reason, stopped = choice["finish_reason"], choice.get("stop_reason")
        except (KeyError, TypeError, ValueError):
            raise RunFailed("model", "the server's reply holds no token ids with their log-probs", hint=UPDATE) from None
        if before != request.ids:
            message = f"the server read {len(before)} other ids than the {len(request.ids)} of the prompt {request.key}"
            raise RunFailed("model", message, hint="its tokenizer is another, or it adds tokens")
        if len(logps) != len(ids) or reason not in ("stop", "length"):
            message = f"the server gave {len(ids)} ids with {len(logps)} log-probs, ended by {reason!r}"
            raise RunFailed("model", message, hint="the same command goes on")
        ended = reason == "stop" and bool(ids) and ids[-1] in end
        if reason == "stop" and not ended and not isinstance(stopped, str):
            message = f"the server ended a completion with the id {ids[-1] if ids else None}, which ends none here ({list(end)})"
            raise RunFailed("model", message, hint="it serves another model, or has stop tokens of its own")
        if reason == "length":
            return cls(ids, logps, "length")
        return cls(ids, logps, "end" if ended else "stop")

    def sample(self, tokenizer: Any, stop: Sequence[str], logps: tuple[float, ...] | None) -> Sample:
        """Without what a stop text begins with: a token that reaches into it goes whole, so that the text is exactly its ids decoded."""
        said = self.ids[:-1] if self.finish == "end" else self.ids
        text = decoded(tokenizer, said)
        at = min((place for one in stop if (place := text.find(one)) >= 0), default=-1)
        if at < 0:
            return Sample(text, self.finish, self.ids, logps)
        size = len(said)
        while size and len(decoded(tokenizer, said[:size])) > at:
            size -= 1
        return Sample(decoded(tokenizer, said[:size]), "stop", said[:size], logps[:size] if logps is not None else None)


def decoded(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of ids, special tokens written out."""
    text: str = tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return text
