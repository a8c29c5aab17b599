"""From a trained network to the result: maps, the choice, label-free scores, provenance."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_selfseg.core.channels import ChannelChoice
from napari_selfseg.core.images.evidence import stain_of
from napari_selfseg.core.maps import Prediction
from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.core.threshold import threshold_confidence
from napari_selfseg.session.guarding import told_of
from napari_selfseg.session.provenance import build_provenance
from napari_selfseg.session.request import TrainingRequest
from napari_selfseg.session.result import RunResult, StoppedBy, Suggestion
from napari_selfseg.session.warmup import available_cores

if TYPE_CHECKING:
    from torch import nn

    from napari_selfseg.core.checkpoint import TrainedModel
    from napari_selfseg.core.learning.convergence import ConvergenceMonitor
    from napari_selfseg.core.learning.training_data import TrainingData


@dataclass(frozen=True)
class Ending:
    """How and where a training ended.

    Parameters
    ----------
    stopped_by : {"plateau", "collapse", "steps", "user", "unstable"}
    because : str
        One sentence for the user.
    device : str
    seconds : float
        Of training, pauses included.
    notes : tuple of str
        What had to be changed to go on.
    """

    stopped_by: StoppedBy
    because: str
    device: str
    seconds: float
    notes: tuple[str, ...]


def finish(
    request: TrainingRequest,
    network: nn.Module,
    data: TrainingData,
    monitor: ConvergenceMonitor,
    steps: tuple[TrainingStep, ...],
    ending: Ending,
    should_stop: Callable[[], bool],
) -> RunResult:
    """Predict the tile in view, choose the map without labels, and put the result together.

    Raises
    ------
    PredictionStopped
        If ``should_stop`` said so between two pieces of the prediction.
    """
    start = time.perf_counter()
    tile = request.tiles[0]
    model, prediction = predict(request, network, data, should_stop)
    choice = monitor.best_choice or monitor.agreement.of(network).choice
    network.cpu()
    stain = stain_of(tile)
    threshold = threshold_confidence(stain)
    plain = Suggestion.of_threshold(threshold, stain, tile.um_per_px)
    learned = Suggestion.of_learned(prediction, choice, stain, tile.um_per_px)
    scores = {"learned": learned.score, "threshold": plain.score}
    seconds = ending.seconds + time.perf_counter() - start
    return RunResult(
        model=model,
        curves=steps,
        prediction=prediction,
        choice=choice,
        stopped_by=ending.stopped_by,
        stopped_because=ending.because,
        best_step=monitor.best_step,
        tile=tile,
        threshold=threshold,
        scores=scores,
        recommended=learned.or_rather(plain),
        seconds=seconds,
        provenance=provenance_of(request, ending, seconds, monitor.best_step, choice, scores),
        suggestion=learned,
    )


def predict(
    request: TrainingRequest,
    network: nn.Module,
    data: TrainingData,
    should_stop: Callable[[], bool],
) -> tuple[TrainedModel, Prediction]:
    """Return the trained model and what it draws of the tile in view.

    Raises
    ------
    PredictionStopped
        If ``should_stop`` said so between two pieces of the prediction.
    """
    from napari_selfseg.core.checkpoint import TrainedModel
    from napari_selfseg.core.segmentation import prediction_of_tile

    model = TrainedModel(
        network.eval(), request.method, request.settings, data.um_per_px, data.n_channels
    )
    with all_cores():
        return model, prediction_of_tile(model, request.tiles[0], should_stop)


def provenance_of(
    request: TrainingRequest,
    ending: Ending,
    seconds: float,
    best_step: int,
    choice: ChannelChoice | None,
    scores: Mapping[str, float],
) -> dict[str, Any]:
    """Return how a result came about; ``choice`` is None where all maps are the result."""
    import torch

    told = build_provenance(
        method=request.method,
        settings=request.settings,
        tiles=request.tiles,
        device=ending.device,
        threads=torch.get_num_threads(),
        seconds=seconds,
        stopped_by=ending.stopped_by,
        best_step=best_step,
        choice=choice,
        scores=scores,
        notes=ending.notes,
    )
    return {**told, **told_of(request.guard)}


@contextmanager
def all_cores() -> Iterator[None]:
    """Compute with every core: nothing is learned any more, and somebody waits for the map."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(max(threads, available_cores()))
    try:
        yield
    finally:
        torch.set_num_threads(threads)
