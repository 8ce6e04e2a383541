"""`single` and `ddp`: one process, or one for each device under `accelerate launch` or `torchrun`."""

from __future__ import annotations

import os

from halo.backends.context import BackendContext
from halo.backends.launched import Launched
from halo.backends.placement import Placement
from halo.errors import RunFailed


def build_single(context: BackendContext) -> Placement:
    """One process on the best device there is. Raises RunFailed under a launcher of several."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RunFailed("self-test", "the backend is single, but the launcher started several processes", hint="--backend ddp")
    return Launched(context)


def build_ddp(context: BackendContext) -> Placement:
    """As many processes as the launcher started. Raises RunFailed if they do not form one group."""
    return Launched(context)
