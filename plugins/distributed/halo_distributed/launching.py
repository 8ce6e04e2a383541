"""What the launcher's environment must say before a backend of several processes is built."""

from __future__ import annotations

import os

from halo.plugin import Place, RunFailed, SettingsError


def require_several(backend: str) -> None:
    """Raises RunFailed where the launcher started one process, or there was none."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        hint = "torchrun --nproc-per-node 2 -m halo train ..., or --backend single"
        raise RunFailed("self-test", f"the backend {backend} shards over several processes, and there is one", hint=hint)


def refuse(variable: str, values: tuple[str, ...], message: str, hint: str) -> None:
    """Raises SettingsError if `accelerate launch` was configured for what the backend does not do."""
    if os.environ.get(variable, "").lower() in values:
        raise SettingsError("wrong-value", message, place=Place(f"accelerate's configuration ({variable})"), hint=hint)
