"""Tokens a second of `halo sample` beside those of plain `generate`, in turns, at one batch: what keyed noise and log-probs cost.

    python benchmarks/sampling.py [FOLDER_OR_HUB_NAME] [--batch 16] [--tokens 48] [--rounds 5]

Without a model, one of SmolLM2-135M's shape with random weights. Both write as many tokens, at temperature 1 from the whole vocabulary.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch

from halo.completions.sampling import Request, SamplerContext
from halo.sampling.plan import noise_key
from halo.sampling.samplers.options import Drawn
from halo.sampling.samplers.writing import Writing

PROMPT, END = 32, 2


def model_of(name: str | None) -> Any:
    """The model, or one of a shape that is known."""
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

    if name:
        return AutoModelForCausalLM.from_pretrained(name).eval()
    torch.manual_seed(0)
    shape = {"vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30}
    heads = {"num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": True, "max_position_embeddings": 2048}
    return LlamaForCausalLM(LlamaConfig(**shape, **heads)).eval()


class Words:
    """Stands for a tokenizer: decoding is not what is measured."""

    def decode(self, ids: list[int], **more: Any) -> str:
        return " ".join(map(str, ids))


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("model", nargs="?")
    for name, default in (("--batch", 16), ("--tokens", 48), ("--rounds", 5)):
        given.add_argument(name, type=int, default=default)
    asked = given.parse_args()
    model, vocabulary = model_of(asked.model), 0
    vocabulary = model.get_output_embeddings().weight.shape[0]
    rows = torch.randint(3, vocabulary, (asked.batch, PROMPT), generator=torch.Generator().manual_seed(0))
    requests = [Request(f"{k:016x}", 0, tuple(row), noise_key(0, str(k), 0), {}) for k, row in enumerate(rows.tolist())]
    context = SamplerContext(lambda: model, Words, (END,), asked.tokens, (), 1, torch.device("cpu"), None)
    ours, ratios = Writing(context, Drawn.model_validate({})), []
    for number in range(asked.rounds + 1):
        begun = time.perf_counter()
        written = sum(len(sample.ids or ()) for sample in ours.sample(requests))
        ours_speed = written / (time.perf_counter() - begun)
        begun = time.perf_counter()
        written = plain(model, rows, asked.tokens)
        plain_speed = written / (time.perf_counter() - begun)
        if number:  # the first round warms up
            ratios.append(ours_speed / plain_speed)
            print(f"halo sample {ours_speed:6.0f} tokens/s   generate {plain_speed:6.0f} tokens/s   ratio {ratios[-1]:.2f}")
    print(f"median ratio {statistics.median(ratios):.2f} of {len(ratios)} rounds")


def plain(model: Any, rows: torch.Tensor, tokens: int) -> int:
    """What transformers does by itself."""
    from transformers import GenerationConfig

    config = GenerationConfig(max_new_tokens=tokens, min_new_tokens=tokens, do_sample=True, top_k=0, eos_token_id=END, pad_token_id=END)
    with torch.no_grad():
        out = model.generate(rows, attention_mask=torch.ones_like(rows), generation_config=config)
    return int((out.shape[1] - PROMPT) * out.shape[0])


if __name__ == "__main__":
    main()
