"""What this package supplies. Torch, accelerate and deepspeed are imported when a backend is built."""

from __future__ import annotations

from halo.plugin import Backend, BackendContext, Placement, hookimpl


@hookimpl
def halo_backends() -> list[Backend]:
    return [
        Backend("fsdp", "the policy sharded over the processes by FSDP2, under accelerate launch or torchrun", _fsdp),
        Backend("deepspeed", "the policy in a DeepSpeed engine, ZeRO stage 1 to 3, under accelerate launch or torchrun", _deepspeed),
    ]


def _fsdp(context: BackendContext) -> Placement:
    from halo_distributed.fsdp import build

    return build(context)


def _deepspeed(context: BackendContext) -> Placement:
    from halo_distributed.deepspeed import build

    return build(context)
