"""From a trained network to the result: maps, the choice, label-free scores, provenance."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.channels import ChannelChoice, confidence_of
from napari_selfseg.core.instances import LabelSettings, label_image
from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.core.plausibility import plausibility, suggested_label_settings
from napari_selfseg.core.threshold import ThresholdStart, threshold_confidence
from napari_selfseg.session.provenance import build_provenance
from napari_selfseg.session.request import TrainingRequest
from napari_selfseg.session.result import RunResult, StoppedBy

if TYPE_CHECKING:
    from torch import nn

    from napari_selfseg.core.learning.convergence import ConvergenceMonitor
    from napari_selfseg.core.learning.training import TrainingData


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
    import torch

    from napari_selfseg.core.checkpoint import TrainedModel
    from napari_selfseg.core.prediction import predict_within_memory

    start = time.perf_counter()
    tile = request.tiles[0]
    maps = predict_within_memory(network, tile, data.image_space, should_stop)
    choice = monitor.agreement.of(network).choice
    pixels = tile.read()
    threshold = threshold_confidence(pixels)
    scores = label_free_scores(maps, choice, threshold, pixels, tile.um_per_px)
    seconds = ending.seconds + time.perf_counter() - start
    return RunResult(
        model=TrainedModel(
            network.cpu().eval(), request.method, request.settings, data.um_per_px, data.n_channels
        ),
        curves=steps,
        maps=maps,
        choice=choice,
        stopped_by=ending.stopped_by,
        stopped_because=ending.because,
        best_step=monitor.best_step,
        tile=tile,
        threshold=threshold,
        scores=scores,
        recommended="learned" if scores["learned"] >= scores["threshold"] else "threshold",
        seconds=seconds,
        provenance=build_provenance(
            method=request.method,
            settings=request.settings,
            tiles=request.tiles,
            device=ending.device,
            threads=torch.get_num_threads(),
            seconds=seconds,
            stopped_by=ending.stopped_by,
            best_step=monitor.best_step,
            choice=choice,
            scores=scores,
            notes=ending.notes,
        ),
    )


def label_free_scores(
    maps: NDArray[np.float16],
    choice: ChannelChoice,
    threshold: ThresholdStart,
    pixels: NDArray[np.float32],
    um_per_px: float | None,
) -> dict[str, float]:
    """Return the plausibility of the learned and of the thresholded labels, -1..1."""
    learned = confidence_of(maps, choice)
    of_threshold = label_image(threshold.confidence, LabelSettings.for_scale(um_per_px))
    of_learned = label_image(learned, suggested_label_settings(learned, pixels, um_per_px))
    return {
        "learned": plausibility(of_learned, pixels),
        "threshold": plausibility(of_threshold, pixels),
    }
