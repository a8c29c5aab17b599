"""One refinement that was learned but not accepted yet: what it would change, and accepting it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QWidget

from napari_selfseg.core.changes import Changes, changes_between
from napari_selfseg.core.instances import LabelSettings
from napari_selfseg.session.corrections import merge, numbers_in
from napari_selfseg.session.effects import Drawn, Expectation, expectation_of
from napari_selfseg.session.result import RunResult
from napari_selfseg.widgets.candidate import Candidate, Source, learned_candidate
from napari_selfseg.widgets.editable_labels import EditableLabels
from napari_selfseg.widgets.latest import Latest
from napari_selfseg.widgets.tile_work import TileWork

SOON_MS = 150  # after the last of several edits
GONE = "The labels layer is not there any more: show the labels again above."


@dataclass(frozen=True, eq=False)
class _Looked:
    """What was found, with which label settings, and of which edits."""

    candidate: Candidate
    own_settings: LabelSettings | None
    changes: Changes
    expectation: Expectation | None
    n_edits: int


class ProposalWork(QObject):
    """Keeps what a refinement would change true while the labels are edited.

    Parameters
    ----------
    work : TileWork
    source : {"threshold", "learned"}
        The labels that were corrected.
    start, result : RunResult
        What was shown when learning began, and what was learned.
    n_corrections : int
        From how many places.
    owner : QWidget
        Nothing happens any more once it was destroyed.

    Attributes
    ----------
    changed : Signal()
        It would change something else now, or another change is looked at.
    failed : Signal(str)
        One sentence for the user.
    ended : Signal(bool)
        Nothing is left to be accepted or rejected; whether the model was kept.
    """

    changed = Signal()
    failed = Signal(str)
    ended = Signal(bool)

    def __init__(
        self,
        work: TileWork,
        source: Source,
        start: RunResult,
        result: RunResult,
        n_corrections: int,
        owner: QWidget,
    ) -> None:
        super().__init__(owner)
        self.source, self.start, self.result = source, start, result
        self.at: int | None = None
        self.has_accepted = self.is_closed = False
        self.work, self._n_corrections = work, n_corrections
        self._known: _Looked | None = None
        self._heard: EditableLabels | None = None
        self._n_edits = 0
        self._then: Callable[[], None] | None = None
        self._looking = Latest(self._take, self._on_failed, owner)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(SOON_MS)
        self._soon.timeout.connect(self.look)
        work.changed.connect(self._on_work_changed)

    @property
    def editable(self) -> EditableLabels | None:
        """The labels that would change; None if the user deleted their layer."""
        return self.work.editable(self.source)

    @property
    def changes(self) -> Changes | None:
        """What would change; None until it is known."""
        return None if self._known is None else self._known.changes

    @property
    def expectation(self) -> Expectation | None:
        """How good the labels are expected to be, as they were and with all changes."""
        return None if self._known is None else self._known.expectation

    @property
    def is_looking(self) -> bool:
        """Whether something is being found out."""
        return self._looking.is_busy or self._soon.isActive()

    # ---- decisions

    def accept(self, choose: Callable[[Changes], ArrayLike]) -> None:
        """Take over the changes that ``choose`` returns, as one undo step."""
        self._when_known(lambda: self._accept(choose))

    def accept_all(self) -> None:
        """Take over everything, and keep the model as a new version."""
        self._when_known(lambda: self._accept(None))

    def keep(self) -> None:
        """Keep the model as a new version; what was not accepted stays as it was."""
        self._when_known(self._keep)

    def reject(self) -> None:
        """Forget the model; what was not accepted stays as it was."""
        self._close(was_kept=False)

    def go_by(self, n: int) -> None:
        """Look at another change."""
        if self.changes is not None and len(self.changes):
            former = -max(n, 0) if self.at is None else self.at  # the first, or the last
            self.at = (former + n) % len(self.changes)
            self.changed.emit()

    def _accept(self, choose: Callable[[Changes], ArrayLike] | None) -> None:
        assert self._known is not None
        editable, changes = self.editable, self._known.changes
        if editable is None:
            self.failed.emit(GONE)
            return
        which = None if choose is None else np.asarray(choose(changes), dtype=np.intp)
        if which is not None and not which.size:
            self.failed.emit("Nothing changes in this view.")
            return
        editable.accept(changes.accepted(which), lambda: self.editable is editable)
        self.has_accepted = True
        if which is None or which.size == len(changes):
            self._keep()
        else:
            self.work.changed.emit()
            self.look()

    def _keep(self) -> None:
        assert self._known is not None
        candidate = self._known.candidate
        self._close(was_kept=True)
        self.work.adopt(self.result, candidate, self._n_corrections)

    def _close(self, was_kept: bool) -> None:
        if self.is_closed:
            return
        self.is_closed, self._then = True, None
        self._soon.stop()
        self.work.changed.disconnect(self._on_work_changed)
        self._hear(None)
        self.ended.emit(was_kept)

    def _when_known(self, act: Callable[[], None]) -> None:
        """Act once it is known what would change in the labels as they are now."""
        editable = self.editable
        if self.is_closed:
            return
        if editable is None:
            self.failed.emit(GONE)
            return
        is_known = self._known is not None and self._known.n_edits == self._n_edits
        if is_known and np.array_equal(self._known.changes.before, editable.labels()):
            act()
            return
        self._then = act
        self.look()

    # ---- looking

    def look(self) -> None:
        """Find out what would change; `changed` tells when it is known."""
        editable = self.editable
        if editable is None or self.is_closed:
            self.changed.emit()
            return
        self._soon.stop()
        self._hear(editable)
        result, start, known, n_edits = self.result, self.start, self._known, self._n_edits
        settings = self.work.search.own_settings("learned")
        labels, touched, reserved = editable.labels(), editable.touched(), editable.reserved()
        tile = self.work.tile_view.tile

        def find() -> _Looked:
            if known is not None and known.own_settings == settings:
                candidate = known.candidate
            else:
                candidate = learned_candidate(result, settings)
            changes = _changes(labels, touched, reserved, candidate)
            told = known.expectation if known is not None else None
            if known is None:
                before = Drawn.of(start.prediction, start.choice, labels)
                after = Drawn.of(result.prediction, result.choice, changes.after)
                told = expectation_of(tile, before, after)
            return _Looked(candidate, settings, changes, told, n_edits)

        self._looking.ask(find)

    def _take(self, looked: _Looked) -> None:
        if self.is_closed:
            return
        former, self._known = self._known, looked
        self._stay_at(former)
        if looked.n_edits != self._n_edits:
            self.look()
            return
        then, self._then = self._then, None
        if then is not None:
            then()
        if not self.is_closed:
            self.changed.emit()

    def _stay_at(self, former: _Looked | None) -> None:
        """Go on looking at the same change, if it is still there."""
        assert self._known is not None
        now = self._known.changes
        if self.at is None:
            return
        if former is not None and self.at < len(former.changes):
            same = np.flatnonzero((now.box == former.changes.box[self.at]).all(axis=1))
            self.at = int(same[0]) if same.size else self.at
        self.at = min(self.at, len(now) - 1) if len(now) else None

    def _on_failed(self, sentence: str) -> None:
        self._then = None
        self.failed.emit(sentence)

    def _on_edited(self) -> None:
        self._n_edits += 1
        self._soon.start()

    def _on_work_changed(self) -> None:
        now = self.work.result
        if now is not None and now.model is self.start.model:
            self._soon.start()
        else:
            self.reject()  # the model that it goes out from was replaced

    def _hear(self, editable: EditableLabels | None) -> None:
        if editable is not self._heard:
            if self._heard is not None:
                self._heard.edited.disconnect(self._on_edited)
            self._heard = editable
            if editable is not None:
                editable.edited.connect(self._on_edited)


def _changes(
    labels: NDArray[Any],
    touched: NDArray[np.bool_],
    reserved: NDArray[np.int64],
    candidate: Candidate,
) -> Changes:
    """Return what a prediction would change in labels (M, N) without their touched pixels."""
    smallest = candidate.settings.min_area
    after = merge(candidate.labels, labels, touched, reserved=reserved, smallest=smallest)
    known = np.union1d(reserved, numbers_in(labels[touched]))
    return changes_between(labels, after, known)
