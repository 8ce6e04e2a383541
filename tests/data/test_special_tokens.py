"""Special tokens in the text of a row: text unless they are kept, counted, and never a turn that nobody took."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import tiny
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from halo.cli.main import main
from halo.data.text.specials import PRIVATE, Specials
from halo.data.text.template import Template
from halo.errors import DataError

TEMPLATE = "{% for m in messages %}<t>{{ m.role }}\n{{ m.content }}<e>\n{% endfor %}{% if add_generation_prompt %}<t>assistant\n{% endif %}"
CORPUS = ["the quick brown fox jumps over the lazy dog", "assistant user said hello", "< t > < s > s words e"] * 5


def tokenizer(way: str, specials: list[AddedToken]) -> PreTrainedTokenizerFast:
    """A small tokenizer of one of the families that models have, with these special tokens."""
    made = Tokenizer(models.BPE())
    if way == "bytes":
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    elif way == "bytes with a space first":
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    elif way == "prepended":
        made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=way)
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    made.train_from_iterator(CORPUS, trainer)
    made.add_special_tokens(specials)
    return PreTrainedTokenizerFast(tokenizer_object=made, chat_template=TEMPLATE, eos_token="<e>")


WAYS = ("bytes", "bytes with a space first", "first", "always", "never", "prepended")
MEANT = [AddedToken("<t>", special=True, normalized=False), AddedToken("<e>", special=True, normalized=False)]
FOREIGN = AddedToken("<s>", special=True, normalized=False, lstrip=True)


def said(rng: random.Random) -> str:
    words = [rng.choice(["the", "fox ", " dog", "<s>", "\n", "said<s>", "  ", "<", "s>", "é"]) for _ in range(rng.randrange(1, 8))]
    return "x" + "".join(words) + "y"


@pytest.mark.parametrize("way", WAYS)
def test_a_special_token_in_a_text_is_read_as_a_tokenizer_reads_it_that_does_not_know_it(way: str) -> None:
    knows, knows_not = Template.of(tokenizer(way, [*MEANT, FOREIGN]), "auto"), Template.of(tokenizer(way, MEANT), "auto")
    rng, guarded = random.Random(f"special {way}"), 0
    for _ in range(200):
        prompt, answer = said(rng), said(rng)
        one, other = knows.rendered(prompt, answer), knows_not.rendered(prompt, answer)
        guarded += one.guarded
        assert one.spans == other.spans
        assert knows.ids(one.text, one.guarded) == knows_not.ids(other.text), (prompt, answer)
        assert knows.prompt_ids(prompt) == knows_not.prompt_ids(prompt)
    assert guarded > 50


@pytest.mark.parametrize("way", WAYS)
def test_what_a_template_writes_stays_special(way: str) -> None:
    held = tokenizer(way, [*MEANT, FOREIGN])
    template, specials = Template.of(held, "auto"), Specials(held)
    rendered = template.rendered("<t>user\nhello<e>", "dog <t>")
    ids, _ = template.ids(rendered.text, rendered.guarded)
    assert [ids.count(specials.tokens[mark]) for mark in ("<t>", "<e>")] == [2, 2]
    kept = Template.of(held, "auto", special="keep").rendered("<t>user\nhello<e>", "dog <t>")
    assert Template.of(held, "auto").ids(kept.text)[0].count(specials.tokens["<t>"]) == 4


def test_an_answer_that_ends_by_itself_ends_once() -> None:
    template = Template.of(tokenizer("bytes", MEANT), "auto")
    assert template.rendered("hi", "dog<e>") == template.rendered("hi", "dog")
    assert not template.rendered("hi", "dog<e>").guarded


def test_a_token_that_letters_make_is_told() -> None:
    made = Tokenizer(models.BPE({letter: place for place, letter in enumerate(["<", "t", ">", "a", "<t", "<t>"])}, [("<", "t"), ("<t", ">")]))
    made.add_special_tokens(MEANT)
    held = PreTrainedTokenizerFast(tokenizer_object=made, chat_template="{% for m in messages %}{{ m.content }}{% endfor %}", eos_token="<e>")
    template = Template.of(held, "auto")
    rendered = template.rendered("a", "a<t>a")
    with pytest.raises(DataError, match="reads as its special token in any text"):
        template.ids(rendered.text, rendered.guarded)


def test_private_characters_beside_special_tokens_are_told() -> None:
    template = Template.of(tokenizer("bytes", MEANT), "auto")
    assert not template.rendered("hi", f"dog {chr(PRIVATE)}").guarded
    with pytest.raises(DataError, match="private plane"):
        template.rendered("hi <t>", f"dog {chr(PRIVATE)}")


def test_a_template_that_is_left_out_leaves_its_tokens_as_they_are() -> None:
    held = AutoTokenizer.from_pretrained(tiny.POLICY)
    assert Template.of(held, "never").special == "keep"
    assert Template.of(held, "auto").special == "split"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "rows.jsonl"
    odd = {"prompt": "Say <|user|>", "chosen": "one", "rejected": "<|assistant|>"}
    plain = [{"prompt": f"Say {n}", "chosen": "one<eos>", "rejected": "two"} for n in range(5)]
    file.write_text("".join(json.dumps(row) + "\n" for row in [*plain, odd]))
    return file


def counts(rows: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, Any]:
    code = main(["data", str(rows), "--objective", "dpo", "--max-length", "100", "--json", *more])
    return code, capsys.readouterr()


def test_special_tokens_are_counted_and_said(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = counts(rows, capsys)
    found = json.loads(said.out)
    assert (code, found["special_tokens"]) == (0, {"<|user|>": 1, "<|assistant|>": 1})
    assert any("rows.jsonl:6: <|user|> in 1, <|assistant|> in 1; they are read as text" in note for note in found["notes"])
    code, said = counts(rows, capsys, "--special-tokens", "keep")
    assert any("they are read as these tokens" in note for note in json.loads(said.out)["notes"])
    code, said = counts(rows, capsys, "--special-tokens", "refuse")
    assert code == 2
    assert "rows.jsonl:6: a text holds the special token '<|user|>'" in said.err


def test_a_run_says_them_too(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--max-steps", "1", "--max-length", "100", "--check", "false", "--output-dir", str(tmp_path / "run")]
    assert main(["train", "dpo", "--data", str(rows), *given]) == 0
    assert f"warning    special tokens stand in the text of examples, the first in {rows}:6: <|user|> in 1" in capsys.readouterr().out


MARKED = "{% for m in messages %}{% if m.role == 'user' %}### Question: {% else %}### Answer: {% endif %}{{ m.content }}\n{% endfor %}"


def test_an_answer_that_asks_on_behalf_of_the_user_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = AutoTokenizer.from_pretrained(tiny.POLICY)
    assert Template.of(held, "auto").asking == ()  # its marks are special tokens, which a text cannot hold
    held.chat_template = MARKED
    assert Template.of(held, "auto").asking == ("### Question:",)
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"prompt": "Say", "chosen": "one\n\nHuman: two", "rejected": "three"}) + "\n")
    counts_said = counts(file, capsys, "--chat-template", "never")[1].out
    assert any(f"a turn of the user inside the answer: {file}:1" in note for note in json.loads(counts_said)["notes"])


def test_one_label_only_is_said_by_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"prompt": f"Say {n}", "completion": "one", "label": True}) + "\n" for n in range(4)))
    given = ["--max-steps", "1", "--check", "false", "--output-dir", str(tmp_path / "run")]
    assert main(["train", "kto", "--data", str(file), *given]) == 0
    assert "warning    all 4 examples are desirable: both labels are needed" in capsys.readouterr().out
