"""What was found in one tile in its layers: threshold and learned labels, confidence, doubt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, get_args

from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from napari_selfseg.core.channels import ChannelChoice
from napari_selfseg.core.glimpse import Part
from napari_selfseg.core.instances import LabelSettings
from napari_selfseg.session.result import RunResult
from napari_selfseg.session.session_state import KeptValues, LayerWork
from napari_selfseg.session.versions import Versions
from napari_selfseg.widgets.candidate import LEARNED_NAME, Candidate, Source
from napari_selfseg.widgets.candidate_search import CandidateSearch
from napari_selfseg.widgets.editable_labels import EditableLabels
from napari_selfseg.widgets.image_layers import unwrapped
from napari_selfseg.widgets.layers import ResultLayers, TileView, visible_field
from napari_selfseg.widgets.model_versions import ModelVersions
from napari_selfseg.widgets.region_work import RegionWork
from napari_selfseg.widgets.shown_labels import ShownLabels
from napari_selfseg.widgets.shown_maps import ShownMaps


class TileWork(QObject):
    """The results of one tile and the layers that show them.

    Parameters
    ----------
    viewer : napari viewer
    tile_view : TileView
    owner : QWidget
        Nothing happens any more once it was destroyed.

    Attributes
    ----------
    changed : Signal()
        There is something new to show.
    failed : Signal(str)
        One sentence for the user.
    kept : KeptValues
        What other parts want to be saved with this tile: they register there.
    """

    changed = Signal()
    failed = Signal(str)

    def __init__(self, viewer: Any, tile_view: TileView, owner: QWidget) -> None:
        super().__init__(owner)
        self.tile_view = tile_view
        self.layers = ResultLayers(viewer, tile_view)
        self.maps = ShownMaps(self.layers)
        self.regions = RegionWork(viewer, self.layers, owner)
        self.search = CandidateSearch(tile_view.tile, owner)
        self.active: Source | None = None
        self.is_own_run = False
        self.kept = KeptValues()
        self._viewer = unwrapped(viewer)
        self._data = id(tile_view.layer.data)
        self._shown = ShownLabels(viewer, self.layers)
        self._wanted: Source | None = None
        self._in_hand: Source | None = None  # when the last training ended
        self.models = ModelVersions(self.search, owner)
        self.search.arrived.connect(self._on_arrived)
        self.search.map_labelled.connect(self._add_extra)
        self.search.glimpsed.connect(self._show_glimpse)
        self.search.failed.connect(self._on_failed)
        self.models.wanted.connect(self._take_version)
        self.models.changed.connect(self.changed)
        self.models.failed.connect(self._on_failed)

    def is_of(self, view: TileView) -> bool:
        """Whether a view is of the same region of the same pixels."""
        return self.tile_view.is_same_region(view) and self._data == id(view.layer.data)

    def set_view(self, view: TileView) -> None:
        """Take a newer view of the same pixels; its scale may be another one."""
        tile = self.tile_view.tile
        former = tile.um_per_px
        if self.tile_view.is_told_the_same(view):
            view = replace(view, tile=tile)  # what is known of its stain is kept with the tile
        self.tile_view = self.layers.tile_view = view
        self.search.tile = view.tile
        if view.tile.um_per_px != former:
            if "threshold" not in self._shown:
                self.search.renew_threshold()
            self.changed.emit()

    @property
    def is_needed(self) -> bool:
        """Whether the tile may be chosen again and something would be lost by then."""
        return not self.is_empty and self.tile_view.layer in self._viewer.layers

    @property
    def is_empty(self) -> bool:
        """Whether nothing would be lost if it were forgotten."""
        return self.result is None and self._shown.is_empty and self.regions.is_empty

    @property
    def candidates(self) -> dict[Source, Candidate]:
        """What was found so far."""
        return self.search.found

    @property
    def result(self) -> RunResult | None:
        """What the last training gave, with the map that is chosen now."""
        return self.search.result

    # ---- finding

    def take_result(
        self,
        result: RunResult,
        label_settings: LabelSettings | None = None,
        edited: NDArray[Any] | None = None,
        is_own_run: bool = True,
    ) -> None:
        """Show what a training has found.

        In a new layer; but learned labels that a person has touched get the new prediction by one
        step that can be undone, which leaves the touched pixels alone.

        Parameters
        ----------
        result : RunResult
        label_settings : LabelSettings, optional
            Of a stored run; without them the suggestion is taken.
        edited : ndarray of integers, shape (M, N), optional
            Labels of a stored run, for a new layer; where they differ from the prediction they
            are kept.
        is_own_run : bool
            False if only the model was learned elsewhere: there is no run to be stored then.
        """
        self.is_own_run = is_own_run
        self.models.all = Versions.begun_with(result)
        self._in_hand = self.active
        if self.active == "learned" and (edited is not None or not self._is_corrected):
            self.active = None
        self.search.take_result(result, label_settings, partial(self._show_result, edited))

    def restore(
        self,
        stored: Mapping[str, LayerWork],
        candidates: Mapping[Source, Candidate],
        versions: Versions | None,
        active: Source | None,
    ) -> None:
        """Show stored work as it was left, in place of what is shown.

        Parameters
        ----------
        stored : mapping of str to LayerWork
            "threshold", "learned", and what was left of earlier runs.
        candidates : mapping of {"threshold", "learned"} to Candidate
            What the labels of the same name were made of; the others are shown without sliders.
        versions : Versions or None
            The one in use has its result.
        active : {"threshold", "learned"} or None
            What was shown.
        """
        result = None if versions is None else versions.current.result
        self.is_own_run = result is not None
        self.models.all = versions
        for source in get_args(Source):
            self._shown.clear_away(source)
        self.active = None
        self.search.adopt(candidates, result)
        for name, work in stored.items():
            if name in candidates:
                self._make_layer(name)
                self._shown.restore(name, work)
            else:
                self._shown.restore_former(work, LEARNED_NAME, visible=not candidates)
        if "learned" in candidates:
            self._show_maps()
        wanted = [active, "learned", "threshold"]
        shown = next((source for source in wanted if source in candidates), None)
        if shown is not None:
            self._show(shown)
        self.changed.emit()

    def kept_layers(self) -> dict[str, tuple[Labels, dict[str, Any]]]:
        """Return the layers that must not be lost, by name, with how their labels are made."""
        found = {}
        for name, layer in self._shown.kept("earlier").items():
            candidate = self.candidates.get(name)
            told = {} if candidate is None else candidate.settings.model_dump(mode="json")
            found[name] = layer, told
        return found

    # ---- what was learned from corrections

    @property
    def versions(self) -> Versions | None:
        """The models that were learned, one after the other; None before the first."""
        return self.models.now

    def adopt(self, result: RunResult, learned: Candidate, n_corrections: int) -> None:
        """Take a model that has learned from corrections for the newest version.

        No labels change: the caller has shown what was accepted of them. If it was accepted in
        the labels of the threshold, their layer shows the learned labels from now on.
        """
        self.models.add(result, n_corrections)
        self.is_own_run = True
        self.search.adopt({"learned": learned}, result)
        if self.active == "threshold" and "threshold" in self._shown:
            self._shown.hand_over("threshold", "learned", LEARNED_NAME)
            self.active = "learned"
        self._show_maps()
        self.changed.emit()

    def go_back_to(self, place: int) -> None:
        """Take another version's model, and its labels as one step; touched pixels keep theirs."""
        if self.is_shown:
            self.models.go_to(place)

    def choose(self, choice: ChannelChoice) -> None:
        """Take another map or polarity for the object; the labels layer follows."""
        if self.is_shown:
            self.search.choose(choice)
            self.changed.emit()

    def set_label_settings(self, settings: LabelSettings) -> None:
        """Make the active labels anew, from the map that is there."""
        if self.active in self.candidates:
            field = visible_field(self._viewer, self.tile_view)
            self.search.set_label_settings(self.active, settings, field)

    def reset_label_settings(self) -> None:
        """Go back to the suggested settings."""
        if self.active in self.candidates:
            self.set_label_settings(self.candidates[self.active].suggested)
            self.changed.emit()

    # ---- showing

    def make_way(self) -> None:
        """Hide labels that nobody has touched, so that the live preview is seen."""
        self._shown.hide_untouched()

    def give_way_back(self) -> None:
        """Show the active labels again, after a training without a result."""
        self.layers.remove_preview()
        layer = self._shown.in_viewer(self.active)
        if layer is not None:
            layer.visible = True

    def show_again(self) -> bool:
        """Show what was shown last; return whether there is anything."""
        if self.active is None:
            return False
        self._show(self.active)
        return True

    def hide(self) -> None:
        """Hide all labels, because the other mode is looked at."""
        self._shown.hide()

    def take(self, source: Source) -> None:
        """Show the labels of one candidate, the other's are hidden; select its layer."""
        if source not in self.candidates:
            self._wanted = source
            if source == "threshold":
                self.search.find_threshold(even_if_large=True)
            return
        self._show(source)
        self._viewer.layers.selection.active = self.layer_of(source)

    @property
    def doubt(self) -> NDArray[Any] | None:
        """How much the networks disagree, (M, N) in 0..1; None where there is only one."""
        return None if self.result is None else self.result.prediction.doubt

    def current_labels(self) -> NDArray[Any] | None:
        """Return the active labels (M, N) with a person's corrections, or None."""
        return None if self.active is None else self.labels_of(self.active)

    def labels_of(self, source: Source) -> NDArray[Any] | None:
        """Return the labels (M, N) of a candidate with a person's corrections, or None."""
        if source not in self.candidates:
            return None
        return self._shown.corrected(source, self.candidates[source].labels)

    @property
    def is_shown(self) -> bool:
        """Whether a result has arrived and is shown."""
        return "learned" in self.candidates

    # ---- to be saved

    @property
    def has_labels(self) -> bool:
        """Whether there are labels to save."""
        return self.active in self.candidates

    @property
    def has_run(self) -> bool:
        """Whether there is a run to save."""
        return self.is_own_run and "learned" in self.candidates

    def editable(self, source: Source | None = None) -> EditableLabels | None:
        """Return the labels that are edited, of a candidate or the active one, if in the viewer."""
        layer = self._shown.in_viewer(source or self.active)
        return None if layer is None else self.layers.editable(layer)

    def layer_of(self, source: Source) -> Labels | None:
        """Return the labels layer of a candidate, if it is in the viewer."""
        return self._shown.in_viewer(source)

    # ---- inside

    def _take_version(self, result: RunResult) -> None:
        settings = self.search.own_settings("learned")
        self.search.take_result(result, settings, self._show_version)
        self.changed.emit()

    def _on_arrived(self, source: Source) -> None:
        if source in self._shown:
            self._update(source)
            if source == "learned":
                self._show_maps()
        if self._wanted == source:
            self._wanted = None
            self.take(source)
        self.changed.emit()

    def _show_glimpse(self, source: Source, part: Part, labels: NDArray[Any]) -> None:
        self._shown.show_glimpse(source, *part, labels)

    def _on_failed(self, sentence: str) -> None:
        self._shown.end_glimpses()
        self.failed.emit(sentence)

    def _show_result(self, edited: NDArray[Any] | None) -> None:
        self.layers.remove_preview()
        self._show_maps()
        goes_on = edited is None and self._is_corrected
        in_hand = self._shown.is_touched(self._in_hand) and self._in_hand
        if not goes_on:
            self._shown.retire("learned")
        self._make_layer("learned")
        if edited is not None:
            self._shown.put_back("learned", edited)
        recommended = "learned" if edited is not None else self.search.recommended
        if goes_on and in_hand == "learned":
            self._show("learned")
        elif in_hand:
            # a person is working on it: the learned labels wait beside it
            self.layer_of("learned").visible = False
            self.changed.emit()
        else:
            self._show(recommended)

    def _show_version(self) -> None:
        learned = self.candidates["learned"]
        if "learned" in self._shown:
            smallest = learned.settings.min_area
            self._shown.update("learned", learned.labels, smallest, is_accepted=True)
        self._show_maps()
        self._show("learned")

    def _show(self, source: Source) -> None:
        if self.layer_of(source) is None:
            self._make_layer(source)
        self.active = source
        self._shown.show_only(source)
        self.changed.emit()

    def _make_layer(self, source: Source) -> None:
        candidate = self.candidates[source]
        if source in self._shown:  # corrected, or deleted by the user and wanted again
            self._update(source)
        else:
            self._shown.add(source, candidate.labels, candidate.name)

    @property
    def _is_corrected(self) -> bool:
        """Whether a person has touched the learned labels."""
        return self._shown.is_touched("learned")

    def _update(self, source: Source) -> None:
        candidate = self.candidates[source]
        self._shown.update(source, candidate.labels, candidate.settings.min_area)

    def _show_maps(self) -> None:
        self.maps.show_new(self.candidates["learned"].confidence, self.doubt)

    def _add_extra(self, name: str, labels: NDArray[Any]) -> None:
        layer = self.layers.add_labels(labels, name)
        self._shown.hide_current()
        self._viewer.layers.selection.active = layer
