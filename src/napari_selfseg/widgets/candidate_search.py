"""Finding the candidates of a tile, threshold and learned, and making their labels anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, get_args

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from napari_selfseg.core.channels import ChannelChoice
from napari_selfseg.core.cues import clearest_cue
from napari_selfseg.core.glimpse import Part
from napari_selfseg.core.images.evidence import is_kept, stain_of
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.instances import LabelSettings
from napari_selfseg.core.plausibility import is_learned_better
from napari_selfseg.core.threshold import threshold_confidence
from napari_selfseg.session.result import RunResult
from napari_selfseg.widgets.candidate import (
    Candidate,
    Source,
    learned_candidate,
    threshold_candidate,
)
from napari_selfseg.widgets.latest import Latest

SOON_LABELLED = 2_000_000  # px; a larger tile shows the labels of what is looked at first
QUICK_TO_THRESHOLD = 4_000_000  # px; above, the threshold start waits until it is asked for


class CandidateSearch(QObject):
    """Finds the candidates of one tile in the background; of several wishes the newest counts.

    Parameters
    ----------
    tile : Tile
    owner : QWidget
        Nothing happens any more once it was destroyed.

    Attributes
    ----------
    arrived : Signal(str)
        A candidate, "threshold" or "learned", was found or has new labels.
    map_labelled : Signal(str, object)
        Name and labels (M, N) of a further map.
    glimpsed : Signal(str, object, object)
        A candidate, a part (rows, columns) of the tile, and the labels of the part: those of
        all of the tile are on their way.
    failed : Signal(str)
        One sentence for the user.
    """

    arrived = Signal(str)
    map_labelled = Signal(str, object)
    glimpsed = Signal(str, object, object)
    failed = Signal(str)

    def __init__(self, tile: Tile, owner: QWidget) -> None:
        super().__init__(owner)
        self.tile = tile
        self.found: dict[Source, Candidate] = {}
        self.result: RunResult | None = None
        self.guess: int | None = None
        self._jobs: dict[Source, Latest] = {
            name: Latest(self._take, self.failed.emit, owner) for name in get_args(Source)
        }
        self._cue = Latest(lambda _: None, lambda _: None, owner)
        self._glimpse = Latest(self._take_glimpse, self.failed.emit, owner)
        self._of_map = Latest(lambda made: self.map_labelled.emit(*made), self.failed.emit, owner)

    def is_finding(self, source: Source) -> bool:
        """Whether a candidate is on its way."""
        return self._jobs[source].is_busy

    @property
    def recommended(self) -> Source | None:
        """The candidate that is better by its label-free score, once there are both."""
        if len(self.found) < 2:
            return None
        learned, plain = self.found["learned"], self.found["threshold"]
        is_refined = learned.centres is not None
        is_better = is_learned_better(learned.score, plain.score, is_refined)
        return "learned" if is_better else "threshold"

    def own_settings(self, source: Source) -> LabelSettings | None:
        """Return how the user makes labels of a candidate; None as long as it is as suggested."""
        found = self.found.get(source)
        return None if found is None or found.settings == found.suggested else found.settings

    # ---- what is wanted

    def find_threshold(self, even_if_large: bool = False) -> None:
        """Find the plain threshold start, unless it is there or on its way."""
        n_rows, n_columns = self.tile.shape
        if "threshold" in self.found or self.is_finding("threshold"):
            return
        if even_if_large or n_rows * n_columns <= QUICK_TO_THRESHOLD:
            tile = self.tile

            def find() -> Any:
                stain = stain_of(tile)
                return "threshold", threshold_candidate(
                    threshold_confidence(stain), stain, tile.um_per_px
                )

            self._jobs["threshold"].ask(find)

    def renew_threshold(self) -> None:
        """Find the threshold start again: its sizes were meant for another scale."""
        if self.found.pop("threshold", None) is not None:
            self.find_threshold()

    def take_result(
        self,
        result: RunResult,
        label_settings: LabelSettings | None,
        on_found: Callable[[], None],
    ) -> None:
        """Make the labels of a training, beside those of the threshold.

        Parameters
        ----------
        result : RunResult
        label_settings : LabelSettings or None
            Of a stored run; without them the suggestion is taken.
        on_found : callable()
            Called, in place of `arrived`, when both candidates are there.
        """
        self._set_result(result)
        self.found.pop("learned", None)

        def find() -> Any:
            learned = learned_candidate(result, label_settings)
            plain = self.found.get("threshold") or threshold_candidate(
                result.threshold, stain_of(result.tile), result.tile.um_per_px
            )
            return "result", (learned, plain, on_found)

        self._jobs["learned"].ask(find)

    def adopt(self, candidates: Mapping[Source, Candidate], result: RunResult | None) -> None:
        """Take over what was found elsewhere, labels and all."""
        self.found.update(candidates)
        self._set_result(result)

    def choose(self, choice: ChannelChoice) -> None:
        """Take another map or polarity for the object, once there is a learned candidate."""
        assert self.result is not None
        self.result = self.result.with_choice(choice)
        self._find_learned(self.own_settings("learned"))

    def set_label_settings(self, source: Source, settings: LabelSettings, field: Part) -> None:
        """Make the labels of a candidate anew, from the map that is there.

        In a large tile those of ``field`` come first, the rows and columns that are looked at.
        """
        # at once, so that the next change starts from it
        candidate = replace(self.found[source], settings=settings)
        self.found[source] = candidate
        if self.result is not None and candidate.choice not in (None, self.result.choice):
            self._find_learned(settings)  # another map is on its way
            return

        def find() -> Any:
            return source, candidate.with_settings(settings)

        if self._is_large:
            self._glimpse.ask(lambda: (source, candidate, field, candidate.glimpse(field)))
        self._jobs[source].ask(find)

    def label_map(self, channel: int) -> None:
        """Make labels of any of the maps, beside the candidates."""
        result = self.result
        if result is None:
            return
        choice = result.choice
        if channel != choice.channel:
            choice = choice.of_map(channel)

        def find() -> Any:
            found = learned_candidate(result.with_choice(choice))
            return f"SelfSeg map {channel + 1}", found.labels

        self._of_map.ask(find)

    # ---- inside

    @property
    def _is_large(self) -> bool:
        """Whether making all labels takes so long that what is looked at comes first."""
        return self.tile.shape[0] * self.tile.shape[1] > SOON_LABELLED

    def _set_result(self, result: RunResult | None) -> None:
        self.result, self.guess = result, None
        if result is not None and result.choice.how == "guess":
            self.guess = result.choice.channel

    def _find_learned(self, settings: LabelSettings | None) -> None:
        result = self.result
        assert result is not None
        self._jobs["learned"].ask(lambda: ("learned", learned_candidate(result, settings)))

    def _take_glimpse(self, made: Any) -> None:
        source, candidate, field, labels = made
        now = self.found.get(source)
        is_of_map = candidate.choice is None or (
            self.result is not None and candidate.choice == self.result.choice
        )
        if self.is_finding(source) and is_of_map and now is candidate:
            self.glimpsed.emit(source, field, labels)

    def _take(self, found: Any) -> None:
        what, made = found
        if what == "result":
            self._take_both(*made)
        else:
            self._take_candidate(what, made)

    def _take_both(
        self, learned: Candidate, plain: Candidate, on_found: Callable[[], None]
    ) -> None:
        self.found.setdefault("threshold", plain)
        self.found["learned"] = learned
        on_found()

    def _take_candidate(self, source: Source, candidate: Candidate) -> None:
        now = self.found.get(source)
        if now is None and source == "learned":
            return  # of a run that was replaced
        is_newest = not self.is_finding(source)
        if is_newest or now is None:
            self.found[source] = candidate
        else:  # the sliders have moved on; these labels are shown until theirs come
            if self._is_large:
                return  # what is looked at shows a newer glimpse already
            self.found[source] = replace(candidate, settings=now.settings)
        self.arrived.emit(source)
        if source == "threshold" and now is None:
            self._look_ahead()

    def _look_ahead(self) -> None:
        """Find the clearest cue while nothing else is done: a training ends with it."""
        tile = self.tile
        if is_kept(tile):
            self._cue.ask(lambda: clearest_cue(stain_of(tile), tile.um_per_px))
