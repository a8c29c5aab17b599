"""A result to choose from: a map, its label settings and the labels made with them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.centres import Centres
from napari_selfseg.core.channels import ChannelChoice
from napari_selfseg.core.glimpse import Part, labels_of_part
from napari_selfseg.core.images.evidence import Stain, stain_of
from napari_selfseg.core.instances import LabelSettings, label_image
from napari_selfseg.core.threshold import ThresholdStart
from napari_selfseg.session.result import RunResult, Suggestion

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
    centres : Centres, optional
        The learned centres between which objects are split.
    """

    name: str
    title: str
    confidence: NDArray[Any]
    suggested: LabelSettings
    settings: LabelSettings
    labels: NDArray[Any]
    score: float
    choice: ChannelChoice | None = None
    centres: Centres | None = None

    def with_settings(self, settings: LabelSettings) -> Candidate:
        """Return the candidate with its labels made anew."""
        labels = label_image(self.confidence, settings, self.centres)
        return replace(self, settings=settings, labels=labels)

    def glimpse(self, part: Part) -> NDArray[Any]:
        """Return the labels of a part (rows, columns), soon, with numbers of their own."""
        return labels_of_part(self.confidence, part, self.settings, self.centres)

    @property
    def count(self) -> str:
        """How much was found, in words."""
        if self.settings.instances:
            n = int(self.labels.max(initial=0))
            return f"{n:,} object{'' if n == 1 else 's'}"
        return f"{np.count_nonzero(self.labels) / self.labels.size:.0%} of the tile"


def threshold_candidate(start: ThresholdStart, stain: Stain, um_per_px: float | None) -> Candidate:
    """Return the plain threshold of a tile as a candidate."""
    made = Suggestion.of_threshold(start, stain, um_per_px)
    name = f"SelfSeg threshold ({start.title})"
    return _candidate(name, start.title, start.confidence, made)


def learned_candidate(result: RunResult, settings: LabelSettings | None = None) -> Candidate:
    """Return the chosen map of a result as a candidate.

    Parameters
    ----------
    result : RunResult
    settings : LabelSettings, optional
        The user's; without them the suggestion is taken.
    """
    tile, confidence = result.tile, result.confidence()
    made = result.suggestion or Suggestion.of_learned(
        result.prediction, result.choice, stain_of(tile), tile.um_per_px
    )
    candidate = _candidate(LEARNED_NAME, f"map {result.choice.channel + 1}", confidence, made)
    candidate = replace(candidate, choice=result.choice)
    if settings is None or settings == made.settings:
        return candidate
    return candidate.with_settings(settings)


def _candidate(name: str, title: str, confidence: NDArray[Any], made: Suggestion) -> Candidate:
    settings = made.settings
    return Candidate(
        name, title, confidence, settings, settings, made.labels, made.score, centres=made.centres
    )
