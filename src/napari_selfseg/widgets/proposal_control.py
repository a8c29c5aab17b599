"""Between the card that shows what a refinement changes, the viewer and the proposals of tiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from napari_selfseg.core.images.tile import Tile
from napari_selfseg.widgets.image_layers import unwrapped
from napari_selfseg.widgets.other_tiles import OtherTiles
from napari_selfseg.widgets.proposal_card import ProposalCard
from napari_selfseg.widgets.proposal_view import ProposalView
from napari_selfseg.widgets.proposal_work import GONE, ProposalWork
from napari_selfseg.widgets.regions import seen_field
from napari_selfseg.widgets.tile_work import TileWork


class ProposalControl(QObject):
    """Shows what was learned for the tile that is shown, until it is accepted or rejected.

    A proposal stays with its tile when another one is shown.

    Parameters
    ----------
    viewer : napari viewer
    card : ProposalCard
    owner : QWidget

    Attributes
    ----------
    answered : Signal(object, bool)
        For which `TileWork`, and whether the model was kept.
    """

    answered = Signal(object, bool)

    def __init__(self, viewer: Any, card: ProposalCard, owner: QWidget) -> None:
        super().__init__(owner)
        self._viewer, self._card = unwrapped(viewer), card
        self._work: TileWork | None = None
        self._proposals: WeakKeyDictionary[TileWork, ProposalWork] = WeakKeyDictionary()
        self._others: WeakKeyDictionary[ProposalWork, Sequence[Tile]] = WeakKeyDictionary()
        self._view = ProposalView(viewer)
        self._goes_on = False  # to the next change, once it is known
        self._elsewhere = OtherTiles(owner)
        self._elsewhere.changed.connect(self._refresh)
        for asked in (card.all_accepted, card.view_accepted, card.one_accepted, card.kept):
            asked.connect(lambda: card.show_problem(""))
        card.all_accepted.connect(lambda: self.shown and self.shown.accept_all())
        card.view_accepted.connect(self._accept_in_view)
        card.one_accepted.connect(self._accept_one)
        card.rejected.connect(lambda: self.shown and self.shown.reject())
        card.kept.connect(lambda: self.shown and self.shown.keep())
        card.next_wanted.connect(lambda: self._walk(1))
        card.previous_wanted.connect(lambda: self._walk(-1))
        card.enough_seen.connect(self._elsewhere.stop)
        self._refresh()

    @property
    def shown(self) -> ProposalWork | None:
        """What was learned for the tile that is shown, and not answered yet."""
        return self.of(self._work)

    def of(self, work: TileWork | None) -> ProposalWork | None:
        """Return what was learned for a tile, and not answered yet."""
        return None if work is None else self._proposals.get(work)

    def propose(self, proposal: ProposalWork, others: Sequence[Tile]) -> None:
        """Show what was learned for a tile, now or when the tile is shown.

        ``others`` are tiles of the same kind that nobody has corrected.
        """
        work = proposal.work
        self.drop(work)
        self._proposals[work], self._others[proposal] = proposal, others
        proposal.changed.connect(self._refresh)
        proposal.failed.connect(self._card.show_problem)
        proposal.ended.connect(lambda was_kept: self._on_ended(work, was_kept))
        proposal.look()
        if work is self._work:
            self._begin()

    def drop(self, work: TileWork) -> None:
        """Forget what was learned for a tile. Harmless when there is nothing."""
        if work in self._proposals:
            self._proposals[work].reject()

    def show_work(self, work: TileWork | None) -> None:
        """Show what was learned for another tile, if anything was."""
        self._work = work
        self._begin()

    def close(self) -> None:
        """Take the layers away."""
        self._elsewhere.stop()
        self._view.clear()

    # ---- inside

    def _begin(self) -> None:
        self._view.clear()
        self._goes_on = False
        self._card.show_problem("")
        proposal = self.shown
        if proposal is None:
            self._elsewhere.forget()
        else:
            self._elsewhere.look(self._others[proposal], proposal.start, proposal.result)
            proposal.look()
        self._refresh()

    def _refresh(self) -> None:
        card, proposal = self._card, self.shown
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
            if card.message.text() == GONE:
                card.show_problem("")
            card.show_changes(changes, proposal.expectation)
            card.show_place(proposal.at, len(changes))
            self._view.show(changes, editable.layer)
            if self._goes_on and not proposal.is_looking:
                self._goes_on = False
                self._go_there()

    def _walk(self, n: int) -> None:
        if self.shown is not None:
            self._card.show_problem("")
            self.shown.go_by(n)
            self._go_there()

    def _go_there(self) -> None:
        proposal = self.shown
        if proposal is None or proposal.editable is None or proposal.at is None:
            return
        box = proposal.changes.box[proposal.at]
        self._view.go_to(box, proposal.work.tile_view, proposal.editable.layer)

    def _accept_in_view(self) -> None:
        proposal = self.shown
        if proposal is None:
            return
        seen = seen_field(self._viewer, proposal.work.tile_view)
        region = np.zeros(proposal.work.tile_view.tile.shape, bool)
        if seen is not None:
            region[seen] = True
        proposal.accept(lambda changes: changes.within(region))

    def _accept_one(self) -> None:
        proposal = self.shown
        if proposal is not None and proposal.at is not None:
            self._goes_on = True
            proposal.accept(lambda _: [proposal.at])

    def _on_ended(self, work: TileWork, was_kept: bool) -> None:
        self._proposals.pop(work, None)
        if work is self._work:
            self._begin()
        self.answered.emit(work, was_kept)
