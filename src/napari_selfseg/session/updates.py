"""What a run tells while it goes on: frozen values, arrays on the processor, no tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.session.region_result import RegionResult
from napari_selfseg.session.result import RunResult

if TYPE_CHECKING:
    from napari_selfseg.session.pretraining import Pretrained


@dataclass(frozen=True, eq=False)
class Progress:
    """Where the training is.

    Parameters
    ----------
    step, n_steps : int
        Steps taken and steps at most, over all phases.
    phase : str
        What is being done, in a user's words.
    steps : tuple of TrainingStep
        The steps since the last update, for the curves.
    seconds : float
        Since the start, pauses included.
    seconds_left : float or None
        If no early stop comes; None before the speed is known.
    skipped : int
        Steps without any positive or negative patch, so far.
    note : str
        One sentence when something had to be changed to go on; mostly empty.
    histogram : ndarray of int64, shape (64,), or None
        Of the best map's confidence over 0..1, on fixed crops.
    score : float or None
        The label-free score as last measured, 0..1.
    """

    step: int
    n_steps: int
    phase: str
    steps: tuple[TrainingStep, ...]
    seconds: float
    seconds_left: float | None
    skipped: int
    note: str
    histogram: NDArray[np.int64] | None
    score: float | None


@dataclass(frozen=True, eq=False)
class Preview:
    """A piece of the map of the tile in view, as the network sees it now.

    Parameters
    ----------
    rows, columns : slice
        Where the piece lies in the tile, in px.
    confidence : ndarray of uint8, shape (m, n)
        0..255.
    step : int
        The step it was predicted after.
    channel : int
    inverted : bool
        Which map was taken for the object at that moment.
    n_classes : int
        0 for a confidence; else what is shown are the classes 1..K, not 0..255.
    """

    rows: slice
    columns: slice
    confidence: NDArray[np.uint8]
    step: int
    channel: int
    inverted: bool
    n_classes: int = 0


@dataclass(frozen=True, eq=False)
class Finished:
    """The last update of a run."""

    result: RunResult | RegionResult | Pretrained


Update = Progress | Preview | Finished
