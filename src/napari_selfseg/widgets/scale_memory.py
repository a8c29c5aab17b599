"""Microns per pixel that a user stated, remembered by the folder of the image."""

from __future__ import annotations

from pathlib import Path

from napari_selfseg.widgets.remembered import Remembered

MOST_FOLDERS = 200
FILE_NAME = "um_per_px.json"


class ScaleMemory:
    """What was stated, in a file of its own.

    Parameters
    ----------
    path : Path, optional
        Of the file.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._file = Remembered(FILE_NAME, path)

    def recall(self, folder: Path | None) -> float | None:
        """Return the µm/px last stated for images of a folder."""
        if folder is None:
            return None
        stated = self._file.all().get(str(folder))
        return float(stated) if isinstance(stated, int | float) and stated > 0 else None

    def remember(self, folder: Path | None, um_per_px: float | None) -> None:
        """Keep the µm/px of a folder; None forgets it."""
        if folder is None:
            return
        known = self._file.all()
        known.pop(str(folder), None)
        if um_per_px is not None:
            known[str(folder)] = um_per_px  # as the newest one
        self._file.replace(dict(list(known.items())[-MOST_FOLDERS:]))
