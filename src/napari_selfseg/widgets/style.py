"""How the dock looks: sections, sentences, buttons; colours of napari's theme."""

from __future__ import annotations

from math import ceil
from typing import Any, Literal

from napari.utils.theme import get_theme
from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

BLUE, BLUE_LIT, BLUE_PRESSED = "#2f6fdb", "#4482ea", "#2559b4"  # white text is readable on all
TONES = {  # text colours on a dark and on a light background
    "problem": ("#ff9a8f", "#a8071a"),
    "good": ("#7fd8a4", "#11672f"),
    "hint": ("#aeb4bf", "#55585e"),
    "offer": ("#7fb0ff", "#1d57b8"),
}

Tone = Literal["problem", "good", "hint", "offer", "plain"]


def stylesheet(theme_name: str) -> str:
    """Return the style of the dock for a napari theme."""
    theme = get_theme(theme_name)
    red, green, blue = theme.background.as_rgb_tuple()[:3]
    is_dark = red + green + blue < 3 * 128
    tones = "".join(
        f'QLabel[tone="{tone}"] {{ color: {colours[0 if is_dark else 1]}; }}'
        for tone, colours in TONES.items()
    )
    panel, edge = theme.foreground.as_hex(), theme.primary.as_hex()
    return (
        tones
        + f"""
    QLabel[role="number"] {{ background: {BLUE}; color: white; border-radius: 10px;
        font-weight: bold; }}
    QLabel[role="section"] {{ font-size: 14px; font-weight: bold; }}
    QLabel[role="badge"] {{ background: #1d8a4c; color: white; border-radius: 3px;
        padding: 1px 5px; font-weight: bold; }}
    QFrame[role="card"] {{ background: {panel}; border: 1px solid {BLUE_LIT};
        border-radius: 5px; margin-top: 6px; }}
    QFrame[role="banner"] {{ background: {panel}; margin-top: 6px;
        border: 1px solid {TONES["problem"][0 if is_dark else 1]}; border-radius: 5px; }}
    QWidget[role="rule"] {{ background: {edge}; }}
    QPushButton[role="main"] {{ background: {BLUE}; color: white; font-size: 15px;
        font-weight: bold; border-radius: 4px; padding: 8px; }}
    QPushButton[role="main"]:hover {{ background: {BLUE_LIT}; }}
    QPushButton[role="main"]:pressed {{ background: {BLUE_PRESSED}; }}
    QPushButton[role="main"]:disabled {{ background: {edge}; color: {theme.icon.as_hex()}; }}
    QPushButton[role="choice"] {{ background: {panel}; border: 1px solid {edge};
        border-radius: 4px; padding: 4px 2px; }}
    QPushButton[role="choice"]:hover {{ border: 1px solid {BLUE_LIT}; }}
    QPushButton[role="choice"]:checked {{ background: {panel}; border: 2px solid {BLUE}; }}
    QPushButton[role="choice"]:disabled {{ border: 1px solid {edge}; }}
    QPushButton[role="choice"]:checked:disabled {{ border: 2px solid {edge}; }}
    QPushButton[role="toggle"]:checked {{ background: {BLUE}; color: white; }}
    QPushButton[role="tool"] {{ background: {panel}; border: 1px solid {edge};
        border-radius: 4px; padding: 4px 6px; text-align: left; }}
    QPushButton[role="tool"]:hover {{ border: 1px solid {BLUE_LIT}; }}
    QPushButton[role="tool"]:checked {{ background: {BLUE}; border: 1px solid {BLUE};
        color: white; }}
    QPushButton[role="tool"]:disabled, QPushButton[role="quiet"]:disabled {{ color: {edge};
        border: none; }}
    QPushButton[role="quiet"] {{ background: transparent; padding: 2px 4px; text-align: left;
        color: {TONES["hint"][0 if is_dark else 1]}; }}
    QPushButton[role="quiet"]:hover {{ color: {theme.text.as_hex()}; }}
    QLabel[role="key"] {{ color: {TONES["hint"][0 if is_dark else 1]}; font-size: 10px;
        background: transparent; }}
    QLabel[role="key"][on="true"] {{ color: white; }}
    QLabel[role="key"]:disabled {{ color: {edge}; }}
    QLabel[role="keycap"] {{ background: {panel}; border: 1px solid {edge};
        border-radius: 3px; padding: 0px 5px; }}
    QPushButton[role="fold"] {{ background: transparent; text-align: left; padding: 3px 0px; }}
    QPushButton[role="fold"]:hover {{ color: {BLUE_LIT}; }}
    QDoubleSpinBox[role="value"] {{ min-width: 34px; max-width: 42px; padding: 1px 4px; }}
    QPushButton[role="link"] {{ background: transparent; text-decoration: underline;
        padding: 1px; color: {TONES["hint"][0 if is_dark else 1]}; font-size: 11px; }}
    QPushButton[role="link"]:hover {{ color: {theme.text.as_hex()}; }}
    """
    )


class Sentence(QLabel):
    """One sentence to the user; not there when it is empty."""

    def __init__(self, text: str = "", tone: Tone = "hint", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        # else a long sentence would make the dock wider
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setMinimumWidth(60)
        self.tell(text, tone)

    def tell(self, text: str, tone: Tone | None = None) -> None:
        """Show a sentence, in another tone if one is given."""
        if tone is not None and tone != self.property("tone"):
            self.setProperty("tone", tone)
            self.style().unpolish(self)
            self.style().polish(self)
        self.setText(text)
        self.setVisible(bool(text))


class Section(QWidget):
    """A numbered part of the dock: headline, a note beside it, and a body."""

    def __init__(self, number: int, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        dot = QLabel(str(number))
        dot.setProperty("role", "number")
        dot.setFixedSize(20, 20)
        dot.setAlignment(Qt.AlignmentFlag.AlignCenter)
        headline = QLabel(title)
        headline.setProperty("role", "section")
        self.note = QLabel()
        self.note.setProperty("tone", "hint")
        self.note.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.note.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        rule = QWidget()
        rule.setProperty("role", "rule")
        rule.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        rule.setFixedHeight(1)
        head = QHBoxLayout()
        head.setContentsMargins(0, 0, 0, 0)
        head.setSpacing(7)
        head.addWidget(dot)
        head.addWidget(headline)
        head.addWidget(self.note, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        if number > 1:
            column.addWidget(rule)
            column.addSpacing(2)
        column.addLayout(head)
        self._column = column

    def add(self, widget: QWidget) -> None:
        """Append a widget to the body."""
        self._column.addWidget(widget)


class Fold(QWidget):
    """A headline that shows and hides what is below it.

    superqt's collapsible fixes the height when it opens, and would cut off the sentences that
    come later.

    Parameters
    ----------
    title : str
    content : QWidget
    """

    def __init__(self, title: str, content: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = title
        self.button = with_role(QPushButton(), "fold")
        self.button.setCheckable(True)
        self.content = content
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.button)
        column.addWidget(content)
        self.button.toggled.connect(self.open)
        self.open(False)

    @property
    def is_open(self) -> bool:
        """Whether the content is shown."""
        return self.button.isChecked()

    def open(self, on: bool = True) -> None:
        """Show the content, or hide it."""
        self.button.setChecked(on)
        self.button.setText(f"{'▾' if on else '▸'}  {self._title}")
        self.content.setVisible(on)


class TwoLineButton(QPushButton):
    """A choice with a name and a smaller line below it."""

    def __init__(self, title: str, line: str = "") -> None:
        super().__init__()
        self._title = title
        self.setCheckable(True)
        self.setProperty("role", "choice")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.set_line(line)

    def set_line(self, line: str) -> None:
        """Change the second line."""
        self.setText(f"{self._title}\n{line}")

    def sizeHint(self) -> QSize:
        """Return room for two lines."""
        return QSize(80, 2 * self.fontMetrics().lineSpacing() + 14)


def with_role(button: Any, role: str, tip: str = "") -> Any:
    """Give a widget its look and its tooltip; return it."""
    button.setProperty("role", role)
    button.setToolTip(tip)
    return button


def duration(seconds: float) -> str:
    """Return seconds in words, rounded up: "8 s", "1 min 20 s", "12 min"."""
    whole = max(1, ceil(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole <= 300:
        minutes, rest = divmod(ceil(whole / 10) * 10, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{ceil(whole / 60)} min"


def leave_wheel_to_dock(parent: QWidget) -> None:
    """Let the mouse wheel scroll the dock instead of changing the values it passes over."""
    wheel = _NoWheel(parent)
    for kind in (QAbstractSpinBox, QComboBox, QAbstractSlider):
        for widget in parent.findChildren(kind):
            widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            widget.installEventFilter(wheel)


class _NoWheel(QObject):
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Wheel and not watched.hasFocus():
            event.ignore()
            return True
        return False
