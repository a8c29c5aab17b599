"""Between the review panel, the viewer and the reviews of the tile that is shown."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QWidget

from napari_selfseg.session.review import DOUBTFUL_IN_A_ROW, Review
from napari_selfseg.session.review_clock import ReviewClock
from napari_selfseg.session.review_file import write_decisions
from napari_selfseg.widgets.background import run_once
from napari_selfseg.widgets.candidate import Source
from napari_selfseg.widgets.fields import field_mask
from napari_selfseg.widgets.image_layers import unwrapped
from napari_selfseg.widgets.review_keys import ReviewKeys
from napari_selfseg.widgets.review_panel import NO_LABELS, NO_OBJECTS, ReviewPanel
from napari_selfseg.widgets.review_view import ReviewView
from napari_selfseg.widgets.review_work import ReviewWork
from napari_selfseg.widgets.storing import file_stem
from napari_selfseg.widgets.tile_work import TileWork

TICK_MS = 1000
GONE = "The labels layer is not there any more: show the labels again above, and go on."
SIGNS_OF_LIFE = (
    QEvent.Type.MouseMove,
    QEvent.Type.MouseButtonPress,
    QEvent.Type.Wheel,
    QEvent.Type.KeyPress,
)


class ReviewControl(QObject):
    """Lets a person go through the labels that are shown.

    A review stays with its tile and its labels; showing others ends it for the time being.

    Parameters
    ----------
    viewer : napari viewer
    panel : ReviewPanel
    owner : QWidget
    """

    def __init__(self, viewer: Any, panel: ReviewPanel, owner: QWidget) -> None:
        super().__init__(owner)
        self._viewer, self._panel, self._owner = unwrapped(viewer), panel, owner
        self._reviews: WeakKeyDictionary[TileWork, dict[Source, ReviewWork]] = WeakKeyDictionary()
        self._work: TileWork | None = None
        self._shown: ReviewWork | None = None
        self._going_on = self._waits = False
        self._seen: int | None = None
        self._clock = ReviewClock()
        self._view = ReviewView(viewer)
        self._keys = ReviewKeys(
            {"N": self.next, "P": self.previous, "A": self.accept, "R": self.reject}
        )
        self._tick = QTimer(self)
        self._tick.setInterval(TICK_MS)
        self._tick.timeout.connect(self._show_time)
        self._connect()
        self._refresh()

    @property
    def review_work(self) -> ReviewWork | None:
        """The review of the labels that are shown, begun or not; None without labels."""
        work = self._work
        if work is None or work.active is None or work.active not in work.candidates:
            return None
        mine = self._reviews.setdefault(work, {})
        if work.active not in mine:
            made = mine[work.active] = ReviewWork(work, work.active, self._owner)
            made.changed.connect(self._refresh)
            made.numbers_changed.connect(self._show_numbers)
            made.failed.connect(self._on_failed)
            made.renewed.connect(self._panel.show_news)
            work.kept.register(f"review_{work.active}", made.kept, made.restore)
            made.changed.connect(work.kept.changed)
        return mine[work.active]

    @property
    def is_going_on(self) -> bool:
        """Whether the keys and the frame are there."""
        return self._going_on

    def show_work(self, work: TileWork | None) -> None:
        """Take the labels of another tile, or none; call it again when others are shown."""
        if work is not self._work:
            if self._work is not None:
                self._work.changed.disconnect(self._refresh)
            self._work = work
            if work is not None:
                work.changed.connect(self._refresh)
                self._panel.suggested_name = file_stem(work.tile_view.tile.name)
        self._refresh()

    # ---- what a person wants

    def start(self) -> None:
        """Begin the review of the labels that are shown, or go on with it."""
        mine = self.review_work
        if mine is None:
            return
        self._panel.message.tell("")
        if mine.review is None:
            self._waits = True
            self._panel.show_busy("Looking through the objects …")
            mine.look()
            return
        editable = mine.editable
        if editable is None:
            self._panel.show_problem(GONE)
            return
        self._going_on, self._seen = True, None
        self._viewer.layers.selection.active = editable.layer
        self._clock.restart()
        self._tick.start()
        self._watch(True)
        self._refresh()
        self._show_time()

    def stop(self) -> None:
        """End the review for the time being; harmless when there is none."""
        if not self._going_on:
            return
        if self._shown is not None and self._shown.review is not None:
            self._shown.review = self._shown.review.spend(self._clock.restart())
        self._going_on = False
        self._tick.stop()
        self._watch(False)
        self._keys.bind_to(None)
        self._view.clear()
        self._refresh()

    def accept(self) -> None:
        """Accept the current item and go on."""
        mine = self._active()
        if mine is not None:
            mine.accept(self._clock.restart())
            self._advance(mine)

    def reject(self) -> None:
        """Reject the current item and go on."""
        mine = self._active()
        if mine is not None and mine.review is not None and mine.review.current is not None:
            is_region = mine.review.current.unit.kind == "region"
            mine.reject(self._clock.restart(), self._panel.missing.value() if is_region else 0)
            self._advance(mine)

    def next(self) -> None:
        """Go to the next undecided item; what was fixed here is taken as it is."""
        mine = self._active()
        if mine is not None:
            self._advance(mine)

    def previous(self) -> None:
        """Go back to the item before."""
        mine = self._active()
        if mine is not None and mine.review is not None:
            mine.go_to(mine.review.at - 1, self._clock.restart())

    # ---- inside

    def _active(self) -> ReviewWork | None:
        self._panel.message.tell("")
        self._clock.act()
        return self._shown if self._going_on else None

    def _advance(self, mine: ReviewWork) -> None:
        review = mine.review
        if review is None:
            return
        place = review.next_undecided()
        if place is None:
            self.stop()
        elif place != review.at or self._clock.seconds:
            mine.go_to(place, self._clock.restart())

    def _refresh(self) -> None:
        mine = self.review_work
        if mine is not self._shown:
            self.stop_quietly()
            self._shown = mine
            self._show_numbers()
        if mine is None or self._work is None:
            self._panel.show_nothing(NO_LABELS)
            return
        settings = self._work.candidates[mine.source].settings
        if not settings.instances:
            self.stop_quietly()
            self._panel.show_nothing(NO_OBJECTS)
            return
        review, editable = mine.review, mine.editable
        if review is None:
            if not self._waits:
                self._panel.show_nothing("" if editable is not None else NO_LABELS)
            return
        if self._waits:
            self._waits = False
            self.start()
            return
        problem = GONE if editable is None and self._going_on else ""
        self._panel.show_review(review, self._going_on, problem)
        if self._going_on:
            self._keys.bind_to(None if editable is None else editable.layer)
            self._show_item(review)

    def _on_failed(self, sentence: str) -> None:
        if self._waits:
            self._waits = False
            self._refresh()
        self._panel.show_problem(sentence)

    def _on_removed(self, _event: Any) -> None:
        if isalive(self) and isalive(self._panel):
            self._refresh()

    def stop_quietly(self) -> None:
        """End the review without showing what is left of it."""
        self._waits = False
        if self._going_on:
            self._going_on = False
            self._tick.stop()
            self._watch(False)
            self._keys.bind_to(None)
            self._view.clear()

    def _show_item(self, review: Review) -> None:
        item = review.current
        assert self._work is not None
        if item is None:
            self._view.clear()
        elif item.id != self._seen:
            self._seen = item.id
            self._view.show(item.unit.kind, item.unit.box, self._work.tile_view)

    def _show_numbers(self) -> None:
        if self._shown is None or self._shown.review is None:
            self._panel.numbers.show_numbers(None)
        else:
            self._panel.numbers.show_numbers(self._shown.numbers)

    def _take_field(self) -> None:
        mine, work = self._shown, self._work
        if mine is None or work is None:
            return
        numbers = self._panel.numbers
        try:
            mine.within = field_mask(self._viewer, work.tile_view, numbers.field.currentData())
        except ValueError as error:
            numbers.show_problem(str(error))
            return
        mine.positive_od = numbers.positive_od.value()
        mine.look_soon()

    def _show_time(self) -> None:
        if self._shown is not None and self._shown.review is not None:
            spent = self._shown.review.seconds + self._clock.seconds
            self._panel.show_time(spent, self._clock.is_idle)

    def _export(self, path: str) -> None:
        review = None if self._shown is None else self._shown.review
        if review is None:
            return
        name = path.replace("\\", "/").rpartition("/")[2]
        run_once(
            lambda: write_decisions(path, review),
            lambda _: self._panel.show_done(f"Saved as {name}."),
            lambda sentence, _: self._panel.show_problem(sentence),
            self._owner,
        )

    def _watch(self, on: bool) -> None:
        """See whether a person does something in the image, and give it the keyboard."""
        window = getattr(getattr(self._viewer, "window", None), "_qt_viewer", None)
        native = getattr(getattr(window, "canvas", None), "native", None)
        if native is None or not isalive(native):
            return
        if on:
            native.installEventFilter(self)
            native.setFocus()
        else:
            native.removeEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Let the clock go on when something is done in the image."""
        if event.type() in SIGNS_OF_LIFE:
            self._clock.act()
        return False

    def _connect(self) -> None:
        panel = self._panel
        panel.start_wanted.connect(self.start)
        panel.end_wanted.connect(self.stop)
        panel.accepted.connect(self.accept)
        panel.rejected.connect(self.reject)
        panel.next_wanted.connect(self.next)
        panel.previous_wanted.connect(self.previous)
        panel.random_only.connect(
            lambda on: self._shown and self._shown.set_random_only(on, DOUBTFUL_IN_A_ROW)
        )
        panel.export_path.connect(self._export)
        panel.numbers.field_changed.connect(self._take_field)
        self._viewer.layers.events.removed.connect(self._on_removed)
