"""Generation repeats, and loads nothing heavy. What is generated stands in tests/behaviour/sources."""

from __future__ import annotations

import subprocess
import sys

import pytest

from halo.compiler.pipeline import compile_source
from halo.plugin.objectives import find_objective


def test_generation_is_repeatable() -> None:
    assert compile_source("kto", None, find_objective).source == compile_source("kto", None, find_objective).source


COMMANDS = (["--help"], ["show", "kto"], ["show", "kto", "--stage", "graph"], ["list"], ["schema", "objective"], ["plugins"])


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_nothing_heavy_is_imported(arguments: list[str]) -> None:
    script = (
        "import sys; from halo.cli.main import main; code = main(sys.argv[1:]);"
        "heavy = {'torch', 'transformers', 'accelerate', 'datasets', 'sympy', 'numpy'} & set(sys.modules);"
        "print(sorted(heavy), file=sys.stderr); sys.exit(code or bool(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
