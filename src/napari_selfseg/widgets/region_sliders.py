"""Sliders for how memberships become regions; sizes in µm and µm²."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_selfseg.core.instances import DEFAULT_SCALE
from napari_selfseg.core.regions import RegionLabelSettings
from napari_selfseg.widgets.label_sliders import ValueSlider
from napari_selfseg.widgets.style import Sentence, with_role

# field -> end of the slider, its step, decimals
SLIDERS = {
    "min_area_um2": (4_000.0, 50.0, 0),
    "max_hole_um2": (60_000.0, 500.0, 0),
    "smoothing_um": (20.0, 0.5, 1),
}


class RegionSliders(QWidget):
    """Smallest region, holes, smoothing.

    Attributes
    ----------
    changed : Signal(object)
        The `RegionLabelSettings` the user has made. Not emitted by `show_settings`.
    reset_wanted : Signal()
    """

    changed = Signal(object)
    reset_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._settings = RegionLabelSettings()
        self.sliders = {name: ValueSlider() for name in SLIDERS}
        self.reset_button = with_role(QPushButton("Reset"), "link", "Back to the defaults.")
        self._assumed = Sentence()
        grid = QGridLayout()
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(1, 1)
        for row, (name, slider) in enumerate(self.sliders.items()):
            field = RegionLabelSettings.model_fields[name]
            title = QLabel(field.title)
            for column, widget in enumerate((title, slider)):
                widget.setToolTip(f"<span>{field.description}</span>")
                grid.addWidget(widget, row, column)
            slider.value_changed.connect(lambda value, name=name: self._take(name, value))
        grid.addWidget(self.reset_button, len(SLIDERS), 1, Qt.AlignmentFlag.AlignRight)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(grid)
        column.addWidget(self._assumed)
        self.reset_button.clicked.connect(self.reset_wanted)
        self.show_settings(self._settings, DEFAULT_SCALE)

    def settings(self) -> RegionLabelSettings:
        """Return the settings as the sliders stand."""
        return self._settings

    def show_settings(self, settings: RegionLabelSettings, um_per_px: float | None) -> None:
        """Show settings of a tile; of an unknown scale it is said what is assumed."""
        self._settings = settings
        for name, (end, step, decimals) in SLIDERS.items():
            value = getattr(settings, name)
            self.sliders[name].set_scale(max(end, value), step, decimals)
            self.sliders[name].set_value(value)
        self._assumed.tell(
            f"The size of a pixel is unknown: taken as {DEFAULT_SCALE:g} µm."
            if um_per_px is None
            else ""
        )

    def _take(self, name: str, value: float) -> None:
        self._settings = self._settings.model_copy(update={name: value})
        self.changed.emit(self._settings)
