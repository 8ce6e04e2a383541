"""Folders that come from somebody else: a run, a model, an adapter, data. Whatever code they hold leaves a file if it is ever run."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
import tiny
import yaml

from halo.cli.main import main
from halo.starter.defaults import POLICY

COMMON = ["--per-device-train-batch-size", "4", "--check", "false", "--use-cpu"]


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """Dead if it exists."""
    return tmp_path / "dead"


def killer(canary: Path) -> str:
    return f"open({str(canary)!r}, 'w').write('ran')\n"


class Pickled:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.canary), "w")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of three steps, with its model and data beside it."""
    shutil.copytree(POLICY, tmp_path / "model")
    given = ["--model", str(tmp_path / "model"), "--data", tiny.few(), "--output-dir", str(tmp_path / "run")]
    assert main(["train", "dpo", *COMMON, *given, "--max-steps", "3", "--save-steps", "1"]) == 0
    return tmp_path / "run"


@pytest.fixture
def elsewhere(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same run on a machine that did not start it."""
    monkeypatch.setenv("HALO_CACHE", str(tmp_path / "another home"))
    return run


def changed(run: Path, **settings: object) -> None:
    file = run / "settings.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **settings}))


def planted(model: Path, canary: Path) -> None:
    """A model, tokenizer and configuration with code of their own, where transformers looks for it."""
    (model / "evil.py").write_text(killer(canary) + "class A: pass\nclass T: pass\nclass C: pass\n")
    for name, auto in (("config.json", {"AutoModelForCausalLM": "evil.A", "AutoConfig": "evil.C"}), ("tokenizer_config.json", {"AutoTokenizer": ["evil.T", "evil.T"]})):
        told = json.loads((model / name).read_text())
        (model / name).write_text(json.dumps({**told, "auto_map": auto}))


# -- a run that somebody else started --------------------------------------------------------------------------------------


def test_a_third_partys_run_may_not_choose_the_model(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "dpo", "--resume", str(elsewhere), "--max-steps", "4"]) == 2
    said = capsys.readouterr().err
    assert "was not started by you on this machine, and names a model itself; give --model" in said
    own = ["--model", str(elsewhere.parent / "model"), "--data", tiny.few()]
    assert main(["train", "dpo", "--resume", str(elsewhere), "--max-steps", "4", *own, "--check", "false", "--resume-anyway"]) == 0


def test_what_runs_code_or_sends_is_not_taken_and_said(elsewhere: Path, canary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed(elsewhere, trust_remote_code=True, report_to=["tensorboard"], backend="ddp")
    model = elsewhere.parent / "model"
    planted(model, canary)
    own = ["--model", str(model), "--data", tiny.few()]
    assert main(["train", "dpo", "--resume", str(elsewhere), "--max-steps", "4", *own, "--check", "false", "--resume-anyway"]) == 0
    out, err = capsys.readouterr()
    assert "its trust_remote_code, report_to, backend are not taken; give --trust-remote-code, --report-to, --backend if you mean them" in out
    assert "Traceback" not in err
    assert not canary.exists()


def test_ones_own_run_keeps_its_settings(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moved = run.rename(run.parent / "moved")  # its settings name no path: these are kept apart
    assert main(["train", "dpo", "--resume", str(moved), "--max-steps", "4", "--check", "false"]) == 0
    assert "not started by you" not in capsys.readouterr().out


# -- code in files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["optimizer.pt", "training_args.bin", "pytorch_model.bin", "scheduler.pt", "rng_state.pth"])
def test_no_pickle_of_a_checkpoint_is_run(name: str, run: Path, canary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its manifest is made to fit, as a third party can."""
    from halo.files.manifest import MANIFEST, read_manifest, write_manifest

    checkpoint = run / "checkpoint-3"
    about = read_manifest(checkpoint)["about"]
    (checkpoint / name).write_bytes(pickle.dumps({"optimizer": Pickled(canary)}))
    (checkpoint / MANIFEST).unlink()
    write_manifest(checkpoint, {"step": 3, "about": about})
    code = main(["train", "dpo", "--resume", str(run), "--max-steps", "4", "--check", "false"])
    assert code == (1 if name == "optimizer.pt" else 0)
    assert "Traceback" not in capsys.readouterr().err
    assert not canary.exists()


def test_no_code_of_a_model_is_run(tmp_path: Path, canary: Path) -> None:
    shutil.copytree(POLICY, tmp_path / "model")
    planted(tmp_path / "model", canary)
    assert main(["train", "dpo", *COMMON, "--model", str(tmp_path / "model"), "--data", tiny.few(), "--max-steps", "1", "--output-dir", str(tmp_path / "run")]) == 0
    assert not canary.exists()


@pytest.mark.parametrize("where", ["attn_implementation", "_attn_implementation", "text_config", "experts_implementation"])
def test_no_kernel_that_a_model_names_is_fetched(
    where: str, tmp_path: Path, canary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a package `kernels` whose every way in is a canary."""
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "__init__.py").write_text(killer(canary) + "def __getattr__(name):\n    return lambda *a, **k: None\n")
    monkeypatch.syspath_prepend(tmp_path)
    shutil.copytree(POLICY, tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    named = {"text_config": {"attn_implementation": {"": "kernels-community/evil"}}}.get(where, "kernels-community/evil")
    file.write_text(json.dumps({**json.loads(file.read_text()), where: named}))
    assert main(["train", "dpo", *COMMON, "--model", str(tmp_path / "model"), "--data", tiny.few()]) == 2
    said = capsys.readouterr().err
    assert "wants code from the hub" in said
    assert "kernels-community/evil; take it out of config.json" in said
    assert not canary.exists()


def test_no_code_of_an_adapter_is_run(tmp_path: Path, canary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    given = [*COMMON, "--data", tiny.few(), "--max-steps", "1"]
    assert main(["train", "dpo", *given, "--use-peft", "--output-dir", str(tmp_path / "adapter")]) == 0
    (tmp_path / "evil.py").write_text(killer(canary) + "class A: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "adapter" / "adapter_config.json"
    told = {"auto_mapping": {"base_model_class": "A", "parent_library": "evil"}, "task_type": None, "custom_modules": {"evil": "evil.A"}}
    base = str(POLICY)
    file.write_text(json.dumps({**json.loads(file.read_text()), **told, "base_model_name_or_path": base}))
    code = main(["train", "dpo", *given, "--model", str(tmp_path / "adapter"), "--output-dir", str(tmp_path / "run")])
    assert code in (0, 2)
    assert "Traceback" not in capsys.readouterr().err
    assert not canary.exists()


def test_no_weights_that_are_a_pickle_are_run(tmp_path: Path, canary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(POLICY, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    (tmp_path / "model" / "pytorch_model.bin").write_bytes(pickle.dumps(Pickled(canary)))
    assert main(["train", "dpo", *COMMON, "--model", str(tmp_path / "model"), "--data", tiny.few()]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not canary.exists()


def test_no_loading_script_of_data_is_run(tmp_path: Path, canary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "pairs"
    folder.mkdir()
    (folder / "pairs.py").write_text(killer(canary))
    (folder / "pairs.pkl").write_bytes(pickle.dumps(Pickled(canary)))
    assert main(["train", "dpo", *COMMON, "--data", str(folder)]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not canary.exists()


TEMPLATES = {
    "the classes of a text": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "the environment of the process": "{{ self.__init__.__globals__.__builtins__.open('{canary}', 'w') }}",
    "a loop without end": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "a text of gigabytes": "{{ 'x' * 9999999999 }}",
    "texts that double": "{% set ns = namespace(t='xxxxxxxx') %}{% for a in range(60) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}{{ ns.t }}",
}


@pytest.mark.parametrize("what", sorted(TEMPLATES))
def test_a_hostile_chat_template_is_one_message(
    what: str, tmp_path: Path, canary: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("halo.limits.SECONDS", 1.0)
    shutil.copytree(POLICY, tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").write_text(TEMPLATES[what].replace("{canary}", str(canary)))
    code = main(["train", "dpo", *COMMON, "--model", str(tmp_path / "model"), "--data", tiny.few(), "--chat-template", "always"])
    said = capsys.readouterr().err
    assert code == 2, said
    assert said.count("halo: ") == 1
    assert "chat template" in said
    assert "Traceback" not in said
    assert not canary.exists()


def test_an_adapter_of_itself_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(POLICY / name, folder)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(folder), "peft_type": "LORA"}))
    (folder / "adapter_model.safetensors").write_bytes(b"")
    assert main(["train", "dpo", *COMMON, "--model", str(folder), "--data", tiny.few()]) == 2
    assert "which is an adapter itself" in capsys.readouterr().err


def test_weights_that_call_themselves_quantised_are_not_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(POLICY, tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    told = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    file.write_text(json.dumps({**json.loads(file.read_text()), "quantization_config": told}))
    assert main(["train", "dpo", *COMMON, "--model", str(tmp_path / "model"), "--data", tiny.few()]) == 2
    assert "says that its weights are quantised, and these cannot be trained" in capsys.readouterr().err
