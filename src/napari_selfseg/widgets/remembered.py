"""A small JSON file in the user's own configuration folder; nothing of it is ever exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from napari_selfseg.core.atomic import atomic_file

CHOICES = "choices.json"


class Remembered:
    """Values by name that outlive the program.

    A damaged or read-only file is no reason to disturb anybody: it then remembers nothing.

    Parameters
    ----------
    file_name : str
        In the configuration folder.
    path : Path, optional
        Of the file, in place of that.
    """

    def __init__(self, file_name: str = CHOICES, path: Path | None = None) -> None:
        self._path = path or user_config_path("napari-selfseg", appauthor=False) / file_name

    def all(self) -> dict[str, Any]:
        """Return all values."""
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def replace(self, values: dict[str, Any]) -> None:
        """Keep these values in place of all others."""
        try:
            with atomic_file(self._path) as beside:
                beside.write_text(json.dumps(values, indent=1), encoding="utf-8")
        except OSError:
            return

    def put(self, name: str, value: Any) -> None:
        """Keep one value beside the others."""
        self.replace({**self.all(), name: value})
