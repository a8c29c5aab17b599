"""The regions of one tile and the layers that show them: all classes, and one as objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QWidget

from napari_selfseg.core.regions import (
    RegionLabelSettings,
    area_shares,
    class_at,
    mask_of_class,
)
from napari_selfseg.session.region_result import HowChosen, RegionResult
from napari_selfseg.session.session_state import LayerWork
from napari_selfseg.session.store import save_region_run
from napari_selfseg.widgets.class_colours import CLASS_OPACITY, class_colormap, class_features
from napari_selfseg.widgets.editable_labels import EditableLabels
from napari_selfseg.widgets.image_layers import unwrapped
from napari_selfseg.widgets.latest import Latest
from napari_selfseg.widgets.regions import TileView
from napari_selfseg.widgets.result_layers import ResultLayers
from napari_selfseg.widgets.shown_labels import ShownLabels

Shown = Literal["regions", "structure"]
SHARES_MS = 400  # after a stroke or its undoing


class RegionWork(QObject):
    """What a run in regions mode found in a tile; what is slow is done in the background.

    Parameters
    ----------
    viewer : napari viewer
    layers : ResultLayers
        Of the tile.
    owner : QWidget
        Nothing happens any more once it was destroyed.

    Attributes
    ----------
    changed : Signal()
        There is something new to show.
    failed : Signal(str)
        One sentence for the user.
    """

    changed = Signal()
    failed = Signal(str)

    def __init__(self, viewer: Any, layers: ResultLayers, owner: QWidget) -> None:
        super().__init__(owner)
        self.layers = layers
        self.result: RegionResult | None = None
        self.settings = RegionLabelSettings()
        self.active: Shown | None = None
        self.is_own_run = False
        self._viewer = unwrapped(viewer)
        self._labels: dict[Shown, NDArray[Any]] = {}  # as computed
        self._shown = ShownLabels(viewer, layers)
        self._edited: dict[Shown, NDArray[Any] | None] = {}  # of a stored run, until shown
        self._wants_structure = False
        self._jobs: dict[Shown, Latest] = {
            "regions": Latest(self._take_regions, self.failed.emit, owner),
            "structure": Latest(self._take_objects, self.failed.emit, owner),
        }
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(SHARES_MS)
        self._soon.timeout.connect(self.changed)

    @property
    def tile_view(self) -> TileView:
        """Where the regions belong."""
        return self.layers.tile_view

    @property
    def is_empty(self) -> bool:
        """Whether nothing would be lost if it were forgotten."""
        return self.result is None and self._shown.is_empty

    @property
    def is_finding(self) -> bool:
        """Whether labels are on their way."""
        return any(job.is_busy for job in self._jobs.values())

    @property
    def count(self) -> str:
        """What is shown, in words."""
        if self.result is None or self.active is None:
            return ""
        if self.active == "regions" or self.result.structure is None:
            return f"{self.result.n_classes} classes"
        n = int(self._labels["structure"].max(initial=0))
        name = self.result.names[self.result.structure - 1]
        return f"{name}: {n:,} object{'' if n == 1 else 's'}"

    def shares(self) -> tuple[float, ...]:
        """Return which part of the tile each class covers, with a person's corrections, 0..1."""
        assert self.result is not None
        return area_shares(self._seen_labels(), self.result.n_classes)

    def provenance(self) -> dict[str, Any]:
        """Return how the result came about."""
        assert self.result is not None
        made = {"labels_made_with": self.settings.model_dump(mode="json")}
        return {**self.result.provenance, **made}

    # ---- finding

    def take_result(
        self,
        result: RegionResult,
        label_settings: RegionLabelSettings | None = None,
        edited: NDArray[Any] | None = None,
        objects: NDArray[Any] | None = None,
        is_own_run: bool = True,
    ) -> None:
        """Show what a training has found, in new layers.

        Parameters
        ----------
        result : RegionResult
        label_settings : RegionLabelSettings, optional
            Of a stored run.
        edited, objects : ndarray of integers, shape (M, N), optional
            Classes and objects of a stored run; where they differ from the prediction they
            count as a person's work.
        is_own_run : bool
            False if only the model was learned elsewhere: there is no run to be stored then.
        """
        self.result, self.is_own_run = result, is_own_run
        self.settings = label_settings or RegionLabelSettings()
        for shown in self._jobs:
            self._shown.retire(shown)
        self._labels, self.active = {}, None
        self._edited = {"regions": edited, "structure": objects}
        self._wants_structure = result.structure is not None
        self._find_regions()

    def restore(
        self,
        stored: Mapping[str, LayerWork],
        labels: Mapping[Shown, NDArray[Any]],
        result: RegionResult,
        settings: RegionLabelSettings,
        active: Shown | None,
    ) -> None:
        """Show stored work as it was left, in place of what is shown.

        Parameters
        ----------
        stored : mapping of str to LayerWork
        labels : mapping of {"regions", "structure"} to ndarray, shape (M, N)
            As computed with the settings.
        result : RegionResult
        settings : RegionLabelSettings
        active : {"regions", "structure"} or None
            What was shown.
        """
        self.result, self.settings, self.is_own_run = result, settings, True
        for shown in self._jobs:
            self._shown.clear_away(shown)
        self._labels, self._edited, self._wants_structure = dict(labels), {}, False
        for shown in labels:
            if shown in stored:
                self._make_layer(shown)
                self._shown.restore(shown, stored[shown])
                self._shown.get(shown).visible = False
        self.active = active if active in labels else "regions"
        self.changed.emit()

    def kept_layers(self) -> dict[str, tuple[Labels, dict[str, Any]]]:
        """Return the layers that must not be lost, by name, with how their labels are made."""
        told = self.settings.model_dump(mode="json")
        return {name: (layer, told) for name, layer in self._shown.kept("earlier_regions").items()}

    def set_label_settings(self, settings: RegionLabelSettings) -> None:
        """Make the labels anew from the memberships that are there."""
        former, self.settings = self.settings, settings
        if self.result is None:
            return
        only_holes = settings == former.model_copy(update={"max_hole_um2": settings.max_hole_um2})
        if only_holes:
            self._find_objects()
        else:
            self._find_regions()

    def rename(self, number: int, name: str) -> None:
        """Give a class another name; the layers follow."""
        if self.result is None:
            return
        former = self._structure_name()
        self.result = self.result.renamed(number, name)
        layer = self._shown.get("regions")
        if layer is not None:
            layer.features = class_features(self.result.names)
        objects = self._shown.get("structure")
        if objects is not None and objects.name == former:
            objects.name = self._structure_name()
        self.changed.emit()

    def take_structure_at(self, row: int, column: int) -> None:
        """Choose the class at a pixel of the tile as the structure: one click."""
        number = class_at(self._seen_labels(), row, column)
        if self.result is not None and 1 <= number <= self.result.n_classes:
            self.take_structure(number, "one click")
        else:
            self.failed.emit("There is no class at this place: click a coloured region.")

    def take_structure(self, number: int, how: HowChosen = "user") -> None:
        """Show one class alone as objects, in a layer of its own."""
        if self.result is None:
            return
        if number != self.result.structure and "structure" in self._shown:
            self._shown.retire("structure")
            self._labels.pop("structure", None)
            self.active = "regions"
        self.result = self.result.with_structure(number, how)
        self._wants_structure = True
        self._find_objects()

    # ---- showing

    def make_way(self) -> None:
        """Hide labels that nobody has touched, so that the live preview is seen."""
        self._shown.hide_untouched()

    def give_way_back(self) -> None:
        """Show the labels again, after a training without a result."""
        self.layers.remove_preview()
        self.show_again()

    def show_again(self) -> bool:
        """Show what was shown last; return whether there is anything."""
        if self.active is None:
            return False
        self._show(self.active)
        return True

    def hide(self) -> None:
        """Hide all layers, because the other mode is looked at."""
        self._shown.hide()

    def take(self, shown: Shown) -> None:
        """Show all classes or the structure, the other is hidden; select the layer."""
        if shown in self._labels:
            self._show(shown)
            self._viewer.layers.selection.active = self.layer_of(shown)

    def layer_of(self, shown: Shown) -> Labels | None:
        """Return the layer of the classes or of the structure, if it is in the viewer."""
        return self._shown.in_viewer(shown)

    def editable(self) -> EditableLabels | None:
        """Return the labels that are edited, if they are in the viewer."""
        layer = None if self.active is None else self.layer_of(self.active)
        return None if layer is None else self.layers.editable(layer)

    @property
    def is_shown(self) -> bool:
        """Whether a result has arrived and is shown."""
        return self.active is not None

    # ---- to be saved

    @property
    def has_labels(self) -> bool:
        """Whether there are labels to save."""
        return self.active is not None

    @property
    def has_run(self) -> bool:
        """Whether there is a run to save."""
        return self.is_own_run and "regions" in self._labels

    def current_labels(self) -> NDArray[Any] | None:
        """Return what is shown, (M, N), with a person's corrections."""
        return None if self.active is None else self.labels_of(self.active)

    def run_writer(self, folder: str, anonymous: bool) -> Callable[[], None]:
        """Return the function that writes the run as it is now; any thread may call it."""
        result, settings = self.result, self.settings
        assert result is not None
        labels, objects = self.labels_of("regions"), None
        if result.structure is not None and "structure" in self._labels:
            objects = self.labels_of("structure")
        return lambda: save_region_run(result, folder, labels, settings, objects, anonymous)

    def labels_of(self, shown: Shown) -> NDArray[Any]:
        """Return classes or objects, (M, N), with a person's corrections."""
        return self._shown.corrected(shown, self._labels[shown])

    # ---- inside

    def _seen_labels(self) -> NDArray[Any]:
        """Return the classes as they are in the layer, not to be written to."""
        layer = self.layer_of("regions")
        return self._labels["regions"] if layer is None else np.asarray(layer.data)

    def _find_regions(self) -> None:
        result, settings = self.result, self.settings
        assert result is not None
        maps = result.maps
        self._jobs["regions"].ask(lambda: (maps, result.labels(settings)))

    def _find_objects(self) -> None:
        result, settings = self.result, self.settings
        if result is None or result.structure is None or "regions" not in self._labels:
            return
        labels, scale, number = self.labels_of("regions"), result.tile.um_per_px, result.structure
        self._jobs["structure"].ask(
            lambda: (number, mask_of_class(labels, number, scale, settings))
        )

    def _take_regions(self, found: Any) -> None:
        maps, labels = found
        if self.result is None or maps is not self.result.maps:
            return  # of a run that was replaced
        is_first = "regions" not in self._labels
        self._labels["regions"] = labels
        if is_first:
            self._show_first()
        elif "regions" in self._shown:
            self._shown.update("regions", labels)
        self._find_objects()
        self.changed.emit()

    def _show_first(self) -> None:
        """Show a new result; a layer a person is working on stays beside it."""
        was_correcting = self._shown.is_former_worked_on()
        self.layers.remove_preview()
        self._make_layer("regions")
        if was_correcting:
            self.layer_of("regions").visible = False
            self.active = "regions"
            self.failed.emit(
                "The layer you corrected stays as it is; All regions shows the new ones."
            )
        else:
            self._show("regions")

    def _take_objects(self, found: Any) -> None:
        number, objects = found
        if self.result is None or number != self.result.structure:
            return
        self._labels["structure"] = objects
        if "structure" in self._shown:
            smallest = self.settings.smallest_object(self.tile_view.tile.um_per_px)
            self._shown.update("structure", objects, smallest)
        if self._wants_structure:
            self._wants_structure = False
            self.take("structure")
        self.changed.emit()

    def _show(self, shown: Shown) -> None:
        if self.layer_of(shown) is None:
            self._make_layer(shown)
        self.active = shown
        self._shown.show_only(shown)
        self.changed.emit()

    def _make_layer(self, shown: Shown) -> None:
        assert self.result is not None
        labels = self._labels[shown]
        if shown in self._shown:  # deleted by the user, wanted again
            self._shown.update(shown, labels)
            return
        if shown == "structure":
            self._shown.add(shown, labels, self._structure_name())
        else:
            layer = self._shown.add(
                shown,
                labels,
                f"{self.result.tile.name} regions",
                opacity=CLASS_OPACITY,
                colormap=class_colormap(self.result.n_classes),
                features=class_features(self.result.names),
            )
            for event in (layer.events.paint, layer.events.set_data):  # the latter tells of undo
                event.connect(self._on_correction)
        edited = self._edited.pop(shown, None)
        if edited is not None:
            self._shown.put_back(shown, edited)

    def _on_correction(self, *_: Any) -> None:
        self._soon.start()

    def _structure_name(self) -> str:
        if self.result is None or self.result.structure is None:
            return ""
        return f"{self.result.tile.name} {self.result.names[self.result.structure - 1]}"
