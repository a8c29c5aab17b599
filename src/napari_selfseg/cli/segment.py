"""``napari-selfseg segment``: use a stored run on images."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_selfseg.cli.console import (
    DONE,
    INTERRUPTED,
    MISTAKE,
    ProgressBar,
    UserMistake,
    interruptions,
    print_json,
)
from napari_selfseg.cli.images import image_files
from napari_selfseg.cli.objects import chosen_map, described, label_objects
from napari_selfseg.cli.options import (
    add_anonymous,
    add_device,
    add_json,
    add_scale,
    check_device,
)
from napari_selfseg.cli.places import Places, result_places, scale_notes, write_provenance
from napari_selfseg.cli.regions import RegionsWanted, label_regions
from napari_selfseg.session.warmup import available_cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_selfseg.core.images.tile import Tile
    from napari_selfseg.core.maps import Prediction
    from napari_selfseg.session.store import StoredRegions, StoredRun


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "segment",
        help="labels from a trained run",
        description="Segment images with a run that train has stored.",
    )
    parser.add_argument("stored", metavar="RUN", help="folder of a run")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files or folders")
    parser.add_argument(
        "--out",
        required=True,
        metavar="PATH",
        help="a .tif or .png file for one image, otherwise a folder",
    )
    parser.add_argument(
        "--binary", action="store_true", help="1 for object instead of a number per object"
    )
    parser.add_argument(
        "--confidence", metavar="PATH", help="also write confidence: a .tif file or a folder"
    )
    add_scale(parser)
    parser.add_argument(
        "--channel", type=int, metavar="K", help="another map than the run's, counted from 0"
    )
    parser.add_argument(
        "--polarity",
        choices=("normal", "inverted"),
        help="inverted: objects are where the map is low",
    )
    parser.add_argument(
        "--class",
        dest="wanted_class",
        metavar="N",
        help="of a run in regions mode: one class, by number or name, as numbered objects",
    )
    add_device(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    add_anonymous(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Segment every image, write its labels at once, and print what came out."""
    from napari_selfseg.core.images.tile import TileError
    from napari_selfseg.session.store import StoredRegions

    files = image_files(options.images)
    confidence = None if options.confidence is None else Path(options.confidence)
    places = result_places(files, Path(options.out), confidence, options.overwrite)
    stored = _opened(options.stored)
    if isinstance(stored, StoredRegions):
        wanted = RegionsWanted.by(options, stored)
        how = wanted.described()
        label = partial(label_regions, stored=stored, wanted=wanted)
    else:
        choice = chosen_map(options, stored)
        how = described(choice)
        label = partial(label_objects, stored=stored, choice=choice, binary=options.binary)
    check_device(options.device)
    _to_device(stored, options.device)
    segmented = partial(_segmented, stored=stored, label=label, how=how, options=options)
    done: list[dict[str, Any]] = []
    failed: list[str] = []
    start, bar, stop = time.perf_counter(), ProgressBar(), _Stop()
    with interruptions(stop) as was_interrupted:
        for number, file in enumerate(files):
            if was_interrupted():
                break
            seconds = time.perf_counter() - start
            left = seconds / number * (len(files) - number) if number else None
            bar.update(number, len(files), "Segmenting", left)
            try:
                told = segmented(file, places[file], say=bar.say, should_stop=stop.asked)
            except TileError as error:
                bar.say(f"{file.name}: {error}")
                failed.append(file.name)
                continue
            if told is None:
                break
            done.append(told)
        bar.update(len(done), len(files), "Segmenting")
        bar.close()
        interrupted = was_interrupted()
    _print(options, stored, how, done, failed, time.perf_counter() - start)
    if interrupted:
        return INTERRUPTED
    return MISTAKE if failed else DONE


class _Stop:
    """A switch that `interruptions` throws and the prediction looks at."""

    def __init__(self) -> None:
        self._asked = False

    def __call__(self) -> None:
        self._asked = True

    def asked(self) -> bool:
        return self._asked


def _opened(folder: str) -> StoredRun | StoredRegions:
    from napari_selfseg.session.store import StoreError, load_run
    from napari_selfseg.session.warmup import quiet_openmp

    quiet_openmp()
    try:
        return load_run(folder, with_images=False)
    except StoreError as error:
        raise UserMistake(str(error)) from error


def _to_device(stored: StoredRun | StoredRegions, name: str | None) -> None:
    import torch

    from napari_selfseg.core.learning.training import choose_device

    torch.set_num_threads(available_cores())
    stored.model.network.to(choose_device(name or "auto"))


def _segmented(
    file: Path,
    places: Places,
    *,
    stored: StoredRun | StoredRegions,
    label: Callable[[Tile, Prediction], tuple[NDArray[Any], NDArray[Any], dict[str, Any]]],
    how: dict[str, Any],
    options: argparse.Namespace,
    say: Callable[[str], None],
    should_stop: Callable[[], bool],
) -> dict[str, Any] | None:
    """Segment one image and write its files; None if it was interrupted before."""
    from napari_selfseg.core.images.reading import read_tile
    from napari_selfseg.core.prediction import PredictionStopped
    from napari_selfseg.core.segmentation import needs_rescaling, prediction_of_tile
    from napari_selfseg.session.store import write_confidence, write_labels

    start = time.perf_counter()
    tile = read_tile(file, um_per_px=options.um_per_px)
    for note in (*tile.notes, *scale_notes(stored, tile)):
        say(f"{file.name}: {note}")
    try:
        prediction = prediction_of_tile(stored.model, tile, should_stop)
    except PredictionStopped:
        return None
    labels, confidence, found = label(tile, prediction)
    told = {
        "name": tile.name,
        "rows": tile.shape[0],
        "columns": tile.shape[1],
        "um_per_px": tile.um_per_px,
        "rescaled": needs_rescaling(stored.model, tile),
        "sha256": tile.sha256(),
        **found,
    }
    write_labels(places[0], labels, tile.um_per_px)
    write_provenance(places[0], stored, how, told, options.anonymous)
    if places[1] is not None:
        write_confidence(places[1], confidence, tile.um_per_px)
    return {
        **told,
        "labels": str(places[0]),
        "confidence": None if places[1] is None else str(places[1]),
        "seconds": round(time.perf_counter() - start, 3),
    }


def _print(
    options: argparse.Namespace,
    stored: StoredRun | StoredRegions,
    how: dict[str, Any],
    done: list[dict[str, Any]],
    failed: list[str],
    seconds: float,
) -> None:
    if options.json:
        print_json(
            {
                "run": str(options.stored),
                **how,
                "labels_used": stored.provenance.get("labels_used", "none"),
                "images": done,
                "failed": failed,
                "seconds": round(seconds, 3),
            }
        )
        return
    for image in done:
        if "classes" in image:
            shares = ", ".join(f"{c['name']} {c['share']:.1%}" for c in image["classes"])
            print(f"{image['labels']}: {shares}")
            continue
        objects = "" if image["objects"] is None else f"{image['objects']} objects, "
        expected = ""
        if image.get("quality") is not None:
            quality = image["quality"]
            expected = f", expected Dice {quality['expected_dice']:.2f} ± {quality['spread']:.2f}"
        print(f"{image['labels']}: {objects}{image['foreground']:.1%} of the pixels{expected}")
