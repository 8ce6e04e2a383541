"""The gold metric of the embedded task: sampled answers to held-out prompts, exactly right or not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch

from halo.starter.defaults import HELD_OUT
from halo.starter.gold import is_right

PROMPTS = 300
BATCH = 100


@dataclass(frozen=True)
class Gold:
    """share: of exactly right answers; shown: a few (prompt, answer, right)."""

    share: float
    count: int
    shown: list[tuple[str, str, bool]]


@torch.no_grad()
def gold(model: Any, template: Any, control: str = "", seed: int = 0, shown: int = 4) -> Gold:
    """Samples one answer at temperature 1 to each of 300 held-out prompts. `control` follows the prompt (CSFT)."""
    prompts = [json.loads(line)["prompt"] for line in HELD_OUT.read_text().splitlines()][:PROMPTS]
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    model.config.use_cache = True  # in training mode as it is: there is no dropout, and other kernels may have no gradient
    answers = [
        answer for start in range(0, len(prompts), BATCH) for answer in _sampled(model, template, prompts[start : start + BATCH], control)
    ]
    torch.set_rng_state(state)
    right = [is_right(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
    return Gold(sum(right) / len(right), len(right), list(zip(prompts, answers, right, strict=True))[:shown])


def _sampled(model: Any, template: Any, prompts: list[str], control: str) -> list[str]:
    tokenizer = template.tokenizer
    rows = [template.prompt_ids(prompt, control=control) for prompt in prompts]
    width = max(map(len, rows))
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows], device=model.device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=model.device)
    out = model.generate(ids, attention_mask=mask, do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=24, pad_token_id=pad)
    return [text.strip() for text in tokenizer.batch_decode(out[:, width:], skip_special_tokens=True)]
