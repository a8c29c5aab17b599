"""Choosing the region of an image: whole, what the canvas shows, or a drawn rectangle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.layers import Image
from qtpy.compat import isalive
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QButtonGroup, QGridLayout, QPushButton, QRadioButton, QWidget

from napari_selfseg.widgets.image_layers import unwrapped
from napari_selfseg.widgets.regions import (
    Region,
    ensure_region_layer,
    region_layer,
    visible_corners,
)

REGIONS: tuple[tuple[Region, str, str], ...] = (
    ("whole", "Whole image", "Learn from the whole image and segment all of it."),
    (
        "view",
        "Visible view",
        "The part of the image that the canvas shows when this is chosen. It stays chosen when "
        "you move on; 'Take view again' takes the new one.",
    ),
    ("rectangle", "Rectangle", "The part of the image inside of a rectangle you draw."),
)


class RegionChoice(QWidget):
    """Three radio buttons and the button that belongs to the chosen one.

    Parameters
    ----------
    viewer : napari viewer
    image : callable() -> Image or None
        The image the region is of.
    parent : QWidget, optional

    Attributes
    ----------
    region_changed : Signal()
    """

    region_changed = Signal()

    def __init__(
        self,
        viewer: Any,
        image: Callable[[], Image | None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = unwrapped(viewer)
        self._image = image
        self._seen: Any = None  # corners in world coordinates
        self._before_drawing: Any = None
        self._followed: Any = None
        self._group = QButtonGroup(self)
        self.draw_button = QPushButton("Draw rectangle")
        self.draw_button.setToolTip("Then drag over the image; the newest rectangle counts.")
        self.draw_button.clicked.connect(self.draw)
        self.again_button = QPushButton("Take view again")
        self.again_button.setToolTip("Take the part of the image that the canvas shows now.")
        self.again_button.clicked.connect(self._take_view)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(5)
        for column, (_, title, tip) in enumerate(REGIONS):
            button = QRadioButton(title)
            button.setToolTip(tip)
            self._group.addButton(button, column)
            grid.addWidget(button, 0, column)
        grid.addWidget(self.draw_button, 1, 0, 1, 3)
        grid.addWidget(self.again_button, 1, 0, 1, 3)
        self._group.button(0).setChecked(True)
        self._group.idClicked.connect(self._on_clicked)
        self._show_buttons()

    def region(self) -> tuple[Region, Any]:
        """Return the region and, for the view, its corners in world coordinates (4, 2)."""
        region = REGIONS[self._group.checkedId()][0]
        return region, (self._seen if region == "view" else None)

    @property
    def is_drawing(self) -> bool:
        """Whether the user is about to draw a rectangle."""
        return self._before_drawing is not None and bool(self.region()[0] == "rectangle")

    def choose(self, region: Region) -> None:
        """Choose a region as a click does."""
        self._group.button([name for name, *_ in REGIONS].index(region)).click()

    def draw(self) -> None:
        """Let the user draw a rectangle; afterwards the layer used before is active again."""
        self._before_drawing = self._viewer.layers.selection.active
        shapes = ensure_region_layer(self._viewer, self._image())
        self._follow(shapes)

    def _on_clicked(self, _: int) -> None:
        region, _ = self.region()
        self._show_buttons()
        if region == "view":
            self._seen = visible_corners(self._viewer)
        shapes = region_layer(self._viewer)
        if shapes is not None:
            self._follow(shapes)
        if region == "rectangle" and (shapes is None or not len(shapes.data)):
            self.draw()
        self.region_changed.emit()

    def _take_view(self) -> None:
        self._seen = visible_corners(self._viewer)
        self.region_changed.emit()

    def _show_buttons(self) -> None:
        region, _ = self.region()
        self.draw_button.setVisible(region == "rectangle")
        self.again_button.setVisible(region == "view")

    def _follow(self, shapes: Any) -> None:
        if shapes is not self._followed:
            self._followed = shapes
            shapes.events.data.connect(self._on_shapes)

    def _on_shapes(self, event: Any) -> None:
        if not isalive(self):
            return
        if str(event.action) == "added" and self._before_drawing is not None:
            # not from within the drawing
            QTimer.singleShot(0, self._after_drawing)
        if str(event.action) in ("added", "changed", "removed"):
            self.region_changed.emit()

    def _after_drawing(self) -> None:
        before, self._before_drawing = self._before_drawing, None
        if self._followed in self._viewer.layers:
            self._followed.mode = "pan_zoom"
        if before in self._viewer.layers:
            self._viewer.layers.selection.active = before
