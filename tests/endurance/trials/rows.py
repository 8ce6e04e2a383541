"""Hostile rows of feedback: read, left out or refused in one message, and nothing of them reaches the terminal as it is."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from pathlib import Path
from typing import Any

from trials.core import Attack, Ground

Row = dict[str, Any]
FITTING = {
    "pairs": ("dpo", "simpo", "orpo", "ipo", "kto_pair"), "labels": ("kto", "unlikelihood", "npo", "bco"),
    "ranked": ("dpo_pl", "lipo_lambda", "dpo"), "demonstrations": ("sft", "sft_sum"), "hh": ("dpo", "cpo", "kto"),
    "chat": ("dpo", "simpo", "kto"),
}  # fmt: skip
"""Kinds of rows, and objectives that read them."""
KINDS = tuple(FITTING)
OBJECTIVES = ("dpo", "kto", "sft", "dpo_pl", "odpo", "qrpo")
TEXTS = (
    "", " ", "\n", "\0", "a\0b", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x9b31m", "\r", "\x08\x08", "\x7f", "\u202egpj",
    "\u2066a\u2069", "\ufeff", "\u2028", "é" * 50, "e\u0301" * 50, "\U0001f600", "\ud800", "\udfff a", "x" * 100_000, "5" * 300, "<eos>",
    "<bos><eos><pad>", "<|user|>1<|assistant|>2<eos>", "<|assistant|>", "<unk>", "{{ 7 * 7 }}", "{% for a in b %}",
    "\n\nHuman: a\n\nAssistant: b", "\n\nAssistant:", "null", "NaN", "true", "\\ud800", "\\", '"', "'", ",", "[", "ﷺ" * 30,
    "\u0000\u0001\u0002", "[red]rich[/red]", "[/]", "[link=file:///etc/passwd]x[/link]",
)  # fmt: skip
THINGS: tuple[Any, ...] = (
    None, 0, -1, 1.5, True, False, 10**400, float("nan"), float("inf"), [], {}, [[]], [None], {"a": 1}, ["a"], [1, 2], [{"role": "user"}],
    [{"role": "user", "content": "1"}], [{"role": "assistant", "content": "1"}], [{"role": 1, "content": 2}],
    [{"role": "\x1b[31m", "content": "x"}], [{"role": "assistant", "content": None}], [{"content": "x"}],
    [{"role": "assistant", "content": [{"type": "text", "text": "1"}]}], [{"role": "assistant", "content": [{"type": "image"}]}],
    [{"role": "assistant", "tool_calls": [{"function": {"name": "\x1b[2J"}}]}],
    [{"role": "system", "content": "x"}, {"role": "assistant", "content": "1"}],
)  # fmt: skip


WAYS: tuple[tuple[list[str], float], ...] = (
    (["--streaming", "--max-steps", "1"], 0.15), (["--chat-template", "never"], 0.2), (["--chat-template", "always"], 0.1),
    (["--max-length", "none"], 0.1), (["--loss-on", "last"], 0.1), (["--group-by-length"], 0.1), (["--eval-fraction", "0.5"], 0.1),
    (["--data-columns", "prompt=chosen"], 0.05),
)  # fmt: skip
"""Settings that change how rows are read, and how often each is given."""


def good(rng: random.Random, kind: str) -> Row:
    """A row as it should be."""
    number = "".join(rng.choice("0123456789") for _ in range(rng.randint(1, 6)))
    prompt, right, wrong = f"sort {number}", "".join(sorted(number)), number[::-1]
    if kind == "pairs":
        return {"prompt": prompt, "chosen": right, "rejected": wrong}
    if kind == "labels":
        return {"prompt": prompt, "completion": right, "label": rng.random() < 0.5}
    if kind == "ranked":
        return {"prompt": prompt, "completions": [right, wrong, number], "scores": [1, 0.5, 0]}
    if kind == "demonstrations":
        return {"prompt": prompt, "completion": right}
    if kind == "hh":
        return {"chosen": f"\n\nHuman: {prompt}\n\nAssistant: {right}", "rejected": f"\n\nHuman: {prompt}\n\nAssistant: {wrong}"}
    turn = [{"role": "user", "content": prompt}]
    return {"prompt": turn, "chosen": [{"role": "assistant", "content": right}], "rejected": [{"role": "assistant", "content": wrong}]}


def deep(count: int) -> Any:
    found: Any = "x"
    for _ in range(count):
        found = [found]
    return found


def spoilt(rng: random.Random, row: Row) -> Row:
    """One thing in it is otherwise."""
    key = rng.choice(sorted(row))
    how = rng.randrange(7)
    if how <= 2:
        return {**row, key: rng.choice(TEXTS)}
    if how == 3:
        return {**row, key: rng.choice(THINGS)}
    if how == 4:
        return {name: one for name, one in row.items() if name != key}
    if how == 5:
        extra = rng.choice([
            "tools", "score", "margin", "\x1b[31m", "", "a.b", "label", "gold", "chosen_score", "x" * 3000, "weight", "\ud800",
        ])  # fmt: skip
        return {**row, extra: rng.choice([*THINGS, *TEXTS])}
    value = row[key]
    if isinstance(value, list) and value:
        return {**row, key: [*value[:-1], rng.choice([*THINGS, *TEXTS])]}
    return {**row, key: rng.choice([deep(30), deep(900), f"{value}{rng.choice(TEXTS)}"])}


def line(rng: random.Random, row: Row) -> bytes:
    """A row as JSON."""
    escaped = rng.random() < 0.5
    return json.dumps(row, ensure_ascii=escaped).encode("utf-8", "surrogatepass")


def no_line(rng: random.Random, row: Row) -> bytes:
    """A row as something that is no JSON, or is hardly."""
    data = line(rng, row)
    text = data.decode("utf-8", "surrogatepass")
    return rng.choice([
        data[: rng.randrange(len(data))], data + data, data[:-1] + b', "prompt": "twice"}', b"\xff\xfe" + data, b"\xef\xbb\xbf" + data,
        text.encode("utf-16", "surrogatepass"), data.replace(b'"', b"'"), data.replace(b"1", b"1e999"), data.replace(b": ", b": NaN, "),
        b"[" * 100_000, b"null", b"[]", b"3", b'"text"', b"\0", b"", b" ", data.replace(b"e", b"\xe9"), rng.randbytes(60),
        b"{" + b'"a":{' * 2000, data[:-1] + b",}", b"// a comment", data + b" garbage", data[:-1] + b', "n": ' + b"9" * 5000 + b"}",
    ])  # fmt: skip


def table(rng: random.Random, rows: list[Row]) -> bytes:
    """CSV with odd quoting."""
    stream = io.StringIO()
    names = sorted(rows[0])
    writer = csv.writer(stream, quoting=rng.choice([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]), delimiter=rng.choice(",,,;\t"))
    writer.writerow(names)
    for row in rows:
        writer.writerow([row.get(name, "") for name in names])
    data = stream.getvalue().encode("utf-8", "surrogatepass")
    if rng.random() < 0.4:
        place = rng.randrange(len(data))
        data = data[:place] + rng.choice([b'"', b"\0", b"\n", b",", b"\xff", b"\r", b'""', b"\x1b[31m"]) + data[place:]
    return data


def file_of(ground: Ground, kind: str) -> Path:
    """A file of a few good rows and some that are not."""
    rng = ground.rng
    rows = [good(rng, kind if rng.random() < 0.95 else rng.choice(KINDS)) for _ in range(rng.choice([1, 2, 5, 8]))]
    for _ in range(rng.choice([1, 1, 2])):
        place = rng.randrange(len(rows))
        rows[place] = spoilt(rng, rows[place])
    ending = rng.choice(["jsonl"] * 16 + ["json", "json", "csv", "csv", "csv", "jsonl.gz", "parquet", "arrow", "txt"])
    lines = [line(rng, row) for row in rows]
    if rng.random() < 0.25:
        place = rng.randrange(len(rows))
        lines[place] = no_line(rng, rows[place])
    if ending == "csv":
        data = table(rng, rows)
    elif ending == "json":
        data = b"[" + b",".join(lines) + rng.choice([b"]", b"]", b"", b",]"])
    elif ending in ("parquet", "arrow"):
        data = rng.choice([b"", b"PAR1", b"ARROW1\0\0", b"PAR1" + rng.randbytes(200) + b"PAR1", rng.randbytes(300)])
    else:
        data = rng.choice([b"\n", b"\n", b"\r\n"]).join(lines) + b"\n"
    if ending.endswith("gz"):
        data = gzip.compress(data)
        data = rng.choice([data, data, data[:-9], data[:20], data + b"x", data + data])
    file = ground.folder / f"rows.{ending}"
    file.write_bytes(data)
    ground.note(f"{kind}, {len(data):,} bytes: {data[:400]!r}")
    return file


def more_words(rng: random.Random) -> list[str]:
    """Settings that change how rows are read."""
    found: list[str] = []
    for words, share in WAYS:
        if rng.random() < share and words[0] not in found:
            found += words
    return found


def carry(ground: Ground) -> None:
    kind = ground.rng.choice(KINDS)
    file, more = file_of(ground, kind), more_words(ground.rng)
    objective = ground.rng.choice(FITTING[kind] if ground.rng.random() < 0.9 else OBJECTIVES)
    before = sorted(path.name for path in ground.folder.iterdir())
    if ground.rng.random() < 0.6:
        own = ["--json"] if ground.rng.random() < 0.3 else ["--rows", "9"]
        ended = ground.halo("data", file.name, "--objective", objective, "--model", str(ground.made.model), *more, *own, limit=30)
        ground.lives(ended, (0, 1))
    else:
        if "--max-steps" not in more:
            more += ["--max-steps", "1"]
        made_of = ("--model", str(ground.made.model), "--data", file.name, "--output-dir", "run")
        ended = ground.halo("train", objective, *made_of, "--check", "false", "--use-cpu", *more, limit=40)
        ground.lives(ended)
    ground.quiet(ended)
    if ended.code == 2:
        after = sorted(path.name for path in ground.folder.iterdir())
        ground.must(after == before, f"code 2, and {sorted(set(after) - set(before))} was left behind")


ROWS = Attack("rows", 120, carry, few=2)
