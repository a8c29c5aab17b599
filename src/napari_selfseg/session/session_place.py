"""Where sessions are kept: a folder for every image, named by what its pixels are."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from platformdirs import user_config_path, user_data_path

from napari_selfseg.core.atomic import why_not_written, write_whole
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.session.label_files import StoreError
from napari_selfseg.session.lock import SessionLock
from napari_selfseg.session.session_folder import LOCK, SessionFolder

PLACE_VARIABLE = "NAPARI_SELFSEG_SESSIONS"
SETTING_FILE = "sessions.json"
KEY_LENGTH = 32  # of the 64 hexadecimal digits; a path must not be long on Windows
MOST_COPIES = 99


@dataclass(frozen=True)
class SessionSummary:
    """What is known of a session without reading its images.

    Parameters
    ----------
    folder : Path
    name : str
        What the image was called.
    saved_at : datetime or None
        None if nothing in it can be read.
    n_corrections : int
        Places a person has touched.
    n_bytes : int
        Of all its files.
    is_open : bool
        Whether a window works on it now.
    """

    folder: Path
    name: str
    saved_at: datetime | None
    n_corrections: int
    n_bytes: int
    is_open: bool


def sessions_place() -> Path:
    """Return the folder of all sessions.

    The environment variable ``NAPARI_SELFSEG_SESSIONS`` comes before what the user has chosen,
    and that before the user's data folder.
    """
    told = os.environ.get(PLACE_VARIABLE)
    if told:
        return Path(told).expanduser()
    return _chosen_place() or user_data_path("napari-selfseg", appauthor=False) / "sessions"


def choose_place(place: Path | None) -> None:
    """Keep sessions in another folder from now on; None is the user's data folder again.

    What is kept already stays where it is.

    Raises
    ------
    StoreError
        If nothing can be written there.
    """
    setting = _setting_file()
    try:
        if place is not None:
            place.mkdir(parents=True, exist_ok=True)
            trial = place / ".trial.part"
            write_whole(trial, b"")
            trial.unlink()
        setting.parent.mkdir(parents=True, exist_ok=True)
        told = None if place is None else str(place.absolute())
        write_whole(setting, json.dumps({"folder": told}).encode("ascii"))
    except OSError as error:
        raise StoreError(f"Nothing can be kept in {place}: {why_not_written(error)}.") from error


def open_place() -> Path:
    """Return the folder of all sessions; it is made if nobody has chosen it.

    Raises
    ------
    StoreError
        If a folder that somebody has chosen is gone: its drive may be unplugged.
    OSError
    """
    place = sessions_place()
    if os.environ.get(PLACE_VARIABLE) or _chosen_place() is None:
        place.mkdir(parents=True, exist_ok=True)
    elif not place.is_dir():
        raise StoreError(f"Your work cannot be saved: the folder {place} is gone.")
    return place


class SessionFinder:
    """Finds the session folders of a tile; its pixels are read once, when it must be.

    Not for the window's thread.

    Parameters
    ----------
    tile : Tile
    """

    def __init__(self, tile: Tile) -> None:
        self._tile = tile
        self._copy: Path | None = None

    @cached_property
    def sha256(self) -> str:
        """The hash of the tile's pixels and shape."""
        return self._tile.sha256()

    @property
    def key(self) -> str:
        """The name of the tile's session folder."""
        return self.sha256[:KEY_LENGTH]

    def own(self) -> SessionFolder:
        """Return the session folder of the tile.

        Raises
        ------
        OSError, StoreError
            If the folder of all sessions is gone.
        """
        return self._at(open_place() / self.key)

    def at(self, path: Path) -> SessionFolder:
        """Return a session folder that was there.

        Raises
        ------
        OSError, StoreError
            If the folder of all sessions is gone.
        """
        if path.parent == sessions_place():
            open_place()
        return self._at(path)

    def under(self, place: Path) -> SessionFolder:
        """Return the session folder of the tile in a folder that the user has just chosen."""
        return self._at(place / self.key)

    def copy(self) -> SessionFolder:
        """Return a session folder beside that of the tile, always the same one.

        Raises
        ------
        OSError, StoreError
            If there are too many, or the folder of all sessions is gone.
        """
        self._copy = self._copy or new_copy(open_place(), self.key)
        return self._at(self._copy)

    def stored(self) -> tuple[Path, ...]:
        """Return the session folders of the tile that are there, its own first.

        If no work on an image of this shape is stored, no pixel is read.
        """
        place = sessions_place()
        if not may_have_session(place, self._tile.shape):
            return ()
        return tuple(path for path in _paths(place, self.key) if path.is_dir())

    def _at(self, path: Path) -> SessionFolder:
        # no path and no pixel of the image
        tile = self._tile
        about = {"sha256": self.sha256, "shape": list(tile.shape), "name": tile.name}
        return SessionFolder(path, about)


def new_copy(place: Path, key: str) -> Path:
    """Return where another session of an image can be kept.

    Raises
    ------
    StoreError
        If there are too many.
    """
    for path in _paths(place, key):
        if not path.exists():
            return path
    raise StoreError("There are too many copies of the work on this image.")


def may_have_session(place: Path, shape: tuple[int, int]) -> bool:
    """Whether work on any image of this shape (M, N) is kept; no pixel is read for that."""
    return any(
        folder.about().get("shape") == list(shape) for folder in map(SessionFolder, _all(place))
    )


def list_sessions(place: Path | None = None) -> tuple[SessionSummary, ...]:
    """Return all sessions, the newest first."""
    found = [_summary(path) for path in _all(place or sessions_place())]
    return tuple(sorted(found, key=lambda s: (s.saved_at is not None, s.saved_at), reverse=True))


def delete_session(folder: Path) -> None:
    """Delete a session with all its labels and runs, for ever.

    Raises
    ------
    StoreError
        If it is none, a window works on it, or the disk refuses.
    """
    if not SessionFolder(folder).about():
        raise StoreError(f"{folder} is not the folder of a session, so it is not deleted.")
    if SessionLock(folder / LOCK).holder() is not None:
        raise StoreError("A window works on this session: close it first.")
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise StoreError(f"{folder} was not deleted: {why_not_written(error)}.") from error


def _summary(path: Path) -> SessionSummary:
    folder = SessionFolder(path)
    newest = folder.newest() or next(iter(folder.earlier()), None)
    n_bytes = 0
    for file in path.rglob("*"):
        with suppress(OSError):
            n_bytes += file.stat().st_size if file.is_file() else 0
    return SessionSummary(
        folder=path,
        name=str(folder.about().get("name", "")),
        saved_at=None if newest is None else newest.when,
        n_corrections=0 if newest is None else newest.n_corrections,
        n_bytes=n_bytes,
        is_open=SessionLock(path / LOCK).holder() is not None,
    )


def _paths(place: Path, key: str) -> Iterator[Path]:
    yield place / key
    for number in range(2, MOST_COPIES + 1):
        yield place / f"{key}-{number}"


def _all(place: Path) -> list[Path]:
    try:
        return [path for path in place.iterdir() if path.is_dir() and SessionFolder(path).about()]
    except OSError:
        return []


def _setting_file() -> Path:
    return user_config_path("napari-selfseg", appauthor=False) / SETTING_FILE


def _chosen_place() -> Path | None:
    try:
        told = json.loads(_setting_file().read_text(encoding="utf-8"))["folder"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return Path(told) if isinstance(told, str) else None
