"""How long things take without a window: a step, a run, a prediction, and what the machine allows.

    python -m benchmarks.speed [--part step] [--part run] [--part prediction] [--threads 2]
        [--preset quick --preset standard] [--side 1000 --side 5000] [--model RUN] [--json]

The tile is drawn (1000 × 1000 px) unless --image names one. A graphics card is used where there
is one. Seconds are of this machine and of this run; compare only figures of the same run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.roofline import (
    convolution_flops,
    copy_rate,
    gemm_rate,
    seconds_in_convolutions,
    seconds_of,
)
from benchmarks.tables import markdown_table
from benchmarks.training_step import (
    loop_step,
    paper_settings,
    plain_step,
    program_step,
    seconds_in_turn,
)
from benchmarks.whole_image import predict_apart
from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.reading import read_tile
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.instances import LabelSettings, label_image
from napari_selfseg.core.methods.patch_contrast import PatchContrast
from napari_selfseg.core.methods.settings import PRESETS, preset_settings
from napari_selfseg.core.threshold import threshold_confidence
from napari_selfseg.session.run import Finished, Preview, TrainingRequest, TrainingRun

PARTS = ("step", "run", "prediction")
SIDES = (1000, 5000, 20000)
Line = dict[str, object]


def step_lines(tile: Tile, repeats: int) -> list[Line]:
    """Compare the step at the paper's batch with the loop over anchors and with plain matrices."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settings = paper_settings(device.type)
    program = program_step(tile, settings)
    seconds = seconds_in_turn(
        {
            "loop over anchors": loop_step(tile, settings),
            "plain matrices": plain_step(tile, settings),
            "program": program,
        },
        repeats,
    )
    lines: list[Line] = [
        {
            "what": f"step of 10 × 300², {name}",
            "value": f"{mine:.3f} s",
            "remark": f"{seconds['loop over anchors'] / mine:.2f} × as fast as the loop",
        }
        for name, mine in seconds.items()
    ]
    gemm, copied = gemm_rate(device), copy_rate(device)
    inside, everything = seconds_in_convolutions(program)
    n_pixels = settings.batch_size * settings.crop_size**2
    network = PatchContrast().build_network(settings)
    rate = convolution_flops(network, n_pixels) / (seconds["program"] * inside / everything)
    return [
        *lines,
        _line("share of the step in convolutions", f"{inside / everything:.0%}"),
        _line("matrix product, float32", f"{gemm / 1e9:.0f} GFLOP/s"),
        _line("copy, read and written", f"{copied / 1e9:.1f} GB/s"),
        _line("convolutions of the step", f"{rate / 1e9:.0f} GFLOP/s", f"{rate / gemm:.0%} of it"),
    ]


def run_lines(tile: Tile, presets: list[str], threads: int) -> list[Line]:
    """Time the threshold start, a slider and whole runs."""
    confidence = threshold_confidence(tile.read()).confidence
    sizes = LabelSettings.for_scale(tile.um_per_px)

    def threshold_start() -> None:
        label_image(threshold_confidence(tile.read()).confidence, sizes)

    return [
        _timed("threshold start, pixels to labels", threshold_start),
        _timed("slider: map to instances", lambda: label_image(confidence, sizes)),
        *(line for preset in presets for line in _run(tile, preset, threads)),
    ]


def _run(tile: Tile, preset: str, threads: int) -> list[Line]:
    start = time.perf_counter()
    run = TrainingRun(TrainingRequest((tile,), preset_settings(preset), threads=threads))
    first_preview, result = None, None
    for update in run.updates():
        if isinstance(update, Preview) and first_preview is None:
            first_preview = time.perf_counter() - start
        if isinstance(update, Finished):
            result = update.result
    assert result is not None
    learned = time.perf_counter() - start
    result.labels()
    seconds = time.perf_counter() - start
    ended = f"{len(result.curves)} steps, ended by {result.stopped_by}"
    return [
        _line(f"{preset}: Train to first preview", f"{first_preview or 0:.2f} s"),
        _line(f"{preset}: Train to the end of learning", f"{learned:.1f} s", ended),
        _line(f"{preset}: Train to labels", f"{seconds:.1f} s"),
    ]


def prediction_lines(sides: list[int], model: str, threads: int) -> list[Line]:
    """Time the prediction of large images, each in a process of its own."""
    lines = []
    for side in sides:
        found = predict_apart(side, model, threads)
        memory = f"{found['GiB above idle']:.2f} GiB above idle"
        lines.append(_line(f"prediction of {side}², {model}", f"{found['MP/s']:.2f} MP/s", memory))
    return lines


def _timed(what: str, job: Callable[[], object]) -> Line:
    return _line(what, f"{seconds_of(job):.3f} s")


def _line(what: str, value: str, remark: str = "") -> Line:
    return {"what": what, "value": value, "remark": remark}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", type=Path, help="a tile instead of the drawn one")
    parser.add_argument("--part", action="append", choices=PARTS, help="default: all")
    parser.add_argument("--preset", action="append", choices=PRESETS)
    parser.add_argument(
        "--side", action="append", type=int, help=f"px of a predicted image; default {SIDES}"
    )
    parser.add_argument("--model", default="single", help="a run to predict with")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if options.image:
        tile = read_tile(options.image)
    else:
        tile = Tile(drawn_he_tile(1000, 1000, n_nuclei=600)[0], 255.0, 0.25, "drawn")
    torch.set_num_threads(options.threads)
    parts = options.part or PARTS
    lines: list[Line] = []
    if "step" in parts:
        lines += step_lines(tile, options.repeats)
    if "run" in parts:
        lines += run_lines(tile, options.preset or ["quick"], options.threads)
    if "prediction" in parts:
        lines += prediction_lines(options.side or list(SIDES), options.model, options.threads)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    if options.json:
        print(json.dumps({"device": device, "threads": options.threads, "lines": lines}))
    else:
        rows, columns = tile.shape
        print(f"{tile.name}, {rows} × {columns} px, {device}, {options.threads} threads\n")
        print(markdown_table(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
