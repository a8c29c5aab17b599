"""Sliders for how a confidence map becomes labels; areas in µm² where the scale is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_selfseg.core.instances import LabelSettings
from napari_selfseg.widgets.style import with_role

# field -> the slider's words, power of µm/px in its unit, end of the slider in px, its step in px
SLIDERS: dict[str, tuple[str, int, float, float]] = {
    "threshold": ("Threshold", 0, 1.0, 0.01),
    "min_area": ("Smallest object", 2, 800, 5),
    "max_hole": ("Fill holes up to", 2, 800, 5),
    "smoothing": ("Smoothing", 1, 6, 0.25),
    "split_distance": ("Centres apart", 1, 40, 1),
    "split_prominence": ("Ignore weak centres", 0, 0.5, 0.01),
}
SPLITTING = ("split_distance", "split_prominence")  # without and with learned centres
UNITS = {0: ("", ""), 1: ("px", "µm"), 2: ("px", "µm²")}


class LabelSliders(QWidget):
    """Threshold, sizes, smoothing, splitting; objects or one mask.

    Attributes
    ----------
    changed : Signal(object)
        The `LabelSettings` the user has made, in px. Not emitted by `show_settings`.
    reset_wanted : Signal()
    """

    changed = Signal(object)
    reset_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._settings = LabelSettings()
        self.um_per_px: float | None = None
        self.has_centres = False
        self._showing = False
        self.sliders = {name: ValueSlider() for name in SLIDERS}
        self._titles = {name: QLabel() for name in SLIDERS}
        self.split_box = QCheckBox("Split touching objects")
        self.clean_box = QCheckBox("Clean outlines")
        self.objects_button = with_role(
            QPushButton("Objects"), "toggle", "Every object has a number (and a colour) of its own."
        )
        self.mask_button = with_role(
            QPushButton("Mask"), "toggle", "One number for all objects: a binary mask."
        )
        self.reset_button = with_role(
            QPushButton("Reset"),
            "link",
            "Back to what was suggested, without labels, for this map.",
        )
        self._lay_out()
        self.show_settings(self._settings, None)

    def settings(self) -> LabelSettings:
        """Return the settings as the sliders stand, in px."""
        return self._settings

    def show_settings(
        self, settings: LabelSettings, um_per_px: float | None, has_centres: bool = False
    ) -> None:
        """Show settings (in px) in the unit of the image.

        What splits touching objects is their shape, or learned centres where there are some.
        """
        self.has_centres = has_centres
        for name, shown in zip(SPLITTING, (not has_centres, has_centres), strict=True):
            for widget in (self.sliders[name], self._titles[name]):
                widget.setVisible(shown)
        self._settings, self.um_per_px, self._showing = settings, um_per_px, True
        for name, (title, power, end, step) in SLIDERS.items():
            factor, slider = self._factor(name), self.sliders[name]
            unit = UNITS[power][um_per_px is not None]
            self._titles[name].setText(f"{title} ({unit})" if unit else title)
            value = getattr(settings, name) * factor
            decimals = 2 if power == 0 else 0 if um_per_px is None and power == 2 else 1
            slider.set_scale(max(end * factor, value), step * factor, decimals)
            slider.set_value(value)
        self.split_box.setChecked(settings.split)
        self.clean_box.setChecked(settings.morphology)
        self.objects_button.setChecked(settings.instances)
        self.mask_button.setChecked(not settings.instances)
        self._showing = False
        self._refresh()

    def _factor(self, name: str) -> float:
        """Return the units of the slider per px."""
        return (self.um_per_px or 1.0) ** SLIDERS[name][1]

    def _take(self, name: str, shown: float) -> None:
        if self._showing:
            return
        field = LabelSettings.model_fields[name]
        value: Any = shown / self._factor(name)
        if field.annotation is int:
            value = round(value)
        for limit in field.metadata:
            value = max(value, getattr(limit, "ge", value))
        self._change(**{name: value})

    def _change(self, **values: Any) -> None:
        if self._showing:
            return
        self._settings = self._settings.model_copy(update=values)
        self._refresh()
        self.changed.emit(self._settings)

    def _refresh(self) -> None:
        splits = self._settings.instances and self._settings.split
        self.split_box.setEnabled(self._settings.instances)
        for name in SPLITTING:
            for widget in (self.sliders[name], self._titles[name]):
                widget.setEnabled(splits)

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(6)
        kinds = QButtonGroup(self)
        for button in (self.objects_button, self.mask_button):
            button.setCheckable(True)
            kinds.addButton(button)
            head.addWidget(button)
        head.addStretch()
        head.addWidget(self.reset_button)
        self.objects_button.clicked.connect(lambda: self._change(instances=True))
        self.mask_button.clicked.connect(lambda: self._change(instances=False))
        self.reset_button.clicked.connect(self.reset_wanted)
        grid = QGridLayout()
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(1, 1)
        for row, (name, slider) in enumerate(self.sliders.items()):
            tip = f"<span>{LabelSettings.model_fields[name].description}</span>"
            for column, widget in enumerate((self._titles[name], slider)):
                widget.setToolTip(tip)
                grid.addWidget(widget, row + (name in SPLITTING), column)
            slider.value_changed.connect(lambda value, name=name: self._take(name, value))
        checks = QHBoxLayout()
        for box, field in ((self.split_box, "split"), (self.clean_box, "morphology")):
            box.setToolTip(f"<span>{LabelSettings.model_fields[field].description}</span>")
            box.toggled.connect(lambda on, field=field: self._change(**{field: on}))
            checks.addWidget(box)
        grid.addLayout(checks, len(SLIDERS) - len(SPLITTING), 0, 1, 2)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(head)
        column.addLayout(grid)


class ValueSlider(QWidget):
    """A slider from 0 with its number beside it; the number may lie between the steps.

    Attributes
    ----------
    value_changed : Signal(float)
        The user moved the slider or typed a number.
    """

    value_changed = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.slider, self.number = QSlider(Qt.Orientation.Horizontal), QDoubleSpinBox()
        self.number.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        self.number.setProperty("role", "value")
        self.number.setKeyboardTracking(False)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.slider, 1)
        row.addWidget(self.number)
        self._step = 1.0
        self.slider.valueChanged.connect(lambda steps: self.number.setValue(steps * self._step))
        self.number.valueChanged.connect(self._on_number)

    def set_scale(self, end: float, step: float, decimals: int) -> None:
        """Set the largest value, the step of the slider and how exactly the number is shown."""
        self._step = step
        self._quietly(lambda: self.slider.setRange(0, max(1, round(end / step))))
        self._quietly(lambda: self.number.setDecimals(decimals))
        self._quietly(lambda: self.number.setRange(0, end))
        self.number.setSingleStep(step)

    def set_value(self, value: float) -> None:
        """Show a value; ``value_changed`` is not emitted."""
        self._quietly(lambda: self.number.setValue(value))
        self._quietly(lambda: self.slider.setValue(round(value / self._step)))

    def value(self) -> float:
        """Return the number that is shown."""
        return float(self.number.value())

    def _on_number(self, value: float) -> None:
        self._quietly(lambda: self.slider.setValue(round(value / self._step)))
        self.value_changed.emit(value)

    def _quietly(self, change: Callable[[], None]) -> None:
        for widget in (self.slider, self.number):
            widget.blockSignals(True)
        change()
        for widget in (self.slider, self.number):
            widget.blockSignals(False)
