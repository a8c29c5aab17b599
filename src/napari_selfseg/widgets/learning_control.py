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
from napari_selfseg.widgets.fields import field_mask
from napari_selfseg.widgets.image_layers import unwrapped
from napari_selfseg.widgets.latest import Latest
from napari_selfseg.widgets.learning_panel import LearningPanel
from napari_selfseg.widgets.other_tiles import OtherTiles
from napari_selfseg.widgets.proposal_view import ProposalView
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
        self._proposals: WeakKeyDictionary[TileWork, ProposalWork] = WeakKeyDictionary()
        self._shown = ShownRun(viewer, "SelfSeg learning from corrections", owner)
        self._view = ProposalView(viewer)
        self._elsewhere = OtherTiles(self._owner)
        self._counting = Latest(self._take_count, lambda _: None, owner)
        self._count_soon = self._timer(SOON_MS, self._count)
        self._pause = self._timer(PAUSE_MS, self._learn_by_itself)
        self._connect()
        self._refresh()

    @property
    def is_running(self) -> bool:
        """Whether something is being learned from corrections."""
        return self._shown.is_running

    @property
    def proposal(self) -> ProposalWork | None:
        """What was learned for the tile that is shown, and neither accepted nor rejected yet."""
        return None if self._work is None else self._proposals.get(self._work)

    def show_work(self, work: TileWork | RegionWork | None) -> None:
        """Learn from the corrections of this tile; to be called whenever that may have changed."""
        now = work if isinstance(work, TileWork) else None
        if now is not self._work:
            self._work = now
            self._view.clear()
            self._elsewhere.stop()
            self._elsewhere.effects = []
            self._panel.show_outcome("")
            if self.proposal is not None:
                self.proposal.look()
        self._listen()
        self._refresh()

    def set_training(self, on: bool) -> None:
        """Say whether a training goes on: one at a time."""
        self._is_training = on
        if on and self._work is not None:
            self._drop(self._work)
        self._refresh()

    def close(self) -> None:
        """End without a result, because the window goes away."""
        for timer in (self._pause, self._count_soon):
            timer.stop()
        self._shown.close()
        self._elsewhere.stop()
        self._view.clear()
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
        self._drop(work)
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
        proposal, taught = self.proposal, self._taught
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
        made = ProposalWork(work, source, now, result, taught.n_places, self._owner)
        self._proposals[work] = made
        made.changed.connect(self._show_proposal)
        made.failed.connect(self._panel.card.show_problem)
        made.ended.connect(lambda was_kept: self._on_answered(work, was_kept))
        made.look()
        if work is self._work:
            self._panel.show_outcome(result.stopped_because)
            self._elsewhere.look(request.others, now, result)
            self._show_proposal()

    def _on_failed(self, _work: TileWork, sentence: str) -> None:
        self._panel.show_outcome(sentence, "problem")

    def _on_ended(self, work: TileWork, has_told: bool) -> None:
        work.layers.remove_preview()
        self._run_of = None
        self._panel.show_idle()
        if not has_told:
            self._learned.pop(work, None)
            self._panel.show_outcome("Cancelled; the labels stay as they are.", "hint")
        self.ended.emit()
        self._refresh()
        if self._panel.by_itself.isChecked():
            self._pause.start()

    # ---- what it would change

    def _show_proposal(self) -> None:
        card, proposal = self._panel.card, self.proposal
        card.setVisible(proposal is not None)
        if proposal is None:
            self._view.clear()
            return
        editable, changes = proposal.editable, proposal.changes
        card.show_accepted(proposal.has_accepted)
        card.show_elsewhere(self._elsewhere.effects, self._elsewhere.is_looking)
        if editable is None:
            self._view.clear()
            card.show_problem(GONE)
        elif changes is None:
            card.show_looking()
        else:
            card.show_problem("")
            card.show_changes(changes, proposal.expectation)
            card.show_place(proposal.at, len(changes))
            self._view.show(changes.outlines(), editable.layer)

    def _walk(self, n: int) -> None:
        proposal = self.proposal
        if proposal is not None:
            proposal.go_by(n)
            self._go_to_change()

    def _go_to_change(self) -> None:
        proposal = self.proposal
        if proposal is None or proposal.editable is None or self._work is None:
            return
        changes = proposal.changes
        if changes is not None and len(changes):
            box = changes.box[proposal.at]
            self._view.go_to(box, self._work.tile_view, proposal.editable.layer)

    def _accept_in_view(self) -> None:
        if self.proposal is not None and self._work is not None:
            seen = field_mask(self._viewer, self._work.tile_view, "view")
            self.proposal.accept(lambda changes: changes.within(seen))

    def _accept_one(self) -> None:
        proposal = self.proposal
        if proposal is not None:
            self._view.end_frame()
            proposal.accept(lambda _: [proposal.at])

    def _on_answered(self, work: TileWork, was_kept: bool) -> None:
        self._proposals.pop(work, None)
        if work is self._work:
            self._elsewhere.stop()
            self._elsewhere.effects = []
            self._panel.show_outcome(
                "" if was_kept else "Rejected; the model is as before.", "hint"
            )
            self._show_proposal()

    def _drop(self, work: TileWork) -> None:
        if work in self._proposals:
            self._proposals[work].reject()

    def _go_back_to(self, place: int) -> None:
        if self._work is not None and self._work.versions is not None and not self.is_running:
            if place != self._work.versions.at:
                self._drop(self._work)
                self._work.go_back_to(place)
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
        panel.show_versions(work.versions, not (self.is_running or self._is_training))
        self._show_proposal()

    # ---- inside

    def _timer(self, ms: int, act: Callable[[], None]) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(ms)
        timer.timeout.connect(act)
        return timer

    def _connect(self) -> None:
        panel, card, shown = self._panel, self._panel.card, self._shown
        panel.learn_wanted.connect(self.learn)
        panel.cancel_wanted.connect(self.cancel)
        panel.by_itself_changed.connect(lambda on: on and self._pause.start())
        panel.version_wanted.connect(self._go_back_to)
        shown.progressed.connect(panel.show_progress)
        shown.finished.connect(self._on_finished)
        shown.failed.connect(self._on_failed)
        shown.ended.connect(self._on_ended)
        card.all_accepted.connect(lambda: self.proposal and self.proposal.accept_all())
        card.view_accepted.connect(self._accept_in_view)
        card.one_accepted.connect(self._accept_one)
        card.rejected.connect(lambda: self.proposal and self.proposal.reject())
        card.kept.connect(lambda: self.proposal and self.proposal.keep())
        card.next_wanted.connect(lambda: self._walk(1))
        card.previous_wanted.connect(lambda: self._walk(-1))
        card.enough_seen.connect(self._elsewhere.stop)
        self._elsewhere.changed.connect(self._show_proposal)
        self._viewer.layers.events.removed.connect(self._on_layers)
