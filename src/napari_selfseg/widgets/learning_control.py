"""Between the learning panel, the corrections of a tile and the run that learns from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QWidget

from napari_selfseg.core.images.tile import Tile, TileError
from napari_selfseg.core.methods.local_contrast_settings import LocalContrastSettings
from napari_selfseg.session.refining import RefineRequest, RefiningRun
from napari_selfseg.session.result import RunResult
from napari_selfseg.session.taught import Taught
from napari_selfseg.widgets.candidate import Source
from napari_selfseg.widgets.editable_labels import EditableLabels
from napari_selfseg.widgets.image_layers import unwrapped
from napari_selfseg.widgets.latest import Latest
from napari_selfseg.widgets.learning_panel import LearningPanel
from napari_selfseg.widgets.proposal_control import ProposalControl
from napari_selfseg.widgets.proposal_work import GONE, ProposalWork
from napari_selfseg.widgets.region_work import RegionWork
from napari_selfseg.widgets.shown_run import THREADS, ShownRun
from napari_selfseg.widgets.tile_work import TileWork

PAUSE_MS = 5000  # without an edit; then it learns by itself
SOON_MS = 300  # after the last of several edits
TRAIN_FIRST = (
    "Press Train first: your corrections then teach the model that was learned without labels."
)
TRAINING = "A training goes on: what you correct meanwhile is kept, and can be learned from then."
ELSEWHERE = "It is learning from your corrections of {name}."
REJECTED = "Dropped: the next round learns from the same model as this one."
OUTDATED = "The model was replaced meanwhile; learn again from it."


class LearningControl(QObject):
    """Learns from the corrections of the tile that is shown.

    A run, what it would change, and the versions stay with their tile when another one is shown.

    Parameters
    ----------
    viewer : napari viewer
    panel : LearningPanel
    other_tiles : callable() -> tuple of Tile
        Unlabelled tiles of the same kind.
    owner : QWidget

    Attributes
    ----------
    started, ended : Signal()
        Of a run.
    """

    started, ended = Signal(), Signal()

    def __init__(
        self,
        viewer: Any,
        panel: LearningPanel,
        other_tiles: Callable[[], tuple[Tile, ...]],
        owner: QWidget,
    ) -> None:
        super().__init__(owner)
        self._viewer, self._panel, self._owner = unwrapped(viewer), panel, owner
        self._other_tiles = other_tiles
        self._work: TileWork | None = None
        self._editable: EditableLabels | None = None
        self._is_training = False
        self._taught: Taught | None = None
        self._run_of: tuple[Source, RefineRequest, Taught] | None = None
        self._learned: WeakKeyDictionary[TileWork, Taught] = WeakKeyDictionary()
        self._shown = ShownRun(viewer, "SelfSeg learning from corrections", owner)
        self.proposals = ProposalControl(viewer, panel.card, owner)
        self._counting = Latest(self._take_count, lambda _: None, owner)
        self._count_soon = self._timer(SOON_MS, self._count)
        self._pause = self._timer(PAUSE_MS, self._learn_by_itself)
        self._connect()
        self._refresh()

    @property
    def is_running(self) -> bool:
        """Whether something is being learned from corrections."""
        return self._shown.is_running

    def show_work(self, work: TileWork | RegionWork | None) -> None:
        """Learn from the corrections of this tile; to be called whenever that may have changed."""
        now = work if isinstance(work, TileWork) else None
        if now is not self._work:
            self._work = now
            self._panel.show_outcome("")
            self.proposals.show_work(now)
        self._listen()
        self._refresh()

    def set_training(self, on: bool) -> None:
        """Say whether a training goes on: one at a time."""
        self._is_training = on
        if on and self._work is not None:
            self.proposals.drop(self._work)
        self._refresh()

    def close(self) -> None:
        """End without a result, because the window goes away."""
        for timer in (self._pause, self._count_soon):
            timer.stop()
        self._shown.close()
        self.proposals.close()
        self._viewer.layers.events.removed.disconnect(self._on_layers)

    # ---- learning

    def learn(self) -> None:
        """Learn from what was corrected so far."""
        self._pause.stop()
        work, editable = self._work, self._editable
        if work is None or editable is None or work.active is None or work.result is None:
            return
        if self.is_running or self._is_training:
            return
        taught = Taught.by(editable.labels(), editable.touched())
        if taught.problem:
            self._panel.show_outcome(taught.problem, "hint")
            return
        try:
            others = self._other_tiles()
        except TileError:
            others = ()
        request = RefineRequest(
            work.result, taught.strokes, LocalContrastSettings(), others, threads=THREADS
        )
        self.proposals.drop(work)
        self._run_of = work.active, request, taught
        self._learned[work] = taught
        self._panel.show_started()
        self._shown.start(RefiningRun(request), work)
        self._put_preview_below(work)
        self.started.emit()
        self._refresh()

    def cancel(self) -> None:
        """Forget the round that goes on."""
        if self._shown.is_running:
            self._shown.abandon()
            self._panel.show_cancelling()

    def _learn_by_itself(self) -> None:
        editable = self._editable
        if not self._panel.by_itself.isChecked() or editable is None or self._work is None:
            return
        if editable.stroke_going_on or self._counting.is_busy or self._count_soon.isActive():
            self._pause.start()
            return
        proposal, taught = self.proposals.of(self._work), self._taught
        is_answered = proposal is None or not proposal.has_accepted
        is_new = taught is not None and not taught.says_the_same(self._learned.get(self._work))
        if is_answered and is_new and not self._obstacle():
            self.learn()

    def _put_preview_below(self, work: TileWork) -> None:
        """Let the labels, which may be painted on meanwhile, lie over the map that changes."""
        layers, preview = self._viewer.layers, work.layers.preview
        labels = self._editable.layer if self._editable is not None else None
        if preview in layers and labels in layers and layers.index(preview) > layers.index(labels):
            layers.move(layers.index(preview), layers.index(labels))

    def _on_finished(self, work: TileWork, result: RunResult) -> None:
        assert self._run_of is not None
        source, request, taught = self._run_of
        now = work.result
        if now is None or now.model is not request.start.model:
            self._panel.show_outcome(OUTDATED, "hint")
            return
        self.proposals.propose(
            ProposalWork(work, source, now, result, taught.n_places, self._owner), request.others
        )
        if work is self._work:
            self._panel.show_outcome(result.stopped_because)

    def _on_failed(self, _work: TileWork, sentence: str) -> None:
        self._panel.show_outcome(sentence, "problem")

    def _on_answered(self, work: TileWork, was_kept: bool) -> None:
        if work is self._work:
            self._panel.show_outcome("" if was_kept else REJECTED, "hint")

    def _on_ended(self, work: TileWork, has_told: bool) -> None:
        work.layers.remove_preview()
        self._run_of = None
        self._panel.show_idle()
        if not has_told:
            self._panel.show_outcome("Cancelled; the labels stay as they are.", "hint")
        self.ended.emit()
        self._refresh()
        if self._panel.by_itself.isChecked():
            self._pause.start()

    def _go_back_to(self, place: int) -> None:
        work = self._work
        versions = None if work is None else work.versions
        if versions is not None and place != versions.at and not self.is_running:
            self.proposals.drop(work)
            work.go_back_to(place)
            self._panel.show_outcome("")
        self._refresh()

    # ---- what there is to learn from

    def _listen(self) -> None:
        editable = None if self._work is None else self._work.editable()
        if editable is self._editable:
            return
        if self._editable is not None:
            self._editable.edited.disconnect(self._on_edited)
        self._editable, self._taught = editable, None
        self._pause.stop()
        if editable is not None:
            editable.edited.connect(self._on_edited)
            self._count_soon.start()

    def _on_edited(self) -> None:
        self._count_soon.start()
        self._pause.start()

    def _on_layers(self, _event: Any = None) -> None:
        self._listen()
        self._refresh()

    def _count(self) -> None:
        editable = self._editable
        if editable is not None:
            labels, touched = editable.labels(), editable.touched()
            self._counting.ask(lambda: (editable, Taught.by(labels, touched)))

    def _take_count(self, counted: tuple[EditableLabels, Taught]) -> None:
        editable, taught = counted
        if editable is self._editable:
            self._taught = taught
            self._refresh()

    def _obstacle(self) -> str:
        """Return why nothing can be learned now; empty if it can."""
        running = self._shown.work
        if self._work is None or self._editable is None:
            return GONE
        if self._is_training:
            return TRAINING
        if running is not None and running is not self._work:
            return ELSEWHERE.format(name=running.tile_view.tile.name)
        if self._work.result is None or not self._work.is_shown:
            return TRAIN_FIRST
        return "Counting your corrections …" if self._taught is None else self._taught.problem

    def _refresh(self) -> None:
        work, panel = self._work, self._panel
        panel.setVisible(work is not None and bool(work.candidates) and work.active is not None)
        if work is None:
            return
        told = "" if self._taught is None else self._taught.sentence()
        panel.show_taught(told, self._obstacle())
        can_change = not (self.is_running or self._is_training or work.models.is_opening)
        panel.show_versions(work.versions, can_change)

    # ---- inside

    def _timer(self, ms: int, act: Callable[[], None]) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(ms)
        timer.timeout.connect(act)
        return timer

    def _connect(self) -> None:
        panel, shown = self._panel, self._shown
        panel.learn_wanted.connect(self.learn)
        panel.cancel_wanted.connect(self.cancel)
        panel.by_itself_changed.connect(lambda on: on and self._pause.start())
        panel.version_wanted.connect(self._go_back_to)
        shown.progressed.connect(panel.show_progress)
        shown.finished.connect(self._on_finished)
        shown.failed.connect(self._on_failed)
        shown.ended.connect(self._on_ended)
        self.proposals.answered.connect(self._on_answered)
        self._viewer.layers.events.removed.connect(self._on_layers)
