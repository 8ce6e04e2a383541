"""`extends:` that points at odd things: one message, soon, that quotes no text of another file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import yaml

from trials.core import Attack, Ground

SECRET = "the secret of another file"
SECONDS = 2.0
Place = Callable[[Ground, Path], str]


def pipe(ground: Ground, home: Path) -> str:
    os.mkfifo(home / "pipe.yaml")
    return "./pipe.yaml"


def loop(ground: Ground, home: Path) -> str:
    """Links, or files, that lead to each other."""
    if ground.rng.random() < 0.5:
        (home / "one.yaml").symlink_to("two.yaml")
        (home / "two.yaml").symlink_to("one.yaml")
    else:
        for one, other in (("one", "two"), ("two", "one")):
            (home / f"{one}.yaml").write_text(f"name: {one}\nextends: ./{other}.yaml\n")
    return ground.rng.choice(["./one.yaml", "one.yaml", "./mine.yaml"])


def chain(ground: Ground, home: Path) -> str:
    """A long row of files, each of which extends the next."""
    count = ground.rng.choice([30, 300])
    for number in range(count):
        (home / f"c{number}.yaml").write_text(f"name: c{number}\nextends: ./c{number + 1}.yaml\n")
    return "./c0.yaml"


def link(ground: Ground, home: Path) -> str:
    """A link that leads out, through a folder or not."""
    target = ground.rng.choice(["/etc/passwd", "../secret.yaml", "/dev/zero", "/dev/stdin", "/proc/self/mem", "/proc/self/environ", "/"])
    (home / "link.yaml").symlink_to(target)
    return "./link.yaml"


def large(ground: Ground, home: Path) -> str:
    with (home / "large.yaml").open("wb") as stream:
        stream.write(f"name: large # {SECRET}\n".encode())
        stream.truncate(ground.rng.choice([1 << 18, 1 << 24, 1 << 34]))
    return "./large.yaml"


def binary(ground: Ground, home: Path) -> str:
    (home / "binary.yaml").write_bytes(ground.rng.randbytes(ground.rng.choice([1, 100, 50_000])) + SECRET.encode())
    return "./binary.yaml"


def text(ground: Ground, home: Path) -> str:
    """A text that is no objective, with a secret where a mistake would be quoted."""
    bodies = [
        f"{SECRET}\n  bad: [", f"name: x\nfeedback: '{SECRET}'\n", f"'{SECRET}': 1\n", f"name: x\nreward: {SECRET}(\n", f"- {SECRET}\n",
        f"name: x\nparameters: {{beta: {{default: '{SECRET}'}}}}\n", f"name: x\nextends: '{SECRET}'\n", f"name: x\n{SECRET}: {SECRET}\n",
        f"name: x\nextends: dpo\nvalue: logsigmoid(z) + {SECRET.replace(' ', '_')}\n", f"a: &{SECRET.replace(' ', '')} 1\n",
    ]  # fmt: skip
    (home / "text.yaml").write_text(ground.rng.choice(bodies))
    return "./text.yaml"


def word(ground: Ground, home: Path) -> str:
    """A name that is none."""
    return ground.rng.choice([
        "", " ", "\0", "./a\0b.yaml", "\x1b[2J", "\x1b[2J.yaml", "./" + "a" * 5000, "a" * 5000, "..", "./..", "/", "~", "~/x.yaml",
        "dpo\n", "-", "--help", "http://example.com/a.yaml", "file:///etc/passwd", "./\u202egpj.yaml", "\ud7ff.yaml", "%00",
        "${HOME}/x.yaml", "mine", "./mine.yaml", "/dev/zero", "/dev/stdin", "/dev/tty", "/proc/self/fd/0", "../secret.yaml",
        "./../secret.yaml",
    ])  # fmt: skip


def kind(ground: Ground, home: Path) -> str:
    """A value that is no text."""
    (home / "mine.yaml").write_text("name: mine\nextends: " + ground.rng.choice([
        "1", "[dpo]", "{a: dpo}", "true", "1e400", "-.inf", "2020-01-01", "!!binary aGk=", "|\n  dpo\n  x",
    ]) + "\n")  # fmt: skip
    return ""


def folder(ground: Ground, home: Path) -> str:
    (home / "folder.yaml").mkdir()
    return "./folder.yaml"


PLACES: tuple[Place, ...] = (pipe, loop, chain, link, large, binary, text, text, word, word, kind, folder)


def carry(ground: Ground) -> None:
    home = ground.folder / "home"
    home.mkdir()
    (ground.folder / "secret.yaml").write_text(SECRET)
    place = ground.rng.choice(PLACES)
    base = place(ground, home)
    if place is not kind:
        (home / "mine.yaml").write_text("name: mine\nextends: " + yaml.safe_dump(base, default_style='"', width=10_000))
    ground.note(f"{place.__name__}: {(home / 'mine.yaml').read_text()[:200]!r}")
    ended = ground.halo("show", str(home / "mine.yaml"), limit=20)
    ground.must(ended.code == 2, f"it ended with {ended.code}: {ended.out[:300]} {ended.err[-1000:]}")
    ground.lives(ended)
    ground.quiet(ended)
    ground.must(ended.computed < SECONDS, f"it computed for {ended.computed:.1f} s")
    for quoted in (SECRET, SECRET.replace(" ", "_"), "root:x", "PATH="):
        ground.must(quoted not in ended.err + ended.out, f"it quotes another file: {ended.err}")


EXTENDS = Attack("extends", 60, carry, few=2)
