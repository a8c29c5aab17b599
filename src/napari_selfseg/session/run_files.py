"""The files of a run folder that every kind of run has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.session.curves_file import curves_from_csv
from napari_selfseg.session.label_files import StoreError

PROVENANCE_FILE, CURVES_FILE = "provenance.json", "curves.csv"
LABELS_FILE = "result/labels.tif"
CONFIDENCE_FILE = "result/confidence.tif"
DOUBT_FILE, DEPTH_FILE = "result/doubt.tif", "result/depth.tif"
LABEL_SETTINGS_FILE = "result/label_settings.json"


def read_curves(folder: Path) -> tuple[TrainingStep, ...]:
    """Return the steps of a run folder, or raise `StoreError`."""
    try:
        with (folder / CURVES_FILE).open(encoding="utf-8", newline="") as stream:
            return curves_from_csv(stream.read())
    except FileNotFoundError as error:
        raise StoreError(f"{folder.name} holds no {CURVES_FILE}.") from error
    except (OSError, ValueError) as error:
        raise StoreError(f"The {CURVES_FILE} of {folder.name} is damaged.") from error


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """Return the object in a JSON file of a run folder, or raise `StoreError`."""
    try:
        told = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StoreError(f"{folder.name} holds no {name}.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"The {name} of {folder.name} is damaged.") from error
    if not isinstance(told, dict):
        raise StoreError(f"The {name} of {folder.name} is damaged.")
    return told


def write_json(path: Path, told: Mapping[str, Any]) -> None:
    """Write a JSON file, its folder too."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def optional(path: Path, read: Any) -> Any:
    """Return what ``read`` finds in a file; None if there is no such file."""
    return read(path) if path.exists() else None


def scale_in(provenance: Mapping[str, Any]) -> float | None:
    """Return the µm/px of the tile in view; None if nobody knew or somebody changed it."""
    try:
        scale = provenance["tiles"][0]["um_per_px"]
    except (KeyError, IndexError, TypeError):
        return None
    return float(scale) if isinstance(scale, int | float) else None
