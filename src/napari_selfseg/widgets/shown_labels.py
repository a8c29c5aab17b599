"""The labels layers of one kind of result of a tile: one of them is seen, a person edits them."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_selfseg.session.corrections import numbers_in
from napari_selfseg.session.session_state import LayerWork
from napari_selfseg.widgets.image_layers import unwrapped
from napari_selfseg.widgets.result_layers import ResultLayers


class ShownLabels:
    """Labels layers by the name of what they show; those of earlier runs stay, hidden.

    Parameters
    ----------
    viewer : napari viewer
    layers : ResultLayers
        Of the tile.
    """

    def __init__(self, viewer: Any, layers: ResultLayers) -> None:
        self._viewer, self._layers = unwrapped(viewer), layers
        self._now: dict[str, Labels] = {}
        self._former: list[Labels] = []

    @property
    def is_empty(self) -> bool:
        """Whether this run has no layers; the user may have deleted those it has."""
        return not self._now

    def __contains__(self, name: str) -> bool:
        return name in self._now

    def get(self, name: str) -> Labels | None:
        """Return a layer, even if the user deleted it."""
        return self._now.get(name)

    def in_viewer(self, name: str | None) -> Labels | None:
        """Return a layer, if it is in the viewer."""
        layer = self._now.get(name)
        return layer if layer in self._viewer.layers else None

    def corrected(self, name: str, predicted: NDArray[Any]) -> NDArray[Any]:
        """Return labels (M, N) with a person's corrections; ``predicted`` without a layer."""
        layer = self.in_viewer(name)
        return predicted if layer is None else self._layers.labels_of(layer)

    def is_touched(self, name: str | None) -> bool:
        """Whether a layer is in the viewer and a person has touched it."""
        layer = self.in_viewer(name)
        return layer is not None and self._layers.is_touched(layer)

    def is_former_worked_on(self) -> bool:
        """Whether a layer of an earlier run is seen and a person has touched it."""
        return any(
            layer in self._viewer.layers and layer.visible and self._layers.is_touched(layer)
            for layer in self._former
        )

    def add(self, name: str, labels: NDArray[Any], title: str, **look: Any) -> Labels:
        """Make a layer; ``look`` as `ResultLayers.add_labels` takes it."""
        self._now[name] = self._layers.add_labels(labels, title, **look)
        return self._now[name]

    def update(
        self, name: str, labels: NDArray[Any], smallest: int = 0, is_accepted: bool = False
    ) -> None:
        """Put a new prediction into a layer as `ResultLayers.update_labels` does.

        One that the user deleted is made again.
        """
        self._now[name] = self._layers.update_labels(self._now[name], labels, smallest, is_accepted)

    def hand_over(self, name: str, to: str, title: str) -> None:
        """Let a layer show something else from now on; what showed that is of an earlier run."""
        self.retire(to)
        self._now[to] = self._now.pop(name)
        self._now[to].name = title

    def show_glimpse(self, name: str, rows: slice, columns: slice, labels: NDArray[Any]) -> None:
        """Show labels (m, n) of a part of the prediction that is being made."""
        layer = self.in_viewer(name)
        if layer is not None:
            self._layers.show_glimpse(layer, rows, columns, labels)

    def end_glimpses(self) -> None:
        """Take all glimpses back: what they announced does not come."""
        for name in self._now:
            layer = self.in_viewer(name)
            if layer is not None:
                self._layers.end_glimpse(layer)

    def put_back(self, name: str, edited: NDArray[Any]) -> None:
        """Write stored labels into a new layer; what differs counts as a person's work."""
        layer = self._now[name]
        differs = np.asarray(layer.data != edited)
        self._layers.editable(layer).restore(edited, differs, numbers_in(layer.data[differs]))

    def kept(self, earlier: str) -> dict[str, Labels]:
        """Return what must not be lost: all layers of this run, and touched ones of earlier runs.

        The latter are called ``earlier`` with a number.

        Also those that the user has deleted: a key pressed by mistake deletes a layer in napari.
        """
        former = [layer for layer in self._former if self._layers.is_touched(layer)]
        return {**self._now, **{f"{earlier}-{i}": one for i, one in enumerate(former, start=1)}}

    def restore(self, name: str, work: LayerWork) -> None:
        """Put a person's stored work into a layer of this run that was just made."""
        editable = self._layers.editable(self._now[name])
        editable.restore(work.labels, work.touched, work.reserved)

    def restore_former(self, work: LayerWork, title: str, visible: bool) -> None:
        """Show a person's stored work without what it was made of, as that of an earlier run."""
        layer = self._layers.add_labels(work.labels, title)
        layer.visible = visible
        self._layers.editable(layer).restore(work.labels, work.touched, work.reserved)
        self._former.append(layer)

    def clear_away(self, name: str) -> None:
        """Remove a layer, or keep it as one of an earlier run if a person has touched it."""
        layer = self.in_viewer(name)
        if layer is not None and not self._layers.is_touched(layer):
            self._viewer.layers.remove(layer)
            del self._now[name]
        self.retire(name)

    def retire(self, name: str) -> None:
        """Keep a layer, if there is one, as one of an earlier run; a new one takes its place."""
        if name in self._now:
            if self.in_viewer(name) is not None:
                self._layers.end_glimpse(self._now[name])
            self._former.append(self._now.pop(name))

    def show_only(self, name: str) -> None:
        """Show one layer and hide all others."""
        for layer in (*self._former, *self._now.values()):
            layer.visible = layer is self._now[name]

    def hide(self) -> None:
        """Hide all layers."""
        self.hide_current()
        for layer in self._former:
            layer.visible = False

    def hide_current(self) -> None:
        """Hide the layers of this run; those of earlier ones stay as they are."""
        for layer in self._now.values():
            layer.visible = False

    def hide_untouched(self) -> None:
        """Hide the layers of this run that nobody has touched."""
        for name in self._now:
            layer = self.in_viewer(name)
            if layer is not None and not self._layers.is_touched(layer):
                layer.visible = False
