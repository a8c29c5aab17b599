"""Saving the work on a tile while it goes on, in threads of its own.

The window hands over snapshots; of those that wait only the newest is saved. What the disk refuses
is tried again until it is saved, and the window is told meanwhile.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from napari_selfseg.core.atomic import why_not_written
from napari_selfseg.session.label_files import StoreError
from napari_selfseg.session.lock import BEAT_S, LockLostError, SessionLock
from napari_selfseg.session.session_files import Manifest
from napari_selfseg.session.session_folder import LOCK, SessionFolder
from napari_selfseg.session.session_state import SessionState
from napari_selfseg.session.waiting import Attempts, SaveStatus, Waiting, coalesced

WATCHING_S = 1.0  # between two looks at a lock that may be nobody's
CLOSING_TRIES = 2  # of the last save, when the window is gone
EXIT_WAIT_S = 15.0  # for the last saves when the program ends

FolderFinder = Callable[[], SessionFolder]
RunWriter = Callable[[Path], None]
logger = logging.getLogger(__name__)
_going_on: weakref.WeakSet[Autosave] = weakref.WeakSet()


class Autosave:
    """Saves one session. Every method but `wait` returns at once; any thread may call it.

    Parameters
    ----------
    find_folder : callable() -> SessionFolder
        Called in the thread when something is to be saved first, and after a failure; it may
        take a while, and raise OSError or `StoreError`.
    is_fresh : bool
        Whether the work is not a continuation of the state that is stored: that one is set aside
        before something is saved.
    runs : mapping of str to int
        The runs of the state that was taken up.
    """

    def __init__(
        self,
        find_folder: FolderFinder,
        is_fresh: bool = True,
        runs: Mapping[str, int] | None = None,
    ) -> None:
        self._find_folder, self._is_fresh = find_folder, is_fresh
        self._changed = threading.Condition()
        self._folder: SessionFolder | None = None
        self._lock: SessionLock | None = None
        self._left: list[SessionLock] = []  # of folders that were left; given back in the thread
        self._newest: SessionState | None = None  # handed over last
        self._waiting: list[Waiting] = []
        self._last: Manifest | None = None
        self._runs = dict(runs or {})
        self._writers: dict[str, RunWriter] = {}  # of the runs of this window
        self._runs_waiting: dict[str, RunWriter] = {}
        self._status = SaveStatus()
        self._states_tried, self._runs_tried = Attempts(), Attempts()
        self._is_closing = self._has_ended = False
        self._threads: list[threading.Thread] = []

    @property
    def status(self) -> SaveStatus:
        """How it stands now."""
        with self._changed:
            return replace(
                self._status,
                is_waiting=bool(self._waiting or self._runs_waiting),
                problem=self._states_tried.problem or self._runs_tried.problem,
            )

    @property
    def folder(self) -> SessionFolder | None:
        """Where it is saved; None until something was to be saved."""
        return self._folder

    # ---- what the window wants

    def save(self, state: SessionState, at_all_costs: bool = False) -> None:
        """Save a state soon.

        Parameters
        ----------
        state : SessionState
            Nobody writes to its arrays any more. ``runs`` are filled in here.
        at_all_costs : bool
            Whether it is saved even if newer ones come before it is its turn.
        """
        with self._changed:
            self._newest = state
            self._waiting = coalesced(self._waiting, Waiting(state, at_all_costs))
            self._wake()

    def set_aside(self, runs: Mapping[str, int] | None = None) -> None:
        """Keep what was handed over so far as earlier work; what follows is another work.

        Parameters
        ----------
        runs : mapping of str to int
            The runs of what follows.
        """
        with self._changed:
            before = [Waiting(waiting.state, True) for waiting in self._waiting]
            self._waiting = [*before, Waiting(None, True)]
            self._newest, self._last = None, None
            self._runs = dict(runs or {})
            self._writers.clear()
            self._runs_waiting.clear()
            self._wake()

    def save_run(self, kind: str, writer: RunWriter) -> None:
        """Store a new run soon, beside the states; those that follow name it once it is there.

        Parameters
        ----------
        kind : str
            "learned", "learned-1", ... for the versions that followed, or "regions".
        writer : callable(folder)
            Writes the run folder; in another thread, again if it fails.
        """
        with self._changed:
            self._runs.pop(kind, None)
            self._writers[kind] = self._runs_waiting[kind] = writer
            self._runs_tried.again()
            self._wake()

    def know_run(self, kind: str, writer: RunWriter) -> None:
        """Take the writer of a run that is stored (see `save_run`): the session may move."""
        with self._changed:
            self._writers[kind] = writer

    def retry(self) -> None:
        """Try again at once what could not be saved."""
        with self._changed:
            self._states_tried.again()
            self._runs_tried.again()
            self._changed.notify_all()

    def take_over(self) -> None:
        """Save here from now on, as no other window does any more; its state is set aside."""
        with self._changed:
            self._save_all_afresh()

    def move_to(self, find_folder: FolderFinder) -> None:
        """Save in another folder from now on; what was saved stays where it is."""
        with self._changed:
            if self._lock is not None:
                self._left.append(self._lock)
            self._find_folder, self._folder, self._lock = find_folder, None, None
            self._save_all_afresh()

    def close(self, state: SessionState | None = None) -> None:
        """Save what waits, or this last state, and give the lock back; in the background."""
        with self._changed:
            if state is not None:
                self._newest = state
                self._waiting = coalesced(self._waiting, Waiting(state, True))
            self._is_closing = True
            self._states_tried.again()
            self._runs_tried.again()
            if self._threads or self._waiting or self._runs_waiting:
                self._wake()

    def wait(self, timeout: float) -> bool:
        """Wait until all is saved, and closed if it was asked for; return whether it is."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            alive = any(thread.is_alive() for thread in self._threads)
            if not (alive if self._is_closing else self.status.is_waiting):
                return True
            time.sleep(0.01)
        return False

    # ---- the threads

    def _wake(self) -> None:
        if not self._threads:
            loops = ("save", self._save_loop), ("runs", self._run_loop)
            self._threads = [
                threading.Thread(target=loop, name=f"selfseg-{name}", daemon=True)
                for name, loop in loops
            ]
            _going_on.add(self)
            for thread in self._threads:
                thread.start()
        self._changed.notify_all()

    def _save_loop(self) -> None:
        """Save states and give signs of life."""
        tried = self._states_tried
        while True:
            with self._changed:
                self._changed.wait_for(self._has_to_save, timeout=self._pause())
                jobs = list(self._waiting)
            for lock in self._left:
                lock.release()
            self._left.clear()
            if tried.is_due or self._is_closing:
                self._try(tried, partial(self._save_states, jobs))
            with self._changed:
                if self._is_closing and self._is_all_over():
                    self._let_go()
                    self._has_ended = True
                    self._changed.notify_all()
                    return

    def _run_loop(self) -> None:
        """Store runs; in a thread of their own, as one may take many seconds."""
        tried = self._runs_tried
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._has_ended or self._has_run_to_save(), timeout=BEAT_S
                )
                if self._has_ended:
                    return
                if not self._has_run_to_save():
                    continue
                kind, writer = next(iter(self._runs_waiting.items()))
            self._try(tried, partial(self._save_run, kind, writer))

    def _has_to_save(self) -> bool:
        is_due = self._states_tried.is_due and not self._status.is_elsewhere
        wants_lock = bool(self._runs_waiting) and not self._holds_lock
        return is_due and (bool(self._waiting) or wants_lock or self._is_closing)

    def _has_run_to_save(self) -> bool:
        return bool(self._runs_waiting) and self._runs_tried.is_due and self._holds_lock

    def _is_all_over(self) -> bool:
        """Whether nothing waits, or nothing can be done about it now that the window is gone."""
        if self._status.is_elsewhere or self._states_tried.count >= CLOSING_TRIES:
            return True
        runs_over = not self._runs_waiting or self._runs_tried.count >= CLOSING_TRIES
        return not self._waiting and runs_over

    def _pause(self) -> float:
        left = self._states_tried.next_at - time.monotonic()
        return min(left, BEAT_S) if left > 0 else (0.05 if self._is_closing else BEAT_S)

    @property
    def _holds_lock(self) -> bool:
        return self._lock is not None and self._lock.is_mine

    def _save_states(self, jobs: list[Waiting]) -> None:
        if not self._hold_lock():
            return
        folder, lock = self._folder, self._lock
        assert folder is not None
        assert lock is not None
        if not jobs and self._newest is not None and not self._is_kept(folder):
            jobs = [Waiting(self._newest, False)]  # somebody has deleted what was saved
        for job in jobs:
            if job.state is None:
                lock.beat()
                folder.set_aside()
            else:
                with self._changed:
                    runs = dict(self._runs)
                self._last = folder.save(replace(job.state, runs=runs), lock.beat)
                self._tell(saved_at=time.time())
            with self._changed:
                self._waiting = [other for other in self._waiting if other is not job]
        self._look_for_runs(folder)

    def _hold_lock(self) -> bool:
        """Take the lock or give a sign of life; return whether something may be written."""
        if self._folder is None or self._states_tried.problem:
            self._folder = self._find_folder()
            self._folder.check_writable()
        folder = self._folder
        lock = self._lock = self._lock or SessionLock(folder.path / LOCK)
        if self._status.is_elsewhere:
            self._tell(holder=lock.holder())
            return False
        if lock.is_mine:
            lock.beat()
            return True
        holder = lock.take()
        if holder is not None:
            if lock.is_in_doubt:
                self._states_tried.next_at = time.monotonic() + WATCHING_S
            else:
                self._tell(holder=holder, is_elsewhere=True)
            return False
        if self._is_fresh:
            folder.set_aside()
            self._is_fresh = False
        with self._changed:
            self._changed.notify_all()  # a run may be waiting for the lock
        return True

    def _is_kept(self, folder: SessionFolder) -> bool:
        return self._last is None or folder.is_kept(self._last)

    def _save_run(self, kind: str, writer: RunWriter) -> None:
        folder = self._folder
        assert folder is not None
        number, path = folder.new_run_folder()
        path.parent.mkdir(exist_ok=True)
        writer(path)
        with self._changed:
            if self._runs_waiting.get(kind) is writer:
                del self._runs_waiting[kind]
            if self._writers.get(kind) is writer and path.is_dir():
                self._runs[kind] = number
            if self._newest is not None:  # once more, now with the number of the run
                again = Waiting(self._newest, False)
                self._waiting = coalesced(self._waiting, again)
            kept = set(self._runs.values())
            self._changed.notify_all()
        folder.drop_maps(kept)

    def _look_for_runs(self, folder: SessionFolder) -> None:
        """Store the runs of this window again if somebody has deleted them."""
        with self._changed:
            for kind, writer in self._writers.items():
                number = self._runs.get(kind)
                if number is not None and not folder.run_folder(number).is_dir():
                    del self._runs[kind]
                    self._runs_waiting[kind] = writer
                    self._changed.notify_all()

    def _save_all_afresh(self) -> None:
        self._status = replace(self._status, is_elsewhere=False, holder=None)
        self._is_fresh, self._last = True, None
        self._runs.clear()
        self._runs_waiting.update(self._writers)
        if self._newest is not None:
            self._waiting = [Waiting(self._newest, False)]
        self._states_tried.again()
        if self._waiting or self._runs_waiting:
            self._wake()

    def _let_go(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    def _try(self, tried: Attempts, job: Callable[[], None]) -> None:
        """Do a job; what goes wrong is told, and tried again later."""
        try:
            job()
        except LockLostError:
            if self._lock is not None:  # else it was given back
                self._tell(is_elsewhere=True)
        except Exception as error:
            logger.info("The work could not be saved", exc_info=True)
            with self._changed:
                tried.failed(self._sentence(error))
        else:
            with self._changed:
                if tried.is_due:  # else it still watches a lock
                    tried.succeeded()

    def _sentence(self, error: Exception) -> str:
        if isinstance(error, StoreError):
            return str(error)
        place = "" if self._folder is None else f" in {self._folder.path.parent}"
        match error:
            case OSError():
                why = why_not_written(error)
            case MemoryError():
                why = "there is not enough memory"
            case _:
                why = f"something went wrong ({type(error).__name__}: {error})"
        return f"Your work cannot be saved{place}: {why}."

    def _tell(self, **news: Any) -> None:
        with self._changed:
            self._status = replace(self._status, **news)


def close_all(timeout: float = EXIT_WAIT_S) -> None:
    """Save what waits anywhere, as the program ends."""
    end = time.monotonic() + timeout
    autosaves = list(_going_on)
    for autosave in autosaves:
        autosave.close()
    for autosave in autosaves:
        autosave.wait(max(0.0, end - time.monotonic()))


atexit.register(close_all)
