"""Shipped objectives, changed at random by bytes, lines, numbers, words and YAML's own tricks: shown, checked, and nothing of them run."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

from halo.plugin.objectives import shipped_folder
from trials.core import Attack, Ground

NUMBERS = (
    "0", "-0", "1e308", "1e400", "-1e400", "1e-400", "9" * 299, "9" * 4000, ".inf", ".nan", "1_000", "0x10", "010", "1:30", "1/0",
    "10**9", "2**64", "٣", "½", "1e", "--1", "+1", "1.", ".1", "true", "null", "''", "0.1e-300", "4300.00001",
)  # fmt: skip
TOKENS = (
    "+", "-", "*", "/", "**", "(", ")", ",", "<", ">=", "==", "=", ":=", "z", "reward", "logp", "ref_logp", "chosen.reward",
    "rejected.logp", "mismatched.reward", "beta", "sum", "mean", "batch_mean", "stop", "log", "exp", "where", "max", "kl", "1", "0",
    "1e9", "None", "lambda: 0", "[0]", "{0}", "'a'", "f'{1}'", "not", "if", "\\", "#", "__import__('os').system('touch {dead}')",
    "().__class__.__mro__", "open('{dead}', 'w')", "logp.__class__", "exec", "breakpoint()", "print(1)", "reward()", "sum(sum(logp))",
)  # fmt: skip
ODD = (
    "\0", "\x1b[31m", "\x07", "\x85", "\u2028", "\u202e", "\u200b", "\ufeff", "\ud7ff", "\U0001f600", "\t", "\r", "\x7f", "\xa0", "ﬁ",
    "İ",
)  # fmt: skip
TRICKS = (
    "!!python/object/apply:os.system ['touch {dead}']", "!!python/object/new:os.system ['touch {dead}']", "!!python/name:os.system",
    "!!python/module:os", "!!binary aGFsbw==", "!!set {a, b}", "!custom x", "&a [1, 2]", "*a", "{<<: {a: 1}}", "!!int 'x'", "? [a, b]",
    "- - - - -", "{a: {b: [}", "%YAML 9.9", "--- a\n--- b", "\"\\e[2J\"", "\"\\x07\"", "\"\\0\"",
    "\"a\\nimport os; os.system('touch {dead}')\"", "'\"\"\"\nimport os'", "|\n  a\n  b", ">-\n  a",
)  # fmt: skip
LATIN = "aeopcxyiEHKMT()-*"
LIKE = str.maketrans(LATIN, "\u0430\u0435\u043e\u0440\u0441\u0445\u0443\u0456\u0415\u041d\u041a\u041c\u0422\uff08\uff09\u2212\u2217")
"""Letters and signs that look alike."""

Change = Callable[[random.Random, str], str]


def somewhere(rng: random.Random, text: str, what: str, instead: str) -> str:
    """One match of a pattern is replaced, where there is one."""
    found = list(re.finditer(what, text, re.M))
    if not found:
        return text
    one = rng.choice(found)
    return text[: one.start()] + instead + text[one.end() :]


def line(rng: random.Random, text: str) -> str:
    """A line goes, stands twice, or changes places with another."""
    lines = text.splitlines(keepends=True)
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    how = rng.randrange(4)
    if how == 0:
        del lines[first]
    elif how == 1:
        lines.insert(second, lines[first])
    elif how == 2:
        lines[first], lines[second] = lines[second], lines[first]
    else:
        lines[first] = rng.choice(["  ", "\t", "- ", "    "]) + lines[first]
    return "".join(lines)


def number(rng: random.Random, text: str) -> str:
    return somewhere(rng, text, r"(?<![\w.])\d[\d.e-]*", rng.choice(NUMBERS))


def token(rng: random.Random, text: str) -> str:
    return somewhere(rng, text, r"\w+|[-+*/(),<>=]", rng.choice(TOKENS))


def key(rng: random.Random, text: str) -> str:
    """A key is called otherwise."""
    known = re.findall(r"^(\w+):", text, re.M)
    return somewhere(rng, text, r"^\w+(?=:)", rng.choice([
        *known, "", "?", "name ", "extends", "terms", "let", "regularizers", "statistics", "columns", "roles", "expect", "nonsense", "1",
        "null",
    ]))  # fmt: skip


def value(rng: random.Random, text: str) -> str:
    """What stands after a key is something else."""
    return somewhere(rng, text, r"(?<=: ).+$", rng.choice([
        *TRICKS, *NUMBERS, "[]", "{}", "~", "[" * 30, "{a: " * 30, "[" * 3000, "(" * 60 + "z" + ")" * 60, "(" * 1900, "-" * 500 + "z",
        "z+" * 900 + "z", "a" * 150_000,
    ]))  # fmt: skip


def odd(rng: random.Random, text: str) -> str:
    place = rng.randrange(len(text) + 1)
    return text[:place] + rng.choice(ODD) + text[place:]


def alike(rng: random.Random, text: str) -> str:
    place = rng.randrange(len(text))
    return text[:place] + text[place : place + rng.choice([1, 5, 50])].translate(LIKE) + text[place + 50 :]


def trick(rng: random.Random, text: str) -> str:
    place = rng.choice([0, len(text), text.find(": ") + 2])
    return text[:place] + rng.choice(TRICKS) + rng.choice(["", "\n"]) + text[place:]


def bomb(rng: random.Random, text: str) -> str:
    """Anchors that double, or lets that do."""
    if rng.random() < 0.5:
        return "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40)) + text
    count = rng.choice([5, 40, 400])
    return text + "let: {b0: sum(logp)" + "".join(f', b{i}: "b{i - 1} {rng.choice("+*-")} b{i - 1}"' for i in range(1, count)) + "}\n"


def plain(rng: random.Random, text: str) -> str:
    """A number that may well stand there."""
    return somewhere(rng, text, r"(?<![\w.])\d[\d.e-]*", rng.choice(["0", "0.5", "1", "2", "3", "7", "0.001", "-1"]))


def wrapped(rng: random.Random, text: str) -> str:
    """A formula within another one."""
    found = re.findall(r"^(?:reward|value|margin|normalizer|weight|constant|reference_point): ([^{\n#]+)$", text, re.M)
    if not found:
        return text
    formula = rng.choice(found)
    around = rng.choice([
        "tanh({})", "stop({})", "2*({})", "({}) + 1", "log(1 + exp({}))", "min(({}), 0)", "-({})", "exp({})", "({})**3", "1/({})",
    ])  # fmt: skip
    return text.replace(f": {formula}\n", f": {around.format(formula)}\n", 1)


def word(rng: random.Random, text: str) -> str:
    """A word that stands for another one of the file."""
    return somewhere(rng, text, r"\b[a-z_]{3,}\b", rng.choice(re.findall(r"\b[a-z_]{3,}\b", text)))


def prose(rng: random.Random, text: str) -> str:
    """An odd sign in what a person reads."""
    shown = rng.choice([
        "\\e[31m", "\\x07", "\\0", "\\u202e", "\\x85", "\\u2028", "\\n# ", '\\"\\"\\"', "\\n\\nimport os; os.system('touch {dead}')\\n",
        "{{ 7 }}", "<b>", "$x$", "[red]",
    ])  # fmt: skip
    return somewhere(rng, text, r"^title: .*$", f'title: "a{shown}b"')


WILD: tuple[Change, ...] = (line, number, token, token, key, value, value, odd, alike, trick, bomb)
MILD: tuple[Change, ...] = (plain, plain, wrapped, wrapped, word, prose, line)
NAMES = (
    *["mine.yaml"] * 8, "a b.yaml", "'.yaml", "\x1b[31mred.yaml", "a\nimport os; os.system('touch {dead}')#.yaml", '""".yaml',
    "a\rb.yaml", "\u202egpj.yaml",
)  # fmt: skip


def changed(ground: Ground) -> Path:
    """A shipped objective after one to three changes, or with flipped bytes."""
    rng, dead = ground.rng, str(ground.folder / "dead")
    source = rng.choice(sorted(shipped_folder().glob("*.yaml")))
    text = source.read_text()
    ground.note(f"of {source.name}")
    changes = rng.choice([MILD, MILD, WILD])
    for _ in range(rng.choice([1, 1, 2, 3])):
        change = rng.choice(changes)
        text = change(rng, text)
        ground.note(f"  {change.__name__}")
    data = bytearray(text.replace("{dead}", dead).encode())
    if rng.random() < 0.1:
        for _ in range(rng.choice([1, 3, 20])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        ground.note("  flipped bits")
    name = rng.choice(NAMES).replace("{dead}", dead.replace("/", "\u2215"))
    (ground.folder / name).write_bytes(data)
    return ground.folder / name


WAYS = (
    ("--stage", "objective"), ("--stage", "graph"), ("--stage", "source"), ("--format", "latex"), ("--format", "unicode"),
    ("--format", "md"),
)  # fmt: skip


def carry(ground: Ground) -> None:
    file = changed(ground)
    ended = ground.halo("show", str(file), *ground.rng.choice(WAYS), limit=20)
    ground.lives(ended)
    ground.quiet(ended)
    if ended.code == 0 and ground.rng.random() < 0.3:
        checked = ground.halo("check", str(file), limit=200)
        ground.lives(checked, (0, 1))
        ground.quiet(checked)
    if ended.code == 0 and ground.rng.random() < 0.5:  # the torch function is run
        more = ("--max-steps", "1", "--check", "false", "--use-cpu", "--output-dir", str(ground.folder / "run"))
        trained = ground.halo("train", str(file), "--model", str(ground.made.model), "--data", str(ground.made.rows), *more)
        ground.lives(trained)
        ground.quiet(trained)
    ground.must(not (ground.folder / "dead").exists(), "something of it was run")
    ground.must(not (Path.cwd() / "dead").exists(), "something of it was run")


OBJECTIVES = Attack("objectives", 120, carry, few=2)
