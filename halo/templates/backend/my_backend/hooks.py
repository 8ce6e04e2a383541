"""What this package supplies. halo imports this module and calls what is marked; torch is imported when the backend is built."""

from __future__ import annotations

from halo.plugin import Backend, BackendContext, Placement, hookimpl


@hookimpl
def halo_backends() -> list[Backend]:
    return [Backend("my-backend", "one process, deterministic algorithms only", _build)]


def _build(context: BackendContext) -> Placement:
    from my_backend.deterministic import build

    return build(context)
