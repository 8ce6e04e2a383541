"""Which backend a run takes, and that processes which form no group never train."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from refusals import refused

from halo.backends import launched
from halo.backends.choosing import backend_name
from halo.backends.context import BackendContext
from halo.builtin import halo_backends
from halo.errors import PluginError, RunFailed, SettingsError

KNOWN = ("single", "ddp", "fsdp", "deepspeed")
FSDP, DEEPSPEED = {"ACCELERATE_USE_FSDP": "true", "WORLD_SIZE": "2"}, {"ACCELERATE_USE_DEEPSPEED": "true"}


@pytest.mark.parametrize(
    ("asked", "environment", "name"),
    [
        ("auto", {}, "single"),
        ("auto", {"WORLD_SIZE": "1"}, "single"),
        ("auto", {"WORLD_SIZE": "2"}, "ddp"),
        ("auto", FSDP, "fsdp"),
        ("auto", DEEPSPEED, "deepspeed"),
        ("auto", {"ACCELERATE_USE_FSDP": "false", "WORLD_SIZE": "2"}, "ddp"),
        ("fsdp", {"WORLD_SIZE": "2"}, "fsdp"),
        ("fsdp", FSDP, "fsdp"),
        ("single", {"WORLD_SIZE": "2"}, "single"),  # which refuses by itself
    ],
)
def test_the_launcher_says_where_nobody_does(asked: str, environment: dict[str, str], name: str) -> None:
    assert backend_name(asked, environment, KNOWN)[0] == name


@pytest.mark.parametrize(("asked", "environment"), [("ddp", FSDP), ("single", FSDP), ("deepspeed", FSDP), ("fsdp", DEEPSPEED)])
def test_another_one_than_the_launchers_is_refused(asked: str, environment: dict[str, str]) -> None:
    with refused(SettingsError, "wrong-value", at="--backend"):
        backend_name(asked, environment, KNOWN)


def test_the_package_that_supplies_it_is_named() -> None:
    with refused(PluginError, "plugin"):
        backend_name("auto", FSDP, ("single", "ddp"))
    with refused(PluginError, "plugin"):
        backend_name("auto", {"ACCELERATE_USE_MEGATRON_LM": "true"}, KNOWN)


def test_processes_without_a_group_never_train(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")  # set on the way: taken back afterwards
    monkeypatch.setattr(launched, "_accelerator", lambda context, **more: SimpleNamespace(num_processes=1))
    context = BackendContext("no", (), "run")
    build = {backend.name: backend.build for backend in halo_backends()}
    with refused(RunFailed, "self-test"):
        build["ddp"](context)
    with refused(RunFailed, "self-test"):
        build["single"](context)


def test_a_number_of_processes_that_is_none_is_named() -> None:
    with refused(SettingsError, "wrong-value", at="WORLD_SIZE"):
        backend_name("auto", {"WORLD_SIZE": "two"}, ["single", "ddp"])
