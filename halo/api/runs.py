"""`halo.load_run`: what a run left behind, for a program."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from halo.api.loading import load_objective
from halo.compiler.pipeline import CompiledObjective
from halo.errors import SettingsError
from halo.files.lines import Lines


@dataclass(frozen=True)
class FinishedRun:
    """A run's folder. The model is loaded when it is asked for.

    objective   compiled, its defaults as the run had them; `parameters` are these
    settings    as they stand in the folder: paths of the machine that it ran on are cut to their last part
    metrics     every record of `metrics.jsonl`
    """

    folder: Path
    objective: CompiledObjective
    settings: dict[str, Any]
    metrics: list[dict[str, Any]]

    @property
    def parameters(self) -> dict[str, float]:
        """The objective's, by name."""
        return dict(self.objective.parameters)

    def model(self, **more: Any) -> Any:
        """The trained model, by transformers' `from_pretrained` (an adapter: by peft's), which `more` goes to."""
        if (self.folder / "adapter_config.json").is_file():
            from peft import AutoPeftModelForCausalLM

            return AutoPeftModelForCausalLM.from_pretrained(self.folder, **more)
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM.from_pretrained(self.folder, **more)

    def tokenizer(self) -> Any:
        """The tokenizer, with its chat template."""
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.folder)


def load_run(folder: str | Path) -> FinishedRun:
    """What `halo train` left in a folder. Raises SettingsError where it left nothing."""
    path = Path(folder)
    wanted = [path / name for name in ("objective.yaml", "settings.yaml")]
    if missing := [file.name for file in wanted if not file.is_file()]:
        hint = "the folder that halo train says at its end"
        raise SettingsError("not-found", f"{path} holds no run: it has no {' and no '.join(missing)}", hint=hint)
    settings = yaml.safe_load(wanted[1].read_text(encoding="utf-8"))
    return FinishedRun(path, load_objective(wanted[0]), settings, list(Lines(path / "metrics.jsonl")))
