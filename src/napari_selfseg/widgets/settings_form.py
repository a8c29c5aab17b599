"""A form for the settings of a method, built from the fields of its pydantic model."""

from __future__ import annotations

from types import NoneType
from typing import Any, get_args

from magicgui.widgets import create_widget
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLabel, QWidget

from napari_selfseg.core.methods.settings import TrainingSettings
from napari_selfseg.widgets.style import Sentence

MOST_DECIMALS = 8


class SettingsForm(QWidget):
    """One row per setting: title, value, and below it what is wrong with the value.

    Title, explanation (as a tooltip), range and step are those of the fields.

    Parameters
    ----------
    settings_type : type of TrainingSettings
    parent : QWidget, optional

    Attributes
    ----------
    changed : Signal()
        A value was changed, to a valid one or not.
    main_part : QWidget
        The rows of the few settings that matter most; may be shown elsewhere.
    """

    changed = Signal()

    def __init__(
        self, settings_type: type[TrainingSettings], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.settings_type = settings_type
        self._rows: dict[str, _Row] = {}
        self._filling = False
        self.main_part = QWidget()
        main, grid = _grid_in(self.main_part), _grid_in(self)
        grid.addWidget(self.main_part, 0, 0, 1, 2)
        for name in _own_fields_first(settings_type):
            field = settings_type.model_fields[name]
            row = _Row(name, field)
            row.place(main if _extra(field).get("main") else grid)
            row.widget.changed.connect(self._on_change)
            if row.is_given is not None:
                row.is_given.toggled.connect(self._on_change)
            self._rows[name] = row
        self._general = Sentence(tone="problem")
        grid.addWidget(self._general, grid.rowCount(), 0, 1, 2)
        self.main_part.setVisible(main.count() > 0)
        self.set_settings(settings_type())

    def settings(self) -> TrainingSettings | None:
        """Return the settings as they stand in the form; None if they are not valid."""
        try:
            return self.settings_type(**self._values())
        except ValidationError:
            return None

    def problem(self) -> str:
        """Return one sentence on the first thing that is wrong; empty if nothing is."""
        try:
            self.settings_type(**self._values())
        except ValidationError as error:
            name, what = next(iter(_sentences(error).items()))
            return f"{self._title(name)}: {what}" if name else what
        return ""

    def set_settings(self, settings: TrainingSettings) -> None:
        """Show other settings; ``changed`` is emitted once."""
        self._filling = True
        for name, row in self._rows.items():
            row.set_value(getattr(settings, name))
        self._filling = False
        self._on_change()

    def widget_of(self, name: str) -> QWidget:
        """Return the Qt widget of a setting."""
        return self._rows[name].widget.native

    def shown_problem(self, name: str) -> str:
        """Return the sentence that stands below a setting."""
        return self._rows[name].problem.text()

    def _values(self) -> dict[str, Any]:
        return {name: row.value() for name, row in self._rows.items()}

    def _title(self, name: str) -> str:
        return self.settings_type.model_fields[name].title or name

    def _on_change(self, *_: Any) -> None:
        if self._filling:
            return
        wrong: dict[str, str] = {}
        try:
            self.settings_type(**self._values())
        except ValidationError as error:
            wrong = _sentences(error)
        for name, row in self._rows.items():
            row.problem.tell(wrong.get(name, ""))
        self._general.tell(wrong.get("", ""))
        self.changed.emit()


class _Row:
    """Label, value, and for values that may be missing a box to tick."""

    def __init__(self, name: str, field: FieldInfo) -> None:
        annotation, self.is_given = field.annotation, None
        kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
        if NoneType in get_args(annotation):
            annotation = kinds[0]
            self.is_given = QCheckBox()
            self.is_given.setToolTip("Off: not used.")
        self.widget = create_widget(
            value=field.default, annotation=annotation, options=_options(field, annotation)
        )
        self.widget.name = name
        self.label = QLabel(field.title or name)
        self.problem = Sentence(tone="problem")
        for widget in (self.label, self.widget.native):
            widget.setToolTip(f"<span>{field.description or ''}</span>")  # as rich text it wraps
        if self.is_given is not None:
            self.is_given.toggled.connect(self.widget.native.setEnabled)
        self._is_float = annotation is float

    def place(self, grid: QGridLayout) -> None:
        beside = QHBoxLayout()
        beside.setContentsMargins(0, 0, 0, 0)
        if self.is_given is not None:
            beside.addWidget(self.is_given)
        beside.addWidget(self.widget.native, 1)
        row = grid.rowCount()
        grid.addWidget(self.label, row, 0)
        grid.addLayout(beside, row, 1)
        grid.addWidget(self.problem, row + 1, 0, 1, 2)

    def value(self) -> Any:
        if self.is_given is not None and not self.is_given.isChecked():
            return None
        return self.widget.value

    def set_value(self, value: Any) -> None:
        if self.is_given is not None:
            self.is_given.setChecked(value is not None)
            self.widget.native.setEnabled(value is not None)
            if value is None:
                return
        if self._is_float:  # a box of two decimals would show 0.0002 as 0.00, and mean it
            needed = max(_decimals(value), _decimals(self.widget.step or 0.1))
            self.widget.native.setDecimals(needed)
        self.widget.value = value


def _options(field: FieldInfo, annotation: Any) -> dict[str, Any]:
    """Return magicgui's options for a field: range and step."""
    if annotation not in (int, float):
        return {}
    low, high = 0, 1_000_000
    for limit in field.metadata:
        low = getattr(limit, "ge", getattr(limit, "gt", low))
        high = getattr(limit, "le", getattr(limit, "lt", high))
    step = _extra(field).get("step", 1 if annotation is int else 0.1)
    return {"min": low, "max": high, "step": step}


def _extra(field: FieldInfo) -> dict[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _grid_in(widget: QWidget) -> QGridLayout:
    grid = QGridLayout(widget)
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setHorizontalSpacing(8)
    grid.setVerticalSpacing(3)
    grid.setColumnStretch(1, 1)
    return grid


def _decimals(value: float) -> int:
    """Return how many decimals a number needs to be shown as it is."""
    text = f"{value:.{MOST_DECIMALS}f}".rstrip("0")
    return max(1, len(text.partition(".")[2]))


def _own_fields_first(settings_type: type[TrainingSettings]) -> list[str]:
    """Return the names of the fields: the method's own ones before the common ones it uses."""
    common = list(TrainingSettings.model_fields)
    own = [name for name in settings_type.model_fields if name not in common]
    return own + [name for name in common if name not in settings_type.unused]


def _sentences(error: ValidationError) -> dict[str, str]:
    """Return what is wrong by field name; "" is for the settings as a whole."""
    found: dict[str, str] = {}
    for one in error.errors():
        name = str(one["loc"][0]) if one["loc"] else ""
        what = one["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        found.setdefault(name, what.rstrip(".") + ".")
    return found
