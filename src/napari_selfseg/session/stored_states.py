"""Reading a session folder: which states there are, and one of them with every field checked."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_selfseg.session.label_files import StoreError
from napari_selfseg.session.session_files import (
    Manifest,
    from_ranges,
    read_bounded,
    read_image,
    read_manifest,
)
from napari_selfseg.session.session_state import LayerWork, SessionState

STATE, EARLIER = "state", "earlier"
IMAGES, RUNS, LOCK, ABOUT = "images", "runs", "lock", "session.json"
LARGEST_ABOUT = 100_000  # bytes
NUMBERED = re.compile(r"(state|earlier)-([0-9]{6,12})\.json")
IMAGE = re.compile(r".+-([0-9]{6,12})\.tif")


@dataclass(frozen=True, eq=False)
class Loaded:
    """A state that was read.

    Parameters
    ----------
    state : SessionState
    manifest : Manifest
    note : str
        One sentence for the user if it is not the newest one; else empty.
    """

    state: SessionState
    manifest: Manifest
    note: str = ""


class StoredStates:
    """Reads the session folder of a tile, which need not be there.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def newest(self) -> Manifest | None:
        """Return the manifest of the newest state that can be read; None if there is none."""
        return next(iter(self._readable(STATE)), None)

    def earlier(self) -> tuple[Manifest, ...]:
        """Return the manifests of what was set aside, the newest first."""
        return tuple(self._readable(EARLIER))

    def load(self) -> Loaded:
        """Read the newest state that is whole.

        Raises
        ------
        StoreError
            If there is none; one sentence.
        """
        paths = self._numbered(STATE)
        for path in paths:
            try:
                loaded = self._load(path)
            except (StoreError, OSError):
                continue
            if path == paths[0]:
                return loaded
            when = f"{loaded.manifest.when:%H:%M:%S}"
            note = f"What was saved last is damaged; this is the state of {when}, just before."
            return Loaded(loaded.state, loaded.manifest, note)
        for path in paths:  # an image that did not change belongs to several states
            with suppress(StoreError, OSError):
                loaded = self._load(path, in_part=True)
                if loaded.state.layers:
                    lost = ", ".join(sorted(set(loaded.manifest.layers) - set(loaded.state.layers)))
                    note = f"A part of the stored work is damaged and was left out ({lost})."
                    return Loaded(loaded.state, loaded.manifest, note)
        raise StoreError(
            "The stored work on this image is damaged and cannot be read."
            if paths
            else "There is no stored work on this image."
        )

    def load_number(self, number: int) -> Loaded:
        """Read one state, which may have been set aside meanwhile; else the newest that is whole.

        Raises
        ------
        StoreError
            If there is none; one sentence.
        """
        for kind in (STATE, EARLIER):
            with suppress(StoreError, OSError):
                return self._load(self._path_of(kind, number))
        return self.load()

    def run_folder(self, number: int) -> Path:
        """Return where a run is kept."""
        return self.path / RUNS / f"{number:04d}"

    def runs(self) -> tuple[int, ...]:
        """Return the numbers of the runs that are kept, in the order of their training."""
        with suppress(OSError):
            names = [path.name for path in (self.path / RUNS).iterdir() if path.is_dir()]
            return tuple(sorted(int(n) for n in names if n.isdecimal() and len(n) <= 6))
        return ()

    def about(self) -> dict[str, Any]:
        """Return what the folder says of its image; empty if that cannot be read."""
        try:
            told = json.loads(read_bounded(self.path / ABOUT, LARGEST_ABOUT))
        except (OSError, ValueError, RecursionError, StoreError):
            return {}
        return told if isinstance(told, dict) else {}

    # ---- inside

    def _load(self, path: Path, in_part: bool = False) -> Loaded:
        manifest = read_manifest(path)
        most = manifest.shape[0] * manifest.shape[1]
        images = self.path / IMAGES
        layers = {}
        for name, record in manifest.layers.items():
            try:
                layers[name] = LayerWork(
                    labels=read_image(images, record.labels, manifest.shape),
                    touched=read_image(images, record.touched, manifest.shape),
                    reserved=from_ranges(record.reserved, most),
                    settings=record.settings,
                )
            except (StoreError, OSError):
                if not in_part:
                    raise
        return Loaded(SessionState(layers, manifest.values, manifest.runs), manifest)

    def _is_whole(self, path: Path) -> bool:
        try:
            self._load(path)
        except (StoreError, OSError):
            return False
        return True

    def _readable(self, kind: str) -> list[Manifest]:
        found = []
        for path in self._numbered(kind):
            with suppress(StoreError, OSError):
                found.append(read_manifest(path))
        return found

    def _numbered(self, kind: str) -> list[Path]:
        """Return the manifests of a kind, the newest first."""
        try:
            names = [path.name for path in self.path.iterdir()]
        except OSError:
            return []
        numbers = [int(m[2]) for m in map(NUMBERED.fullmatch, names) if m and m[1] == kind]
        return [self._path_of(kind, number) for number in sorted(numbers, reverse=True)]

    def _path_of(self, kind: str, number: int) -> Path:
        return self.path / f"{kind}-{number:06d}.json"
