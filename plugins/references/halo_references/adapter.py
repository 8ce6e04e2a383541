"""The reference is the policy without its adapter, or with the adapter that it started from: no second copy of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from halo.plugin import Place, ReferenceContext, SettingsError

START = "reference"
"""peft's name of the adapter that the policy started from, kept beside the trained one."""


class AdapterReference:
    """Scores with the policy's own weights while its adapter is off, or replaced by the one it started from."""

    def __init__(self, context: ReferenceContext) -> None:
        self._model, self._policy, self._name = context.policy_model, context.policy, context.name
        if not hasattr(self._model, "disable_adapter") or self._policy is None:
            message = "the policy has no adapter that could be switched off"
            raise SettingsError("wrong-value", message, place=Place("--reference"), hint="--use-peft, or --reference frozen")
        self._started_trained = (Path(self._name) / "adapter_config.json").is_file()
        if self._started_trained:
            (self._trained,) = self._model.active_adapters
            try:
                self._model.load_adapter(self._name, START, is_trainable=False)
            except ValueError as problem:  # an adapter with biases cannot lie beside another
                raise SettingsError("wrong-value", str(problem), place=Place("--reference"), hint="--reference frozen") from problem

    @contextmanager
    def _as_it_started(self) -> Iterator[None]:
        if not self._started_trained:
            with self._model.disable_adapter():
                yield
            return
        self._model.set_adapter(START, inference_mode=True)
        try:
            yield
        finally:
            self._model.set_adapter(self._trained)

    @torch.no_grad()
    def logps(self, rows: Any) -> Tensor:
        """Flat log-probs of the scored tokens."""
        with self._as_it_started():
            assert self._policy is not None
            return self._policy(rows)

    @torch.no_grad()
    def states(self, rows: Any) -> Any:
        """Its whole next-token distributions."""
        with self._as_it_started():
            assert self._policy is not None
            return self._policy.states(rows)

    def describe(self) -> str:
        """One line for the run's output."""
        if self._started_trained:
            return f"the policy with the adapter {self._name} as it was"
        return f"{self._name}, the policy without its adapter"
