"""Fingerprints of weights: content alone decides, large files are hashed once, adapters stand on their base."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
from refusals import refused

from halo.cli.main import main
from halo.errors import ModelError
from halo.reference import fingerprint
from halo.reference.fingerprint import weights_fingerprint
from halo.starter.defaults import POLICY


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALO_CACHE", str(tmp_path / "cache"))


def copied(to: Path) -> Path:
    return Path(shutil.copytree(POLICY, to))


def edited(folder: Path, name: str = "config.json", **entries: object) -> None:
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | entries))


def flipped(file: Path) -> None:
    """Another file of the same size, its last bit turned."""
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def test_equal_weights_in_another_folder(tmp_path: Path) -> None:
    other = copied(tmp_path / "other")
    edited(other, transformers_version="9.9", _name_or_path="elsewhere", use_cache=False)
    for name in ("optimizer.pt", "training_args.bin", "README.md", "loss.py", "pytorch_model.bin"):  # of a trainer, or not what is loaded
        (other / name).write_bytes(b"x")
    found = weights_fingerprint(str(other))
    assert found == weights_fingerprint(str(POLICY))
    assert len(found) == 64
    assert int(found, 16)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: flipped(folder / "model.safetensors"),
        lambda folder: edited(folder, rms_norm_eps=1e-3),
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
    ],
)
def test_other_weights_another_computation_or_another_form(change: Callable[[Path], None], tmp_path: Path) -> None:
    other = copied(tmp_path / "other")
    change(other)
    assert weights_fingerprint(str(other)) != weights_fingerprint(str(POLICY))


def test_a_large_file_is_read_once_and_again_when_it_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, read = copied(tmp_path / "other"), list[str]()
    weights, real = other / "model.safetensors", fingerprint._hashed
    monkeypatch.setattr(fingerprint, "_hashed", lambda file: read.append(file.name) or real(file))
    first, stat = weights_fingerprint(str(other)), weights.stat()
    assert read == ["model.safetensors"]
    assert weights_fingerprint(str(other)) == first
    assert read == ["model.safetensors"]
    flipped(weights)
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as archives and object stores leave it
    assert weights_fingerprint(str(other)) != first
    assert read == ["model.safetensors"] * 2


def test_a_disk_that_cannot_be_written_remembers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = weights_fingerprint(str(POLICY))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HALO_CACHE", str(tmp_path / "file"))
    assert weights_fingerprint(str(POLICY)) == expected


def test_an_adapter_stands_on_its_base(tmp_path: Path) -> None:
    def adapter(name: str, base: Path, weights: bytes = b"A and B", rank: int = 8) -> str:
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_model.safetensors").write_bytes(weights)
        (tmp_path / name / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base), "r": rank}))
        return weights_fingerprint(str(tmp_path / name))

    base, moved, another = (copied(tmp_path / name) for name in ("base", "moved", "another"))
    flipped(another / "model.safetensors")
    own = adapter("own", base)
    assert own == adapter("same", moved)
    different = [adapter("based", another), adapter("ranked", base, rank=4), adapter("trained", base, b"B and A"), weights_fingerprint(str(base))]
    assert own not in different
    assert len(set(different)) == 4


def test_a_hub_name_is_its_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "hub" / "models--someone--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0123abc")
    (repository / "snapshots").mkdir()
    copied(repository / "snapshots" / "0123abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert weights_fingerprint("someone/tiny") == weights_fingerprint(str(POLICY))
    with refused(ModelError, "not-found"):
        weights_fingerprint("someone/other")


def test_no_weights_are_a_message(tmp_path: Path) -> None:
    with refused(ModelError, "model"):
        weights_fingerprint(str(tmp_path))


def test_no_torch_is_imported() -> None:
    code = f"import sys; from halo.reference.fingerprint import weights_fingerprint as w; w({str(POLICY)!r}); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_says_whose_weights_its_reference_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["train", "dpo", "--max-steps", "1", "--per-device-train-batch-size", "2", "--learning-rate", "1e-3", "--warmup-ratio", "0"]
    run += ["--data", tiny.few()]
    assert main([*run, "--output-dir", str(tmp_path / "first")]) == 0
    assert f", weights {weights_fingerprint(str(POLICY))[:12]}\n" in capsys.readouterr().out
    assert main([*run, "--model", str(tmp_path / "first"), "--output-dir", str(tmp_path / "second")]) == 0
    trained = weights_fingerprint(str(tmp_path / "first"))
    assert f", weights {trained[:12]}\n" in capsys.readouterr().out
    assert trained != weights_fingerprint(str(POLICY))
    assert main([*run, "--reference", "uniform", "--output-dir", str(tmp_path / "third")]) == 0
    assert "weights " not in capsys.readouterr().out.split("reference  ")[1].splitlines()[0]
