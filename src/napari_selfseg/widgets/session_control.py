"""Between what the dock says of the saving and the work that is saved."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QWidget

from napari_selfseg.session.label_files import StoreError
from napari_selfseg.session.lock import Owner
from napari_selfseg.session.session_place import choose_place
from napari_selfseg.session.waiting import SaveStatus
from napari_selfseg.session.work_settings import WorkSettings, choice_to_store
from napari_selfseg.widgets.autosaving import Autosaving
from napari_selfseg.widgets.session_bar import EarlierCard, SavedLine, TroubleBanner
from napari_selfseg.widgets.tile_work import TileWork
from napari_selfseg.widgets.training_panel import TrainingPanel

LOOK_MS = 500
SLOW_S = 1.5  # saving is only told if it takes longer
WHAT_TO_DO = (
    "Make room, connect the drive, or keep your work elsewhere. Until then you can go on: nothing "
    "is lost while this window is open, and saving is tried again every few seconds."
)


class SessionControl(QObject):
    """Shows how it stands with the saving of one `TileWork` at a time; saves all of them.

    Parameters
    ----------
    card : EarlierCard
    banner : TroubleBanner
    line : SavedLine
    settings : callable(TileWork) -> WorkSettings
        How the dock stands.
    owner : QWidget
    """

    def __init__(
        self,
        card: EarlierCard,
        banner: TroubleBanner,
        line: SavedLine,
        settings: Callable[[TileWork], WorkSettings],
        owner: QWidget,
    ) -> None:
        super().__init__(owner)
        self._card, self._banner, self._line = card, banner, line
        self._settings, self._owner = settings, owner
        self._all: dict[TileWork, Autosaving] = {}
        self.shown: Autosaving | None = None
        self._is_learning = False
        self._problem = ""
        self._waiting_since: float | None = None
        self._clock = QTimer(self)
        self._clock.setInterval(LOOK_MS)
        self._clock.timeout.connect(self._refresh)
        self._clock.start()
        card.taken.connect(self._take_up)
        card.declined.connect(lambda: self.shown and self.shown.start_afresh())
        banner.retry_wanted.connect(lambda: self.shown and self.shown.retry())
        banner.copy_wanted.connect(lambda: self.shown and self.shown.save_as_copy())
        banner.take_over_wanted.connect(lambda: self.shown and self.shown.take_over())
        banner.place_chosen.connect(self._keep_in)
        line.earlier_wanted.connect(self._take_up_other)

    def keep(self, work: TileWork) -> Autosaving:
        """Save this work from now on, until `forget` or `close_all`."""
        keeping = Autosaving(work, lambda: self._settings(work), self._owner)
        keeping.changed.connect(self._refresh)
        keeping.failed.connect(self._tell)
        self._all[work] = keeping
        return keeping

    def forget(self, work: TileWork) -> None:
        """Save this work for the last time: its image is gone."""
        keeping = self._all.pop(work, None)
        if keeping is not None:
            keeping.close()

    def show_work(self, work: TileWork | None) -> None:
        """Tell of another tile, or none."""
        shown = None if work is None else self._all.get(work)
        if shown is not self.shown:
            self.shown, self._problem, self._waiting_since = shown, "", None
            self._refresh()

    def set_learning(self, on: bool) -> None:
        """Say whether a training goes on; what it begins with is saved first."""
        self._is_learning = on
        if on and self.shown is not None:
            self.shown.save_now()
        self._refresh()

    def note_settings(self) -> None:
        """Say that the dock's settings have changed."""
        if self.shown is not None:
            self.shown.note_settings()

    def close_all(self) -> None:
        """Save all work for the last time, as the window goes away; harmless when called twice."""
        self._clock.stop()
        for keeping in self._all.values():
            keeping.close()

    # ---- inside

    def _take_up(self) -> None:
        self._problem = ""
        if self.shown is not None:
            self.shown.take_up()

    def _take_up_other(self, index: int) -> None:
        self._problem = ""
        if self.shown is not None:
            self.shown.take_up(self.shown.others()[index])

    def _keep_in(self, place: Path) -> None:
        try:
            choose_place(place)
        except StoreError as error:
            self._tell(str(error))
            return
        self._problem = ""
        if self.shown is not None:
            self.shown.move_to(place)

    def _tell(self, sentence: str) -> None:
        self._problem = sentence
        self._refresh()

    def _refresh(self) -> None:
        shown = self.shown
        if shown is None:
            self._card.show_offer("", False, False, False)
            self._banner.show_trouble("")
            self._line.text.tell("")
            self._line.show_earlier((), False)
            return
        now, status, can_take = datetime.now().astimezone(), shown.status, not self._is_learning
        offer = shown.offer
        self._card.show_offer(
            "" if offer is None else offer.told(now),
            shown.found.ended_unexpectedly,
            shown.is_taking_up,
            can_take,
        )
        self._banner.show_trouble(*self._trouble(status, shown.holder))
        others = [other.told(now) for other in shown.others()]
        self._line.show_earlier(others, can_take and not shown.is_taking_up)
        self._line.text.tell(self._saved(status))

    def _trouble(self, status: SaveStatus, holder: Owner | None) -> tuple[str, tuple[str, ...]]:
        """Return what is wrong, and what can be done about it."""
        if status.problem:
            return f"{status.problem} {WHAT_TO_DO}", ("retry", "place")
        if holder is not None:
            elsewhere = holder.host not in ("", socket.gethostname())
            where = f" on {holder.host}" if elsewhere else ""
            return (
                f"Another window{where} works on this image. You can go on here too, but it is "
                "not saved.",
                ("copy",),
            )
        if status.is_elsewhere:
            return (
                "The other window that worked on this image is closed. What you do here is not "
                "saved yet.",
                ("take over", "copy"),
            )
        return self._problem, ()

    def _saved(self, status: SaveStatus) -> str:
        """Return when something was saved last."""
        if status.problem or status.is_elsewhere:
            return "Not saved"
        now = time.monotonic()
        self._waiting_since = (self._waiting_since or now) if status.is_waiting else None
        if self._waiting_since is not None and now - self._waiting_since > SLOW_S:
            return "Saving …"
        if status.saved_at is None:
            return ""
        return f"Saved {since(time.time() - status.saved_at)}"


def since(seconds: float) -> str:
    """Return how long ago, coarser and coarser so that the line is quiet."""
    if seconds < 10:
        return f"{max(1, int(seconds))} s ago"
    if seconds < 60:
        return f"{int(seconds // 10) * 10} s ago"
    if seconds < 3600:
        return f"{int(seconds // 60)} min ago"
    return f"{int(seconds // 3600)} h ago"


def settings_of(work: TileWork, panel: TrainingPanel) -> WorkSettings:
    """Return how the dock stands."""
    training: Any = panel.settings()
    result, regions, versions = work.result, work.regions.result, work.versions
    return WorkSettings(
        um_per_px=work.tile_view.tile.um_per_px,
        mode=panel.mode,
        method=panel.method,
        training={} if training is None else training.model_dump(mode="json"),
        active=work.active,
        active_regions=work.regions.active,
        choice=choice_to_store(None if result is None else result.choice),
        names=() if regions is None else regions.names,
        structure=None if regions is None else regions.structure,
        versions=() if versions is None else versions.to_store(),
        version=0 if versions is None else versions.at,
    )
