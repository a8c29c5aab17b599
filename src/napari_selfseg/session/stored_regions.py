"""The folder of a run in regions mode: names, region settings and the structure with its objects.

::

    RUN/model.safetensors, settings.json (with the names), provenance.json, curves.csv
    RUN/result/labels.tif          classes 1..K        RUN/result/confidence.tif   memberships
    RUN/result/label_settings.json                     RUN/result/structure.tif    its objects
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from napari_selfseg.core.checkpoint import SETTINGS_FILE, TrainedModel, save_model
from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.core.methods.settings import TrainingSettings
from napari_selfseg.core.regions import LONGEST_NAME, RegionLabelSettings
from napari_selfseg.session.curves_file import curves_to_csv
from napari_selfseg.session.label_files import (
    StoreError,
    read_confidence,
    read_labels,
    write_confidence,
    write_labels,
)
from napari_selfseg.session.provenance import anonymised
from napari_selfseg.session.region_result import RegionResult
from napari_selfseg.session.run_files import (
    CONFIDENCE_FILE,
    CURVES_FILE,
    LABEL_SETTINGS_FILE,
    LABELS_FILE,
    PROVENANCE_FILE,
    optional,
    read_curves,
    read_json,
    scale_in,
    write_json,
)

STRUCTURE_FILE = "result/structure.tif"


@dataclass(frozen=True, eq=False)
class StoredRegions:
    """What the folder of a run in regions mode holds.

    Parameters
    ----------
    model : TrainedModel
        On the processor.
    curves : tuple of TrainingStep
    provenance : mapping
    names : tuple of str
        Of the classes 1..K.
    maps : ndarray of float16, shape (K, M, N), or None
        The memberships of the tile in view.
    labels : ndarray of integers, shape (M, N), or None
        Its label image, with what a person changed.
    label_settings : RegionLabelSettings or None
    structure : int or None
        The class that was wanted as objects.
    objects : ndarray of integers, shape (M, N), or None
        These objects, with what a person changed.
    """

    model: TrainedModel
    curves: tuple[TrainingStep, ...]
    provenance: Mapping[str, Any]
    names: tuple[str, ...]
    maps: NDArray[np.float16] | None
    labels: NDArray[Any] | None
    label_settings: RegionLabelSettings | None
    structure: int | None
    objects: NDArray[Any] | None

    @property
    def settings(self) -> TrainingSettings:
        """What it was trained with."""
        return self.model.settings

    @property
    def um_per_px(self) -> float | None:
        """The scale of the tile in view, in µm/px; None when nobody knew."""
        return scale_in(self.provenance)


def open_regions(
    folder: Path, told: Mapping[str, Any], model: TrainedModel, with_images: bool
) -> StoredRegions:
    """Read what belongs to a run in regions mode; ``told`` is its ``settings.json``.

    Raises
    ------
    StoreError
        If something is damaged.
    """
    n_classes = int(getattr(model.settings, "n_classes", 0))
    provenance = read_json(folder, PROVENANCE_FILE)
    maps, labels, objects = (
        optional(folder / name, read) if with_images else None
        for name, read in (
            (CONFIDENCE_FILE, read_confidence),
            (LABELS_FILE, read_labels),
            (STRUCTURE_FILE, read_labels),
        )
    )
    shapes = {image.shape[-2:] for image in (maps, labels, objects) if image is not None}
    if len(shapes) > 1 or (maps is not None and len(maps) != n_classes):
        raise StoreError(f"The result in {folder.name} is damaged: its images differ in size.")
    structure = provenance.get("structure")
    is_class = isinstance(structure, int) and 1 <= structure <= n_classes
    return StoredRegions(
        model=model,
        curves=read_curves(folder),
        provenance=provenance,
        names=_names_in(told, n_classes, folder),
        maps=maps,
        labels=labels,
        label_settings=_label_settings(folder),
        structure=structure if is_class else None,
        objects=objects if is_class else None,
    )


def fill_with_regions(
    folder: Path,
    result: RegionResult,
    labels: NDArray[Any] | None,
    label_settings: RegionLabelSettings | None,
    objects: NDArray[Any] | None,
    anonymous: bool,
    with_maps: bool = True,
) -> None:
    """Write all files of a run in regions mode into an empty folder."""
    provenance = anonymised(result.provenance) if anonymous else dict(result.provenance)
    save_model(result.model, folder, extra={"classes": list(result.names)})
    (folder / CURVES_FILE).write_text(curves_to_csv(result.curves), encoding="utf-8", newline="")
    um_per_px = result.tile.um_per_px
    if with_maps:
        write_confidence(folder / CONFIDENCE_FILE, result.maps, um_per_px)
    if labels is not None:
        write_labels(folder / LABELS_FILE, labels, um_per_px)
    if objects is not None:
        write_labels(folder / STRUCTURE_FILE, objects, um_per_px)
    if label_settings is not None:
        write_json(folder / LABEL_SETTINGS_FILE, label_settings.model_dump(mode="json"))
        if labels is not None:
            computed = result.labels(label_settings)
            provenance["labels_as_computed"] = np.array_equal(labels, computed)
    write_json(folder / PROVENANCE_FILE, provenance)


def _names_in(told: Mapping[str, Any], n_classes: int, folder: Path) -> tuple[str, ...]:
    names = told.get("classes")
    if (
        not isinstance(names, list)
        or len(names) != n_classes
        or not all(isinstance(name, str) and 0 < len(name) <= LONGEST_NAME for name in names)
    ):
        raise StoreError(f"The {SETTINGS_FILE} of {folder.name} does not name its classes.")
    return tuple(names)


def _label_settings(folder: Path) -> RegionLabelSettings | None:
    if not (folder / LABEL_SETTINGS_FILE).exists():
        return None
    try:
        return RegionLabelSettings(**read_json(folder, LABEL_SETTINGS_FILE))
    except ValidationError as error:
        raise StoreError(f"The {LABEL_SETTINGS_FILE} of {folder.name} is damaged.") from error
