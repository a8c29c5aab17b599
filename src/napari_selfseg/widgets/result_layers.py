"""The layers that show a result: live preview, confidence, and labels that keep corrections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import ref

import numpy as np
from napari.layers import Image, Labels
from napari.utils.colormaps import Colormap, DirectLabelColormap
from numpy.typing import NDArray

from napari_selfseg.widgets.class_colours import preview_colormap
from napari_selfseg.widgets.editable_labels import EditableLabels
from napari_selfseg.widgets.image_layers import OWN, unwrapped
from napari_selfseg.widgets.regions import TileView

PREVIEW_NAME = "SelfSeg preview"
LARGEST_PREVIEW = 2048  # px a side; a larger tile is shown reduced while it is learned
# Nothing where no object is, so that the tissue stays visible; green is no colour of a stain.
CONFIDENCE_COLOURS = Colormap(
    [[0.0, 0.75, 0.35, 0.0], [0.0, 0.8, 0.4, 0.3], [0.1, 1.0, 0.5, 0.75]],
    name="selfseg confidence",
    controls=[0.0, 0.5, 1.0],
)

DOUBT_COLOURS = Colormap(
    [[1.0, 0.55, 0.0, 0.0], [1.0, 0.45, 0.0, 0.5], [1.0, 0.1, 0.1, 0.9]],
    name="selfseg doubt",
    controls=[0.0, 0.4, 1.0],
)


def prepare_labels() -> None:
    """Import what napari needs for its first labels layer; in any thread, half a second.

    Otherwise the window would stand still for it when the first labels are shown.
    """
    import pandas  # noqa: F401
    from napari.utils.colormaps import label_colormap

    label_colormap(num_colors=49)


class ResultLayers:
    """Makes and updates the result layers of one tile.

    Adding a layer never takes the user's active layer or tool away. Layers are followed as
    objects: a renamed layer is still ours, a duplicate is the user's own, a deleted one is made
    again when it is next written (the preview is not: who deletes it does not want it).

    Parameters
    ----------
    viewer : napari viewer
    tile_view : TileView
        Where the results belong; arrays of its shape (M, N) are shown exactly over it.

    Attributes
    ----------
    on_edited : callable(EditableLabels)
        Called after a person has changed labels.
    before_update : callable()
        Called before a new prediction is put into a labels layer.
    """

    def __init__(self, viewer: Any, tile_view: TileView) -> None:
        self.tile_view = tile_view
        self._viewer = unwrapped(viewer)
        self._preview: Image | None = None
        self._confidence: dict[str, Image] = {}
        self._labels: list[EditableLabels] = []
        self.on_edited: Callable[[EditableLabels], None] = lambda _: None
        self.before_update: Callable[[], None] = lambda: None

    @property
    def stroke_going_on(self) -> bool:
        """Whether a stroke is being painted in any of the labels layers."""
        return any(editable.stroke_going_on for editable in self._labels)

    @property
    def preview(self) -> Image | None:
        """The preview layer; None before `prepare_preview` or after its removal."""
        return self._preview if self._is_there(self._preview) else None

    def prepare_preview(self, n_classes: int = 0) -> Image:
        """Make the preview layer; before training, because a first layer takes long to draw.

        Its values are a confidence of 0..255, or the classes 1..``n_classes``.
        """
        if self.preview is None:
            n_rows, n_columns = self._preview_grid()
            self._preview = self._add_image(
                np.zeros((len(n_rows), len(n_columns)), np.uint8),
                PREVIEW_NAME,
                (0, n_classes or 255),
                preview_colormap(n_classes) if n_classes else CONFIDENCE_COLOURS,
                **self.tile_view.layer_kwargs(self._preview_step()),
            )
        assert self._preview is not None
        return self._preview

    def show_preview(self, rows: slice, columns: slice, confidence: NDArray[np.uint8]) -> None:
        """Write a piece (m, n), 0..255, at rows and columns (tile px) of the preview layer.

        The piece may itself be reduced.
        """
        if self._preview is None:
            self.prepare_preview()
        layer = self.preview
        if layer is None:
            return
        where, taken = [], []
        pairs = zip(self._preview_grid(), (rows, columns), confidence.shape, strict=True)
        for grid, part, n in pairs:
            inside = np.flatnonzero((grid >= part.start) & (grid < part.stop))
            if not len(inside):
                return
            where.append(slice(int(inside[0]), int(inside[-1]) + 1))
            taken.append((grid[inside] - part.start) * n // (part.stop - part.start))
        layer.data[tuple(where)] = confidence[np.ix_(*taken)]
        # a new thumbnail would make the window paint the whole layer list again
        layer.refresh(extent=False, highlight=False, thumbnail=False)

    def remove_preview(self) -> None:
        """Remove the preview layer if it is still there."""
        if self.preview is not None:
            self._viewer.layers.remove(self._preview)
        self._preview = None

    def show_confidence(
        self,
        confidence: NDArray[Any],
        name: str,
        visible: bool = True,
        colours: Colormap = CONFIDENCE_COLOURS,
    ) -> Image:
        """Show a confidence map, or another map of numbers in 0..1, (M, N).

        The layer of a name is made once and then updated, also after the user renamed it.
        """
        confidence = np.asarray(confidence, dtype=np.float32)
        layer = self._confidence.get(name)
        if not self._is_there(layer):
            kwargs = self.tile_view.layer_kwargs()
            layer = self._add_image(confidence, name, (0, 1), colours, visible=visible, **kwargs)
            self._confidence[name] = layer
        else:
            layer.data = confidence
        return layer

    def confidence_layer(self, name: str) -> Image | None:
        """Return the layer of `show_confidence`, if it is in the viewer."""
        layer = self._confidence.get(name)
        return layer if self._is_there(layer) else None

    def add_labels(self, labels: NDArray[Any], name: str, **look: Any) -> Labels:
        """Add a new editable labels layer with a copy of ``labels`` (M, N).

        uint8, uint16 and int32 are kept; bool becomes uint8, anything wider int32. ``look`` is
        what napari's layer takes, such as ``colormap`` and ``features``.
        """
        look = {"opacity": 0.5, **look, **self.tile_view.layer_kwargs()}
        layer = Labels(_for_napari(labels), name=name, **look)
        with kept_focus(self._viewer):
            self._viewer.add_layer(layer)
        editable = EditableLabels(layer)
        self._labels.append(editable)
        # a closure that Qt keeps must keep nothing itself
        me, it = ref(self), ref(editable)
        editable.edited.connect(lambda: _tell_edited(me(), it()))
        return layer

    def update_labels(
        self, layer: Labels, labels: NDArray[Any], smallest: int = 0, is_accepted: bool = False
    ) -> Labels:
        """Put a new prediction into a layer of `add_labels`; return the layer that has it.

        Untouched: replaced in place, the undo history is cleared. Touched by a person: one
        undoable step that leaves the touched pixels alone; steps in a row (a slider) are one
        step. While a stroke is being painted the update waits for its end; the newest wins.
        A deleted layer is made again; the old object may still be given afterwards. What
        touched pixels leave of a predicted object is dropped below ``smallest`` px. If a person
        asked for it (``is_accepted``), it is an undo step of its own.
        """
        self.before_update()
        editable = self.editable(layer)
        layer = editable.layer
        if not self._is_there(layer) or layer.data.shape != labels.shape:
            return self._made_again(editable, labels)
        now = _for_napari(labels)
        editable.update(now, lambda: self._is_there(layer), smallest, is_accepted)
        return layer

    def show_glimpse(
        self, layer: Labels, rows: slice, columns: slice, labels: NDArray[Any]
    ) -> None:
        """Show labels (m, n) of a part of a layer of `add_labels` until its next update."""
        if self._is_there(layer):
            self.editable(layer).show_glimpse(rows, columns, labels)

    def end_glimpse(self, layer: Labels) -> None:
        """Take a glimpse back: no update will come."""
        self.editable(layer).end_glimpse()

    def labels_of(self, layer: Labels) -> NDArray[Any]:
        """Return a copy of the labels (M, N) of a layer of `add_labels`, without a glimpse."""
        return self.editable(layer).labels()

    def touched(self, layer: Labels) -> NDArray[np.bool_]:
        """Return which pixels (M, N) of a layer of `add_labels` a person has touched."""
        return self.editable(layer).touched()

    def is_touched(self, layer: Labels) -> bool:
        """Whether a person has touched the layer at all."""
        return self.editable(layer).is_touched()

    def editable(self, layer: Labels) -> EditableLabels:
        """Return what a person does to a layer of `add_labels`."""
        layer = unwrapped(layer)
        for editable in self._labels:
            if layer is editable.layer or layer in editable.former:
                return editable
        raise ValueError(f"'{layer.name}' is not a layer of this result.")

    def _made_again(self, editable: EditableLabels, labels: NDArray[Any]) -> Labels:
        old = editable.layer
        is_named = isinstance(old.colormap, DirectLabelColormap)
        look = {"colormap": old.colormap, "features": old.features} if is_named else {}
        new = self.add_labels(labels, old.name, **look)
        new.opacity, new.contour, new.visible = old.opacity, old.contour, old.visible
        self._labels.remove(editable)
        self._labels[-1].former = [*editable.former, old]
        return new

    def _add_image(
        self,
        data: NDArray[Any],
        name: str,
        limits: tuple[float, float],
        colours: Colormap = CONFIDENCE_COLOURS,
        **kwargs: Any,
    ) -> Image:
        layer = Image(
            data,
            name=name,
            colormap=colours,
            contrast_limits=limits,
            blending="translucent",
            interpolation2d="nearest",
            metadata={OWN: {"role": "result"}},
            **kwargs,
        )
        with kept_focus(self._viewer):
            self._viewer.add_layer(layer)
        return layer

    def _is_there(self, layer: Any) -> bool:
        return layer is not None and layer in self._viewer.layers

    def _preview_step(self) -> int:
        return -(-max(self.tile_view.tile.shape) // LARGEST_PREVIEW)

    def _preview_grid(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the tile's rows and columns that the preview shows."""
        step = self._preview_step()
        n_rows, n_columns = self.tile_view.tile.shape
        return np.arange(step // 2, n_rows, step), np.arange(step // 2, n_columns, step)


def _tell_edited(layers: ResultLayers | None, editable: EditableLabels | None) -> None:
    if layers is not None and editable is not None:
        layers.on_edited(editable)


@contextmanager
def kept_focus(viewer: Any) -> Iterator[None]:
    """Keep the selected layers and the active one with its tool while layers are added.

    Nobody is told that another layer was active for a moment: whoever draws would be interrupted.
    """
    selection = viewer.layers.selection
    active, selected = selection.active, set(selection)
    mode = getattr(active, "mode", None)
    if active is None:
        yield
        return
    with selection.events.active.blocker():
        yield
        is_there = active in viewer.layers
        if is_there:
            selection.active = active
            selection.update(selected & set(viewer.layers))
            selection.active = active
    if not is_there:
        selection.events.active(value=selection.active)
    elif mode is not None and active.mode != mode:
        active.mode = mode


def _for_napari(labels: NDArray[Any]) -> NDArray[Any]:
    """Return a copy of a label image with a dtype that is kept, or the nearest one that is."""
    if labels.dtype == bool:
        return labels.astype(np.uint8)
    kept = labels.dtype in (np.uint8, np.uint16, np.int32)
    return np.array(labels, dtype=labels.dtype if kept else np.int32)
