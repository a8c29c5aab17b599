"""The models of a tile, one after the other, and the way back to an earlier one."""

from __future__ import annotations

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from napari_selfseg.session.result import RunResult
from napari_selfseg.session.versions import Version, Versions
from napari_selfseg.widgets.background import run_once
from napari_selfseg.widgets.candidate_search import CandidateSearch


class ModelVersions(QObject):
    """Keeps the `Versions` of one tile; one that lies on the disk is read in the background.

    Parameters
    ----------
    search : CandidateSearch
        Has the result of the one in use, with the map that is chosen now.
    owner : QWidget
        Nothing happens any more once it was destroyed.

    Attributes
    ----------
    wanted : Signal(object)
        The result of another version that is in use from now on.
    changed : Signal()
        A version is being read, or no longer.
    failed : Signal(str)
        Why one could not be read; one sentence.
    """

    wanted, changed, failed = Signal(object), Signal(), Signal(str)

    def __init__(self, search: CandidateSearch, owner: QWidget) -> None:
        super().__init__(owner)
        self.all: Versions | None = None  # the one in use perhaps with another map
        self._search, self._owner = search, owner
        self._opening: Version | None = None

    @property
    def now(self) -> Versions | None:
        """All versions, that in use with the map that is chosen; None before the first."""
        result = self._search.result
        return None if self.all is None or result is None else self.all.with_result(result)

    @property
    def is_opening(self) -> bool:
        """Whether a version is being read."""
        return self._opening is not None

    def add(self, result: RunResult, n_corrections: int) -> None:
        """Take a model that has learned from so many corrections for the one in use."""
        now = self.now
        assert now is not None
        self.all = now.added(result, n_corrections)

    def go_to(self, place: int) -> None:
        """Take another version; nothing happens while one is being read."""
        now = self.now
        if now is None or self.is_opening:
            return
        version = now.all[place]
        if version.result is not None:
            self._take(now.gone_to(place), version.result)
            return
        self._opening, tile = version, self._search.tile
        run_once(lambda: version.opened(tile), self._on_opened, self._on_failed, self._owner)
        self.changed.emit()

    def _take(self, versions: Versions, result: RunResult) -> None:
        self.all = versions.with_result(result)
        self.wanted.emit(result)

    def _on_opened(self, result: RunResult) -> None:
        version, self._opening = self._opening, None
        now = self.now
        if now is not None and version in now.all:
            self._take(now.gone_to(now.all.index(version)), result)
        else:  # another model was trained meanwhile
            self.changed.emit()

    def _on_failed(self, sentence: str, _details: str) -> None:
        self._opening = None
        self.failed.emit(sentence)
        self.changed.emit()
