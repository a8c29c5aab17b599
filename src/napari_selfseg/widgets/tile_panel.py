"""Choosing the image to learn from: layer or file, its scale, the region of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari.layers import Image, Layer
from qtpy.compat import isalive
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_selfseg.core.images.tile import Tile, TileError
from napari_selfseg.core.nucleus_size import guess_um_per_px
from napari_selfseg.widgets.background import run_once
from napari_selfseg.widgets.image_choice import ImageChoice, ImageTicks
from napari_selfseg.widgets.image_layers import unwrapped
from napari_selfseg.widgets.reader import ENDINGS, layers_of
from napari_selfseg.widgets.region_choice import RegionChoice
from napari_selfseg.widgets.regions import TileView, make_tile_view
from napari_selfseg.widgets.scale_field import ScaleField
from napari_selfseg.widgets.scale_memory import ScaleMemory
from napari_selfseg.widgets.style import Sentence

SETTLE_MS = 100  # several changes in a row are one
GUESS_FROM = 1000  # px a side; enough nuclei, and no slide is read whole


class TilePanel(QWidget):
    """Image drop-down, "Open tile…", size, µm/px, region, and other images to learn from.

    While the panel is disabled (a training goes on), a new image in the viewer is listed but
    not chosen.

    Parameters
    ----------
    viewer : napari viewer
    parent : QWidget, optional
    memory : ScaleMemory, optional
        Where stated µm/px are kept.

    Attributes
    ----------
    tile_changed : Signal()
        The chosen image, its scale or its region changed (`tile_view` gives another answer).
    """

    tile_changed = Signal()

    def __init__(
        self,
        viewer: Any,
        parent: QWidget | None = None,
        memory: ScaleMemory | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = unwrapped(viewer)
        self._last_folder = ""
        self._shown: Any = None
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)
        self._settle.timeout.connect(self.refresh)
        self.image = ImageChoice(viewer)
        self.open_button = QPushButton("Open tile…")
        self.open_button.setToolTip("Open a PNG, JPEG, TIFF, OME-TIFF or SVS file.")
        self.size = Sentence(tone="plain")
        self.scale = ScaleField(memory)
        self.region = RegionChoice(viewer, self._first_image)
        self.notes = Sentence()
        self.problem = Sentence(tone="problem")
        self.others_label = QLabel("Also learn from")
        self.others = ImageTicks(viewer)
        self.others.setToolTip(
            "Images of the same stain and magnification make the learning more robust. "
            "Only the image above is segmented."
        )
        self._lay_out()
        self._connect()
        self.refresh()

    def tile_view(self) -> TileView:
        """Return the tile chosen now.

        Raises
        ------
        TileError
            One sentence for the user, also shown in the panel.
        """
        images = self.image.images()
        if not images:
            raise TileError("There is no image yet: open a tile, or drag one into the window.")
        chosen = images if len(images) == 3 else images[0]
        region, corners = self.region.region()
        stated = self.scale.stated(images[0])
        return make_tile_view(self._viewer, chosen, region, stated, corners)

    def other_tiles(self) -> tuple[Tile, ...]:
        """Return the tiles of the other images ticked under "Also learn from"; whole images.

        Raises
        ------
        TileError
            One sentence for the user.
        """
        return tuple(
            make_tile_view(self._viewer, layer, "whole", self.scale.stated(layer)).tile
            for layer in self.others.ticked()
        )

    def open_tile(self, path: str | Path) -> None:
        """Read a file in the background and add it as an image layer; it is then chosen."""
        path = Path(path)
        self._last_folder = str(path.parent)
        self.open_button.setEnabled(False)
        self.open_button.setText("Reading…")
        self.show_problem("")
        run_once(
            lambda: layers_of(path),
            lambda layers: self._on_read(layers, path),
            lambda sentence, _: self._on_refused(sentence),
            self,
        )

    def choose_layer(self, layer: Image) -> None:
        """Choose an image layer of the viewer."""
        self.image.choose(layer)

    def show_problem(self, sentence: str) -> None:
        """Show one sentence in the panel; empty clears it."""
        self.problem.tell(sentence)

    def refresh(self) -> None:
        """Look at the chosen image again; tell if it gives another tile now."""
        images = self.image.images()
        self.scale.ask_about(self._first_image())
        self.region.setVisible(bool(images))
        self._offer_others()
        try:
            view = self.tile_view()
        except TileError as error:
            found = None
            size, notes, problem = "", "", str(error)
            if not images:
                size, problem = problem, ""
            elif self.region.is_drawing:
                notes, problem = "Drag over the image to draw the rectangle.", ""
        else:
            found = (images, _data_of(images), view.rows, view.columns, view.plane)
            found = (*found, view.tile.um_per_px)
            size, notes, problem = described(view.tile), " ".join(view.tile.notes), ""
        self.size.tell(size)
        self.notes.tell(notes)
        self.show_problem(problem)
        if found != self._shown:
            self._shown = found
            self.tile_changed.emit()

    def _first_image(self) -> Image | None:
        return next(iter(self.image.images()), None)

    def _offer_others(self) -> None:
        self.others.offer(self.image.images())
        any_others = self.others.count() > 0
        self.others.setVisible(any_others)
        self.others_label.setVisible(any_others)

    def _ask_for_file(self) -> None:
        endings = " ".join(f"*{ending}" for ending in ENDINGS)
        path, _ = QFileDialog.getOpenFileName(
            self, "Open tile", self._last_folder, f"Images ({endings});;All files (*)"
        )
        if path:
            self.open_tile(path)

    def _on_read(self, layers: list[Any], path: Path) -> None:
        self._ready_to_open()
        for data in layers:
            layer = self._viewer.add_layer(Layer.create(*data))
            self.scale.came_from(layer, path.parent)
            self.image.choose(layer)

    def _on_refused(self, sentence: str) -> None:
        self._ready_to_open()
        self.show_problem(sentence)

    def _guess_scale(self) -> None:
        """Offer a scale judged by the middle of the tile, found in the background."""
        try:
            tile = self.tile_view().tile
        except TileError as error:
            self.show_problem(str(error))
            return
        rows, columns = (
            slice(max(0, (side - GUESS_FROM) // 2), (side + GUESS_FROM) // 2) for side in tile.shape
        )
        self.scale.guess_button.setEnabled(False)
        run_once(
            lambda: guess_um_per_px(tile.read(rows, columns)),
            self._on_guess,
            lambda sentence, _: self._on_guess(None, sentence),
            self,
        )

    def _on_guess(self, guess: float | None, problem: str = "") -> None:
        self.scale.guess_button.setEnabled(True)
        self.notes.tell(problem or self.scale.offer(guess))

    def _ready_to_open(self) -> None:
        self.open_button.setEnabled(True)
        self.open_button.setText("Open tile…")

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.addWidget(self.image, 1)
        row.addWidget(self.open_button)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(row)
        for widget in (self.size, self.scale, self.region, self.notes, self.problem):
            column.addWidget(widget)
        column.addWidget(self.others_label)
        column.addWidget(self.others)

    def _connect(self) -> None:
        self.open_button.clicked.connect(self._ask_for_file)
        self.image.images_changed.connect(self._settle.start)
        self.image.layers_changed.connect(self._settle.start)
        self.scale.scale_changed.connect(self.refresh)
        self.scale.guess_wanted.connect(self._guess_scale)
        self.region.region_changed.connect(self._settle.start)
        for event in (self._viewer.dims.events.point, self._viewer.dims.events.ndisplay):
            event.connect(self._on_dims)
        self._viewer.dims.events.order.connect(self._on_dims)

    def _on_dims(self) -> None:
        if isalive(self):
            self._settle.start()


def described(tile: Tile) -> str:
    """Return size, scale and colour of a tile in words."""
    n_rows, n_columns = tile.shape
    kind = "RGB" if tile.n_channels == 3 else "grey"
    size = f"{n_rows} × {n_columns} px, {kind}"
    if tile.um_per_px is None:
        return f"{size}, µm/px unknown"
    height, width = n_rows * tile.um_per_px, n_columns * tile.um_per_px
    return f"{size}, {tile.um_per_px:.4g} µm/px ({height:.0f} × {width:.0f} µm)"


def _data_of(images: tuple[Image, ...]) -> tuple[int, ...]:
    return tuple(id(layer.data) for layer in images)
