"""How long the main job takes without a window: threshold start, presets, sliders.

    python -m benchmarks.speed [--preset quick --preset standard] [--threads 2] [--json]

The tile is drawn (1000 × 1000 px) unless --image names one. Seconds are of this machine and of
this run; compare them only with figures of the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.tables import markdown_table
from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.reading import read_tile
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.instances import LabelSettings, label_image
from napari_selfseg.core.methods.settings import PRESETS, preset_settings
from napari_selfseg.core.threshold import threshold_confidence
from napari_selfseg.session.run import Finished, Preview, TrainingRequest, TrainingRun
from napari_selfseg.session.warmup import warm_up

REPEATS = 7


def median_seconds(job: Callable[[], object]) -> float:
    """Return the median of several runs after one that is not counted."""
    job()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        job()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def threshold_start(tile: Tile) -> None:
    """Do what the instant start does: pixels to labels."""
    label_image(
        threshold_confidence(tile.read()).confidence, LabelSettings.for_scale(tile.um_per_px)
    )


def time_run(tile: Tile, preset: str, threads: int) -> dict[str, object]:
    """Run a preset and return when its first preview and its labels were there."""
    start = time.perf_counter()
    run = TrainingRun(TrainingRequest((tile,), preset_settings(preset), threads=threads))
    first_preview = None
    for update in run.updates():
        if isinstance(update, Preview) and first_preview is None:
            first_preview = time.perf_counter() - start
        if isinstance(update, Finished):
            result = update.result
            break
    result.labels()
    return {
        "what": f"{preset}: Train to labels",
        "seconds": round(time.perf_counter() - start, 2),
        "first preview (s)": round(first_preview or 0.0, 2),
        "steps": len(result.curves),
        "stopped by": result.stopped_by,
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", type=Path, help="a tile instead of the drawn one")
    parser.add_argument("--preset", action="append", choices=PRESETS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if options.image:
        tile = read_tile(options.image)
    else:
        tile = Tile(drawn_he_tile(1000, 1000, n_nuclei=600)[0], 255.0, 0.25, "drawn")
    report = warm_up(options.threads)
    pixels = tile.read()
    confidence = threshold_confidence(pixels).confidence
    settings = LabelSettings.for_scale(tile.um_per_px)
    lines: list[dict[str, object]] = [
        _line("threshold start, pixels to labels", median_seconds(lambda: threshold_start(tile))),
        _line(
            "slider: map to instances", median_seconds(lambda: label_image(confidence, settings))
        ),
        _line("training step, per megapixel", report.seconds_per_megapixel_step),
        _line("prediction, per megapixel", report.seconds_per_megapixel_predict),
    ]
    lines += [time_run(tile, preset, options.threads) for preset in options.preset or ["quick"]]
    if options.json:
        print(json.dumps({"device": report.device, "threads": report.threads, "lines": lines}))
    else:
        print(
            f"{tile.name}, {tile.shape[0]} × {tile.shape[1]} px, {report.device}, "
            f"{report.threads} threads\n"
        )
        print(markdown_table(lines))
    return 0


def _line(what: str, seconds: float) -> dict[str, object]:
    return {
        "what": what,
        "seconds": round(seconds, 3),
        "first preview (s)": "",
        "steps": "",
        "stopped by": "",
    }


if __name__ == "__main__":
    raise SystemExit(main())
