"""The review of one labels layer: its state, kept true in the background."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QWidget

from napari_selfseg.core.positivity import POSITIVE_OD
from napari_selfseg.session.review import Review, begin
from napari_selfseg.session.review_changes import accepting, followed, rejecting
from napari_selfseg.session.review_file import packed_labels, review_from_json, review_to_json
from napari_selfseg.session.review_findings import Evidence, Findings, look_through
from napari_selfseg.session.review_numbers import Numbers, Surroundings, numbers_of
from napari_selfseg.session.review_tile import evidence_of, surroundings_of
from napari_selfseg.widgets.candidate import Source
from napari_selfseg.widgets.editable_labels import EditableLabels
from napari_selfseg.widgets.latest import Latest
from napari_selfseg.widgets.tile_work import TileWork

SOON_MS = 150  # after the last of several changes


@dataclass(frozen=True, eq=False)
class _Looked:
    """What was found about the labels, and for which review."""

    of: Review | None
    review: Review
    findings: Findings
    evidence: Evidence
    confidence: NDArray[Any]
    around: Surroundings
    numbers: Numbers


class ReviewWork(QObject):
    """Goes through the objects of one candidate of a tile.

    Parameters
    ----------
    work : TileWork
    source : {"threshold", "learned"}
    owner : QWidget
        Nothing happens any more once it was destroyed.

    Attributes
    ----------
    changed : Signal()
        The review is another one than before.
    numbers_changed : Signal()
    renewed : Signal(str)
        The labels are another prediction; one sentence for the user.
    failed : Signal(str)
        One sentence for the user.
    """

    changed, numbers_changed = Signal(), Signal()
    renewed, failed = Signal(str), Signal(str)

    def __init__(self, work: TileWork, source: Source, owner: QWidget) -> None:
        super().__init__(owner)
        self.source = source
        self.review: Review | None = None
        self.numbers: Numbers | None = None
        self.within: NDArray[np.bool_] | None = None
        self.positive_od = POSITIVE_OD
        self._work = work
        self._findings: Findings | None = None
        self._known: _Looked | None = None
        self._heard: EditableLabels | None = None
        self._looking = Latest(self._take, self.failed.emit, owner)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(SOON_MS)
        self._soon.timeout.connect(self.look)
        work.changed.connect(self._on_work_changed)

    @property
    def editable(self) -> EditableLabels | None:
        """The labels that are reviewed; None if the user deleted their layer."""
        return self._work.editable(self.source)

    @property
    def is_looking(self) -> bool:
        """Whether something is being found out."""
        return self._looking.is_busy or self._soon.isActive()

    # ---- decisions

    def accept(self, seconds: float) -> None:
        """Accept the current item: its pixels are known from now on."""
        self._decide("accepted", seconds)

    def reject(self, seconds: float, missing: int = 0) -> None:
        """Reject the current item: an object is deleted, of a region ``missing`` are counted."""
        self._decide("rejected", seconds, missing)

    def go_to(self, place: int, seconds: float = 0.0) -> None:
        """Look at another item."""
        if self.review is not None:
            self.review = self.review.spend(seconds).go_to(place)
            self.changed.emit()

    def set_random_only(self, on: bool, usual: int) -> None:
        """Choose whether doubtful items stand between the random ones."""
        if self.review is not None:
            self.review = self.review.with_doubtful_in_a_row(0 if on else usual)
            self.changed.emit()
            self.look_soon()

    def _decide(self, verdict: Any, seconds: float, missing: int = 0) -> None:
        review, editable = self.review, self.editable
        if review is None or review.current is None or editable is None:
            return
        item = review.current
        former = review.decision(item)
        labels = editable.labels()
        is_object = item.unit.kind == "object"
        edit = None
        if verdict == "accepted":
            edit = accepting(item, labels)
            if former is not None and former.verdict == "fixed":
                verdict = "fixed"  # as it is now it is right; it was not
        elif is_object:
            edit = rejecting(item, labels)
        if is_object and verdict == "accepted" and edit is None:
            self.failed.emit("This object is not there any more: undo its deletion, or go on.")
            return
        if edit is not None:
            editable.edit(edit)
        self.review = review.decide(item, verdict, seconds, missing=missing).spend(seconds)
        self.changed.emit()
        self.look_soon()

    # ---- looking

    def look_soon(self) -> None:
        """Look at the labels after the last of several changes."""
        self._soon.start()

    def look(self) -> None:
        """Find out what the labels, as they are now, mean for the review and its numbers.

        Of a review that has not begun: what is to be reviewed. `changed` tells when it is known.
        """
        editable, candidate = self.editable, self._work.candidates.get(self.source)
        if editable is None or candidate is None:
            return
        self._hear(editable)
        labels, touched = editable.labels(), editable.touched()
        review, findings, known, within = self.review, self._findings, self._known, self.within
        tile, od = self._work.tile_view.tile, self.positive_od
        doubt = self._work.doubt if self.source == "learned" else None
        confidence, threshold = candidate.confidence, candidate.settings.threshold

        def find() -> _Looked:
            is_new = known is None or known.confidence is not confidence
            is_new = is_new or known.evidence.threshold != threshold
            is_new = is_new or known.evidence.um_per_px != tile.um_per_px
            if is_new:
                evidence = evidence_of(tile, confidence, threshold, doubt)
                around = surroundings_of(tile, evidence.tissue)
            else:
                evidence, around = known.evidence, known.around
            around = replace(around, positive_od=od)
            if review is None or findings is None:
                now_findings = look_through(labels, evidence, touched)
                now = begin(now_findings.units)
            else:
                now, now_findings = followed(review, findings, labels, touched, evidence)
            numbers = numbers_of(now, now_findings, labels, around, within)
            packed_labels(now_findings)  # here, so that saving need not wait for it
            return _Looked(review, now, now_findings, evidence, confidence, around, numbers)

        self._looking.ask(find)

    def _take(self, looked: _Looked) -> None:
        self._known = looked
        if self.review is not looked.of:  # the person has gone on meanwhile
            self.look_soon()
            return
        former = self.review
        self.review, self._findings, self.numbers = looked.review, looked.findings, looked.numbers
        if looked.review is not former:
            self.changed.emit()
        self.numbers_changed.emit()
        if former is not None and looked.review.round != former.round:
            self.renewed.emit(_what_changed(former, looked.review))

    def _on_work_changed(self) -> None:
        if self.review is not None and self.source in self._work.candidates:
            self.look_soon()

    def _hear(self, editable: EditableLabels) -> None:
        """Follow what a person does to the layer that is there now."""
        if editable is not self._heard:
            if self._heard is not None:
                self._heard.edited.disconnect(self.look_soon)
                if self._heard.layer not in editable.former:  # the labels of another training
                    self.review = self._findings = None
            self._heard = editable
            editable.edited.connect(self.look_soon)

    # ---- to be stored

    def writer(self) -> Callable[[], str] | None:
        """Return the function that gives the review as text, in any thread; None without one."""
        review, findings = self.review, self._findings
        if review is None or findings is None:
            return None
        return lambda: review_to_json(review, findings)

    def kept(self) -> str | None:
        """Return the review as text, or None before it has begun."""
        write = self.writer()
        return None if write is None else write()

    def restore(self, text: Any) -> None:
        """Go on with a stored review; errors as in `review_from_json`."""
        if text is None:
            return
        self.review, self._findings = review_from_json(text)
        self.changed.emit()
        self.look_soon()


def _what_changed(before: Review, now: Review) -> str:
    """Say what another prediction means for the queue."""
    ids = {item.id for item in before.items}, {item.id for item in now.items}
    n_new, n_gone = len(ids[1] - ids[0]), len(ids[0] - ids[1])
    return (
        f"The labels have changed: {n_new:,} new in the queue, {n_gone:,} gone. What you decided "
        "is kept; what speaks for the rest is drawn anew."
    )
