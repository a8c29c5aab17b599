"""``napari-selfseg segment``: use a stored run on images."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, replace
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
from napari_selfseg.cli.options import (
    add_anonymous,
    add_device,
    add_json,
    add_scale,
    check_device,
)
from napari_selfseg.cli.places import Places, result_places, scale_notes, write_provenance
from napari_selfseg.cli.regions import RegionsWanted, segmented_regions
from napari_selfseg.session.warmup import available_cores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_selfseg.core.channels import ChannelChoice
    from napari_selfseg.core.images.tile import Tile
    from napari_selfseg.core.instances import LabelSettings
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
        segmented = partial(segmented_regions, stored=stored, wanted=wanted, options=options)
    else:
        choice = _choice(options, stored)
        how = _described(choice)
        segmented = partial(_segmented, stored=stored, choice=choice, options=options)
    check_device(options.device)
    _to_device(stored, options.device)
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


def _choice(options: argparse.Namespace, stored: StoredRun) -> ChannelChoice:
    """Return the run's map and polarity, or those of the command line."""
    if options.wanted_class is not None:
        raise UserMistake("--class is for runs in regions mode; this one finds objects.")
    choice = stored.choice
    if options.channel is not None:
        n_maps = int(getattr(stored.settings, "n_confidence_maps", 1))
        if not 0 <= options.channel < n_maps:
            raise UserMistake(
                f"The run has the maps 0 to {n_maps - 1}, but --channel is {options.channel}."
            )
        choice = replace(choice, channel=options.channel, how="user")
    if options.polarity is not None:
        choice = replace(choice, inverted=options.polarity == "inverted", how="user")
    return choice


def _described(choice: ChannelChoice) -> dict[str, Any]:
    return {
        "channel": choice.channel,
        "polarity": "inverted" if choice.inverted else "normal",
        "channel_chosen_by": choice.how,
    }


def _to_device(stored: StoredRun | StoredRegions, name: str | None) -> None:
    import torch

    from napari_selfseg.core.learning.training import choose_device

    torch.set_num_threads(available_cores())
    stored.model.network.to(choose_device(name or "auto"))


def _segmented(
    file: Path,
    places: Places,
    stored: StoredRun,
    choice: ChannelChoice,
    options: argparse.Namespace,
    say: Callable[[str], None],
    should_stop: Callable[[], bool],
) -> dict[str, Any] | None:
    """Segment one image and write its files; None if it was interrupted before."""
    from napari_selfseg.core.channels import confidence_of
    from napari_selfseg.core.images.reading import read_tile
    from napari_selfseg.core.instances import label_image
    from napari_selfseg.core.prediction import PredictionStopped
    from napari_selfseg.core.quality import expected_quality
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
    confidence = confidence_of(prediction.maps, choice)
    is_refined = prediction.is_refined(choice)
    settings = _label_settings(stored, tile, confidence, is_refined, options.binary)
    labels = label_image(confidence, settings, prediction.centres(choice, tile.um_per_px))
    quality = None
    if is_refined and prediction.doubt is not None:
        quality = expected_quality(labels, confidence, prediction.doubt)
    told = {
        "name": tile.name,
        "rows": tile.shape[0],
        "columns": tile.shape[1],
        "um_per_px": tile.um_per_px,
        "rescaled": needs_rescaling(stored.model, tile),
        "sha256": tile.sha256(),
        "objects": None if options.binary else int(labels.max(initial=0)),
        "foreground": float((labels > 0).mean()),
        "quality": None if quality is None else asdict(quality),
        "label_settings": settings.model_dump(mode="json"),
    }
    write_labels(places[0], labels, tile.um_per_px)
    write_provenance(places[0], stored, _described(choice), told, options.anonymous)
    if places[1] is not None:
        write_confidence(places[1], confidence, tile.um_per_px)
    return {
        **told,
        "labels": str(places[0]),
        "confidence": None if places[1] is None else str(places[1]),
        "seconds": round(time.perf_counter() - start, 3),
    }


def _label_settings(
    stored: StoredRun,
    tile: Tile,
    confidence: NDArray[np.float32],
    is_refined: bool,
    binary: bool,
) -> LabelSettings:
    """Return what the user set in the run, at the scale of the tile, or a suggestion for it."""
    from napari_selfseg.core.plausibility import suggested_label_settings
    from napari_selfseg.core.segmentation import label_settings_at

    set_by_user = stored.provenance.get("label_settings_chosen_by") == "user"
    if stored.label_settings is not None and set_by_user:
        settings = label_settings_at(stored.label_settings, stored.um_per_px, tile.um_per_px)
    else:
        settings = suggested_label_settings(confidence, tile.read(), tile.um_per_px, is_refined)
    return settings.model_copy(update={"instances": False}) if binary else settings


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
