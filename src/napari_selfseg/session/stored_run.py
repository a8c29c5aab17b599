"""Open a run folder: every file is checked, and a fault is told in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from napari_selfseg.core.channels import ChannelChoice
from napari_selfseg.core.checkpoint import (
    SETTINGS_FILE,
    CheckpointError,
    TrainedModel,
    load_model,
    read_settings,
)
from napari_selfseg.core.instances import LabelSettings
from napari_selfseg.core.maps import Prediction
from napari_selfseg.core.methods import METHODS, TrainingStep
from napari_selfseg.core.methods.settings import TrainingSettings
from napari_selfseg.session.label_files import StoreError, read_confidence, read_labels
from napari_selfseg.session.run_files import (
    CONFIDENCE_FILE,
    DEPTH_FILE,
    DOUBT_FILE,
    LABEL_SETTINGS_FILE,
    LABELS_FILE,
    PROVENANCE_FILE,
    optional,
    read_curves,
    read_json,
    scale_in,
)
from napari_selfseg.session.stored_regions import StoredRegions, open_regions

USED_BY_STROKES = "paint some strokes and use it with napari-selfseg refine"
USED_BY = {
    "clusters": "give it to napari-selfseg train --guard, and the run of that to segment or refine"
}


@dataclass(frozen=True, eq=False)
class StoredRun:
    """What a run folder holds.

    Parameters
    ----------
    model : TrainedModel
        On the processor.
    curves : tuple of TrainingStep
    provenance : mapping
    choice : ChannelChoice
        The map and polarity chosen at training.
    prediction : Prediction or None
        What the model drew of the tile in view.
    labels : ndarray of integers, shape (M, N), or None
        Its label image, with what a person changed.
    label_settings : LabelSettings or None
        In pixels of that tile.
    """

    model: TrainedModel
    curves: tuple[TrainingStep, ...]
    provenance: Mapping[str, Any]
    choice: ChannelChoice
    prediction: Prediction | None
    labels: NDArray[Any] | None
    label_settings: LabelSettings | None

    @property
    def maps(self) -> NDArray[np.float16] | None:
        """The confidence maps of the tile in view, (K, M, N)."""
        return None if self.prediction is None else self.prediction.maps

    @property
    def settings(self) -> TrainingSettings:
        """What it was trained with."""
        return self.model.settings

    @property
    def um_per_px(self) -> float | None:
        """The scale of the tile in view, in µm/px; None when nobody knew."""
        return scale_in(self.provenance)


def load_run(folder: str | Path, with_images: bool = True) -> StoredRun | StoredRegions:
    """Open a run folder; what it is depends on what the run's method finds.

    Parameters
    ----------
    folder : path
    with_images : bool
        Whether maps and labels are read too; the model can be used without them.

    Raises
    ------
    StoreError
        If it is no run folder, damaged, newer than this program, or holds a pickle.
    """
    folder = Path(folder)
    try:
        told = read_settings(folder)
        model = load_model(folder)
    except CheckpointError as error:
        raise StoreError(str(error)) from error
    if METHODS[model.method].finds == "features":
        raise StoreError(
            f"{folder.name} is a pretraining, which finds nothing by itself: "
            f"{USED_BY.get(model.method, USED_BY_STROKES)}."
        )
    if METHODS[model.method].finds == "regions":
        return open_regions(folder, told, model, with_images)
    choice = _choice_of(told, getattr(model.settings, "n_confidence_maps", None), folder)
    provenance = read_json(folder, PROVENANCE_FILE)
    prediction = _prediction(folder, model) if with_images else None
    labels = optional(folder / LABELS_FILE, read_labels) if with_images else None
    if prediction is not None and labels is not None:
        _check_size(folder, prediction.maps, labels)
    return StoredRun(
        model=model,
        curves=read_curves(folder),
        provenance=provenance,
        choice=choice,
        prediction=prediction,
        labels=labels,
        label_settings=_read_label_settings(folder),
    )


def _prediction(folder: Path, model: TrainedModel) -> Prediction | None:
    """Read what the model drew; None if the run holds no maps."""
    maps = optional(folder / CONFIDENCE_FILE, read_confidence)
    if maps is None:
        return None
    doubt, depth = (optional(folder / name, read_confidence) for name in (DOUBT_FILE, DEPTH_FILE))
    for extra in (doubt, depth):
        if extra is not None:
            _check_size(folder, maps, extra)
    refined = getattr(model.network, "object_map", None)
    return Prediction(
        maps,
        None if doubt is None else doubt[0],
        None if depth is None else depth[0],
        None if depth is None else refined,
    )


def _check_size(folder: Path, maps: NDArray[Any], other: NDArray[Any]) -> None:
    if maps.shape[-2:] != other.shape[-2:]:
        raise StoreError(f"The result in {folder.name} is damaged: its images differ in size.")


def _choice_of(told: Mapping[str, Any], n_maps: int | None, folder: Path) -> ChannelChoice:
    try:
        told = told["choice"]
        choice = ChannelChoice(
            channel=int(told["channel"]),
            inverted=bool(told["inverted"]),
            score=float(told["score"]),
            how=told["how"],
            correlations=tuple(float(value) for value in told["correlations"]),
        )
        if choice.how not in ("guess", "one click", "user"):
            raise ValueError(choice.how)
        if choice.channel < 0 or (n_maps is not None and choice.channel >= n_maps):
            raise ValueError(choice.channel)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise StoreError(
            f"The {SETTINGS_FILE} of {folder.name} does not say which map is the object."
        ) from error
    return choice


def _read_label_settings(folder: Path) -> LabelSettings | None:
    if not (folder / LABEL_SETTINGS_FILE).exists():
        return None
    try:
        return LabelSettings(**read_json(folder, LABEL_SETTINGS_FILE))
    except ValidationError as error:
        raise StoreError(f"The {LABEL_SETTINGS_FILE} of {folder.name} is damaged.") from error
