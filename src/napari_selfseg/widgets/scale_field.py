"""The µm/px field for images that do not say it themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QLabel, QPushButton, QWidget

from napari_selfseg.core.images.scale import STATED_COARSEST
from napari_selfseg.widgets.image_layers import um_per_px_of
from napari_selfseg.widgets.scale_memory import ScaleMemory


class ScaleField(QWidget):
    """Asks for µm/px and remembers the answer for the image and for its folder.

    Hidden while the image says it itself.

    Attributes
    ----------
    scale_changed : Signal()
    guess_wanted : Signal()
        The user asks how large a pixel may be, judged by the nuclei.
    """

    scale_changed = Signal()
    guess_wanted = Signal()

    def __init__(self, memory: ScaleMemory | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._memory = memory or ScaleMemory()
        self._folders: WeakKeyDictionary[Any, Path] = WeakKeyDictionary()
        self._stated: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        self._image: Image | None = None
        self.spin = QDoubleSpinBox()
        self.spin.setDecimals(4)
        self.spin.setRange(0, STATED_COARSEST)
        self.spin.setSingleStep(0.05)
        self.spin.setSpecialValueText("unknown")
        self.spin.setKeyboardTracking(False)
        tip = (
            "How many microns one pixel is wide: about 0.25 for a 40x scan, 0.5 for 20x. The "
            "image does not say it. What you enter is remembered for the folder of the image."
        )
        self.spin.setToolTip(tip)
        self.spin.valueChanged.connect(self._on_value)
        label = QLabel("µm per pixel")
        label.setToolTip(tip)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(label)
        row.addWidget(self.spin, 1)
        self.guess_button = QPushButton("Guess")
        self.guess_button.setToolTip("Guess it from the size of the nuclei in this image.")
        self.guess_button.clicked.connect(self.guess_wanted)
        row.addWidget(self.guess_button)

    def came_from(self, layer: Image, folder: Path) -> None:
        """Remember from which folder a layer was read."""
        self._folders[layer] = folder

    def stated(self, layer: Image) -> float | None:
        """Return what the user says of an image that does not say it itself."""
        if um_per_px_of(layer) is not None:
            return None
        if layer in self._stated:
            return self._stated[layer] or None
        return self._memory.recall(self._folder_of(layer))

    def offer(self, guess: float | None) -> str:
        """Fill in a guess in µm/px and return a sentence that says it is one."""
        if guess is None:
            return "Too few nuclei to guess the scale: enter it, or leave it unknown."
        self.spin.setValue(guess)
        return f"{guess:g} µm/px is a guess from the size of the nuclei: please check it."

    def state(self, um_per_px: float | None) -> None:
        """Enter what the user has said before, if the image does not say it itself."""
        if um_per_px is not None and not self.isHidden():
            self.spin.setValue(um_per_px)

    def ask_about(self, image: Image | None) -> None:
        """Show the field for an image, filled with what is known; hide it if not needed."""
        self._image = image
        self.setVisible(image is not None and um_per_px_of(image) is None)
        self.spin.blockSignals(True)
        self.spin.setValue((self.stated(image) if image is not None else None) or 0)
        self.spin.blockSignals(False)

    def _on_value(self, value: float) -> None:
        if self._image is None:
            return
        self._stated[self._image] = value
        self._memory.remember(self._folder_of(self._image), value or None)
        self.scale_changed.emit()

    def _folder_of(self, layer: Image) -> Path | None:
        path = layer.source.path  # set by napari when it opened the file
        return Path(path).parent if path else self._folders.get(layer)
