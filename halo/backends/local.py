"""`single` and `ddp`: one process, or one for each device under `accelerate launch` or `torchrun`."""

from __future__ import annotations

import os
from typing import Any

from halo.backends.context import BackendContext
from halo.errors import RunFailed


def build_single(context: BackendContext) -> Any:
    """One process on the best device there is. Raises RunFailed under a launcher of several."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RunFailed("self-test", "the backend is single, but the launcher started several processes", hint="--backend ddp")
    return _accelerator(context)


def grouped(context: BackendContext, **more: Any) -> Any:
    """An Accelerator over as many processes as the launcher started; `more` goes to its constructor.

    Raises RunFailed if they do not form one group: plain torchrun on CPUs would give as many runs that know nothing of each other.
    """
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched > 1 and not _has_accelerator():
        os.environ["ACCELERATE_USE_CPU"] = "true"  # a launcher that expects GPUs sets it to false, and accelerate then starts no group
    accelerator = _accelerator(context, **more)
    if accelerator.num_processes != launched:
        message = f"the launcher started {launched} processes but they form a group of {accelerator.num_processes}"
        raise RunFailed("self-test", message, hint="they would train apart from one another without a word")
    return accelerator


def _has_accelerator() -> bool:
    import torch

    return torch.cuda.is_available()


def _accelerator(context: BackendContext, **more: Any) -> Any:
    from accelerate import Accelerator
    from accelerate.utils import AutocastKwargs, ProjectConfiguration

    return Accelerator(
        mixed_precision=context.mixed_precision,
        gradient_accumulation_steps=1,  # halo accumulates itself: accelerate would divide every backward
        log_with=list(context.trackers) or None,
        project_config=ProjectConfiguration(project_dir=context.folder, logging_dir=context.folder),
        cpu=context.cpu,
        kwargs_handlers=[AutocastKwargs(cache_enabled=False)],  # a packed pass uses each weight once: keeping casts costs memory only
        **more,
    )
