"""Widgets that list the viewer's image layers and follow them."""

from __future__ import annotations

from typing import Any

from napari.layers import Image
from qtpy.compat import isalive
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QListWidget, QListWidgetItem, QSizePolicy, QWidget

from napari_selfseg.widgets.image_layers import (
    image_layers,
    newest_image,
    three_grey_layers,
    unwrapped,
)

Images = tuple[Image, ...]
LAYER_EVENTS = ("data", "scale", "translate", "rotate", "shear", "affine", "units")
TALLEST_LIST = 84  # px


class ImageChoice(QComboBox):
    """A drop-down of the image layers, and of three grey ones taken together as RGB.

    The newest RGB image is chosen until the user chooses, and whenever a new one comes.

    Attributes
    ----------
    images_changed : Signal()
        Another image is chosen, or the chosen one has other pixels or another transform.
    layers_changed : Signal()
        Layers were added, removed or renamed.
    """

    images_changed = Signal()
    layers_changed = Signal()

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = unwrapped(viewer)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.currentIndexChanged.connect(self._on_index)
        self._shown: Images = ()
        self._followed: list[Image] = []
        events = self._viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered, events.renamed):
            event.connect(self._on_layers)
        self._fill(self._newest())

    def images(self) -> Images:
        """Return the chosen layer, or three of them, or none."""
        return self.currentData() or ()

    def choose(self, layer: Image) -> None:
        """Choose a layer of the viewer."""
        layer = unwrapped(layer)
        for index in range(self.count()):
            if self.itemData(index) == (layer,):
                self.setCurrentIndex(index)

    def _newest(self) -> Images:
        newest = newest_image(self._viewer)
        return () if newest is None else (newest,)

    def _on_layers(self, event: Any) -> None:
        if not isalive(self):
            return
        wanted = self.images()
        is_new = event.type == "inserted" and self.isEnabled()
        if is_new and self._newest() == (event.value,):
            wanted = self._newest()
        self._fill(wanted)
        self.layers_changed.emit()

    def _fill(self, wanted: Images) -> None:
        layers = image_layers(self._viewer)
        for layer in layers:
            if layer not in self._followed:
                self._follow(layer)
        entries: list[Images] = [(layer,) for layer in layers[::-1]]
        three = three_grey_layers(self._viewer)
        if three is not None:
            entries.append(three)
        self.blockSignals(True)
        self.clear()
        for images in entries:
            name = " + ".join(layer.name for layer in images)
            self.addItem(name if len(images) == 1 else f"{name} as RGB", images)
        if not entries:
            self.addItem("no image")
        if wanted not in entries:
            wanted = self._newest()
        self.setCurrentIndex(entries.index(wanted) if wanted else 0)
        self.blockSignals(False)
        self._on_index()

    def _follow(self, layer: Image) -> None:
        self._followed.append(layer)
        for name in LAYER_EVENTS:
            getattr(layer.events, name).connect(self._on_layer)

    def _on_layer(self, event: Any) -> None:
        if isalive(self) and event.source in self.images():
            self.images_changed.emit()

    def _on_index(self, _: int = 0) -> None:
        self.setToolTip(self.currentText())
        if self.images() != self._shown:
            self._shown = self.images()
            self.images_changed.emit()


class ImageTicks(QListWidget):
    """The images other than the chosen one, to be ticked; no taller than it must be."""

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = unwrapped(viewer)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)

    def ticked(self) -> Images:
        """Return the ticked layers that are still there."""
        items = [self.item(row) for row in range(self.count())]
        ticked = [i for i in items if i.checkState() == Qt.CheckState.Checked]
        layers = [item.data(Qt.ItemDataRole.UserRole) for item in ticked]
        return tuple(layer for layer in layers if layer in self._viewer.layers)

    def offer(self, chosen: Images) -> None:
        """List all images but the chosen ones; keep the ticks."""
        ticked = self.ticked()
        self.clear()
        for layer in image_layers(self._viewer)[::-1]:
            if layer in chosen:
                continue
            item = QListWidgetItem(layer.name)
            item.setData(Qt.ItemDataRole.UserRole, layer)
            item.setToolTip(layer.name)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            on = layer in ticked
            item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
            self.addItem(item)
        rows = sum(self.sizeHintForRow(row) for row in range(self.count()))
        self.setFixedHeight(min(rows + 2 * self.frameWidth() + 2, TALLEST_LIST))
