"""The processes that a launcher started (one, if none did), put together by accelerate. Nothing else of halo knows accelerate's object."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from halo.backends.context import BackendContext
from halo.backends.placement import Placement
from halo.errors import RunFailed


class Launched(Placement):
    """Every process holds the whole policy, and accelerate wraps it. For a subclass `accelerator` is what put the processes together."""

    def __init__(self, context: BackendContext, **more: Any) -> None:
        """`more` goes to accelerate's constructor. Raises RunFailed if the processes do not form one group.

        Plain torchrun on CPUs would give as many runs that know nothing of each other.
        """
        self.context = context
        launched = int(os.environ.get("WORLD_SIZE", "1"))
        if launched > 1 and not _has_gpu():
            os.environ["ACCELERATE_USE_CPU"] = "true"  # a launcher that expects GPUs sets it to false, and accelerate then starts no group
        self.accelerator = _accelerator(context, **more)
        self.size = self.accelerator.num_processes
        if self.size != launched:
            message = f"the launcher started {launched} processes but they form a group of {self.size}"
            raise RunFailed("self-test", message, hint="they would train apart from one another without a word")
        self.rank, self.device = self.accelerator.process_index, self.accelerator.device

    # -- the processes ---------------------------------------------------------------------------------------------

    def gather(self, value: Any) -> list[Any]:
        if self.size == 1:
            return [value]
        from accelerate.utils import gather_object

        return list(gather_object([value]))

    def barrier(self) -> None:
        self.accelerator.wait_for_everyone()

    def open_trackers(self, name: str, settings: Mapping[str, Any]) -> None:
        self.accelerator.init_trackers(name, config=dict(settings))

    def track(self, values: Mapping[str, float], step: int) -> None:
        self.accelerator.log(dict(values), step=step)

    def close_trackers(self) -> None:
        self.accelerator.end_training()

    # -- laid on the devices ---------------------------------------------------------------------------------------

    def prepare(self, scorer: Any, optimizer: Callable[[], Any]) -> None:
        self.module = self.accelerator.prepare(scorer)
        self.optimizer = optimizer()

    def autocast(self) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = self.accelerator.autocast()
        return context

    def no_sync(self) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = self.accelerator.no_sync(self.module)
        return context


def _has_gpu() -> bool:
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
