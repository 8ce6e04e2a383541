"""The processes that a launcher started (one, if none did), put together by accelerate. Nothing else of halo knows accelerate's object."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any

from halo.backends.context import BackendContext
from halo.backends.placement import Placement
from halo.backends.watch import Watch
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
        self.watch: Watch | None = None

    # -- the processes ---------------------------------------------------------------------------------------------

    def gather(self, value: Any) -> list[Any]:
        if self.size == 1:
            return [value]
        from accelerate.utils import gather_object

        self._meet()
        return list(gather_object([value]))

    def barrier(self) -> None:
        self._meet()
        self.accelerator.wait_for_everyone()

    def backward(self, outputs: Sequence[Any], grads: Sequence[Any]) -> None:
        self._meet()
        super().backward(outputs, grads)

    @contextmanager
    def watched(self) -> Iterator[None]:
        if self.size == 1:
            yield
            return
        self.watch = Watch(self.rank, self.size, self.context.timeout)
        try:
            yield
        finally:
            self.watch.stop()
            self.watch = None

    def _meet(self) -> None:
        """Before the processes wait for one another."""
        if self.watch is not None:
            self.watch.mark()

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


LATER = 60.0
"""Seconds that the libraries wait longer than the watch, so that it can name who is late."""


def _accelerator(context: BackendContext, **more: Any) -> Any:
    """Raises RunFailed where the processes do not come together."""
    from accelerate import Accelerator
    from accelerate.utils import AutocastKwargs, InitProcessGroupKwargs, ProjectConfiguration
    from torch.distributed import DistError

    precision = AutocastKwargs(cache_enabled=False)  # a packed pass uses each weight once: keeping casts costs memory only
    patience = InitProcessGroupKwargs(timeout=timedelta(seconds=context.timeout + LATER))
    try:
        return Accelerator(
            mixed_precision=context.mixed_precision,
            gradient_accumulation_steps=1,  # halo accumulates itself: accelerate would divide every backward
            log_with=list(context.trackers) or None,
            project_config=ProjectConfiguration(project_dir=context.folder, logging_dir=context.folder),
            cpu=context.cpu,
            kwargs_handlers=[precision, patience],
            **more,
        )
    except DistError as problem:
        message = f"the processes of the launch did not come together: {str(problem).splitlines()[0]}"
        raise RunFailed("self-test", message, hint="look at what the others said, and at MASTER_ADDR and MASTER_PORT") from None
