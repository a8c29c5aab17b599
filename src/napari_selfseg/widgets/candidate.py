"""A result to choose from: a map, its label settings and the labels made with them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.channels import ChannelChoice, confidence_of
from napari_selfseg.core.instances import LabelSettings, label_image
from napari_selfseg.core.plausibility import plausibility, suggested_label_settings
from napari_selfseg.core.threshold import ThresholdStart
from napari_selfseg.session.result import RunResult

Source = Literal["threshold", "learned"]
LEARNED_NAME = "SelfSeg labels"


@dataclass(frozen=True, eq=False)
class Candidate:
    """A map of the tile and the labels made of it.

    Parameters
    ----------
    name : str
        Of its labels layer.
    title : str
        How it was found, such as "Otsu on haematoxylin".
    confidence : ndarray of float, shape (M, N)
    suggested, settings : LabelSettings
        As suggested without labels, and as the sliders stand.
    labels : ndarray of integers, shape (M, N)
        The prediction, without what a person changed in the layer.
    score : float
        Label-free, of the suggested settings.
    choice : ChannelChoice, optional
        Which of the learned maps it is.
    """

    name: str
    title: str
    confidence: NDArray[Any]
    suggested: LabelSettings
    settings: LabelSettings
    labels: NDArray[Any]
    score: float
    choice: ChannelChoice | None = None

    @property
    def count(self) -> str:
        """How much was found, in words."""
        if self.settings.instances:
            n = int(self.labels.max(initial=0))
            return f"{n:,} object{'' if n == 1 else 's'}"
        return f"{np.count_nonzero(self.labels) / self.labels.size:.0%} of the tile"


def threshold_candidate(
    start: ThresholdStart, pixels: NDArray[np.float32], um_per_px: float | None
) -> Candidate:
    """Return the plain threshold of a tile as a candidate; pixels (M, N, C) in 0..1."""
    settings = LabelSettings.for_scale(um_per_px)
    name = f"SelfSeg threshold ({start.title})"
    return _made(name, start.title, start.confidence, settings, settings, pixels)


def learned_candidate(
    result: RunResult, pixels: NDArray[np.float32], settings: LabelSettings | None = None
) -> Candidate:
    """Return the chosen map of a result as a candidate.

    Parameters
    ----------
    result : RunResult
    pixels : ndarray of float32, shape (M, N, C)
        Of its tile, 0..1.
    settings : LabelSettings, optional
        The user's; without them the suggestion is taken.
    """
    confidence = confidence_of(result.maps, result.choice)
    suggested = suggested_label_settings(confidence, pixels, result.tile.um_per_px)
    title = f"map {result.choice.channel + 1}"
    made = _made(LEARNED_NAME, title, confidence, suggested, settings or suggested, pixels)
    return replace(made, choice=result.choice)


def _made(
    name: str,
    title: str,
    confidence: NDArray[Any],
    suggested: LabelSettings,
    settings: LabelSettings,
    pixels: NDArray[np.float32],
) -> Candidate:
    labels = label_image(confidence, suggested)
    score = plausibility(labels, pixels)
    if settings != suggested:
        labels = label_image(confidence, settings)
    return Candidate(name, title, confidence, suggested, settings, labels, score)
