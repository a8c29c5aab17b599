"""Background work of which only the newest matters, such as labels that follow a slider."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QWidget

from napari_selfseg.widgets.background import run_once


class Latest:
    """Does one thing at a time; of what is asked meanwhile only the newest is done after it.

    Parameters
    ----------
    on_result : callable(result)
        Called for every piece of work that was done, in the order it was asked for.
    on_error : callable(sentence)
    owner : QWidget
        No callback is called once it was destroyed.
    """

    def __init__(
        self,
        on_result: Callable[[Any], None],
        on_error: Callable[[str], None],
        owner: QWidget,
    ) -> None:
        self._on_result, self._on_error, self._owner = on_result, on_error, owner
        self._busy = False
        self._next: Callable[[], Any] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether something is being done or waits."""
        return self._busy

    def ask(self, function: Callable[[], Any]) -> None:
        """Call ``function()`` in another thread, now or after what is being done."""
        if self._busy:
            self._next = function
            return
        self._busy = True
        run_once(function, self._done, self._failed, self._owner)

    def _done(self, result: Any) -> None:
        self._go_on()
        self._on_result(result)

    def _failed(self, sentence: str, _details: str) -> None:
        self._go_on()
        self._on_error(sentence)

    def _go_on(self) -> None:
        self._busy, waiting, self._next = False, self._next, None
        if waiting is not None:
            self.ask(waiting)
