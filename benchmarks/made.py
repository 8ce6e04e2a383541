"""Models, a tokenizer and preference rows made on the spot from a fixed seed, and the work that a step on them cannot avoid.

The rows are random words, one token each, with the token lengths of real pairs (`lengths.json`), so that both sides train on
the same tokens and nothing has to be fetched. Random weights cost the same time as trained ones.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent
EOS, PAD, UNKNOWN = "<eos>", "<pad>", "<unk>"
Lengths = Sequence[tuple[int, int, int]]
"""Tokens of a pair's prompt, chosen and rejected completion; the end-of-sequence token counts."""


@dataclass(frozen=True)
class Size:
    """What a Llama model is made of."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int


SIZES = {
    "1.2B": Size(2048, 16, 32, 8, 8192, 128_256),
    "8B-like": Size(4096, 8, 32, 8, 14_336, 128_256),
    "small": Size(256, 4, 8, 4, 1024, 8192),
    "tiny": Size(64, 2, 4, 2, 128, 512),
}


def make_model(size: Size, folder: Path) -> None:
    """Writes a model of bfloat16 weights, untied head and embedding as one matrix, and its tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=size.hidden, num_hidden_layers=size.layers, num_attention_heads=size.heads, num_key_value_heads=size.kv_heads,
        intermediate_size=size.intermediate, vocab_size=size.vocabulary, tie_word_embeddings=True, max_position_embeddings=8192,
        bos_token_id=None, eos_token_id=0, pad_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = LlamaForCausalLM(config)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer(size.vocabulary).save_pretrained(folder)


def tokenizer(vocabulary: int) -> Any:
    """One token for each word t3, t4, ...; the first three ids are special."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {EOS: 0, PAD: 1, UNKNOWN: 2} | {f"t{i}": i for i in range(3, vocabulary)}
    inner = Tokenizer(models.WordLevel(words, unk_token=UNKNOWN))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=EOS, pad_token=PAD, unk_token=UNKNOWN)


def lengths(kind: str, count: int) -> Lengths:
    """`hh`: the lengths of real pairs; `long`: about 300 tokens of prompt and 400 of each completion; `short`: for a quick look."""
    if kind == "hh":
        return [tuple(row) for row in json.loads((HERE / "lengths.json").read_text())][:count]
    middle = {"long": (300, 400, 400), "short": (40, 24, 20)}[kind]
    draw = random.Random(1)
    return [tuple(max(2, round(m * draw.lognormvariate(0, 0.4))) for m in middle) for _ in range(count)]  # type: ignore[misc]


def make_rows(pairs: Lengths, vocabulary: int, file: Path) -> None:
    """Writes one pair a line: {prompt, chosen, rejected}."""
    draw = random.Random(0)

    def words(count: int) -> str:
        return " ".join(f"t{draw.randrange(3, vocabulary)}" for _ in range(count))

    rows = [{"prompt": words(p), "chosen": " " + words(c - 1), "rejected": " " + words(r - 1)} for p, c, r in pairs]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def tokens(pairs: Lengths) -> int:
    """Real tokens, each prompt counted once."""
    return sum(p + c + r for p, c, r in pairs)


def forward_flops(size: Size, pairs: Lengths) -> float:
    """Floating-point operations that a forward pass on these pairs needs: each prompt once, no padding, the head on completion tokens.

    Two for each weight of a layer and token; 4 L d for each query and key that see each other; two for each weight of the head
    and completion token. Norms, rotations and softmax are left out, as is usual.
    """
    head_size = size.hidden // size.heads
    attention = size.hidden * (2 * size.heads + 2 * size.kv_heads) * head_size
    weights = size.layers * (attention + 3 * size.hidden * size.intermediate)
    seen = sum(p * p / 2 + sum(r * p + r * r / 2 for r in tails) for p, *tails in pairs)
    scored = sum(c + r for _, c, r in pairs)
    return 2.0 * weights * tokens(pairs) + 4.0 * size.layers * size.heads * head_size * seen + 2.0 * size.vocabulary * size.hidden * scored


def step_flops(size: Size, pairs: Lengths) -> float:
    """Of a DPO step: the policy forward and backward (two forwards' worth), and a reference forward; nothing is recomputed."""
    return 4.0 * forward_flops(size, pairs)
