"""The state of a loss: its running statistics, in float64 buffers that `state_dict` saves and `load_state_dict` restores."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from halo.compiler.graph import Statistic

Observe = Callable[[str, dict[str, Tensor]], Tensor]
"""What a batch shows of a statistic, given the values of all: its `words.moments`."""


class Running(nn.Module):
    """The numbers that an objective carries from step to step, in the order of their updates.

    values  (S,): what the loss uses. seen  (S, 3): count, mean and sum of squares of everything seen, for `update: all`.
    """

    values: Tensor
    seen: Tensor

    def __init__(self, statistics: Mapping[str, Statistic]) -> None:
        super().__init__()
        self.ways = {name: str(statistic.observed.data) for name, statistic in statistics.items()}
        self.decays = {name: statistic.decay for name, statistic in statistics.items()}
        starts = [float(statistic.start) for statistic in statistics.values()]
        self.register_buffer("values", torch.tensor(starts, dtype=torch.float64, device="cpu"))
        self.register_buffer("seen", torch.zeros(len(starts), 3, dtype=torch.float64, device="cpu"))

    def current(self) -> dict[str, Tensor]:
        """The value of each, detached: later updates do not change it."""
        return dict(zip(self.ways, self.values.clone(), strict=True))

    @torch.no_grad()
    def update(self, observe: Observe, parameters: Mapping[str, float | Tensor]) -> None:
        """Takes in one batch. A statistic of which the batch shows nothing stays as it is."""
        for i, (name, way) in enumerate(self.ways.items()):
            shown = observe(name, self.current()).to(self.values.device)
            kept = self.decays[name]
            decay = parameters[kept] if isinstance(kept, str) else kept
            if decay is None:
                self.seen[i] = joined(self.seen[i], shown)
                value = reduced(way, self.seen[i])
            else:
                value = float(decay) * self.values[i] + (1 - float(decay)) * reduced(way, shown)
            self.values[i] = torch.where(shown[0] > 0, value, self.values[i])


def reduced(way: str, moments: Tensor) -> Tensor:
    """The mean, or the standard deviation with n - 1 (0 for one number), from count, mean and sum of squares."""
    count, mean, squares = moments.unbind()
    if way == "mean":
        return mean
    return torch.sqrt(squares / torch.where(count > 1, count - 1, 1.0))


def joined(first: Tensor, second: Tensor) -> Tensor:
    """The moments of two sets together (Chan, Golub and LeVeque 1979)."""
    count = first[0] + second[0]
    share = second[0] / torch.where(count > 0, count, 1.0)
    gap = second[1] - first[1]
    return torch.stack([count, first[1] + gap * share, first[2] + second[2] + gap**2 * first[0] * share])
