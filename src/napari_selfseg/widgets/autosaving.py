"""Keeps the work on one tile in its session folder: what is saved when, and where."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QWidget

from napari_selfseg.session.autosave import Autosave, RunWriter
from napari_selfseg.session.lock import Owner
from napari_selfseg.session.session_folder import SessionFolder
from napari_selfseg.session.session_place import SessionFinder
from napari_selfseg.session.session_state import SessionState
from napari_selfseg.session.store import copy_run, save_region_run, save_run
from napari_selfseg.session.waiting import SaveStatus
from napari_selfseg.session.work_settings import SETTINGS_VALUE, WorkSettings, read_settings
from napari_selfseg.widgets.background import run_once
from napari_selfseg.widgets.earlier_work import (
    EarlierWork,
    Found,
    Prepared,
    look_for_work,
    prepare,
    put_back,
)
from napari_selfseg.widgets.editable_labels import EditableLabels
from napari_selfseg.widgets.tile_work import TileWork
from napari_selfseg.widgets.work_snapshot import WorkSnapshots

LOOK_MS = 1000  # how often it is seen whether there is something to save
SAVE_S = 2.0  # after a change; with what the disk needs, 10 s at most
LONG_S = 6.0  # during a stroke, which is not to be disturbed, and while stored work is looked for
LOOK_AGAIN_MS = 4000  # at what is stored, after something was set aside
WAIT_MS = 50  # between two looks whether labels are on their way
BYTES_ON_DISK = 4  # of a pixel of a map
MOST_MAP_BYTES = 100_000_000  # of a stored run; larger maps are drawn again when they are needed


class Autosaving(QObject):
    """Saves a `TileWork` while it goes on, and takes up what was saved of it.

    Parameters
    ----------
    work : TileWork
    settings : callable() -> WorkSettings
        How the dock stands.
    owner : QWidget
        Nothing happens any more once it was destroyed.

    Attributes
    ----------
    offer : EarlierWork or None
        Stored work that the person may take up.
    changed : Signal()
        What is offered is not what it was.
    taking_up : Signal(object)
        The `WorkSettings` of work that is being taken up: labels are made at its scale.
    taken_up : Signal(object)
        The `Prepared` work that is shown now.
    failed : Signal(str)
        Why stored work could not be taken up; one sentence.
    """

    changed = Signal()
    taking_up = Signal(object)
    taken_up = Signal(object)
    failed = Signal(str)

    def __init__(
        self, work: TileWork, settings: Callable[[], WorkSettings], owner: QWidget
    ) -> None:
        super().__init__(owner)
        self.work = work
        self.found = Found()
        self.offer: EarlierWork | None = None  # as long as the person has not said what about it
        self.is_taking_up = False
        self._settings, self._owner = settings, owner
        self._snapshots = WorkSnapshots(work)
        self._autosave: Autosave | None = None
        self._changed_at: float | None = None  # the first change that is not handed over
        self._is_closed = False
        self._stored_runs: dict[str, Any] = {}  # what marks those that were handed over
        self._finder = SessionFinder(work.tile_view.tile)
        self._is_looking = self._has_looked = False
        self._clock = QTimer(self)
        self._clock.setInterval(LOOK_MS)
        self._clock.timeout.connect(self._look)
        self._clock.start()
        self._look_again = _single_shot(self, LOOK_AGAIN_MS, self._look_for_work)
        self._wait = _single_shot(self, WAIT_MS, self._prepare)
        self._wanted: EarlierWork | None = None
        work.layers.on_edited = self.note_edit
        work.layers.before_update = self.save_now
        work.kept.on_change = self.note_settings
        work.changed.connect(self.note_change)
        work.regions.changed.connect(self.note_change)
        self._look_for_work()

    # ---- how it stands

    @property
    def status(self) -> SaveStatus:
        """How it stands with the saving."""
        return SaveStatus() if self._autosave is None else self._autosave.status

    @property
    def holder(self) -> Owner | None:
        """Another window that works on this image now."""
        status = self.status
        is_known = status.is_elsewhere or status.saved_at is not None
        return status.holder if is_known else self.found.holder

    @property
    def is_worth_keeping(self) -> bool:
        """Whether something would be lost without saving."""
        work = self.work
        if self._autosave is not None or work.has_run or work.regions.has_run:
            return True
        layers = work.kept_layers() | work.regions.kept_layers()
        is_touched = any(work.layers.is_touched(layer) for layer, _ in layers.values())
        return is_touched or any(work.kept.collect().values())

    # ---- what happens

    def note_edit(self, editable: EditableLabels) -> None:
        """Take notice that a person has changed labels."""
        self._snapshots.note(editable)
        self._note()

    def note_change(self) -> None:
        """Take notice that something has changed: results, sliders, settings, decisions."""
        self._snapshots.note()
        self._note()

    def note_settings(self) -> None:
        """Take notice that something beside the labels has changed."""
        self._note()

    def save_now(self) -> None:
        """Hand over what is not saved yet, before labels are predicted anew."""
        if self._changed_at is not None and not self.is_taking_up:
            self._hand_over(at_all_costs=True)

    def close(self) -> None:
        """Save what is there now and give the session back; in the background."""
        if self._is_closed:
            return
        self._is_closed = True
        for timer in (self._clock, self._look_again, self._wait):
            timer.stop()
        if self._changed_at is not None:
            self._hand_over(at_all_costs=True)
        if self._autosave is not None:
            self._autosave.close()
        # the work may outlive the window
        work = self.work
        work.layers.on_edited = lambda _: None
        work.layers.before_update = work.kept.on_change = lambda: None
        self._snapshots.note()

    # ---- what the person wants

    def take_up(self, earlier: EarlierWork | None = None) -> None:
        """Show stored work in place of what is shown; without any, that which is offered."""
        earlier = earlier or self.offer
        if earlier is None or self.is_taking_up:
            return
        self.save_now()
        self.is_taking_up = True
        self.changed.emit()
        self.taking_up.emit(read_settings(earlier.manifest.values))
        self._wanted = earlier
        self._prepare()

    def start_afresh(self) -> None:
        """Go on with what is shown; the stored work is set aside when something is saved."""
        self.offer = None
        self.changed.emit()

    def others(self) -> tuple[EarlierWork, ...]:
        """Return other stored work on this image, the newest first."""
        newest = self.found.newest
        others = self.found.others if newest is None else (newest, *self.found.others)
        return tuple(one for one in others if one != self.offer)

    def retry(self) -> None:
        """Try again at once what could not be saved."""
        if self._autosave is not None:
            self._autosave.retry()

    def take_over(self) -> None:
        """Save here, as the other window is gone; what it saved is kept as earlier work."""
        if self._autosave is not None:
            self._autosave.take_over()

    def save_as_copy(self) -> None:
        """Save here in a session of its own, beside that of the other window."""
        self._move_to(self._finder.copy)

    def move_to(self, place: Path) -> None:
        """Save in another folder from now on."""
        self._move_to(partial(self._finder.under, place))

    # ---- inside

    def _note(self) -> None:
        if self._changed_at is None and not self._is_closed:
            self._changed_at = time.monotonic()

    def _look(self) -> None:
        """Save what changed a moment ago; see what another window does."""
        is_painting = self.work.layers.stroke_going_on
        if is_painting:
            self._snapshots.note()
            self._note()
        if self._changed_at is not None and not self.is_taking_up:
            waited = time.monotonic() - self._changed_at
            must_wait = is_painting or not self._has_looked
            if waited >= (LONG_S if must_wait else SAVE_S):
                self._hand_over()
        if self._autosave is None and self.found.holder is not None:
            self._look_for_work()  # has the other window gone?

    def _hand_over(self, at_all_costs: bool = False) -> None:
        self._changed_at = None
        if not self.is_worth_keeping:
            return
        autosave = self._autosave or self._begin(self._finder.own)
        self._store_runs(autosave)
        settings = self._settings().model_dump(mode="json")
        values = {**self.work.kept.collect(), SETTINGS_VALUE: settings}
        autosave.save(SessionState(self._snapshots.layers(), values), at_all_costs)

    def _begin(
        self,
        find_folder: Callable[[], SessionFolder],
        is_fresh: bool = True,
        runs: Mapping[str, int] | None = None,
    ) -> Autosave:
        self._autosave = Autosave(find_folder, is_fresh, runs)
        self._stored_runs.clear()
        self._look_again.start()
        return self._autosave

    def _move_to(self, find_folder: Callable[[], SessionFolder]) -> None:
        if self._autosave is None:
            self._begin(find_folder)
            self._note()
        else:
            self._autosave.move_to(find_folder)

    def _store_runs(self, autosave: Autosave) -> None:
        """Hand over what was trained since."""
        for kind, (mark, writer) in _runs_of(self.work).items():
            if self._stored_runs.get(kind) is not mark:
                self._stored_runs[kind] = mark
                autosave.save_run(kind, writer)

    # ---- stored work

    def _look_for_work(self) -> None:
        if self._is_looking or self._is_closed:
            return
        self._is_looking = True
        look = partial(look_for_work, self._finder, self.work.tile_view.tile.shape)
        run_once(look, self._on_found, lambda *_: self._on_found(Found()), self._owner)

    def _on_found(self, found: Found) -> None:
        autosave, newest = self._autosave, found.newest
        if autosave is not None and newest is not None:
            place = autosave.folder
            if place is None or place.path == newest.folder:
                found = replace(found, newest=None)  # it is what is shown
        elif not self._has_looked:
            self.offer = newest
        self._is_looking, self._has_looked, self.found = False, True, found
        self.changed.emit()

    def _prepare(self) -> None:
        earlier = self._wanted
        if earlier is None or self._is_closed:
            return
        if self.work.search.is_finding("threshold") or self.work.search.is_finding("learned"):
            # what it finds would be put into the labels that are brought back
            self._wait.start()
            return
        job = partial(prepare, earlier, self.work.tile_view.tile)
        run_once(job, partial(self._on_prepared, earlier), self._on_failed, self._owner)

    def _on_prepared(self, earlier: EarlierWork, prepared: Prepared) -> None:
        self.is_taking_up, self.offer = False, None
        self._go_on_with(earlier, prepared.taken.state.runs)
        put_back(self.work, prepared)
        assert self._autosave is not None
        for kind, (mark, writer) in _runs_of(self.work).items():
            self._stored_runs[kind] = mark
            self._autosave.know_run(kind, writer)
        self.taken_up.emit(prepared)
        self.note_change()
        self.changed.emit()

    def _go_on_with(self, earlier: EarlierWork, runs: Mapping[str, int]) -> None:
        """Save from now on where stored work is from; what was done before is kept there too."""
        if self._changed_at is not None:
            self._hand_over(at_all_costs=True)
        autosave = self._autosave
        place = None if autosave is None else autosave.folder
        if autosave is not None and place is not None and place.path == earlier.folder:
            autosave.set_aside(runs)
            self._look_again.start()
            return
        if autosave is not None:
            autosave.close()
        is_newest = earlier is self.found.newest
        self._begin(partial(self._finder.at, earlier.folder), not is_newest, runs)

    def _on_failed(self, sentence: str, _details: str) -> None:
        self.is_taking_up = False
        self.changed.emit()
        self.failed.emit(sentence)


def _single_shot(owner: QObject, after_ms: int, do: Callable[[], None]) -> QTimer:
    timer = QTimer(owner)
    timer.setSingleShot(True)
    timer.setInterval(after_ms)
    timer.timeout.connect(do)
    return timer


def _runs_of(work: TileWork) -> dict[str, tuple[Any, RunWriter]]:
    """Return the trained runs of a tile: what tells one from another, and its writer."""
    found: dict[str, tuple[Any, RunWriter]] = {}
    versions, regions = work.versions, work.regions.result
    if work.has_run and versions is not None:
        for version in versions.all:
            result, folder = version.result, version.folder
            if result is not None:
                small = _is_small(result.maps)
                writer: RunWriter = partial(save_run, result, with_maps=small)
                found[version.kind] = folder or result.maps, writer
            elif folder is not None:
                found[version.kind] = folder, partial(copy_run, folder)
    if work.regions.has_run and regions is not None:
        small = _is_small(regions.maps)
        found["regions"] = regions.maps, partial(save_region_run, regions, with_maps=small)
    return found


def _is_small(maps: NDArray[Any]) -> bool:
    return maps.size * BYTES_ON_DISK <= MOST_MAP_BYTES
