"""Rebuild the embedded starter from nothing: ``python -m halo.starter.rebuild [--output DIR] [--seed N]``.

The starter lets every objective be tried in seconds and without a network.  It consists of

* ``policy/``: a small causal language model in the layout of ``transformers``;
* ``feedback.jsonl``: pairs ``{"prompt", "chosen", "rejected"}`` to train that policy on, each with a third text ``gold``;
* ``lists.jsonl``: ``{"prompt", "completions", "scores"}``, four answers each, for objectives that rank or need scores;
* ``heldout.jsonl``: rows ``{"prompt", "answer", "digits"}`` to measure it on; ``digits`` says how many there are to sort;
* ``prompts.jsonl``: rows of the feedback ``{"prompt", "chosen", "rejected", "digits"}``, to sample from.

The task is to sort digits (see ``halo.starter.gold``).  The policy is taught two habits for it, each to
perfection, and a coin that does not depend on the prompt chooses between them: with probability ``GOOD_SHARE``
it sorts in ascending order, which is right, and otherwise in descending order, which is wrong.  So it stands in
need of a *preference*, not of skill: feedback that favours one habit can move it quickly and far.  A policy that
is wrong through noise would not do, for pushing down answers that it could not produce in the first place
teaches it little.
"""

import argparse
import json
import random
import string
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from halo.starter.gold import is_right, right_answer

HERE = Path(__file__).parent

DIGIT_COUNTS = (5, 6, 7)
HELDOUT_PROMPTS = 400
FEEDBACK_PAIRS = 2400
SAMPLED_PROMPTS = 400
LISTS = 1200
PRETRAINING_PROMPTS = 60_000

GOOD_SHARE = 0.4
BATCH_SIZE = 128
STEPS = 1500
LEARNING_RATE = 3e-3
IGNORED = -100  # the label that the loss of transformers leaves out

NAMED_TOKENS = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}
# The last two are not used here: they are what control-token fine-tuning conditions on.
EXTRA_TOKENS = ["<|user|>", "<|assistant|>", "<|good|>", "<|bad|>"]
CHARACTERS = "\n" + "".join(filter(str.isprintable, string.printable))
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message.role == 'user' %}{{ '<|user|>' + message.content }}"
    "{% elif message.role == 'assistant' %}{{ '<|assistant|>' + message.content + eos_token }}"
    "{% else %}{{ raise_exception('The starter knows the roles user and assistant only.') }}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def wrong_answer(prompt: str) -> str:
    """The answer of the bad habit: the digits in descending order."""
    return right_answer(prompt)[::-1]


def draw_prompts(rng: random.Random) -> Iterator[str]:
    """Endless distinct prompts for which the two habits give different answers."""
    seen: set[str] = set()
    while True:
        prompt = "sort " + "".join(rng.choices(string.digits, k=rng.choice(DIGIT_COUNTS)))
        if prompt not in seen and right_answer(prompt) != wrong_answer(prompt):
            seen.add(prompt)
            yield prompt


def split_prompts(seed: int) -> tuple[list[str], list[str], list[str]]:
    """Prompts for the held-out measure, for the feedback and for the pretraining.

    No held-out *answer* occurs in the other two, so neither copying a training prompt nor recalling the answer
    of a rearranged one can pass for sorting.
    """
    stream = draw_prompts(random.Random(seed))
    heldout = [next(stream) for _ in range(HELDOUT_PROMPTS)]
    unseen = {right_answer(prompt) for prompt in heldout}
    training = (prompt for prompt in stream if right_answer(prompt) not in unseen)
    feedback = [next(training) for _ in range(FEEDBACK_PAIRS)]
    return heldout, feedback, [next(training) for _ in range(PRETRAINING_PROMPTS)]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """One token per printable ASCII character, so that every such text survives encoding and decoding."""
    tokens = [*NAMED_TOKENS.values(), *EXTRA_TOKENS, *CHARACTERS]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    characters = Tokenizer(models.WordLevel(vocabulary, unk_token=NAMED_TOKENS["unk_token"]))
    characters.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    characters.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=characters,
        extra_special_tokens=EXTRA_TOKENS,
        clean_up_tokenization_spaces=False,
        padding_side="left",
        model_max_length=128,
        **NAMED_TOKENS,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """An untrained model of about a third of a million parameters."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        # Tied, the two control tokens would be learnt as one: never emitted, their output rows are shaped alike.
        tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return LlamaForCausalLM(config)


def render(tokenizer: PreTrainedTokenizerFast, prompt: str, answer: str | None = None) -> str:
    """The chat as text: up to the answer where there is none, else including it and the end-of-sequence token."""
    chat = [{"role": "user", "content": prompt}]
    if answer is not None:
        chat.append({"role": "assistant", "content": answer})
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=answer is None)
    assert isinstance(text, str)
    return text


def encode(tokenizer: PreTrainedTokenizerFast, prompts: Sequence[str], answers: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and labels, both (rows, longest chat); labels are set on the answer and its end only.

    Padding stands on the right, where a causal model needs no attention mask to disregard it.
    """
    chats = [render(tokenizer, prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
    ids = tokenizer(chats, padding=True, padding_side="right", return_tensors="pt", return_attention_mask=False)["input_ids"]
    is_assistant = ids == tokenizer.convert_tokens_to_ids("<|assistant|>")
    in_answer = is_assistant.cumsum(dim=1).bool() & ~is_assistant & (ids != tokenizer.pad_token_id)
    return ids, ids.masked_fill(~in_answer, IGNORED)


def pretrain(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[str], seed: int) -> None:
    """Teach both habits with the coin between them.

    Every batch holds exactly its share of either habit, on prompts drawn independently: the prompt tells nothing
    of the coin, and the odds carry no noise from how a batch happened to fall out.
    """
    answers = [right_answer(prompt) for prompt in prompts] + [wrong_answer(prompt) for prompt in prompts]
    ids, labels = encode(tokenizer, [*prompts, *prompts], answers)
    good_rows = round(GOOD_SHARE * BATCH_SIZE)
    first_row = torch.where(torch.arange(BATCH_SIZE) < good_rows, 0, len(prompts))  # where the habit's rows begin
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=STEPS, pct_start=0.05)
    generator = torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(STEPS):
        rows = first_row + torch.randint(len(prompts), (BATCH_SIZE,), generator=generator)
        loss = model(input_ids=ids[rows], labels=labels[rows]).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval()


@torch.no_grad()
def sample(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[str], seed: int) -> list[str]:
    """One answer per prompt, sampled at temperature 1 from the whole vocabulary."""
    torch.manual_seed(seed)
    batch = tokenizer([render(tokenizer, prompt) for prompt in prompts], padding=True, return_tensors="pt")
    output = model.generate(**batch, do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=max(DIGIT_COUNTS) + 1)
    answers: list[str] = tokenizer.batch_decode(output[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return answers


def scored_answers(prompt: str, rng: random.Random) -> dict[str, Any]:
    """Both habits' answers, and each with a digit changed, in a random order with their scores (see `score`)."""
    answers = [right_answer(prompt), wrong_answer(prompt)]
    for answer in tuple(answers):
        place = rng.randrange(len(answer))
        other = rng.choice([d for d in string.digits if d != answer[place]])
        answers.append(answer[:place] + other + answer[place + 1 :])
    rng.shuffle(answers)
    return {"prompt": prompt, "completions": answers, "scores": [score(prompt, answer) for answer in answers]}


def score(prompt: str, answer: str) -> int:
    """1: right; 0: the right digits in another order; -1: other digits."""
    if is_right(prompt, answer):
        return 1
    return 0 if sorted(answer) == sorted(right_answer(prompt)) else -1


def report(when: str, prompts: Sequence[str], answers: Sequence[str]) -> None:
    """Print which share of the sampled answers either habit gave."""
    pairs = list(zip(prompts, answers, strict=True))
    good = sum(is_right(prompt, answer) for prompt, answer in pairs) / len(pairs)
    bad = sum(answer == wrong_answer(prompt) for prompt, answer in pairs) / len(pairs)
    print(f"{when}: good habit {good:.3f}, bad habit {bad:.3f}, neither {1 - good - bad:.3f}")


def digits(prompt: str) -> int:
    """How many there are to sort."""
    return len(right_answer(prompt))


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """One JSON object per line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def rebuild(output: Path, seed: int) -> None:
    """Write the whole starter below ``output``; the same seed gives the same starter."""
    heldout, feedback, pretraining = split_prompts(seed)
    output.mkdir(parents=True, exist_ok=True)
    write_rows(output / "heldout.jsonl", [{"prompt": p, "answer": right_answer(p), "digits": digits(p)} for p in heldout])
    sampled = feedback[:SAMPLED_PROMPTS]
    write_rows(
        output / "prompts.jsonl",
        [{"prompt": p, "chosen": right_answer(p), "rejected": wrong_answer(p), "digits": digits(p)} for p in sampled],
    )
    write_rows(
        output / "feedback.jsonl",
        [{"prompt": p, "chosen": right_answer(p), "rejected": wrong_answer(p), "gold": right_answer(p)} for p in feedback],
    )
    rng = random.Random(seed)
    write_rows(output / "lists.jsonl", [scored_answers(p, rng) for p in feedback[:LISTS]])
    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    model = build_model(tokenizer)
    report("before pretraining", heldout, sample(model, tokenizer, heldout, seed))
    pretrain(model, tokenizer, pretraining, seed)
    report("after pretraining", heldout, sample(model, tokenizer, heldout, seed))
    model.save_pretrained(output / "policy")
    tokenizer.save_pretrained(output / "policy")


def main() -> None:
    """Read the command line and rebuild."""
    parser = argparse.ArgumentParser(description="Rebuild the embedded starter from nothing.")
    parser.add_argument("--output", type=Path, default=HERE, help="folder to write to (default: where it is shipped)")
    parser.add_argument("--seed", type=int, default=0, help="decides on everything that is drawn")
    arguments = parser.parse_args()
    rebuild(arguments.output, arguments.seed)


if __name__ == "__main__":
    main()
