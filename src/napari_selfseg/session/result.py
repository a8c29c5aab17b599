"""What a run gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.centres import Centres
from napari_selfseg.core.channels import ChannelChoice, confidence_of
from napari_selfseg.core.images.evidence import Stain, stain_of
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.instances import LabelSettings, label_image
from napari_selfseg.core.maps import Prediction
from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.core.plausibility import (
    is_learned_better,
    plausibility,
    suggested_label_settings,
)
from napari_selfseg.core.quality import Quality, expected_quality
from napari_selfseg.core.threshold import ThresholdStart

if TYPE_CHECKING:
    from napari_selfseg.core.checkpoint import TrainedModel

YOUR_STROKES = "your strokes"  # how a provenance says that labels were used

StoppedBy = Literal["plateau", "collapse", "steps", "user", "unstable"]


@dataclass(frozen=True, eq=False)
class Suggestion:
    """Labels of a map as they are suggested without labels.

    Parameters
    ----------
    settings : LabelSettings
    labels : ndarray of integers, shape (M, N)
    score : float
        How plausible they are, -1..1.
    centres : Centres, optional
        The learned centres between which objects are split.
    quality : Quality, optional
        How good the labels are expected to be; only of refined maps.
    """

    settings: LabelSettings
    labels: NDArray[np.integer[Any]]
    score: float
    centres: Centres | None = None
    quality: Quality | None = None

    @classmethod
    def of_learned(
        cls, prediction: Prediction, choice: ChannelChoice, stain: Stain, um_per_px: float | None
    ) -> Suggestion:
        """Suggest labels of the chosen one of the learned maps."""
        confidence = confidence_of(prediction.maps, choice)
        is_refined = prediction.is_refined(choice)
        settings = suggested_label_settings(confidence, stain, um_per_px, is_refined)
        centres = prediction.centres(choice, um_per_px)
        made = cls._made(confidence, settings, stain, centres)
        if not is_refined or prediction.doubt is None:
            return made
        return replace(made, quality=expected_quality(made.labels, confidence, prediction.doubt))

    def or_rather(self, plain: Suggestion) -> Literal["learned", "threshold"]:
        """Say which is to be recommended, these learned labels or those of the threshold."""
        is_better = is_learned_better(self.score, plain.score, self.centres is not None)
        return "learned" if is_better else "threshold"

    @classmethod
    def of_threshold(
        cls, start: ThresholdStart, stain: Stain, um_per_px: float | None
    ) -> Suggestion:
        """Suggest labels of the plain threshold."""
        return cls._made(start.confidence, LabelSettings.for_scale(um_per_px), stain)

    @classmethod
    def _made(
        cls,
        confidence: NDArray[np.float32],
        settings: LabelSettings,
        stain: Stain,
        centres: Centres | None = None,
    ) -> Suggestion:
        labels = label_image(confidence, settings, centres)
        return cls(settings, labels, plausibility(labels, stain), centres)


@dataclass(frozen=True, eq=False)
class RunResult:
    """A trained network with its maps of the tile in view, and how it came about.

    Parameters
    ----------
    model : TrainedModel
        The network with the best label-free score, not the last one.
    curves : tuple of TrainingStep
        Every step of the training.
    prediction : Prediction
        What the network draws of ``tile``.
    choice : ChannelChoice
        The map and polarity that are taken for the object.
    stopped_by : {"plateau", "collapse", "steps", "user", "unstable"}
    stopped_because : str
        One sentence for the user.
    best_step : int
        The step the network was kept from; 0 when none was measured.
    tile : Tile
        The tile in view, shape (M, N).
    threshold : ThresholdStart
        The plain threshold of the same tile.
    scores : mapping
        Label-free scores of the label images "learned" (as long as the chosen map is the run's
        own choice) and "threshold".
    recommended : {"learned", "threshold"}
        Judged by the scores.
    seconds : float
        From the first step to the end of the last prediction.
    provenance : mapping
        What is stored with the result (no patient data).
    suggestion : Suggestion, optional
        Labels of the chosen map; None after another map was taken.
    """

    model: TrainedModel
    curves: tuple[TrainingStep, ...]
    prediction: Prediction
    choice: ChannelChoice
    stopped_by: StoppedBy
    stopped_because: str
    best_step: int
    tile: Tile
    threshold: ThresholdStart
    scores: Mapping[str, float]
    recommended: Literal["learned", "threshold"]
    seconds: float
    provenance: Mapping[str, Any]
    suggestion: Suggestion | None = None

    @property
    def maps(self) -> NDArray[np.float16]:
        """The confidence maps of the tile, (K, M, N)."""
        return self.prediction.maps

    @property
    def quality(self) -> Quality | None:
        """How good the suggested labels are expected to be; None where nobody knows."""
        return None if self.suggestion is None else self.suggestion.quality

    def labels(self, settings: LabelSettings | None = None) -> NDArray[np.integer[Any]]:
        """Return the label image (M, N) of the chosen map; without settings the suggested one."""
        suggestion = self.suggestion or self._suggestion()
        if settings in (None, suggestion.settings):
            return suggestion.labels
        return label_image(self.confidence(), settings, suggestion.centres)

    def confidence(self) -> NDArray[np.float32]:
        """Return the chosen map with its polarity, (M, N), high on objects."""
        chosen: NDArray[np.float32] = confidence_of(self.maps, self.choice)
        return chosen

    def suggested_label_settings(self) -> LabelSettings:
        """Return how the chosen map is best turned into labels; no labels are needed for it."""
        return (self.suggestion or self._suggestion()).settings

    def _suggestion(self) -> Suggestion:
        stain = stain_of(self.tile)
        return Suggestion.of_learned(self.prediction, self.choice, stain, self.tile.um_per_px)

    def with_choice(self, choice: ChannelChoice) -> RunResult:
        """Return the same result with another map or polarity; the provenance follows."""
        labels_used = "one click" if choice.how == "one click" else "none"
        if self.provenance.get("labels_used") == YOUR_STROKES:
            labels_used = YOUR_STROKES
        told = {
            "channel": choice.channel,
            "polarity": "inverted" if choice.inverted else "normal",
            "channel_chosen_by": choice.how,
            "channel_score": choice.score,
            "labels_used": labels_used,
        }
        same = (choice.channel, choice.inverted) == (self.choice.channel, self.choice.inverted)
        scores = dict(self.scores)
        if not same:
            scores.pop("learned", None)  # it was that of the other map
        return replace(
            self,
            choice=choice,
            provenance={**self.provenance, **told, "scores": scores},
            scores=scores,
            suggestion=self.suggestion if same else None,
        )
