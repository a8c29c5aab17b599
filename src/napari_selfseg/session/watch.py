"""What is watched of a training that no stain judges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_selfseg.core.methods import TrainingStep

if TYPE_CHECKING:
    from torch import nn


@dataclass
class RegionWatch:
    """Stands where a `ConvergenceMonitor` stands: the method itself keeps the best and ends."""

    best_step: int = 0
    reason: str = ""
    last: None = None

    def watch(self, step: TrainingStep, _network: nn.Module) -> None:
        """Take note of the step of the closest fit."""
        if step.renewed:
            self.best_step = step.step

    def accept(self, network: nn.Module) -> None:
        """Do nothing: the network is the closest fit."""

    def restore_best(self, network: nn.Module) -> None:
        """Do nothing: the network is the closest fit."""

    def stopped_by_user(self, n_steps: int) -> str:
        """Say what is left when the user stopped."""
        if not n_steps:
            return "You stopped before the first step: nothing has been found yet."
        return f"You stopped after {n_steps} steps; the closest fit so far was kept."
