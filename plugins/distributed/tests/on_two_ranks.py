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


def logits(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model(torch.tensor([[1, 4, 37, 33, 36, 38, 103, 14]])).logits


def assert_writes_what_was_saved(run: Any) -> None:
    """Put together to write, the policy is the model of the folder; afterwards it lies in parts again."""
    from transformers import AutoModelForCausalLM

    with run.placement.generating(run.model) as model:
        found = logits(model)
    saved = logits(AutoModelForCausalLM.from_pretrained(run.output, dtype=run.model.dtype).eval())
    assert (found - saved).abs().max() <= 1e-12 * saved.abs().max()  # float64, a few thousand additions in another order


def watched(run: Any, observer: Any = None) -> Any:
    """In the place of `halo.training.run.loop.train`."""
    sharded = run.placement.sharded
    if sharded:
        assert_sharded(run.placement.module, "policy")
        reference = getattr(run.reference, "_score", None)
        if reference is not None:
            assert_sharded(reference.scorer, "reference")
        print(f"sharded {run.placement.rank}")
        with run.placement.generating(run.model) as model:  # before any pass of the whole
            logits(model)
        assert_sharded(run.placement.module, "policy that has written")
    result = train(run, observer)
    if sharded:
        assert_writes_what_was_saved(run)
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
