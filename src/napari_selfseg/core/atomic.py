"""Files and folders that are written beside their place and then renamed.

A full disk, a lost network drive, Ctrl-C or a power cut leaves the old file or nothing, never half
a file: what was written is on the disk before it is renamed, and the new name after it.
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

_PART = ".part"
_BINARY = getattr(os, "O_BINARY", 0)  # Windows would change line ends


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
    sync_folder(path.parent)


def write_whole(path: str | Path, content: bytes) -> None:
    """Write a small file whole; the folder must exist.

    Raises
    ------
    OSError
        If it cannot be written or renamed; what was there stays.
    """
    path = Path(path)
    beside = _beside(path)
    try:
        stream = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(stream, rest) :]
            os.fsync(stream)
        finally:
            os.close(stream)
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        raise
    sync_folder(path.parent)


def sync_folder(folder: str | Path) -> None:
    """Bring the names in a folder to the disk; some systems do it by themselves."""
    if os.name == "nt":
        return
    stream = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(stream)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise  # the others only say that this drive does not know it
    finally:
        os.close(stream)


def is_leftover(name: str) -> bool:
    """Whether this is the name of a file or folder that a killed program was writing."""
    return name.startswith(".") and name.endswith(_PART)


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
        _sync_tree(beside)
        _take_place(beside, folder, replace)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    sync_folder(folder.parent)


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
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return "the disk is full"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "this place is read-only or the file is open in another program"
        case errno.ENOENT:
            return "the folder is gone"
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


def _sync_tree(folder: Path) -> None:
    for place, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(place, name), "rb+") as stream:
                os.fsync(stream.fileno())
        sync_folder(place)


def _beside(path: Path) -> Path:
    # in the same folder, so that the rename stays on one file system
    return path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}{_PART}")
