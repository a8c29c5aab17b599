"""How quickly the window answers while it learns: a real viewer on the screen that is there.

    xvfb-run -a -s "-screen 0 1400x1000x24" python -m benchmarks.responsiveness
        [--preset quick] [--threads 1] [--seconds 15] [--repeats 3] [--blame] [--json]

The tile is drawn, 1000 × 1000 px with 600 nuclei; the large one, for the sliders, is 5 × 5 of it.
Clicks are put into the event queue like a person's, and a thing counts as shown when the canvas
has drawn it. Figures are of this machine and of this run; on a virtual screen the processor also
draws what a graphics card would draw.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt, QTimer
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from benchmarks.event_loop import Ticks, click, median_and_max, wait, wait_until
from benchmarks.tables import markdown_table
from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.methods.settings import PRESETS, TrainingSettings, preset_settings
from napari_selfseg.session.run import Progress, TrainingRequest, TrainingRun
from napari_selfseg.widgets import background, training_control
from napari_selfseg.widgets.dock import SelfSegDock
from napari_selfseg.widgets.layers import PREVIEW_NAME, visible_field
from napari_selfseg.widgets.training_control import THREADS

SIDE, N_NUCLEI, UM_PER_PX = 1000, 600, 0.25
RATE_ROUNDS = 3  # of learning in the viewer and without it, in turns
LARGE = 5  # drawn tiles a side of the large one
ASKED = {  # s
    "tile chosen → threshold labels offered": 1.0,
    "Train → first confidence in the viewer": 5.0,
    "Train → quick labels": 30.0,
    "Train → standard labels": 120.0,
    "Train → thorough labels": 600.0,
    "Stop → said": 0.1,
    "Stop → idle": 1.0,
    "slider → labels changed": 0.1,
    "large tile: slider → what is looked at drawn": 1.0,
}


class Window:
    """A viewer with a dock, and how long things take in it.

    Parameters
    ----------
    preset : str
    blame : bool
        Tell who made ticks late.
    """

    def __init__(self, preset: str, blame: bool) -> None:
        self.preset, self.blame = preset, blame
        self.times: dict[str, list[float]] = {}
        self.ticks: list[dict[str, object]] = []
        self.strokes: list[dict[str, object]] = []
        self.blamed: list[tuple[str, str, int]] = []
        self.viewer = napari.Viewer(title="SelfSeg responsiveness")
        self.viewer.window.resize(1380, 940)
        self.canvas = self.viewer.window._qt_viewer.canvas
        self.canvas._scene_canvas.events.draw.connect(self._on_draw)
        self._drawn = 0
        self._moved_at: float | None = None  # the brush, since the canvas was drawn last
        self._stroke_latencies: list[float] = []
        wait(1)

    # ---- what is measured

    def open_dock(self) -> None:
        """Open the dock; then its warm-up, which imports torch in another thread."""
        start = time.perf_counter()
        self.dock = SelfSegDock(self.viewer, warm_up=False)
        self.viewer.window.add_dock_widget(self.dock, name="SelfSeg", area="right")
        wait_until(self.dock.training_panel.isVisible)
        self._time("dock opened", start)
        wait(1)
        with Ticks(self.blame) as ticks:
            self.dock._warm_up()
            wait_until(lambda: self.dock._report is not None and not background._going_on)
        self._keep(ticks, "warm-up: torch is imported (apart)")
        wait(1)

    def choose_tile(self, rgb: Any) -> None:
        """Add an image; the threshold start follows by itself, its layer after a click."""
        start = time.perf_counter()
        self.layer = self.viewer.add_image(
            rgb, name="drawn", scale=(UM_PER_PX, UM_PER_PX), units=("um", "um")
        )
        card = self.dock.result_panel.cards["threshold"]
        wait_until(lambda: card.isEnabled() and not card.picture.pixmap().isNull())
        self._time("tile chosen → threshold labels offered", start)
        start = time.perf_counter()
        click(card)
        wait_until(lambda: self.dock.work.active == "threshold")
        self._wait_for_drawing()
        self._time("offer clicked → editable layer shown", start)

    def run_preset(self) -> None:
        """Train once to the end, as a user would."""
        self.dock.training_panel.choose_preset(self.preset)
        wait(0.5)
        start = self._train()
        wait_until(lambda: "learned" in self.dock.work.candidates)
        self._wait_for_drawing()
        self._time(f"Train → {self.preset} labels", start)
        wait_until(lambda: not self.dock.training.is_running and not background._going_on)
        wait(1)

    def move_sliders(self) -> None:
        """Move sliders of the learned labels, one step after another."""
        self.dock.work.take("learned")
        wait(0.5)
        sliders = self.dock.result_panel.sliders.sliders
        for name in ("threshold", "min_area", "smoothing", "split_distance"):
            for up in (True, True, False):
                self._move(sliders[name].slider, up, "slider → labels changed")

    def train_without_end(self, seconds: float) -> None:
        """Measure ticks while it learns, and Pause and Stop."""
        panel, progress = self.dock.training_panel, self.dock.training_panel.progress
        panel.form.set_settings(without_end(self.preset))
        self._train()
        wait_until(lambda: progress.bar.value() > 2)
        with Ticks(self.blame) as ticks:
            wait(seconds)
        self._keep(ticks, "learning, nobody does anything")
        with Ticks(self.blame) as ticks, Repeating(self._pan_and_zoom(), 30):
            wait(seconds)
        self._keep(ticks, "learning, panning and zooming")
        self._time_pause(seconds)
        self._paint(seconds, "learning, painting")
        self._time_stop()

    def compare_rates(self, rgb: Any, threads: int, seconds: float) -> dict[str, float]:
        """Return the median steps per second in the viewer and, in turns, without it.

        While it learns without the viewer, the viewer's own training is paused.
        """
        progress = self.dock.training_panel.progress
        rates: dict[str, list[float]] = {"in the viewer": [], "headless": []}
        self._train()
        wait_until(lambda: progress.bar.value() > 5)
        for _ in range(RATE_ROUNDS):
            before, start = progress.bar.value(), time.perf_counter()
            wait(seconds)
            rate = (progress.bar.value() - before) / (time.perf_counter() - start)
            rates["in the viewer"].append(rate)
            click(progress.pause_button)
            wait(1)
            rates["headless"].append(headless_rate(rgb, self.preset, seconds, threads))
            held_at = progress.bar.value()
            click(progress.pause_button)
            wait_until(lambda held_at=held_at: progress.bar.value() > held_at + 1)
        self._time_stop()
        return {where: round(statistics.median(mine), 2) for where, mine in rates.items()}

    def idle(self, seconds: float) -> None:
        """Measure the ticks of napari itself: nothing learns."""
        with Ticks(self.blame) as ticks, Repeating(self._pan_and_zoom(), 30):
            wait(seconds)
        self._keep(ticks, "not learning, panning and zooming")
        self._paint(seconds, "not learning, painting")

    def move_sliders_of_large(self, rgb: Any) -> None:
        """Move sliders of the threshold labels of a large tile: seen as a whole, then near."""
        self.viewer.layers.clear()
        self.viewer.add_image(np.tile(rgb, (LARGE, LARGE, 1)), name="large")
        wait_until(
            lambda: self.dock.work is not None and self.dock.work.tile_view.layer.name == "large"
        )
        wait(1)  # the cards take their new size
        click(self.dock.result_panel.cards["threshold"])
        wait_until(lambda: self.dock.work.layer_of("threshold") is not None)
        slider = self.dock.result_panel.sliders.sliders["threshold"].slider
        for zoom in (1.0, 6.0):
            self.viewer.reset_view()
            self.viewer.scene.camera.zoom *= zoom
            wait(1)
            for up in (True, True, False):
                self._move_in_large(slider, up)

    def _move_in_large(self, slider: Any, up: bool) -> None:
        work = self.dock.work
        layer, before = work.layer_of("threshold"), work.current_labels()
        part = visible_field(self.viewer, work.tile_view)
        start = time.perf_counter()
        slider.setValue(slider.value() + (5 if up else -5))
        wait_until(lambda: not np.array_equal(layer.data[part], before[part]))
        self._wait_for_drawing()
        self._time("large tile: slider → what is looked at drawn", start)
        wait_until(lambda: not work.search.is_finding("threshold"))
        self._wait_for_drawing()
        self._time("large tile: slider → all labels drawn", start)
        wait(0.5)

    def stop_again(self) -> None:
        """Train a little and stop."""
        self._train()
        wait_until(lambda: self.dock.training_panel.progress.bar.value() > 5)
        self._time_stop()

    # ---- inside

    def _train(self) -> float:
        """Press Train and wait for the first piece of the map; return when it was pressed."""
        start = time.perf_counter()
        click(self.dock.training_panel.train_button)
        wait_until(lambda: PREVIEW_NAME in self.viewer.layers)
        preview = self.viewer.layers[PREVIEW_NAME]
        wait_until(lambda: bool(preview.data.any()))
        self._wait_for_drawing()
        self._time("Train → first confidence in the viewer", start)
        return start

    def _time_pause(self, seconds: float) -> None:
        """From the click on Pause to the last sign of life; the same layers without learning."""
        progress = self.dock.training_panel.progress
        start = last = time.perf_counter()
        click(progress.pause_button)
        wait_until(lambda: progress.pause_button.text() == "Resume")
        self._time("Pause → said", start)
        step = progress.bar.value()
        while time.perf_counter() - last < 2:
            wait(0.01)
            if progress.bar.value() != step:
                step, last = progress.bar.value(), time.perf_counter()
        self.times.setdefault("Pause → holds", []).append(last - start)
        with Ticks(self.blame) as ticks, Repeating(self._pan_and_zoom(), 30):
            wait(seconds)
        self._keep(ticks, "paused, panning and zooming (same layers)")
        click(progress.pause_button)
        wait_until(lambda: progress.bar.value() > step)

    def _time_stop(self) -> None:
        button = self.dock.training_panel.progress.stop_button
        start = time.perf_counter()
        click(button)
        wait_until(lambda: button.text() != "Stop")
        self._time("Stop → said", start)
        wait_until(lambda: not self.dock.training.is_running)
        self._time("Stop → idle", start)
        wait_until(lambda: not self.dock.work.search.is_finding("learned"))
        self._time("Stop → labels", start)
        wait_until(lambda: not background._going_on)
        wait(0.5)

    def _move(self, slider: Any, up: bool, what: str) -> None:
        layer = self.dock.work.layer_of("learned")
        told: list[float] = []
        layer.events.set_data.connect(lambda *_: told.append(time.perf_counter()))
        start = time.perf_counter()
        slider.setValue(slider.value() + (5 if up else -5))
        wait_until(lambda: bool(told))
        self.times.setdefault(what, []).append(told[0] - start)
        self._wait_for_drawing()
        self._time("slider → labels drawn", start)
        wait_until(lambda: not self.dock.work.search.is_finding("learned"))
        wait(0.2)

    def _paint(self, seconds: float, while_: str) -> None:
        layer = self.dock.work.layer_of("threshold")
        layer.visible, layer.mode, layer.selected_label = True, "paint", 3
        self.viewer.layers.selection.active = layer
        self.viewer.reset_view()
        wait(0.5)
        self._stroke_latencies.clear()
        with Ticks(self.blame) as ticks, Repeating(self._strokes(), 15):
            wait(seconds)
        self._keep(ticks, while_)
        self.strokes.append(latency_line(self._stroke_latencies, while_))
        layer.mode = "pan_zoom"
        wait(0.3)

    def _pan_and_zoom(self) -> Callable[[int], None]:
        self.viewer.reset_view()
        camera = self.viewer.scene.camera
        zoom, centre = camera.zoom, np.array(camera.center)[-2:]

        def move(i: int) -> None:
            camera.zoom = zoom * (2.5 + 1.5 * math.sin(i / 20))
            off = 60 * np.array([math.sin(i / 15), math.cos(i / 15)])
            camera.center = (0, *(centre + off))

        return move

    def _strokes(self) -> Callable[[int], None]:
        """Return what paints strokes of 25 moves, by mouse events on the canvas."""
        native = self.canvas.native
        middle = QPoint(native.width() // 2, native.height() // 2)
        down, up, move = (
            QEvent.Type.MouseButtonPress,
            QEvent.Type.MouseButtonRelease,
            QEvent.Type.MouseMove,
        )

        def paint(i: int) -> None:
            stroke, part = divmod(i, 27)
            at = middle + QPoint(8 * part - 100, 12 * (stroke % 20) - 120)
            kind = down if part == 0 else up if part == 26 else move
            left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
            event = QMouseEvent(
                kind,
                QPointF(at),
                QPointF(native.mapToGlobal(at)),
                none if kind == move else left,
                none if kind == up else left,
                Qt.KeyboardModifier.NoModifier,
            )
            if kind == move and self._moved_at is None:
                self._moved_at = time.perf_counter()
            QApplication.sendEvent(native, event)

        return paint

    def _on_draw(self, *_: Any) -> None:
        self._drawn += 1
        if self._moved_at is not None:
            self._stroke_latencies.append(time.perf_counter() - self._moved_at)
            self._moved_at = None

    def _wait_for_drawing(self) -> None:
        """Wait until the canvas has drawn what changed last; it may have been drawn already."""
        drawn = self._drawn
        self.canvas._scene_canvas.update()
        wait_until(lambda: self._drawn > drawn)

    def _time(self, what: str, start: float) -> None:
        self.times.setdefault(what, []).append(time.perf_counter() - start)

    def _keep(self, ticks: Ticks, while_: str) -> None:
        self.ticks.append(ticks.line(while_))
        self.blamed += [(while_, where, n) for where, n in ticks.blamed.most_common(6)]


class Repeating:
    """Does something every few ms, as a context manager; it is told how often it was done."""

    def __init__(self, job: Callable[[int], None], every_ms: int) -> None:
        self._job, self._i = job, 0
        self._timer = QTimer()
        self._timer.setInterval(every_ms)
        self._timer.timeout.connect(self._do)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: Any) -> None:
        self._timer.stop()

    def _do(self) -> None:
        self._job(self._i)
        self._i += 1


def without_end(preset: str) -> TrainingSettings:
    """Return a preset's kind of steps, but so many that it does not end."""
    return preset_settings(preset, starts=1, n_steps=100_000, stop_early=False)


def headless_rate(rgb: Any, preset: str, seconds: float, threads: int) -> float:
    """Return the steps per second without a window, with as many threads."""
    tile = Tile(rgb, 255.0, UM_PER_PX, "drawn")
    run = TrainingRun(TrainingRequest((tile,), without_end(preset), threads=threads))
    start, before = 0.0, 0
    for update in run.updates():
        if isinstance(update, Progress):
            if not start and update.step > 2:
                start, before = time.perf_counter(), update.step
            elif start and time.perf_counter() - start > seconds:
                run.abandon()
                return (update.step - before) / (time.perf_counter() - start)
    return math.nan


def torch_import_seconds() -> float:
    """Return how long a fresh process imports torch."""
    code = "import time; t = time.perf_counter(); import torch; print(time.perf_counter() - t)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(told.stdout)


def time_lines(times: dict[str, list[float]]) -> list[dict[str, object]]:
    """Return one line per thing that was timed."""
    lines: list[dict[str, object]] = []
    for what, seconds in times.items():
        median, largest = median_and_max(seconds)
        asked = ASKED.get(what)
        lines.append(
            {
                "what": what,
                "n": len(seconds),
                "median (s)": f"{median:.3f}",
                "max (s)": f"{largest:.3f}",
                "asked (s)": "" if asked is None else f"{asked:g}",
                "met": "" if asked is None else "yes" if median <= asked else "no",
            }
        )
    return lines


def latency_line(seconds: list[float], while_: str) -> dict[str, object]:
    """Return from the brush's move to its drawing, in ms, as a line of a table."""
    ms = 1000 * np.array(seconds or [math.nan])
    return {
        "brush moved → drawn, while": while_,
        "n": len(seconds),
        "p50 (ms)": round(float(np.percentile(ms, 50)), 1),
        "p99 (ms)": round(float(np.percentile(ms, 99)), 1),
        "max (ms)": round(float(ms.max()), 1),
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="quick", choices=PRESETS)
    parser.add_argument("--threads", type=int, default=THREADS, help="of torch, while it learns")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each tick measurement")
    parser.add_argument("--repeats", type=int, default=3, help="how often Stop is timed")
    parser.add_argument("--blame", action="store_true", help="tell who made ticks late")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    training_control.THREADS = options.threads
    rgb = drawn_he_tile(SIDE, SIDE, n_nuclei=N_NUCLEI, um_per_px=UM_PER_PX)[0]
    torch_seconds = torch_import_seconds()
    window = Window(options.preset, options.blame)
    window.open_dock()
    window.choose_tile(rgb)
    window.idle(options.seconds)
    window.run_preset()
    window.move_sliders()
    window.train_without_end(options.seconds)
    for _ in range(options.repeats - 2):
        window.stop_again()
    rates = window.compare_rates(rgb, options.threads, options.seconds)
    window.move_sliders_of_large(rgb)
    window.viewer.close()
    lines = time_lines(window.times)
    if options.json:
        told = {
            "times": lines,
            "ticks": window.ticks,
            "strokes": window.strokes,
            "steps per second": rates,
        }
        print(json.dumps({**told, "import torch (s)": round(torch_seconds, 2)}))
        return 0
    print(
        f"Drawn tile, {SIDE} × {SIDE} px, {options.threads} torch thread(s), "
        f"{options.preset} steps\n"
    )
    print(markdown_table(lines))
    print(f"\nimport torch alone: {torch_seconds:.2f} s\n")
    print(markdown_table(window.ticks))
    print()
    print(markdown_table(window.strokes))
    mine, alone = rates["in the viewer"], rates["headless"]
    print(f"\nsteps per second: {mine} in the viewer, {alone} headless ({mine / alone:.0%})")
    if options.blame:
        names = ("while", "where", "looks")
        print("\n" + markdown_table([dict(zip(names, b, strict=True)) for b in window.blamed]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
