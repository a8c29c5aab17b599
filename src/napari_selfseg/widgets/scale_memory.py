"""Microns per pixel that a user stated, remembered by the folder of the image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from napari_selfseg.core.atomic import atomic_file

MOST_FOLDERS = 200
FILE_NAME = "um_per_px.json"


class ScaleMemory:
    """A small JSON file in the user's own configuration folder; nothing of it is ever exported.

    A damaged or read-only file is no reason to disturb anybody: it then remembers nothing.

    Parameters
    ----------
    path : Path, optional
        Of the file.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or user_config_path("napari-selfseg", appauthor=False) / FILE_NAME

    def recall(self, folder: Path | None) -> float | None:
        """Return the µm/px last stated for images of a folder."""
        if folder is None:
            return None
        stated = self._read().get(str(folder))
        return float(stated) if isinstance(stated, int | float) and stated > 0 else None

    def remember(self, folder: Path | None, um_per_px: float | None) -> None:
        """Keep the µm/px of a folder; None forgets it."""
        if folder is None:
            return
        known = self._read()
        known.pop(str(folder), None)
        if um_per_px is not None:
            known[str(folder)] = um_per_px  # as the newest one
        newest = dict(list(known.items())[-MOST_FOLDERS:])
        try:
            with atomic_file(self._path) as beside:
                beside.write_text(json.dumps(newest, indent=1), encoding="utf-8")
        except OSError:
            return

    def _read(self) -> dict[str, Any]:
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}
