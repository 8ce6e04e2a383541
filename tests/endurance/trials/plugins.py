"""A plugin that raises, exits, prints and returns nonsense: `halo plugins` names it, and everything else lives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from trials.core import Attack, Ground
from trials.processes import Ended

ODD = """
class Odd(Exception):
    def __str__(self):
        raise ValueError("no text")
class Loud(Exception):
    def __str__(self):
        return "\\x1b[31mred\\x07\\n\\r\\x00" * 50
class Number(Exception):
    def __str__(self):
        return 3
class Base(BaseException):
    pass
class Nameless(Exception):
    __module__ = None
Nameless.__name__ = "\\x1b[31mX"
Nameless.__qualname__ = "\\x1b[31mX"
def deep(n=0):
    return deep(n + 1)
class Liar(list):
    def __iter__(self):
        raise SystemExit(3)
class Hidden:
    @property
    def name(self):
        raise RuntimeError("no name")
    def __repr__(self):
        raise KeyboardInterrupt
"""
RAISES = (
    "raise SystemExit({code})", "raise SystemExit('bye')", "raise KeyboardInterrupt", "raise GeneratorExit", "deep()", "raise Odd()",
    "raise Loud()", "raise Number()", "raise Base('x')", "raise Nameless('x')", "raise MemoryError()", "raise ImportError('\\x1b[2J')",
    "1 / 0", "raise StopIteration", "raise ExceptionGroup('g', [Odd()])", "raise BaseExceptionGroup('g', [KeyboardInterrupt()])",
    "import nothing_like_it", "raise OSError(28, 'full')", "raise BrokenPipeError", "raise UnicodeDecodeError('utf-8', b'a', 0, 1, 'x')",
    "raise AssertionError", "raise NotImplementedError('x' * 100000)", "import sys; sys.exit()",
    "import warnings; warnings.warn('\\x1b[31mwarn')\n    raise RuntimeError", "raise RecursionError", "raise TimeoutError('x')",
    "raise EOFError", "raise SyntaxError('a', ('f', 1, 2, 'x'))",
)  # fmt: skip
SPOKEN = "\x1b[31mthe plugin speaks\x07"
PRINTS = (
    f"print({SPOKEN!r})", f"import sys; sys.stderr.write({SPOKEN!r} + '\\n')", "import sys; sys.stdout = None",
    "import sys; sys.stderr = None",
)  # fmt: skip
"""What a plugin says itself may stand on stderr; it is no part of halo's answer."""
RETURNS = (
    "None", "3", "'text'", "[None]", "[3]", "['text']", "[Odd()]", "{}", "()", "iter([])", "Liar([1])", "[Hidden()]", "[[]]", "deep",
    "type", "[object()] * 100000", "(x for x in [1 / 0])", "[Exception]", "[__import__('pathlib').Path('/nowhere')]",
    "[__import__('pathlib').Path('\\0')]", "[__import__('pathlib').Path('/dev/zero')]", "[__import__('pathlib').Path('a' * 5000)]",
)  # fmt: skip
HOOKS = ("halo_data_formats", "halo_reference_strategies", "halo_backends", "halo_objective_folders", "halo_commands")


def module(ground: Ground) -> tuple[str, str]:
    """The text of the module, and where it goes wrong: `import`, or a hook."""
    rng = ground.rng
    prints = rng.choice(PRINTS) if rng.random() < 0.4 else "pass"
    raises = rng.choice(RAISES).replace("{code}", rng.choice([
        "0", "1", "2", "3", "255", "256", "-1", "None", "True", "10**30", "'x'", "[]",
    ]))  # fmt: skip
    if rng.random() < 0.4:
        return f"{ODD}\nif True:\n    {prints}\n    {raises}\n", "import"
    hook = rng.choice(HOOKS)
    does = raises if rng.random() < 0.5 else f"return {rng.choice(RETURNS)}"
    name = hook if rng.random() < 0.9 else rng.choice([f"{hook}s", "halo_nothing", "halo_"])
    given = rng.choice(["", "", "", "", "config", "*all"])
    return f"from halo.plugin import hookimpl\n{ODD}\n@hookimpl\ndef {name}({given}):\n    {prints}\n    {does}\n", hook


def installed(ground: Ground, text: str) -> Path:
    """A distribution as pip leaves it."""
    site = ground.folder / "site"
    told = site / "halo_align_extra-1.0.dist-info"
    told.mkdir(parents=True)
    (site / "extra_of_a_test.py").write_text(text)
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: halo-align-extra\nVersion: 1.0\n")
    (told / "entry_points.txt").write_text("[halo]\nextra = extra_of_a_test\n")
    return site


def asked(ground: Ground, site: Path, *words: str) -> Ended:
    """What halo answers; what the plugin itself says on stderr is left out."""
    found = ground.halo(*words, limit=30, environment={"PYTHONPATH": str(site)})
    ended = replace(found, err=found.err.replace(SPOKEN, ""))
    ground.must("Traceback" not in ended.err, f"a traceback: {ended.err[-1500:]}")
    ground.must("the plugin speaks" not in ended.out, f"what the plugin prints is part of the answer: {ended.out[:500]}")
    ground.quiet(ended)
    if ended.code:
        ground.lives(ended)
    return ended


def carry(ground: Ground) -> None:
    text, where = module(ground)
    ground.note(text.partition(ODD)[2])
    site = installed(ground, text)
    ended = asked(ground, site, "plugins")
    ground.must("extra" in ended.out + ended.err, f"the plugin is not named: {ended.out} {ended.err}")
    ground.must("builtin" in ended.out, f"the others are not listed: {ended.out} {ended.err}")
    for words in (("list",), ("show", "dpo"), ("--help",)):
        ended = asked(ground, site, *words)
        may_refuse = where != "import" and words != ("--help",)
        ground.must(ended.code == 0 or may_refuse, f"{words[0]} ended with {ended.code}: {ended.err[-800:]}")
        ground.must(ended.code == 0 or "extra" in ended.err, f"the plugin is not named: {ended.err}")


PLUGINS = Attack("plugins", 60, carry)
