"""Makes the pictures of the README and the tutorial: a real window, a real training.

    python docs/make_screenshots.py [--out docs/images]

Needs a display (or ``xvfb-run -a -s "-screen 0 1500x1000x24"``); takes about two minutes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import napari
from PIL import Image
from qtpy.QtWidgets import QApplication

from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.widgets.dock import SelfSegDock

WINDOW = 1400, 900  # px


def wait_until(condition: Callable[[], bool], seconds: float = 240) -> None:
    """Handle events until a condition holds."""
    latest = time.monotonic() + seconds
    while not condition():
        QApplication.processEvents()
        time.sleep(0.01)
        if time.monotonic() > latest:
            raise TimeoutError("the window did not get there")


def rest(seconds: float) -> None:
    """Handle events for a while, so that everything is drawn."""
    start = time.monotonic()
    wait_until(lambda: time.monotonic() - start > seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)

    viewer = napari.Viewer()
    viewer.window.resize(*WINDOW)
    dock = SelfSegDock(viewer)
    viewer.window.add_dock_widget(dock, name="SelfSeg", area="right")
    tile = drawn_he_tile(512, 512, n_nuclei=130, seed=7, um_per_px=0.25)[0]
    viewer.add_image(tile, name="drawn H&E tile", scale=(0.25, 0.25), units=("um", "um"))
    viewer.reset_view()

    def keep(name: str) -> None:
        rest(1.5)
        picture = Image.fromarray(viewer.window.screenshot(flash=False)[..., :3])
        picture.save(out / f"{name}.png", optimize=True)
        print(out / f"{name}.png")

    panel, results = dock.training_panel, dock.result_panel
    wait_until(lambda: "≤" in panel.preset_buttons["quick"].text())
    wait_until(lambda: results.cards["threshold"].isEnabled())
    results.cards["threshold"].click()
    keep("threshold")
    panel.preset_buttons["quick"].click()
    panel.train_button.click()
    wait_until(lambda: dock.training.is_running)
    rest(6)
    keep("training")
    wait_until(lambda: not dock.training.is_running)
    rest(2)
    results.cards["learned"].click()
    keep("window")
    viewer.close()


if __name__ == "__main__":
    main()
