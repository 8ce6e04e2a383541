"""Flags and settings files with values at random, extreme and of wrong types: done, or one message and no folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

from halo.training.settings import ALIASES, Settings, is_flag
from trials.core import Attack, Ground

NUMBERS = (
    "0", "-1", "1", "2", "1.5", "1e400", "-1e400", "nan", "inf", "-inf", "1e-400", "9" * 30, "9" * 5000, "-0", "1_0", "0x10", "٣", "½",
    " 1", "1 ", "1e3", "2147483648",
)  # fmt: skip
TEXTS = (
    "", " ", "true", "false", "none", "None", "auto", "yes", "no", "maybe", ",", ",,", "a,b", "=", "a=b", "a=b,a=c", ":", "single:a=1",
    "frozen:", "frozen:a", "-", "@", "a@1", "a@nan", "a@-1", "x" * 3000, "\x1b[31m", "\n", "a\nb", "\t", "\u202e", "\udcff", "\U0001f600",
    "{}", "[]", "{a: 1}", "'", '"', "$HOME", "%s", "{0}", "../..", "float16", "always", "steps",
)  # fmt: skip
PATHS = (
    "/dev/zero", "/dev/stdin", "/dev/null", "/dev/full", "/proc/self/mem", "/proc/self/environ", "/", ".", "..", "~", "./pipe",
    "./zero.jsonl", "./folder", "./folder.jsonl", "./file", "./empty.jsonl", "./nothing", "nothing", "hub/name", "a/b/c",
    "http://example.com/a.jsonl", "./loop.jsonl", "a" * 5000, "./" + "a" * 300,
)  # fmt: skip
ENDLESS = ("max_steps", "num_train_epochs")
"""A large number of these is a long run, and no mistake."""
FEW = ("0", "-1", "-5", "1", "1.5", "nan", "-inf", "", "0x1", "1e-9")
SETS = (
    "beta=0.1", "beta=1e400", "beta=nan", "beta=", "=1", "beta", "beta=-1", "beta=0", "beta=1e-300", "beta=1e300", "gamma=1", "beta=0x1",
    "\x1b[31m=1", "", "beta=9" + "9" * 400,
)  # fmt: skip
ODD = (
    "[]", "{}", "[1, 2]", "{a: b}", "[{path: ./file}]", "[{path: ./empty.jsonl, weight: -1}]", "1.0", "true", "~", "\"\\0\"",
    "\"\\e[2J\"", "2020-01-01",
)  # fmt: skip
"""What YAML makes of these is no text."""
PLACES = ("output_dir", "data", "eval_data", "model_name_or_path", "reference_model_name_or_path", "resume_from_checkpoint")


def things(folder: Path) -> None:
    """What paths may point at."""
    os.mkfifo(folder / "pipe")
    (folder / "zero.jsonl").symlink_to("/dev/zero")
    (folder / "loop.jsonl").symlink_to("loop.jsonl")
    (folder / "folder").mkdir()
    (folder / "folder.jsonl").mkdir()
    (folder / "file").write_text("x")
    (folder / "empty.jsonl").write_text("")


def fitting(ground: Ground, name: str) -> str:
    """A value of the setting's own type."""
    kinds = list(get_args(Settings.model_fields[name].annotation)) or [Settings.model_fields[name].annotation]
    kind = ground.rng.choice(kinds)
    if isinstance(kind, str):
        return kind
    sorts = {bool: ("true", "false"), int: ("0", "1", "2", "3", "64"), float: ("0", "1", "0.5", "1e-5", "0.999")}
    return ground.rng.choice(sorts.get(kind, (
        "none", "auto", "single", "frozen", "uniform", "eager", "sdpa", "train", "pairs", "q_proj", "tensorboard",
    )))  # fmt: skip


def value(ground: Ground, name: str) -> str:
    """For a setting: mostly of its own sort, sometimes not."""
    if name in ENDLESS:
        return ground.rng.choice(FEW)
    if name not in PLACES and ground.rng.random() < 0.5:
        return fitting(ground, name)
    if name in PLACES and ground.rng.random() < 0.7:
        return ground.rng.choice(PATHS)
    return ground.rng.choice(ground.rng.choice([NUMBERS, NUMBERS, TEXTS, PATHS]))


def flags(ground: Ground) -> dict[str, str]:
    """One to three settings by any of their names."""
    names = [*Settings.model_fields, *Settings.model_fields, *ALIASES]
    found = {}
    for _ in range(ground.rng.choice([1, 1, 2, 3, 6])):
        name = ground.rng.choice(names)
        found[ALIASES.get(name, name)] = value(ground, ALIASES.get(name, name))
    return found


def file_text(ground: Ground) -> bytes:
    """A settings file: keys and values at random, or no such thing."""
    rng = ground.rng
    if rng.random() < 0.3:
        return rng.choice([
            b"", b"\0", rng.randbytes(500), b"[" * 5000, b"a" * 300_000, b"- a\n", b"max_steps: &a 1\n",
            b"max_steps: !!python/name:os.system\n", b"\xff\xfe", b"# only this\n", b"1: 2\n", b"max_steps: 1\nmax_steps: 2\n",
            b"max_steps: 1\nmax-steps: 2\n", b"model: a\nmodel_name_or_path: b\n", b"{a: {b: {c: 1}}}", b"seed: \"\\0\"\n",
            b"run_name: \"\\e[31m\"\n",
        ])  # fmt: skip
    lines = []
    for _ in range(rng.choice([1, 2, 4])):
        name = rng.choice([*Settings.model_fields, *ALIASES])
        known = ALIASES.get(name, name)
        if known not in ENDLESS:
            lines.append(f"{name}: {rng.choice([value(ground, known)] * 10 + [*ODD])}\n")
    if rng.random() < 0.15:
        lines.append(rng.choice(["nonsense: 1\n", "\x1b[31m: 1\n"]))
    return "".join(lines).encode("utf-8", "surrogateescape")


def words_of(ground: Ground) -> list[str]:
    """A command line for a run of one step, unless it says otherwise."""
    given: dict[str, str] = {
        "model_name_or_path": str(ground.made.model), "data": str(ground.made.rows), "max_steps": "1", "use_cpu": "true",
        "check": "false",
    }  # fmt: skip
    more: list[str] = []
    if ground.rng.random() < 0.35:
        (ground.folder / "settings.yaml").write_bytes(file_text(ground))
        place = ground.rng.choice(["settings.yaml"] * 8 + [*PATHS])
        more += ["--settings", place]
        ground.note(f"settings: {(ground.folder / 'settings.yaml').read_bytes()[:300]!r}")
    if not more or ground.rng.random() < 0.3:
        given |= flags(ground)
    if ground.rng.random() < 0.2:
        more += ["--set", ground.rng.choice(SETS)]
    if ground.rng.random() < 0.1:
        more.append(ground.rng.choice([
            "--", "-", "--=", "--nonsense", "--nonsense=1", "--help=1", "extra", "--seed", "--Seed=1", "--max--steps=1", "--\x1b[31m=1",
            "--set", "-h1",
        ]))  # fmt: skip
    words = []
    for name, text in given.items():
        dashed = f"--{name.replace('_', ground.rng.choice('-_'))}"
        bare = is_flag(name) and text == "true" and ground.rng.random() < 0.5
        words += [dashed] if bare else ground.rng.choice([[f"{dashed}={text}"], [dashed, text]])
    return [*words, *more]


def carry(ground: Ground) -> None:
    things(ground.folder)
    words = words_of(ground)
    before = sorted(path.name for path in ground.folder.iterdir())
    ended = ground.halo("train", ground.rng.choice(["dpo", "dpo", "dpo", "kto", "sft", "ipo"]), *words)
    ground.lives(ended)
    ground.quiet(ended)
    if ended.code == 2:
        after = sorted(path.name for path in ground.folder.iterdir())
        ground.must(after == before, f"code 2, and {sorted(set(after) - set(before))} was left behind")
        ground.must(list((ground.folder / "folder").iterdir()) == [], "code 2, and something was left in the folder")


SETTINGS = Attack("settings", 120, carry, few=2)
