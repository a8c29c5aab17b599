"""How a run in regions mode is watched and ends: no stain judges it, the closest fit is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.core.regions import default_names
from napari_selfseg.session.finishing import Ending, predict, provenance_of
from napari_selfseg.session.region_result import RegionResult
from napari_selfseg.session.request import TrainingRequest
from napari_selfseg.session.watch import RegionWatch

if TYPE_CHECKING:
    from torch import nn

    from napari_selfseg.core.learning.training_data import TrainingData


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
