"""One command for the lm-evaluation-harness: what it is told of a model or an adapter, and, where it is installed, that it answers as halo does."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from halo.cli.main import main
from halo.errors import ModelError, RunFailed, SettingsError
from halo.interop.lm_eval import LmEvalSettings, lm_eval_arguments, run_lm_eval
from halo.starter.defaults import POLICY
from halo.starter.gold import right_answer

HERE = importlib.util.find_spec("lm_eval") is not None


def told(**given: object) -> LmEvalSettings:
    return LmEvalSettings.model_validate({"tasks": "hellaswag,arc_easy", **given})


def test_a_model_is_told_with_its_template() -> None:
    found = lm_eval_arguments(str(POLICY), told(out="results", seed="3", batch_size="8", limit=0.5, num_fewshot=2, device="cpu"))
    assert found == [
        "--model", "hf", "--model_args", f"pretrained={POLICY},dtype=float32", "--tasks", "hellaswag,arc_easy", "--apply_chat_template",
        "--log_samples", "--output_path", "results", "--seed", "3", "--batch_size", "8", "--num_fewshot", "2", "--limit", "0.5",
        "--device", "cpu",
    ]  # fmt: skip
    assert "--apply_chat_template" not in lm_eval_arguments(str(POLICY), told(chat_template=False))


def test_an_adapter_is_told_with_its_base_and_its_own_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "org/base"}))
    found = lm_eval_arguments(str(tmp_path), told(chat_template=False, dtype="bfloat16"))
    assert found[3] == f"pretrained=org/base,peft={tmp_path},tokenizer={tmp_path},dtype=bfloat16"


@pytest.mark.parametrize(
    ("given", "said"), [({"seed": "1,2"}, "one whole number"), ({"batch_size": "many"}, "pattern"), ({"tasks": ""}, "at least 1")]
)
def test_what_the_harness_would_not_take_is_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        told(**given)


def test_a_name_that_it_would_take_apart_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"splits .*at its comma"):
        lm_eval_arguments(f"{tmp_path}/a,b", told(chat_template=False))
    with pytest.raises(ModelError, match="there is no folder"):
        run_lm_eval(f"{tmp_path}/nowhere", told(), print)


@pytest.mark.skipif(HERE, reason="lm_eval is installed")
def test_without_the_harness_the_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SettingsError) as failed:
        run_lm_eval(str(POLICY), told(), print)
    assert f"lm_eval --model hf --model_args pretrained={POLICY},dtype=float32 --tasks hellaswag,arc_easy" in failed.value.message
    assert failed.value.hint == "pip install 'lm_eval[hf]'"


@pytest.mark.skipif(HERE, reason="lm_eval is installed")
@pytest.mark.parametrize("code", [0, 3])
def test_a_harness_on_the_path_is_run(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "lm_eval"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/told\nexit {code}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    if code:
        with pytest.raises(RunFailed, match="lm_eval ended with 3"):
            run_lm_eval(str(POLICY), told(), print)
    else:
        assert run_lm_eval(str(POLICY), told(out="there"), print) == Path("there")
    assert (tmp_path / "told").read_text().splitlines()[:4] == ["--model", "hf", "--model_args", f"pretrained={POLICY},dtype=float32"]


TASK = """
task: halo_sorting
dataset_path: json
dataset_kwargs: {data_files: {test: ROWS}}
test_split: test
output_type: generate_until
doc_to_text: "{{prompt}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: [ZZZ], max_gen_toks: 12, do_sample: false}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
metadata: {version: 1}
"""


@pytest.mark.slow
@pytest.mark.skipif(not HERE, reason="lm_eval is not installed")
def test_the_harness_answers_as_halo_does(tmp_path: Path) -> None:
    """Greedy answers of the embedded policy, by its program and by this one: the same texts."""
    asked, rows = [f"sort {number}" for number in range(10007, 99999, 4999)], tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"prompt": text, "answer": right_answer(text)}) + "\n" for text in asked))
    given = ["--prompts", str(rows), "--sampler", "greedy", "--max-new-tokens", "12", "--use-cpu", "--out", str(tmp_path / "samples")]
    assert main(["sample", *given]) == 0
    said = map(json.loads, (tmp_path / "samples" / "samples.jsonl").read_text().splitlines())
    ours = {row["prompt"]: row["completion"] for row in said}
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "sorting.yaml").write_text(TASK.replace("ROWS", str(rows)))
    settings = told(tasks="halo_sorting", out=str(tmp_path / "results"), include_path=str(tmp_path / "tasks"), device="cpu")
    run_lm_eval(str(POLICY), settings, print)
    (file,) = (tmp_path / "results").rglob("samples_*.jsonl")
    theirs = {row["doc"]["prompt"]: row["resps"][0][0] for row in map(json.loads, file.read_text().splitlines())}
    assert theirs == ours
