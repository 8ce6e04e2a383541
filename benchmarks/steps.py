"""What both sides of a comparison measure alike: seconds of every step, peak memory, kernels and host reads of one step.

Imports torch alone, so that it runs in a peer's environment too.
"""

from __future__ import annotations

import itertools
import resource
import time
from typing import Any

import torch

READS = ("aten::_local_scalar_dense", "aten::nonzero")
"""Without a GPU: the operations for which the host would wait for one."""


def synchronize() -> None:
    """Waits until the GPU, if there is one, has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


class StepClock:
    """Told of the end of every step (`tick`): `warmup` steps are forgotten, `steps` are timed, and one more is profiled if asked."""

    def __init__(self, warmup: int, steps: int, profile: bool = False) -> None:
        self.warmup, self.steps, self.profile = warmup, steps, profile
        self.marks: list[float] = []
        self.counts: dict[str, float] = {}
        self._profiler: Any = None
        self._begun = 0.0
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    @property
    def total(self) -> int:
        """Steps that the run must take."""
        return self.warmup + self.steps + int(self.profile)

    def tick(self) -> None:
        """Call it at the end of every step."""
        synchronize()
        self.marks.append(time.perf_counter())
        if self._profiler is not None:
            self._profiler.__exit__(None, None, None)
            self.counts = _counted(self._profiler, self.marks[-1] - self._begun)
            self._profiler = None
        elif self.profile and len(self.marks) == self.warmup + self.steps:
            self._profiler = torch.profiler.profile()
            self._profiler.__enter__()
            self._begun = time.perf_counter()  # what the profiler needs to start belongs to no step

    def seconds(self) -> list[float]:
        """Of each timed step. The first mark closes the first step, so a warm-up of at least one step is needed."""
        edges = self.marks[self.warmup - 1 : self.warmup + self.steps]
        return [after - before for before, after in itertools.pairwise(edges)]

    def report(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {"seconds": self.seconds(), "peak_gb": peak_gb(), **self.counts}


def peak_gb() -> float:
    """GiB: the most that torch held on the GPU since the last reset, or the largest resident size of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _counted(profiler: Any, seconds: float) -> dict[str, float]:
    """Kernels, host reads, and the share of the step in which the GPU was busy (one stream, so kernels do not overlap)."""
    events = profiler.events()
    on_device = [event for event in events if event.device_type == torch.autograd.DeviceType.CUDA]
    if not on_device:
        kernels = [event for event in events if event.name.startswith("aten::") and not event.cpu_children]
        reads = [event for event in events if event.name in READS]
        return {"kernels": len(kernels), "host_reads": len(reads)}
    copies = [event for event in on_device if event.name.startswith(("Memcpy", "Memset"))]
    reads = [event for event in copies if "DtoH" in event.name]
    busy = sum(event.device_time for event in on_device) / 1e6
    return {"kernels": len(on_device) - len(copies), "host_reads": len(reads), "busy": busy / seconds}
