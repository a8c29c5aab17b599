"""Where the results of ``segment`` go, checked before anything is computed, and what is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_selfseg.cli.console import UserMistake
from napari_selfseg.cli.images import distinct_names

if TYPE_CHECKING:
    from napari_selfseg.core.images.tile import Tile
    from napari_selfseg.session.store import StoredRegions, StoredRun

LABEL_SUFFIXES, CONFIDENCE_SUFFIXES = (".tif", ".tiff", ".png"), (".tif", ".tiff")

Places = tuple[Path, Path | None]  # of the labels, and of the confidence if it is wanted


def result_places(
    files: list[Path], out: Path, confidence: Path | None, overwrite: bool
) -> dict[Path, Places]:
    """Return for every image where its labels and its confidence go.

    Raises
    ------
    UserMistake
        If a name has a wrong ending, a place is taken, or results would share a file.
    """
    # "results.v2" is a folder, "labels.jpg" a mistake
    is_file = out.suffix[1:].isalpha() and not out.is_dir()
    if is_file and len(files) > 1:
        raise UserMistake(f"--out must be a folder for {len(files)} images, not {out.name}.")
    if is_file and out.suffix.lower() not in LABEL_SUFFIXES:
        raise UserMistake(f"Labels are written as .tif or .png, but --out is {out.name}.")
    names = distinct_names(files)
    places: dict[Path, Places] = {}
    for file in files:
        labels = out if is_file else out / f"{names[file]}.tif"
        places[file] = labels, _confidence_place(confidence, len(files), names[file])
    for place in (path for pair in places.values() for path in pair if path is not None):
        if any(place.absolute() == file.absolute() for file in files):
            raise UserMistake(f"{place} is the image itself; choose another --out.")
        if place.exists() and not overwrite:
            raise UserMistake(f"{place} exists already; choose another place or add --overwrite.")
    return places


def _confidence_place(confidence: Path | None, n_files: int, name: str) -> Path | None:
    if confidence is None:
        return None
    if not confidence.suffix[1:].isalpha() or confidence.is_dir():
        return confidence / f"{name}_confidence.tif"
    if n_files > 1:
        raise UserMistake(f"--confidence must be a folder for {n_files} images.")
    if confidence.suffix.lower() not in CONFIDENCE_SUFFIXES:
        raise UserMistake(f"Confidence is written as .tif, but --confidence is {confidence.name}.")
    return confidence


def write_provenance(
    place: Path,
    stored: StoredRun | StoredRegions,
    how: dict[str, Any],
    image: dict[str, Any],
    anonymous: bool,
) -> None:
    """Write, beside the labels, how they were made, of which image and with which run."""
    from napari_selfseg.session.label_files import written_beside
    from napari_selfseg.session.provenance import NOTICE, anonymised

    provenance = {
        "program": "napari-selfseg",
        "notice": NOTICE,
        "labels_used": stored.provenance.get("labels_used", "none"),
        **how,
        "image": {**image, "name": "image"} if anonymous else image,
        "run": anonymised(stored.provenance) if anonymous else dict(stored.provenance),
    }
    text = json.dumps(provenance, indent=2, ensure_ascii=False) + "\n"
    with written_beside(place.with_suffix(".provenance.json")) as beside:
        beside.write_text(text, encoding="utf-8")


def scale_notes(stored: StoredRun | StoredRegions, tile: Tile) -> list[str]:
    """Say what is assumed of a tile whose scale nobody knows."""
    if stored.model.um_per_px is not None and tile.um_per_px is None:
        return [
            f"microns per pixel unknown, taken as the run's {stored.model.um_per_px:g} "
            "(--um-per-px says otherwise)."
        ]
    return []
