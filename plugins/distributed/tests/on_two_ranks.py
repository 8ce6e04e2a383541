"""Several runs one after the other on two processes; before and after each, whether the policy and the reference really are sharded.

Run by torchrun or accelerate launch with a file that lists command lines.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import double  # noqa: F401  (float64 weights compute in float64)

from halo.cli.main import main
from halo.training.run import loop


def assert_sharded(module: Any, what: str) -> None:
    """A pass without a backward leaves embeddings and head whole until they are next needed: `reshard` first."""
    from torch.distributed.fsdp import FSDPModule
    from torch.distributed.tensor import DTensor

    assert isinstance(module, FSDPModule)
    module.reshard()
    for name, parameter in module.named_parameters():
        assert isinstance(parameter, DTensor), f"{what} {name} is whole"
        local = parameter.to_local()
        assert 0 < local.numel() < parameter.numel(), f"{what} {name} is not split: {local.shape} of {parameter.shape}"


def watched(run: Any, observer: Any = None) -> Any:
    """In the place of `halo.training.run.loop.train`."""
    sharded = run.placement.sharded
    if sharded:
        assert_sharded(run.placement.module, "policy")
        reference = getattr(run.reference, "_score", None)
        if reference is not None:
            assert_sharded(reference.scorer, "reference")
        print(f"sharded {run.placement.rank}")
    result = train(run, observer)
    if sharded:
        assert_sharded(run.placement.module, "policy after training")
        for entry in run.placement.optimizer.state.values():
            assert entry["exp_avg"].to_local().numel() < entry["exp_avg"].numel()
    return result


if __name__ == "__main__":
    train, loop.train = loop.train, watched
    for arguments in json.loads(Path(sys.argv[1]).read_text()):
        code = main(arguments)
        if code:
            sys.exit(code)
