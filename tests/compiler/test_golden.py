"""The generated source of shipped objectives, word for word. HALO_UPDATE_GOLDEN=1 rewrites tests/golden."""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from halo.compiler.pipeline import compile_source
from halo.plugin.objectives import find_objective

FOLDER = Path(__file__).resolve().parent.parent / "golden"
NAMES = (
    "dpo", "ipo", "ipo_mean", "cpo_token_nll", "kto", "kto_concave", "kto_no_reference", "orpo", "orpo_code", "rdpo", "rrhf", "simpo",
    "sft", "csft", "slic_hf_gold", "ppo_offline",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_generated_source(name: str) -> None:
    source, file = compile_source(name, None, find_objective).source, FOLDER / f"{name}.py"
    if os.environ.get("HALO_UPDATE_GOLDEN") == "1":
        file.write_text(source)
    golden = file.read_text() if file.exists() else ""
    difference = difflib.unified_diff(golden.splitlines(), source.splitlines(), str(file), "generated now", lineterm="")
    assert golden == source, "HALO_UPDATE_GOLDEN=1 accepts this:\n" + "\n".join(difference)


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
