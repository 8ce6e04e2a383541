"""A run as `halo train` assembles it, on the embedded policy, before its first step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from halo.compiler.pipeline import compile_source
from halo.plugin.objectives import find_objective
from halo.starter.defaults import FEEDBACK, POLICY
from halo.training.run.assembly import assemble
from halo.training.run.run import Run
from halo.training.settings import Settings


def assembled(folder: Path, objective: Any = "dpo", rows: str = "", **settings: Any) -> Run:
    """Of four examples a step, of the embedded pairs or of the lines that are given."""
    (folder / "rows.jsonl").write_text(rows or "".join(FEEDBACK.read_text().splitlines(keepends=True)[:32]))
    common = {"model_name_or_path": str(POLICY), "data": str(folder / "rows.jsonl"), "backend": "single", "use_cpu": True, "max_steps": 6}
    compiled = compile_source(objective, None, find_objective)
    return assemble(compiled, Settings.model_validate({**common, "learning_rate": 1e-3, **settings}), lambda line: None)
