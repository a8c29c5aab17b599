"""The only module that starts a worker: updates come to the window, errors become sentences."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QThreadPool
from qtpy.QtWidgets import QApplication, QDockWidget, QMainWindow, QWidget

from napari_selfseg.widgets.image_layers import unwrapped

FEWEST_THREADS = 4  # in Qt's pool: a training, a warm-up and a label update at the same time


_going_on: set[BackgroundWork] = set()  # signals on their way do not keep their receiver alive


@dataclass(frozen=True)
class _Failure:
    sentence: str
    details: str


class BackgroundWork:
    """Work that goes on in another thread; its callbacks are called in the window's thread."""

    def __init__(
        self,
        updates: Callable[[], Iterator[Any]],
        on_update: Callable[[Any], None],
        on_error: Callable[[str, str], None],
        on_done: Callable[[], None],
        owner: QWidget | None,
        title: str,
    ) -> None:
        self._updates, self._owner, self._title = updates, owner, title
        self._on_update, self._on_error, self._on_done = on_update, on_error, on_done
        self._running, self._silent = True, False

    def __repr__(self) -> str:
        return self._title  # napari shows it when it asks before closing

    @property
    def is_running(self) -> bool:
        """True from the start until ``on_done`` is called."""
        return self._running

    def wait_for_end(self, timeout: float = 10.0) -> bool:
        """Handle events until the work has ended; False if it has not after ``timeout`` s.

        It does not ask the work to stop; that is the run's own ``stop``.
        """
        latest = time.monotonic() + timeout
        while self._running and time.monotonic() < latest:
            QApplication.processEvents()
            time.sleep(0.005)
        return not self._running

    def silence(self) -> None:
        """Call none of the callbacks any more (the window is going away)."""
        self._silent = True

    def updates(self) -> Iterator[Any]:
        """Iterate the work in the other thread; an exception is the last thing it tells.

        superqt's worker drops a RuntimeError and with it the ``finished`` signal, and most of
        torch's errors are RuntimeErrors: none may leave this generator.
        """
        try:
            yield from self._updates()
        except Exception as error:
            yield _Failure(sentence_of(error), traceback.format_exc())

    def _is_heard(self) -> bool:
        return not self._silent and (self._owner is None or isalive(self._owner))

    def _deliver(self, update: Any) -> None:
        if not self._is_heard():
            return
        if isinstance(update, _Failure):
            self._on_error(update.sentence, update.details)
        else:
            self._on_update(update)

    def _end(self) -> None:
        self._running = False
        _going_on.discard(self)
        if self._is_heard():
            self._on_done()
        # the worker may outlive its work; it must not keep the window and its viewer alive
        self._silent, self._owner = True, None
        self._on_update = self._on_error = self._on_done = _nothing


def _nothing(*_: Any) -> None:
    """Stand for the callbacks of work that has ended."""


def start(
    updates: Iterator[Any],
    on_update: Callable[[Any], None],
    on_error: Callable[[str, str], None],
    on_done: Callable[[], None],
    owner: QWidget | None = None,
    title: str = "SelfSeg training",
) -> BackgroundWork:
    """Iterate ``updates`` in another thread.

    Parameters
    ----------
    updates : iterator
        Usually ``run.updates()``. Stop it by ``run.stop()``, it then ends by itself.
    on_update : callable(update)
    on_error : callable(sentence, details)
        One sentence for the user and the traceback; before ``on_done``. Any exception comes
        here, RuntimeError too.
    on_done : callable()
        Once, at the very end, however it ended.
    owner : QWidget, optional
        No callback is called once this widget was destroyed.
    title : str
        What napari calls the work when it asks before closing.
    """
    from napari.qt.threading import GeneratorWorker, create_worker

    work = BackgroundWork(lambda: updates, on_update, on_error, on_done, owner, title)
    return _started(work, create_worker, GeneratorWorker)


def run_once(
    function: Callable[[], Any],
    on_result: Callable[[Any], None],
    on_error: Callable[[str, str], None],
    owner: QWidget | None = None,
) -> BackgroundWork:
    """Call ``function()`` once in another thread and bring its result to the window.

    For short work: napari does not ask before closing because of it.
    """
    from superqt.utils import GeneratorWorker, create_worker

    def once() -> Iterator[Any]:
        yield function()

    work = BackgroundWork(once, on_result, on_error, lambda: None, owner, "SelfSeg")
    return _started(work, create_worker, GeneratorWorker)


def sentence_of(error: BaseException) -> str:
    """Return an exception as one sentence for the user."""
    text = str(error).strip().splitlines()
    if not text:
        return f"Something went wrong ({type(error).__name__})."
    if isinstance(error, KeyError | IndexError | TypeError | AttributeError | AssertionError):
        return f"Something went wrong ({type(error).__name__}: {text[0]})."
    return text[0]


def stop_on_close(widget: QWidget, viewer: Any, stop: Callable[[], None]) -> None:
    """Call ``stop()`` once when the widget, its dock, the viewer or the program is closed.

    napari closes a dock without telling the widget in it, so all of them are watched.
    ``stop`` must be quick and harmless when there is nothing to stop.

    Parameters
    ----------
    widget : QWidget
        It may be docked later; its ancestors are looked up whenever it is shown.
    viewer : napari viewer
        Its window counts even if the widget is not docked in it.
    stop : callable()
    """
    watch = _CloseWatch(widget, stop)
    window = getattr(getattr(unwrapped(viewer), "window", None), "_qt_window", None)
    if isinstance(window, QMainWindow):  # a viewer without a window has none
        watch.follow(window)


def _started(
    work: BackgroundWork, create_worker: Callable[..., Any], worker_class: type
) -> BackgroundWork:
    pool = QThreadPool.globalInstance()
    pool.setMaxThreadCount(max(pool.maxThreadCount(), FEWEST_THREADS))
    worker = create_worker(work.updates, _start_thread=False, _worker_class=_closing(worker_class))
    worker.yielded.connect(work._deliver)
    worker.finished.connect(work._end)
    _going_on.add(work)
    worker.start()
    return work


def _closing(worker_class: type) -> type:
    """Return a worker that closes its generator where it ran, however it ends.

    superqt's drops a generator that napari aborts as the window closes: what the generator
    cleans up would wait until the worker object itself goes.
    """

    class Closing(worker_class):  # type: ignore[misc, valid-type]
        def work(self) -> Any:
            try:
                return super().work()
            finally:
                self._gen.close()

    return Closing


class _CloseWatch(QObject):
    """Sees a widget's dock and window go, whichever goes first."""

    def __init__(self, widget: QWidget, stop: Callable[[], None]) -> None:
        super().__init__(widget)
        self._stop: Callable[[], None] | None = stop
        self._widget = widget
        self._watched: list[QObject] = []
        self._closing = False
        widget.installEventFilter(self)
        widget.destroyed.connect(self._end)
        QApplication.instance().aboutToQuit.connect(self._end)
        self._look_up()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Look up the ancestors anew when the widget moves; see the window close."""
        if watched is self._widget:
            if event.type() in (QEvent.Type.ParentChange, QEvent.Type.Show):
                self._look_up()
        elif event.type() == QEvent.Type.Close:
            self._closing = True
        elif event.type() == QEvent.Type.Hide and self._closing:
            # Hidden after Close: the user did not take it back in napari's dialogue.
            self._end()
        return False

    def _look_up(self) -> None:
        ancestor = self._widget.parentWidget()
        while ancestor is not None:
            if isinstance(ancestor, QDockWidget | QMainWindow):
                self.follow(ancestor)
            ancestor = ancestor.parentWidget()

    def follow(self, ancestor: QWidget) -> None:
        """Watch a dock or a window from now on."""
        if ancestor not in self._watched:
            self._watched.append(ancestor)
            ancestor.destroyed.connect(self._end)
            if isinstance(ancestor, QMainWindow):
                ancestor.installEventFilter(self)

    def _end(self, *_: Any) -> None:
        stop, self._stop = self._stop, None
        if stop is not None:
            stop()
