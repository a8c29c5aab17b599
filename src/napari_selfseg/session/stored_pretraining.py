"""The folder of a pretraining: model, settings, curves and provenance, and no result of a tile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_selfseg.core.checkpoint import CheckpointError, TrainedModel, load_model, save_model
from napari_selfseg.core.methods import METHODS, TrainingStep
from napari_selfseg.session.curves_file import curves_to_csv
from napari_selfseg.session.label_files import StoreError
from napari_selfseg.session.pretraining import Pretrained
from napari_selfseg.session.provenance import anonymised
from napari_selfseg.session.run_files import (
    CURVES_FILE,
    PROVENANCE_FILE,
    read_curves,
    read_json,
    write_json,
)


@dataclass(frozen=True, eq=False)
class StoredPretraining:
    """What the folder of a pretraining holds.

    Parameters
    ----------
    model : TrainedModel
        On the processor.
    curves : tuple of TrainingStep
    provenance : mapping
    """

    model: TrainedModel
    curves: tuple[TrainingStep, ...]
    provenance: Mapping[str, Any]


def fill_with_pretraining(folder: Path, result: Pretrained, anonymous: bool) -> None:
    """Write a pretraining into a folder that is there."""
    provenance = anonymised(result.provenance) if anonymous else dict(result.provenance)
    save_model(result.model, folder)
    (folder / CURVES_FILE).write_text(curves_to_csv(result.curves), encoding="utf-8", newline="")
    write_json(folder / PROVENANCE_FILE, provenance)


def load_pretraining(folder: str | Path) -> StoredPretraining:
    """Open the folder of a pretraining.

    Raises
    ------
    StoreError
        If it is none, damaged, newer than this program, or holds a pickle.
    """
    folder = Path(folder)
    try:
        model = load_model(folder)
    except CheckpointError as error:
        raise StoreError(str(error)) from error
    if METHODS[model.method].finds != "features":
        raise StoreError(f"{folder.name} is no pretraining, but a run of {model.method}.")
    return StoredPretraining(model, read_curves(folder), read_json(folder, PROVENANCE_FILE))
