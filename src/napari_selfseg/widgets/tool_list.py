"""The tools for correcting labels: names, keys and what they do, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Gesture = Literal["outline", "line", "click", "brush", "now"]


@dataclass(frozen=True)
class Tool:
    """One tool.

    Parameters
    ----------
    name : str
        In the code.
    title : str
        On its button.
    key : str
        As napari takes it. No letter of napari's own for labels layers or the viewer, and none
        of A, N, P and R, which the review takes; with Shift, a letter that means the like.
    gesture : str
        "outline" and "line": drawn, or a click; "click": a click, or the key at the mouse;
        "brush": napari's own tool; "now": done at once.
    does : str
        One line for the user.
    """

    name: str
    title: str
    key: str
    gesture: Gesture
    does: str

    @property
    def key_shown(self) -> str:
        """The key as it is shown on a button."""
        return self.key.replace("Shift-", "⇧")

    @property
    def key_said(self) -> str:
        """The key in words."""
        return self.key.replace("Shift-", "Shift + ")

    @property
    def stays_on(self) -> bool:
        """Whether it is used with the mouse, until it is put down."""
        return self.gesture != "now"


TOOLS = (
    Tool("add", "Add", "O", "outline", "Click a nucleus that was missed, or draw around it."),
    Tool("brush", "Brush", "Shift-P", "brush", "Paint a new object; [ and ] change the size."),
    Tool("eraser", "Eraser", "Shift-E", "brush", "Rub pixels out; [ and ] change the size."),
    Tool("delete", "Delete", "D", "click", "Remove the object under the mouse."),
    Tool("cut", "Cut", "C", "line", "Draw a line through an object to cut it in two."),
    Tool(
        "split", "Split", "S", "click", "Split the object under the mouse where it looks like two."
    ),
    Tool("merge", "Merge", "J", "line", "Draw a line over objects, or click two, to join them."),
    Tool("holes", "Fill holes", "H", "click", "Fill the holes of the object under the mouse."),
    Tool(
        "smooth", "Smooth", "Shift-S", "click", "Smooth the outline of the object under the mouse."
    ),
    Tool(
        "clear", "Clear area", "W", "outline", "Draw around an area to make all of it background."
    ),
    Tool("next", "Next label", "Shift-M", "now", "Give the brush a number that no object has."),
    Tool(
        "unlock", "Unlock", "U", "click", "Let predictions change the object under the mouse again."
    ),
    Tool("unlock_all", "Unlock all", "Shift-U", "now", "Let predictions change everything again."),
    Tool("help", "All keys", "K", "now", "Show or hide this list."),
)
BY_NAME = {tool.name: tool for tool in TOOLS}
