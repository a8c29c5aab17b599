"""``napari-selfseg demo``: the main job on a sample tile, in the window or without one."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_selfseg.cli.console import DONE, INTERRUPTED, UserMistake, print_json, tell
from napari_selfseg.cli.options import add_json
from napari_selfseg.cli.train import save, summary, told, train

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_selfseg.core.images.tile import Tile
    from napari_selfseg.session.result import RunResult

OUT = "demo-output"
PRESET = "quick"
SAMPLE = "immunohistochemistry"
WINDOW_TRIAL = "from qtpy.QtWidgets import QApplication; QApplication([])"
NO_WINDOW = frozenset({"offscreen", "minimal"})  # Qt without OpenGL: napari cannot draw


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "demo",
        help="the main job on a sample tile",
        description=(
            "Open napari with a sample tile and the SelfSeg dock. Without a display, learn from "
            "the tile and write an overlay picture, labels, confidence and curves."
        ),
    )
    parser.add_argument("--headless", action="store_true", help="do it without a window")
    parser.add_argument(
        "--out",
        metavar="DIR",
        help=f"folder for what is written without a window ({OUT} unless told otherwise)",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Open the window, or do the job without one and say where the results are."""
    reason = "" if options.headless else why_no_window(os.environ, sys.platform)
    if not options.headless and not reason:
        return in_window(options.json)
    if reason:
        tell(f"{reason} The demo runs without a window.")
    return headless(options)


def why_no_window(environment: Mapping[str, str], platform: str) -> str:
    """Return a sentence why no window can be opened, or "".

    Qt ends the process when a system library is missing; so another process tries first.
    """
    if platform.startswith("linux"):
        if not (environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")):
            return "There is no display."
        if environment.get("QT_QPA_PLATFORM") in NO_WINDOW:
            return "Qt is set up without a display."
    try:
        trial = subprocess.run(
            [sys.executable, "-c", WINDOW_TRIAL], capture_output=True, text=True, timeout=120
        )
    except (OSError, subprocess.TimeoutExpired):
        return "No window could be opened."
    if trial.returncode == 0:
        return ""
    if "No Qt bindings" in trial.stderr or "ModuleNotFoundError" in trial.stderr:
        return 'There is no Qt: pip install "napari-selfseg[all]" brings it.'
    return "No window could be opened; a system library of Qt may be missing."


def sample() -> NDArray[Any]:
    """Return scikit-image's immunohistochemistry tile, uint8, (512, 512, 3)."""
    from skimage import data

    image: NDArray[Any] = data.immunohistochemistry()
    return image


def in_window(as_json: bool = False) -> int:
    """Open napari with the sample and the dock; return when it is closed."""
    import napari

    from napari_selfseg.widgets.dock import SelfSegDock

    viewer = napari.Viewer(title="SelfSeg")
    viewer.add_image(sample(), name=SAMPLE, rgb=True)
    dock = SelfSegDock(viewer)
    viewer.window.add_dock_widget(dock, name="SelfSeg", area="right")
    napari.run()
    if as_json:
        print_json({"window": True})
    return DONE


def headless(options: argparse.Namespace) -> int:
    """Train on the sample, write the results and say where they are."""
    from napari_selfseg.core.atomic import is_free
    from napari_selfseg.core.images.reading import tile_from_array
    from napari_selfseg.core.methods.settings import preset_settings
    from napari_selfseg.session.store import StoreError, check_free

    out = Path(options.out) if options.out else free_name(Path(OUT))
    if not is_free(out):
        raise UserMistake(f"{out} exists already; choose another --out.")
    try:
        check_free(out / "run")
    except StoreError as error:
        raise UserMistake(str(error)) from error
    tile = tile_from_array(sample(), name=SAMPLE, rgb=True)
    result, interrupted = train([tile], preset_settings(PRESET))
    files = write_results(result, tile, out)
    if options.json:
        print_json({**summary(result), "run": str(out / "run"), "files": files})
    else:
        print(told(result))
        print(f"Written to {out.absolute()}:")
        for name, what in files.items():
            print(f"  {name:<22} {what}")
    return INTERRUPTED if interrupted else DONE


def write_results(result: RunResult, tile: Tile, out: Path) -> dict[str, str]:
    """Write run, labels, confidence and pictures; return file names and what they are.

    ``labels.tif`` is what SelfSeg recommends; the other one is written beside it.
    """
    from napari_selfseg.core.instances import LabelSettings, label_image
    from napari_selfseg.session.curves_picture import curves_picture
    from napari_selfseg.session.overlay import overlay_picture, write_picture
    from napari_selfseg.session.store import write_confidence, write_labels

    confidence = result.confidence()
    plain = LabelSettings.for_scale(tile.um_per_px)
    labels = {
        "learned": result.labels(),
        "threshold": label_image(result.threshold.confidence, plain),
    }
    titles = {"learned": "learned without labels", "threshold": result.threshold.title}
    best = result.recommended
    other = "threshold" if best == "learned" else "learned"
    captions = {
        name: f"{title}: {labels[name].max()} objects{', recommended' if name == best else ''}"
        for name, title in titles.items()
    }
    panels = [
        ("the tile", None),
        ("confidence", confidence),
        *((captions[name], labels[name]) for name in labels),
    ]
    save(result, out / "run", anonymous=False)
    write_labels(out / "labels.tif", labels[best], tile.um_per_px)
    write_labels(out / f"labels_{other}.tif", labels[other], tile.um_per_px)
    write_confidence(out / "confidence.tif", confidence, tile.um_per_px)
    write_picture(out / "overlay.png", overlay_picture(tile, panels))
    write_picture(out / "curves.png", curves_picture(result.curves, result.stopped_because))
    return {
        "overlay.png": "look at this first: the tile, the confidence, both results",
        "labels.tif": f"label image, {captions[best]}",
        f"labels_{other}.tif": f"label image, {captions[other]}",
        "confidence.tif": "confidence of the learned map, 0..1",
        "curves.png": "entropy and separation while learning",
        "run": "model, settings, provenance; napari-selfseg segment takes it",
    }


def free_name(path: Path) -> Path:
    """Return the path, or the first of path-2, path-3 ... that is free."""
    from napari_selfseg.core.atomic import is_free

    number, free = 1, path
    while not is_free(free):
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free
