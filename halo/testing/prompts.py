"""What a sampler is asked in the kit: a dozen prompts of the embedded policy's, as requests of a run, and what it is built from."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from halo.completions.sampling import Request, Sampler, SamplerContext
from halo.data.formats import FORMATS
from halo.data.reading import Source
from halo.data.text.template import Template
from halo.sampling.plan import Plan, Prompt
from halo.sampling.prompts import read_prompts
from halo.starter.defaults import POLICY
from halo.testing.parts import Given, options_of, policy
from halo.training.model.loading import load_tokenizer
from halo.training.settings import Settings

LONGEST = 7
"""Tokens of a completion: the policy ends some of its answers within them, and others are cut."""
TALK = [{"role": "user", "content": "sort 31"}, {"role": "assistant", "content": "13"}, {"role": "user", "content": "sort 8264"}]
ASKED: tuple[Any, ...] = (
    "sort 9", "sort 62", "sort 417", "sort 7710", "sort 41056", "sort 449405", "sort 5913731", "sort 90210", "sort 33625", "sort 742547",
    [{"role": "user", "content": "sort 12"}], TALK,
)  # fmt: skip
ROWS = tuple({"prompt": prompt, "chosen": f"good {k}", "rejected": f"bad {k}", "topic": "digits"} for k, prompt in enumerate(ASKED))
"""Of different lengths, two of them conversations; with two columns that hold completions."""


@cache
def own_template() -> Template:
    """The embedded policy's tokenizer with the chat template that it was trained with."""
    return Template.of(load_tokenizer(str(POLICY), Settings.model_validate({})), "auto")


def prompts_of(rows: Sequence[Mapping[str, Any]], sampler: Sampler) -> list[Prompt]:
    """The rows as `halo sample` reads them from a file: with ids where a model writes. Raises HaloError for rows that it would refuse."""
    with tempfile.TemporaryDirectory() as folder:
        file = write_rows(Path(folder) / "rows.jsonl", rows)
        source = Source.model_validate({"path": str(file)})
        return read_prompts(source, FORMATS, own_template() if sampler.writes else None, None, lambda line: None).kept


def write_rows(file: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """The file, filled."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def requests(sampler: Sampler, rows: Sequence[Mapping[str, Any]] = ROWS, count: int = 2, seed: int = 0) -> list[Request]:
    """What a run asks a sampler for, in its order: `count` completions of each row's prompt, the embedded tokenizer's ids."""
    plan = Plan(prompts_of(rows, sampler), count, count * len(rows), seed, sampler.together)
    return [request for part in range(plan.parts) for batch in plan.batches(part) for request in batch]


def sampler_context(sampler: Sampler, options: Given = "", **more: Any) -> SamplerContext:
    """What a run gives a sampler to build from, the embedded policy as its model; `options` as typed after `--sampler name:`.

    more  what is to be otherwise, such as stop=("7",): at most 7 tokens, no stop text and two completions of a prompt
    """
    tokenizer = own_template().tokenizer
    end, device = (tokenizer.eos_token_id,), torch.device("cpu")
    given = options_of(sampler, options)
    context = SamplerContext(_writing, lambda: tokenizer, end, LONGEST, (), 2, device, given, lambda line: None)
    return replace(context, **more)


def _writing() -> Any:
    model = policy().eval()
    model.config.use_cache = True
    return model
