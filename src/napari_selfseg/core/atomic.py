"""Files and folders that are written beside their place and then renamed.

A full disk, a lost network drive or Ctrl-C leaves the old file or nothing, never half a file.
`os.replace` is used because it also replaces on Windows.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Give a path beside ``path`` to write to; it takes the place of ``path`` at the end.

    Whatever is raised inside the ``with`` leaves ``path`` as it was.

    Raises
    ------
    OSError
        If the file cannot be written or renamed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(path)
    try:
        yield beside
        with beside.open("rb+") as stream:
            os.fsync(stream.fileno())  # a full network drive may only say so here
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise


@contextmanager
def atomic_folder(folder: str | Path, replace: bool = False) -> Iterator[Path]:
    """Give a new folder beside ``folder`` to fill; it takes its place at the end.

    Parameters
    ----------
    folder : path
        Must not exist, or be empty, unless ``replace``.
    replace : bool
        Whether a folder that is there may be replaced. It is moved away first and brought
        back if the new one cannot take its place.

    Raises
    ------
    FileExistsError
        If there is something at ``folder`` that may not be replaced.
    OSError
        If the folder cannot be written or renamed.
    """
    folder = Path(folder)
    if not replace and not is_free(folder):
        raise FileExistsError(errno.EEXIST, "exists already", str(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(folder)
    beside.mkdir()  # not tempfile.mkdtemp, which lets nobody else in the laboratory read it
    try:
        yield beside
        _take_place(beside, folder, replace)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def is_free(folder: str | Path) -> bool:
    """Whether there is nothing at this path, or an empty folder."""
    folder = Path(folder)
    if folder.is_dir() and not folder.is_symlink():
        return not any(folder.iterdir())
    return not os.path.lexists(folder)


def why_not_written(error: OSError) -> str:
    """Return in a user's words, as part of a sentence, why a file could not be written."""
    if "requested and" in str(error):  # numpy's words for a disk that took a part only
        return "the disk is full"
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "the disk is full"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "this place is read-only or the file is open in another program"
        case errno.ENOTDIR | errno.EEXIST | errno.EISDIR:
            return "there is something else with this name"
        case _:
            return error.strerror or str(error) or "the operating system refused"


def _take_place(beside: Path, folder: Path, replace: bool) -> None:
    if is_free(folder):
        with suppress(FileNotFoundError):
            folder.rmdir()  # Windows does not rename onto an empty folder
        os.replace(beside, folder)
        return
    if not replace:  # it appeared while we were writing
        raise FileExistsError(errno.EEXIST, "exists already", str(folder))
    old = _beside(folder)
    os.replace(folder, old)
    try:
        os.replace(beside, folder)
    except BaseException:
        os.replace(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _beside(path: Path) -> Path:
    # in the same folder, so that the rename stays on one file system
    return path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
