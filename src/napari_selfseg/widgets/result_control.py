"""Between the result panel and what was found in the tile that is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from qtpy.QtCore import QObject, Signal
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QWidget

from napari_selfseg.core.channels import ChannelChoice, choose_by_click
from napari_selfseg.widgets.candidate import Candidate, Source
from napari_selfseg.widgets.nucleus_click import NucleusClick
from napari_selfseg.widgets.result_panel import PICTURE, ResultPanel
from napari_selfseg.widgets.thumbnails import middle, outlines_picture
from napari_selfseg.widgets.tile_work import TileWork
from napari_selfseg.widgets.touched_outline import TouchedOutline

ALIKE = 0.01  # smaller differences of the score mean nothing
CLICK_RADIUS_UM, CLICK_RADIUS_PX = 1.0, 4.0  # of the disk around a click, well inside a nucleus


class ResultControl(QObject):
    """Shows one `TileWork` at a time and hands on what the user wants of it.

    Parameters
    ----------
    viewer : napari viewer
    panel : ResultPanel
    owner : QWidget

    Attributes
    ----------
    shown : Signal()
        Something changed in what is shown.
    """

    shown = Signal()

    def __init__(self, viewer: Any, panel: ResultPanel, owner: QWidget) -> None:
        super().__init__(owner)
        self._panel = panel
        self.work: TileWork | None = None
        self._is_learning = False
        self._pictures: dict[Source, tuple[Candidate, QPixmap]] = {}
        self._maps_shown: tuple[Any, ChannelChoice] | None = None
        self.outline = TouchedOutline(viewer, panel.touched_box, owner)
        self.nucleus_click = NucleusClick(viewer, self)
        self.nucleus_click.clicked.connect(self._choose_by_click)
        self.nucleus_click.cancelled.connect(lambda: panel.set_picking(False))
        self.nucleus_click.missed.connect(
            lambda: panel.problem.tell("That was beside the tile: click a nucleus inside it.")
        )
        panel.source_taken.connect(self._take)
        panel.flip_wanted.connect(self._flip)
        panel.click_wanted.connect(self._wait_for_click)
        panel.maps.map_taken.connect(self._take_map)
        panel.maps.labels_wanted.connect(lambda k: self.work and self.work.search.label_map(k))
        panel.doubt_wanted.connect(self._show_doubt)
        panel.sliders.changed.connect(lambda s: self.work and self.work.set_label_settings(s))
        panel.sliders.reset_wanted.connect(lambda: self.work and self.work.reset_label_settings())

    def show_work(self, work: TileWork | None) -> None:
        """Show another tile's results, or none."""
        if work is self.work:
            return
        self.nucleus_click.stop()
        self._panel.problem.tell("")
        self._forget_former()
        self.work = work
        if work is not None:
            work.changed.connect(self._refresh)
            work.failed.connect(self._panel.problem.tell)
        self._refresh()

    def set_learning(self, on: bool) -> None:
        """Say whether a training goes on."""
        self._is_learning = on
        self._refresh()

    def _forget_former(self) -> None:
        if self.work is not None:
            self.work.changed.disconnect(self._refresh)
            self.work.failed.disconnect(self._panel.problem.tell)
        self._pictures, self._maps_shown = {}, None

    def _refresh(self) -> None:
        work, panel = self.work, self._panel
        self.outline.follow(None if work is None else work.editable())
        if work is None:
            panel.show_nothing()
            self.shown.emit()
            return
        self._show_card("threshold", "Finding objects …", "Click to find them.")
        learning = "Learning …" if self._is_learning else "Press Train."
        self._show_card("learned", "Drawing the labels …", learning)
        panel.show_active(work.active)
        panel.show_advice(advice(work), work.search.recommended)
        panel.set_maps_shown(work.result is not None and work.active == "learned")
        self._show_maps()
        active = work.candidates.get(work.active) if work.active else None
        learned_shown = work.active == "learned"
        panel.show_doubt(learned_shown and work.doubt is not None, work.maps.shows_doubt)
        panel.show_quality(expectation(work) if learned_shown else "")
        if active is not None:
            panel.show_count(active.count)
            if panel.sliders.settings() != active.settings or not self._sliders_fit(active):
                scale, has_centres = work.tile_view.tile.um_per_px, active.centres is not None
                panel.sliders.show_settings(active.settings, scale, has_centres)
            used = "none"
            if work.active == "learned" and work.result is not None:
                used = str(work.result.provenance.get("labels_used", "none"))
            panel.show_labels_used(used)
        panel.show_provenance(provenance(work))
        self.shown.emit()

    def _sliders_fit(self, active: Candidate) -> bool:
        assert self.work is not None
        sliders = self._panel.sliders
        return sliders.um_per_px == self.work.tile_view.tile.um_per_px and (
            sliders.has_centres == (active.centres is not None)
        )

    def _show_card(self, source: Source, finding: str, missing: str) -> None:
        assert self.work is not None
        card, candidate = self._panel.cards[source], self.work.candidates.get(source)
        if candidate is None:
            is_finding = self.work.search.is_finding(source)
            card.show_empty(
                finding if is_finding else missing, source == "threshold" and not is_finding
            )
            return
        offers = {"threshold": "Start from threshold", "learned": "Show learned"}
        offer = "Shown" if source == self.work.active else offers[source]
        picture = self._picture(source, candidate)
        card.show_result(picture, candidate.title, candidate.count, offer)

    def _picture(self, source: Source, candidate: Candidate) -> QPixmap:
        """Return the outlines on the middle of the tile; the same place for both."""
        former = self._pictures.get(source)
        if former is not None and former[0].labels is candidate.labels:
            return former[1]
        assert self.work is not None
        tile = self.work.tile_view.tile
        where = middle(tile.shape, PICTURE.height() * 5 // 4, PICTURE.width() * 5 // 4)
        ratio = self._panel.devicePixelRatioF()
        picture = outlines_picture(tile.read(*where), candidate.labels[where], PICTURE, ratio)
        self._pictures[source] = candidate, picture
        return picture

    def _show_maps(self) -> None:
        result = self.work.result if self.work is not None else None
        if result is None:
            return
        now = (result.maps, result.choice)
        if self._maps_shown is None or any(
            a is not b for a, b in zip(self._maps_shown, now, strict=True)
        ):
            self._maps_shown = now
            self._panel.maps.show_maps(*now, self.work.search.guess)

    def _take(self, source: Source) -> None:
        if self.work is not None:
            self.work.take(source)
            self._refresh()

    def _take_map(self, channel: int) -> None:
        if self.work is None or self.work.result is None:
            return
        choice = self.work.result.choice
        self._choose(replace(choice.of_map(channel), how=_how(choice)))

    def _show_doubt(self, shown: bool) -> None:
        if self.work is not None:
            self.work.maps.show_doubt(self.work.doubt, shown)

    def _flip(self) -> None:
        if self.work is not None and self.work.result is not None:
            choice = self.work.result.choice
            self._choose(replace(choice, inverted=not choice.inverted, how=_how(choice)))

    def _wait_for_click(self, on: bool) -> None:
        self._panel.problem.tell("")
        if on and self.work is not None and self.work.result is not None:
            self.nucleus_click.start(self.work.tile_view)
        else:
            self.nucleus_click.stop()
            self._panel.set_picking(False)

    def _choose_by_click(self, row: int, column: int) -> None:
        self._panel.set_picking(False)
        if self.work is None or self.work.result is None:
            return
        scale = self.work.tile_view.tile.um_per_px
        radius = CLICK_RADIUS_PX if scale is None else CLICK_RADIUS_UM / scale
        self._choose(choose_by_click(self.work.result.maps, row, column, radius))

    def _choose(self, choice: ChannelChoice) -> None:
        assert self.work is not None
        self.work.choose(choice)


def _how(former: ChannelChoice) -> Literal["one click", "user"]:
    """Return how a choice by eye came about: after a click, the click had a part in it."""
    return "one click" if former.how == "one click" else "user"


def expectation(work: TileWork) -> str:
    """Say how good the learned labels are expected to be, judged without labels."""
    quality = work.result.quality if work.result is not None else None
    return "" if quality is None else quality.sentence()


def advice(work: TileWork) -> str:
    """Say which of the two is recommended, and why."""
    if work.search.recommended is None:
        return ""
    scores = [work.candidates[name].score for name in ("learned", "threshold")]
    learned, plain = (f"{score:.2f}".replace("-", "−") for score in scores)
    if abs(scores[0] - scores[1]) < ALIKE:
        return (
            f"Both explain the stain about equally well (learned {learned}, threshold {plain}): "
            "take the one you like better."
        )
    if scores[0] > scores[1]:
        return (
            "What was learned explains the stain better than the plain threshold "
            f"({learned} against {plain}; judged without labels)."
        )
    if work.search.recommended == "learned":
        return (
            "What was learned explains the stain nearly as well as the plain threshold "
            f"({learned} against {plain}; judged without labels), and knows single nuclei."
        )
    return (
        f"The plain threshold explains the stain better than what was learned ({plain} against "
        f"{learned}; judged without labels). Take it, or train again more thoroughly."
    )


def provenance(work: TileWork) -> dict[str, Any] | None:
    """Return how the active labels came about."""
    if work.active is None or work.active not in work.candidates:
        return None
    candidate = work.candidates[work.active]
    made = {"labels_made_with": candidate.settings.model_dump(mode="json")}
    if work.active == "learned" and work.result is not None:
        return {**work.result.provenance, **made}
    return {"found_by": candidate.title, "labels_used": "none", **made}
