"""Which backend a run takes: the one that was asked for, or what the launcher's environment says."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from halo.errors import Place, PluginError, SettingsError

AUTO = "auto"
LAUNCHED = {"ACCELERATE_USE_FSDP": "fsdp", "ACCELERATE_USE_DEEPSPEED": "deepspeed", "ACCELERATE_USE_MEGATRON_LM": "megatron_lm"}
"""What `accelerate launch` sets, and the backend that is meant."""


def backend_name(asked: str, environment: Mapping[str, str], known: Collection[str]) -> tuple[str, str]:
    """The backend's name and the reason, for the run's output.

    `auto` is what accelerate's launcher was configured for, else `ddp` under a launcher of several processes, else `single`.
    Raises SettingsError if another backend is asked for than the launcher is configured for, PluginError if nothing supplies that one.
    """
    launched = next((name for variable, name in LAUNCHED.items() if environment.get(variable, "").lower() in ("1", "true")), None)
    if launched is not None and asked not in (AUTO, launched):
        message = f"accelerate launch is configured for {launched}, not {asked}"
        hint = f"leave --backend out, or launch with torchrun or another configuration (accelerate config) for {asked}"
        raise SettingsError("wrong-value", message, place=Place("--backend"), hint=hint)
    if launched is not None and launched not in known:
        hint = "the package halo-align-distributed has fsdp and deepspeed"
        raise PluginError("plugin", f"accelerate launch is configured for {launched}, and no plugin supplies that backend", hint=hint)
    if asked != AUTO:
        return asked, "as set"
    if launched is not None:
        return launched, "as accelerate launch is configured"
    launched_processes = environment.get("WORLD_SIZE", "1")
    if not launched_processes.isdecimal():
        message = f"{launched_processes!r} is no number of processes"
        raise SettingsError("wrong-value", message, place=Place("WORLD_SIZE"), hint="unset it: a launcher sets it")
    if int(launched_processes) > 1:
        return "ddp", "the launcher started several processes"
    return "single", "one process"
