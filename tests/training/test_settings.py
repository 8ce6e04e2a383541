"""Every setting says which group of the help it stands in and what it means on resume; the rules of resuming are those."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from halo.cli.main import main
from halo.compiler.pipeline import compile_source
from halo.errors import SettingsError
from halo.plugin.objectives import find_objective
from halo.training.saving.resuming import check_goes_on
from halo.training.settings import FREE, GROUPS, ON_RESUME, SAID, SAME, Settings, about

OTHER: dict[str, Any] = {
    "model_name_or_path": "other", "data": "other.jsonl", "eval_data": "other.jsonl", "data_format": "trl", "data_columns": {"prompt": "q"},
    "data_split": "test", "chat_template": "never", "loss_on": "last", "output_dir": "other", "run_name": "other", "max_length": 7,
    "resume_from_checkpoint": "other", "lora_target_modules": ["q"], "reference": "uniform", "reference_model_name_or_path": "other",
    "backend": "ddp", "lr_scheduler_type": "cosine", "dtype": "bfloat16", "bf16": True, "attn_implementation": "sdpa", "warmup_steps": 3,
    "eval_strategy": "steps", "save_steps": 3, "special_tokens": "keep", "max_steps": 9, "report_to": ["wandb"],
}  # fmt: skip
"""Another value than the default. Switches are turned, and numbers halved or doubled."""


def another(name: str) -> Any:
    default = Settings.model_fields[name].default
    if name in OTHER:
        return OTHER[name]
    if isinstance(default, bool):
        return not default
    return default * 2 if isinstance(default, int) and default > 0 else 0.5


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_setting_says_its_group_and_what_it_means_on_resume(name: str) -> None:
    assert about(name, "group") in GROUPS
    assert about(name, "on_resume") in ON_RESUME


@pytest.mark.parametrize("name", Settings.model_fields)
def test_resuming_does_with_it_what_it_says(name: str, tmp_path: Path) -> None:
    before, after = Settings(), Settings.model_validate({name: another(name)})
    assert getattr(before, name) != getattr(after, name)
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(before.model_dump()))
    said: list[str] = []
    compiled = compile_source("dpo", None, find_objective)
    rule = about(name, "on_resume")
    if rule == SAME:
        with pytest.raises(SettingsError, match=f"the run was started with {name} "):
            check_goes_on(tmp_path, compiled, after, 6, said.append)
    else:
        check_goes_on(tmp_path, compiled, after, 6, said.append)
    assert [line for line in said if f" {name} was " in line] == said
    assert len(said) == (rule == SAID)
    assert rule in (SAME, SAID, FREE)


def test_the_help_has_every_setting_under_its_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    found, group = {}, ""
    for line in capsys.readouterr().out.splitlines():
        if line in GROUPS:
            group = line
        elif group and line.startswith("  --"):
            found[line.split()[0].removeprefix("--").replace("-", "_")] = group
    assert found == {name: about(name, "group") for name in Settings.model_fields}
