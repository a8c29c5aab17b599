"""How a run in regions mode is watched and ends: no stain judges it, the closest fit is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.core.regions import default_names
from napari_selfseg.session.finishing import Ending, predict, provenance_of
from napari_selfseg.session.region_result import RegionResult
from napari_selfseg.session.request import TrainingRequest

if TYPE_CHECKING:
    from torch import nn

    from napari_selfseg.core.learning.training_data import TrainingData


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


def finish_regions(
    request: TrainingRequest,
    network: nn.Module,
    data: TrainingData,
    watch: RegionWatch,
    steps: tuple[TrainingStep, ...],
    ending: Ending,
    should_stop: Callable[[], bool],
) -> RegionResult:
    """Predict the tile in view and put the result together.

    Raises
    ------
    PredictionStopped
        If ``should_stop`` said so between two pieces of the prediction.
    """
    from napari_selfseg.core.networks.region_network import RegionNetwork

    assert isinstance(network, RegionNetwork)
    start = time.perf_counter()
    model, prediction = predict(request, network, data, should_stop)
    network.cpu()
    names = default_names(network.n_classes, network.glass() if steps else None)
    seconds = ending.seconds + time.perf_counter() - start
    provenance = provenance_of(request, ending, seconds, watch.best_step, None, {})
    return RegionResult(
        model=model,
        curves=steps,
        maps=prediction.maps,
        names=names,
        stopped_by=ending.stopped_by,
        stopped_because=ending.because,
        best_step=watch.best_step,
        tile=request.tiles[0],
        seconds=seconds,
        provenance={**provenance, "classes": list(names)},
    )
