"""One process in which torch may only use algorithms that give the same bits every time."""

from __future__ import annotations

import os

import torch

from halo.plugin import BackendContext, Launched, Place, Placement, SettingsError


def build(context: BackendContext) -> Placement:
    """The process as the run asks for it. Raises SettingsError under a launcher of several."""
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched > 1:
        message = f"my-backend is one process, the launcher started {launched}"
        raise SettingsError("wrong-value", message, place=Place("--backend"), hint="--backend ddp")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with a workspace of its own
    torch.use_deterministic_algorithms(True)
    return Launched(context)
