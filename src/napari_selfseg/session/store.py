"""The run folder: model, settings, curves, provenance and the result, stored and opened again.

::

    RUN/model.safetensors   weights                  RUN/result/labels.tif
    RUN/settings.json       how to use the model     RUN/result/confidence.tif   all K maps
    RUN/provenance.json     how it came about        RUN/result/doubt.tif        how unsure
    RUN/curves.csv          every step               RUN/result/depth.tif        for the splitting
                                                     RUN/result/label_settings.json
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.atomic import atomic_folder, is_free, why_not_written
from napari_selfseg.core.checkpoint import (
    SETTINGS_FILE,
    CheckpointError,
    save_model,
)
from napari_selfseg.core.instances import LabelSettings
from napari_selfseg.core.regions import RegionLabelSettings
from napari_selfseg.session.curves_file import curves_to_csv
from napari_selfseg.session.label_files import (
    StoreError,
    read_labels,
    write_confidence,
    write_labels,
)
from napari_selfseg.session.provenance import anonymised
from napari_selfseg.session.run_files import (
    CONFIDENCE_FILE,
    CURVES_FILE,
    DEPTH_FILE,
    DOUBT_FILE,
    LABEL_SETTINGS_FILE,
    LABELS_FILE,
    PROVENANCE_FILE,
    write_json,
)
from napari_selfseg.session.stored_pretraining import (
    StoredPretraining,
    fill_with_pretraining,
    load_pretraining,
)
from napari_selfseg.session.stored_regions import StoredRegions, fill_with_regions
from napari_selfseg.session.stored_run import StoredRun, load_run

if TYPE_CHECKING:
    from napari_selfseg.session.pretraining import Pretrained
    from napari_selfseg.session.region_result import RegionResult
    from napari_selfseg.session.result import RunResult

__all__ = [
    "StoreError",
    "StoredPretraining",
    "StoredRegions",
    "StoredRun",
    "check_free",
    "copy_run",
    "load_pretraining",
    "load_run",
    "read_labels",
    "save_pretraining",
    "save_region_run",
    "save_run",
    "write_confidence",
    "write_labels",
]


def check_free(folder: str | Path, overwrite: bool = False) -> None:
    """Say before a long training whether its result can be stored.

    Raises
    ------
    StoreError
        If the place is taken (and may not be overwritten, or holds something other than a
        run), or cannot be written to.
    """
    folder = Path(folder)
    if not is_free(folder):
        if not overwrite:
            raise StoreError(f"{folder} exists already and is not overwritten.")
        if not (folder / SETTINGS_FILE).is_file() or not (folder / PROVENANCE_FILE).is_file():
            raise StoreError(f"{folder} is not a run folder, so it is not overwritten.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        trial = folder.parent / f".{folder.name[:100]}.trial"
        trial.write_bytes(b"")
        trial.unlink()
    except OSError as error:
        raise StoreError(
            f"Nothing can be stored in {folder.parent}: {why_not_written(error)}."
        ) from error


def save_run(
    result: RunResult,
    folder: str | Path,
    labels: NDArray[Any] | None = None,
    label_settings: LabelSettings | None = None,
    anonymous: bool = False,
    overwrite: bool = False,
    with_maps: bool = True,
) -> None:
    """Store a run; the folder is written beside its place and then renamed.

    Parameters
    ----------
    result : RunResult
    folder : path
        Must not exist, or be empty, unless ``overwrite``.
    labels : ndarray of integers, shape (M, N), optional
        The label image of the tile in view.
    label_settings : LabelSettings, optional
        What it was made with. The provenance then says whether they were suggested or the
        user's, and whether the labels are as computed or were changed.
    anonymous : bool
        Whether the tiles' names are left out.
    overwrite : bool
        Whether a run that is there is replaced. Other folders never are.
    with_maps : bool
        Whether the maps are stored, which can take much room; the model can draw them again.

    Raises
    ------
    StoreError
        If the place is taken or cannot be written to; what was there stays.
    """
    with _run_folder(folder, overwrite) as beside:
        _fill(beside, result, labels, label_settings, anonymous, with_maps)


def save_region_run(
    result: RegionResult,
    folder: str | Path,
    labels: NDArray[Any] | None = None,
    label_settings: RegionLabelSettings | None = None,
    objects: NDArray[Any] | None = None,
    anonymous: bool = False,
    overwrite: bool = False,
    with_maps: bool = True,
) -> None:
    """Store a run in regions mode, as `save_run` does.

    Parameters
    ----------
    result : RegionResult
    folder : path
    labels : ndarray of integers, shape (M, N), optional
        The classes of the tile in view.
    label_settings : RegionLabelSettings, optional
        What they were made with.
    objects : ndarray of integers, shape (M, N), optional
        The objects of the structure that was chosen.
    anonymous, overwrite, with_maps : bool

    Raises
    ------
    StoreError
        If the place is taken or cannot be written to; what was there stays.
    """
    with _run_folder(folder, overwrite) as beside:
        fill_with_regions(beside, result, labels, label_settings, objects, anonymous, with_maps)


def save_pretraining(
    result: Pretrained, folder: str | Path, anonymous: bool = False, overwrite: bool = False
) -> None:
    """Write a pretraining into a folder of its own.

    Parameters
    ----------
    result : Pretrained
    folder : path
        Must not be there, unless ``overwrite``.
    anonymous, overwrite : bool
        As in `save_run`.

    Raises
    ------
    StoreError
        If the place is taken or cannot be written to; what was there stays.
    """
    with _run_folder(folder, overwrite) as beside:
        fill_with_pretraining(beside, result, anonymous)


def copy_run(source: Path, folder: Path) -> None:
    """Copy a run folder as it is; nothing happens if it is not there any more.

    Raises
    ------
    StoreError
        If the place is taken or cannot be written to; what was there stays.
    """
    if source.is_dir():
        with _run_folder(folder, overwrite=False) as beside:
            shutil.copytree(source, beside, dirs_exist_ok=True)


@contextmanager
def _run_folder(folder: str | Path, overwrite: bool) -> Iterator[Path]:
    """Give an empty folder that takes the place of ``folder`` once it is filled."""
    folder = Path(folder)
    check_free(folder, overwrite)
    try:
        with atomic_folder(folder, replace=overwrite) as beside:
            yield beside
    except OSError as error:
        raise StoreError(
            f"The run could not be stored in {folder}: {why_not_written(error)}."
        ) from error
    except (CheckpointError, StoreError) as error:
        # the user knows the folder, not the place beside it
        raise StoreError(str(error).replace(str(beside), str(folder))) from error


def _fill(
    folder: Path,
    result: RunResult,
    labels: NDArray[Any] | None,
    label_settings: LabelSettings | None,
    anonymous: bool,
    with_maps: bool,
) -> None:
    provenance = anonymised(result.provenance) if anonymous else dict(result.provenance)
    save_model(result.model, folder, extra={"choice": asdict(result.choice)})
    (folder / CURVES_FILE).write_text(curves_to_csv(result.curves), encoding="utf-8", newline="")
    um_per_px = result.tile.um_per_px
    for name, image in (
        (CONFIDENCE_FILE, result.maps),
        (DOUBT_FILE, result.prediction.doubt),
        (DEPTH_FILE, result.prediction.depth),
    ):
        if image is not None and with_maps:
            write_confidence(folder / name, image, um_per_px)
    if labels is not None:
        write_labels(folder / LABELS_FILE, labels, um_per_px)
    if label_settings is not None:
        suggested = label_settings == result.suggested_label_settings()
        provenance["label_settings_chosen_by"] = "suggestion" if suggested else "user"
        write_json(folder / LABEL_SETTINGS_FILE, label_settings.model_dump(mode="json"))
    if labels is not None and label_settings is not None:
        computed = result.labels(label_settings)
        provenance["labels_as_computed"] = np.array_equal(labels, computed)
    write_json(folder / PROVENANCE_FILE, provenance)
