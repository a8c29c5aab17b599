"""Workers: every error arrives as a sentence, and closing the window ends them."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
from types import SimpleNamespace

import pytest
from qtpy.QtCore import Qt, QThread
from qtpy.QtWidgets import QApplication, QDockWidget, QMainWindow, QWidget
from superqt.utils import WorkerBase

from napari_selfseg.widgets import background


class Heard:
    """Remembers what the callbacks were told, and in which thread."""

    def __init__(self):
        self.updates, self.errors, self.done, self.threads = [], [], 0, set()

    def start(self, updates, **kwargs):
        return background.start(updates, self.on_update, self.on_error, self.on_done, **kwargs)

    def on_update(self, update):
        self.updates.append(update)
        self.threads.add(QThread.currentThread() is QApplication.instance().thread())

    def on_error(self, sentence, details):
        self.errors.append((sentence, details))

    def on_done(self):
        self.done += 1


def test_updates_arrive_in_order_in_the_windows_thread(qtbot):
    worker_threads = []

    def updates():
        worker_threads.append(threading.current_thread())
        yield from range(50)

    heard = Heard()
    work = heard.start(updates())
    assert work.is_running
    assert work.wait_for_end(5)
    assert heard.updates == list(range(50))
    assert (heard.errors, heard.done, heard.threads) == ([], 1, {True})
    assert worker_threads[0] is not threading.main_thread()
    assert not work.is_running


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (RuntimeError("CUDA out of memory.\nTried to allocate"), "CUDA out of memory."),
        (ValueError("The tile is blank."), "The tile is blank."),
        (MemoryError(), "Something went wrong (MemoryError)."),
        (KeyError("a"), "Something went wrong (KeyError: 'a')."),
        (ZeroDivisionError(), "Something went wrong (ZeroDivisionError)."),
    ],
)
def test_any_exception_becomes_a_sentence_and_the_work_ends(qtbot, error, sentence):
    def updates():
        yield 1
        raise error

    heard = Heard()
    assert heard.start(updates()).wait_for_end(5)
    assert heard.updates == [1]
    [(said, details)] = heard.errors
    assert said.startswith(sentence)
    assert "Traceback" in details
    assert heard.done == 1


def test_an_error_before_the_first_update(qtbot):
    def updates():
        raise RuntimeError("no")
        yield

    heard = Heard()
    assert heard.start(updates()).wait_for_end(5)
    assert (heard.updates, heard.errors[0][0], heard.done) == ([], "no", 1)


def test_no_callback_after_the_owner_is_gone_or_silenced(qtbot):
    go = threading.Event()

    def updates():
        yield 1
        go.wait(5)
        yield 2

    owner, heard = QWidget(), Heard()
    work = heard.start(updates(), owner=owner)
    qtbot.waitUntil(lambda: heard.updates == [1])
    owner.deleteLater()
    qtbot.wait(20)
    go.set()
    assert work.wait_for_end(5)
    assert (heard.updates, heard.done) == ([1], 0)

    heard = Heard()
    work = heard.start(iter(range(5)))
    work.silence()
    assert work.wait_for_end(5)
    assert (heard.updates, heard.done) == ([], 0)


def test_work_that_napari_aborts_cleans_up(qtbot):
    cleaned_up = threading.Event()

    def updates():
        try:
            while True:
                yield None
        finally:
            cleaned_up.set()

    endless = updates()  # held: its going away must not be what closes it
    heard = Heard()
    heard.start(endless)
    qtbot.waitUntil(lambda: bool(heard.updates))
    WorkerBase.await_workers()  # what napari does as its window closes
    assert cleaned_up.wait(5)


def test_waiting_gives_up(qtbot):
    go = threading.Event()

    def updates():
        yield go.wait(5)

    work = Heard().start(updates())
    assert not work.wait_for_end(0.05)
    go.set()
    assert work.wait_for_end(5)


def test_one_job(qtbot):
    results, errors = [], []
    work = background.run_once(lambda: 6 * 7, results.append, lambda *e: errors.append(e))
    assert work.wait_for_end(5)
    work = background.run_once(lambda: int("x"), results.append, lambda *e: errors.append(e))
    assert work.wait_for_end(5)
    assert results == [42]
    assert "invalid literal" in errors[0][0]


def test_a_job_that_nobody_holds_still_delivers(qtbot):
    results = []
    background.run_once(lambda: 5, results.append, print)
    gc.collect()
    qtbot.waitUntil(lambda: results == [5], timeout=5000)
    assert not background._going_on


def test_short_jobs_do_not_wait_for_a_paused_training(qtbot):
    go = threading.Event()

    def paused():
        yield go.wait(10)

    trainings = [Heard().start(paused()) for _ in range(2)]
    results = []
    assert background.run_once(lambda: 1, results.append, print).wait_for_end(5)
    assert results == [1]
    go.set()
    assert all(training.wait_for_end(5) for training in trainings)


# ---- closing


@pytest.fixture
def docked(qtbot):
    window, dock, widget = QMainWindow(), QDockWidget(), QWidget()
    stops = []
    background.stop_on_close(widget, None, lambda: stops.append(1))  # before it is docked
    dock.setWidget(widget)
    window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
    window.show()
    qtbot.waitExposed(window)
    yield window, dock, widget, stops
    for each in (dock, window):
        if background.isalive(each):
            each.deleteLater()
    qtbot.wait(1)


def test_tabbing_the_dock_away_stops_nothing(docked, qtbot):
    _, dock, _, stops = docked
    dock.hide()
    dock.show()
    dock.setFloating(True)
    dock.setFloating(False)
    qtbot.wait(10)
    assert stops == []


def test_destroying_the_dock_stops_once_even_if_the_widget_survives(docked, qtbot):
    window, dock, widget, stops = docked
    widget.setParent(None)
    dock.deleteLater()
    qtbot.waitUntil(lambda: stops == [1])
    widget.deleteLater()
    window.close()
    qtbot.wait(20)
    assert stops == [1]


def test_closing_the_window_stops_and_taking_it_back_does_not(docked, qtbot):
    window, _, _, stops = docked
    window.closeEvent = lambda event: event.ignore()
    window.close()
    assert stops == []
    window.closeEvent = lambda event: event.accept()
    window.close()
    assert stops == [1]


def test_closing_the_viewers_window_stops_a_widget_that_is_not_docked(qtbot):
    window, widget, stops = QMainWindow(), QWidget(), []
    qtbot.addWidget(widget)
    viewer = SimpleNamespace(window=SimpleNamespace(_qt_window=window))
    background.stop_on_close(widget, viewer, lambda: stops.append(1))
    window.show()
    qtbot.waitExposed(window)
    window.close()
    assert stops == [1]
    window.deleteLater()


def test_destroying_a_widget_without_a_dock_stops(qtbot):
    widget, stops = QWidget(), []
    background.stop_on_close(widget, None, lambda: stops.append(1))
    widget.deleteLater()
    qtbot.waitUntil(lambda: stops == [1])


CLOSED_MID_TRAINING = """
    import threading, time, sys
    import napari
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QLabel
    from napari_selfseg.widgets import background

    stopped = threading.Event()
    ended = threading.Event()

    def updates():
        try:
            for i in range(1000):
                if stopped.wait(0.05):
                    return
                yield i
        finally:
            ended.set()

    def paused():
        yield stopped.wait(60)

    class Dock(QLabel):
        def __init__(self, napari_viewer):
            super().__init__("training")
            self.viewer = napari_viewer
            background.stop_on_close(self, napari_viewer, stopped.set)

        def show_update(self, update):
            self.setText(str(update))
            if update == 3:
                QTimer.singleShot(0, self.viewer.close if how == "viewer" else close_dock)

    def close_dock():
        viewer.window.remove_dock_widget(widget)
        QTimer.singleShot(600, check_and_quit)

    def check_and_quit():
        assert stopped.is_set(), "the dock went, the worker did not"
        viewer.close()

    how = sys.argv[1]
    viewer = napari.Viewer()
    widget = Dock(viewer)
    viewer.window.add_dock_widget(widget, name="SelfSeg")
    works = [
        background.start(each(), widget.show_update, print, lambda: widget.setText("end"), widget)
        for each in (updates, paused)
    ]
    started = time.monotonic()
    napari.run()
    assert ended.wait(5), "the worker goes on"
    print("seconds", time.monotonic() - started)
    print("clean end")
"""


@pytest.mark.parametrize("how", ["viewer", "dock"])
def test_closing_mid_training_ends_the_worker_and_the_program(how, tmp_path):
    script = tmp_path / "closed.py"
    script.write_text(textwrap.dedent(CLOSED_MID_TRAINING))
    environment = {**os.environ, "PYTHONFAULTHANDLER": "1"}
    done = subprocess.run(
        [sys.executable, script, how],
        capture_output=True,
        text=True,
        timeout=90,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "clean end" in done.stdout
    assert "Traceback" not in done.stderr
    assert "has been deleted" not in done.stderr
