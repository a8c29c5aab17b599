"""The lock of a session folder: one program writes, the others see who.

Whoever holds it rewrites the file every few seconds (its heartbeat). A lock is nobody's any more

- at once, if its program was of this computer and has ended (its process number may be another
  program's by now: the time that one was started tells);
- after 30 s without a heartbeat otherwise, but only if none comes while we look on: after a
  computer has slept, every lock looks old.

The age of a file is judged by the clock of the drive it is on, as the clocks of two computers
differ. A program that was held up and comes back finds another's name in the file and knows.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

BEAT_S = 5.0  # between two heartbeats
STALE_S = 30.0  # without one
WATCH_S = 1.2 * BEAT_S  # a lock that looks old is watched for so long
LARGEST = 4096  # bytes of a lock file
SAME_START_S = 2.0  # the system tells the start of a process to a fraction of this

_BINARY = getattr(os, "O_BINARY", 0)


class LockLostError(Exception):
    """Another program has taken the lock over; the message is one sentence for the user."""


@dataclass(frozen=True)
class Owner:
    """Who holds a lock.

    Parameters
    ----------
    host : str
        The name of the computer.
    pid : int
        The number of the process.
    machine : str
        Which start of which computer it is; a container is one of its own.
    started : float
        When the process was started, s since 1970.
    token : str
        Of this one lock.
    beat : int
        Heartbeats so far.
    """

    host: str
    pid: int
    machine: str
    started: float
    token: str
    beat: int = 0

    @property
    def has_ended(self) -> bool:
        """Whether it was a program of this computer that does not run any more."""
        if (self.host, self.machine) != (socket.gethostname(), this_machine()):
            return False
        try:
            started = float(psutil.Process(self.pid).create_time())
            return abs(started - self.started) > SAME_START_S
        except psutil.NoSuchProcess:
            return True
        except psutil.Error:
            return False


class SessionLock:
    """The lock as one program sees it.

    Parameters
    ----------
    path : Path
        Of the lock file; its folder must exist when the lock is taken.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._me: Owner | None = None
        self._watched: tuple[str, int, float] | None = None  # token, beat, since when
        self._in_doubt = False
        self._nobodys: str | None = None  # the token of a lock that was found to be nobody's

    @property
    def is_mine(self) -> bool:
        """Whether we hold it, as far as we know."""
        return self._me is not None

    @property
    def is_in_doubt(self) -> bool:
        """Whether the holder that was told last gave no sign of life for long: ask again soon."""
        return self._in_doubt

    def take(self) -> Owner | None:
        """Take the lock if it is nobody's; return who holds it, None if we do.

        Raises
        ------
        OSError
            If the folder is gone or cannot be written to.
        """
        if self._me is not None:
            with suppress(LockLostError):
                self.beat()
                return None
        holder = self.holder()
        if holder is not None:
            return holder
        self._remove_stale()
        mine = _me()
        if self._create(mine):
            self._me = mine
            return None
        return self.holder() or _unknown()  # somebody was quicker

    def beat(self) -> None:
        """Give a sign of life.

        Raises
        ------
        LockLostError
            If another program has taken the lock over.
        OSError
            If the file cannot be written.
        """
        if self._me is None:
            raise LockLostError("The lock of this work is not held.")
        following = Owner(**{**vars(self._me), "beat": self._me.beat + 1})
        try:
            stream = os.open(self._path, os.O_RDWR | _BINARY)
        except FileNotFoundError:
            if not self._create(following):  # deleted, and somebody was quicker
                self._lose()
            self._me = following
            return
        try:
            # the file that was looked at is the one that is written, even if it was moved away
            content = os.read(stream, LARGEST)
            owner = _parse(content)
            if owner is not None and owner.token != self._me.token:
                self._lose()
            os.lseek(stream, 0, os.SEEK_SET)
            told = _encode(following)
            os.write(stream, told)
            if len(content) > len(told):
                os.ftruncate(stream, len(told))
        finally:
            os.close(stream)
        self._me = following

    def release(self) -> None:
        """Give the lock back; harmless if it is not ours."""
        me, self._me = self._me, None
        if me is not None:
            with suppress(OSError):
                if _owner_at(self._path).token == me.token:
                    os.unlink(self._path)

    def holder(self) -> Owner | None:
        """Return who else holds the lock; None if nobody does.

        What looks old is still said to be held until we have looked for a while: ask again.
        """
        self._nobodys, self._in_doubt = None, False
        try:
            owner = _owner_at(self._path)
            modified = os.stat(self._path).st_mtime
        except FileNotFoundError:
            return None
        except OSError:
            return _unknown()
        if self._me is not None and owner.token == self._me.token:
            return None
        if owner.has_ended or self._is_silent(owner, modified):
            self._nobodys = owner.token
            return None
        return owner

    # ---- inside

    def _is_silent(self, owner: Owner, modified: float) -> bool:
        now = time.monotonic()
        if self._watched is None or self._watched[:2] != (owner.token, owner.beat):
            self._watched = owner.token, owner.beat, now
        looked_on = now - self._watched[2]
        self._in_doubt = abs(self._drive_time() - modified) > STALE_S
        return looked_on >= STALE_S or (looked_on >= WATCH_S and self._in_doubt)

    def _lose(self) -> None:
        self._me = None
        raise LockLostError("This work was taken over by another window.")

    def _create(self, owner: Owner) -> bool:
        try:
            stream = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
        except FileExistsError:
            return False
        except PermissionError:
            if os.name == "nt" and self._path.exists():
                return False  # Windows, while another program deletes it
            raise
        try:
            os.write(stream, _encode(owner))
            os.fsync(stream)
        except BaseException:
            os.close(stream)
            with suppress(OSError):
                os.unlink(self._path)
            raise
        os.close(stream)
        return True

    def _remove_stale(self) -> None:
        """Remove the lock that `holder` found to be nobody's.

        Two programs may do so at the same time, and the slower one would remove the lock of the
        quicker one. So it is moved away, looked at, and brought back if it is a living one.
        """
        if self._nobodys is None:
            return
        aside = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}.part")
        try:
            os.rename(self._path, aside)
        except FileNotFoundError:
            return
        except PermissionError:
            if os.name == "nt":
                return  # open in another program at this moment: the next try
            raise
        moved = _owner_at(aside)
        if moved.token != self._nobodys:
            self._create(moved)  # its owner would also make it anew at its next heartbeat
        os.unlink(aside)

    def _drive_time(self) -> float:
        """Return what time it is for the drive that holds the lock."""
        probe = self._path.with_name(f".clock.{secrets.token_hex(4)}.part")
        try:
            probe.write_bytes(b"")
            now = probe.stat().st_mtime
            probe.unlink()
        except OSError:
            return time.time()
        return now


def this_machine() -> str:
    """Return what tells this start of this computer from others of the same name."""
    parts = []
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))  # containers number processes themselves
    return " ".join(parts)


def _me() -> Owner:
    return Owner(
        host=socket.gethostname(),
        pid=os.getpid(),
        machine=this_machine(),
        started=psutil.Process().create_time(),
        token=secrets.token_hex(8),
    )


def _unknown(content: bytes = b"") -> Owner:
    """Stand for the owner of a lock that cannot be read."""
    return Owner("", 0, "?", 0.0, f"?{content.hex()[:64]}")


def _encode(owner: Owner) -> bytes:
    told = {**vars(owner), "beat": f"{owner.beat:010d}"}  # always as long, to be overwritten
    return (json.dumps(told) + "\n").encode("ascii")


def _owner_at(path: Path) -> Owner:
    with path.open("rb") as stream:
        content = stream.read(LARGEST)
    return _parse(content) or _unknown(content)


def _parse(content: bytes) -> Owner | None:
    """Return the owner that a lock file tells of; None if it is empty, half written or garbage."""
    try:
        told: Any = json.loads(content)
        owner = Owner(
            host=str(told["host"]),
            pid=int(told["pid"]),
            machine=str(told["machine"]),
            started=float(told["started"]),
            token=str(told["token"]),
            beat=int(told["beat"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None
    return owner if 0 < owner.pid < 2**31 else None
