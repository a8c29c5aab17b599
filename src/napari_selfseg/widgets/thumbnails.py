"""Small pictures of confidence maps and label images, and the row to choose a map from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from skimage.segmentation import find_boundaries

from napari_selfseg.core.channels import ChannelChoice, confidence_of
from napari_selfseg.widgets.small_plots import map_colour
from napari_selfseg.widgets.style import with_role

SIDE = 70  # px on the screen; four fit beside each other
SHOWN = 256  # px of the tile a map's picture shows: nuclei of a whole tile would be dots
LEAST_CONTRAST = 0.05  # of the confidence; a flat map stays flat
OUTLINE = (255, 225, 0)


def middle(shape: tuple[int, int], rows: int, columns: int) -> tuple[slice, slice]:
    """Return the rows and columns in the middle of an image of a shape, at most so many."""
    spans = []
    for length, wanted in zip(shape, (rows, columns), strict=True):
        taken = min(length, wanted)
        start = (length - taken) // 2
        spans.append(slice(start, start + taken))
    return spans[0], spans[1]


def map_picture(confidence: NDArray[Any], side: int = SIDE, ratio: float = 1.0) -> QPixmap:
    """Return the middle of a map (M, N) as a grey square of ``side`` px.

    Contrast is stretched, so that structure is seen in a map that is not sure yet. ``ratio`` is
    the screen's physical px per px.
    """
    shown = confidence[middle(confidence.shape, SHOWN, SHOWN)].astype(np.float32)
    low, high = np.percentile(shown, (1, 99))
    grey = np.clip((shown - low) / max(high - low, LEAST_CONTRAST), 0, 1)
    grey = np.round(grey * 255).astype(np.uint8)
    return _scaled(_image(grey), QSize(side, side), ratio)


def outlines_picture(
    pixels: NDArray[Any], labels: NDArray[Any], size: QSize, ratio: float = 1.0
) -> QPixmap:
    """Return objects drawn as outlines on the tile.

    Parameters
    ----------
    pixels : ndarray of float32, shape (m, n, C)
        0..1, C is 1 or 3.
    labels : ndarray of integers, shape (m, n)
    size : QSize
    ratio : float
        Physical px per px of the screen.
    """
    rgb = np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    rgb = np.repeat(rgb[..., :1], 3, axis=2) if rgb.shape[2] != 3 else rgb.copy()
    rgb[find_boundaries(labels, mode="inner")] = OUTLINE
    return _scaled(_image(rgb), size, ratio)


class MapChooser(QWidget):
    """The K maps as pictures; one is taken for the object.

    Attributes
    ----------
    map_taken : Signal(int)
        The user ticked this map.
    labels_wanted : Signal(int)
        The user wants a labels layer of this map, whichever is ticked.
    """

    map_taken = Signal(int)
    labels_wanted = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: list[QPushButton] = []
        self.captions: list[QLabel] = []
        self.label_buttons: list[QPushButton] = []
        self._group = QButtonGroup(self)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(4)
        self._grid.setVerticalSpacing(4)

    def show_maps(
        self, maps: NDArray[np.floating[Any]], choice: ChannelChoice, guess: int | None
    ) -> None:
        """Show maps (K, M, N); the chosen one with its polarity, so that objects are bright.

        Parameters
        ----------
        maps : ndarray of float, shape (K, M, N)
        choice : ChannelChoice
        guess : int or None
            The map that was guessed without labels; it stays marked when another is taken.
        """
        if len(maps) != len(self.buttons):
            self._build(len(maps))
        for i, (button, caption) in enumerate(zip(self.buttons, self.captions, strict=True)):
            chosen = i == choice.channel
            shown = confidence_of(maps, choice) if chosen else maps[i]
            picture = map_picture(shown, ratio=self.devicePixelRatioF())
            button.setIcon(QIcon(picture))
            button.setChecked(chosen)
            dot = f'<span style="color:{map_colour(i)}">●</span>'
            flipped = " ⇅" if chosen and choice.inverted else ""
            guessed = " <small><i>guess</i></small>" if i == guess else ""
            caption.setText(f"{dot} {i + 1}{flipped}{guessed}")
            caption.setToolTip("⇅: flipped, objects are where this map is low." * bool(flipped))

    def _build(self, n_maps: int) -> None:
        while self._grid.count():
            self._grid.takeAt(0).widget().deleteLater()
        self.buttons, self.captions, self.label_buttons = [], [], []
        for i in range(n_maps):
            self._grid.addWidget(self._cell(i), i // 4, i % 4, Qt.AlignmentFlag.AlignLeft)
        self._grid.setColumnStretch(4, 1)

    def _cell(self, i: int) -> QWidget:
        button = with_role(QPushButton(), "choice")
        button.setCheckable(True)
        button.setIconSize(QSize(SIDE, SIDE))
        button.setFixedSize(SIDE + 8, SIDE + 8)
        button.setToolTip(
            f"Map {i + 1}, the middle of the tile. Take the one in which the objects stand out; "
            "if they are dark, press Flip afterwards."
        )
        button.clicked.connect(lambda: self.map_taken.emit(i))
        self._group.addButton(button)
        caption = QLabel()
        labels = with_role(
            QPushButton("as labels"), "link", f"Make a labels layer of its own from map {i + 1}."
        )
        labels.clicked.connect(lambda: self.labels_wanted.emit(i))
        cell = QWidget()
        cell.setFixedWidth(SIDE + 8)
        column = QVBoxLayout(cell)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        for widget in (button, caption, labels):
            column.addWidget(widget, 0, Qt.AlignmentFlag.AlignHCenter)
        self.buttons.append(button)
        self.captions.append(caption)
        self.label_buttons.append(labels)
        return cell


def _image(pixels: NDArray[np.uint8]) -> QImage:
    """Return grey (M, N) or RGB (M, N, 3) as an image that owns its pixels."""
    pixels = np.ascontiguousarray(pixels)
    rows, columns = pixels.shape[:2]
    kind = QImage.Format.Format_Grayscale8 if pixels.ndim == 2 else QImage.Format.Format_RGB888
    return QImage(pixels.tobytes(), columns, rows, pixels.strides[0], kind).copy()


def _scaled(image: QImage, size: QSize, ratio: float) -> QPixmap:
    picture = QPixmap.fromImage(
        image.scaled(
            size * ratio,
            Qt.AspectRatioMode.KeepAspectRatioByExpanding,
            Qt.TransformationMode.SmoothTransformation,
        )
    )
    picture.setDevicePixelRatio(ratio)
    return picture
