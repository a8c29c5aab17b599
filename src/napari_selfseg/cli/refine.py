"""``napari-selfseg refine``: learn from strokes on an image, starting from a stored run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_selfseg.cli.console import (
    DONE,
    INTERRUPTED,
    UserMistake,
    duration,
    print_json,
    tell,
)
from napari_selfseg.cli.following import follow
from napari_selfseg.cli.images import image_files
from napari_selfseg.cli.options import (
    add_anonymous,
    add_device,
    add_json,
    add_scale,
    check_device,
    settings_from,
)
from napari_selfseg.session.warmup import available_cores

if TYPE_CHECKING:
    from napari_selfseg.core.images.tile import Tile
    from napari_selfseg.core.learning.strokes import Strokes
    from napari_selfseg.session.refining import RefineRequest
    from napari_selfseg.session.result import RunResult


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "refine",
        help="learn from strokes",
        description="Learn from strokes on one image, starting from a stored run, and store the "
        "result as another run.",
    )
    parser.add_argument("stored", metavar="RUN", help="folder of the run to start from")
    parser.add_argument("image", metavar="IMAGE", help="the image that was painted on")
    parser.add_argument(
        "--strokes",
        required=True,
        metavar="STROKES.tif",
        help="an image of the same size: 0 not painted, 1 background, 2 and above classes",
    )
    parser.add_argument("--out", required=True, metavar="RUN2", help="folder for the new run")
    parser.add_argument("--method", choices=_learners(), default="local-contrast")
    parser.add_argument(
        "--others",
        nargs="+",
        default=[],
        metavar="IMAGE",
        help="unpainted images that the model is meant for, too",
    )
    add_scale(parser)
    parser.add_argument("--seed", type=int, metavar="N", help="same seed, same result")
    add_device(parser)
    parser.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any setting of the method, such as mode=block",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the run that is there already"
    )
    add_anonymous(parser)
    add_json(parser)
    parser.set_defaults(run=run, preset="standard")


def run(options: argparse.Namespace) -> int:
    """Learn from the strokes, store the run and print what came out."""
    from napari_selfseg.cli.train import save
    from napari_selfseg.core.images.reading import read_tile
    from napari_selfseg.session.refining import RefineRequest
    from napari_selfseg.session.reopened import result_of
    from napari_selfseg.session.store import StoredRegions, StoreError, check_free, load_run

    settings = settings_from(options)
    check_device(options.device)
    (file,) = image_files([options.image])
    try:
        check_free(options.out, options.overwrite)
    except StoreError as error:
        raise UserMistake(f"{error} (--out)") from error
    try:
        stored = load_run(options.stored)
    except StoreError as error:
        raise UserMistake(str(error)) from error
    if isinstance(stored, StoredRegions):
        raise UserMistake(
            f"{options.stored} sorts tissue into regions; strokes teach runs that find objects."
        )
    tile = read_tile(file, um_per_px=options.um_per_px)
    others = [] if not options.others else image_files(options.others)
    request = RefineRequest(
        result_of(stored, tile),
        strokes_in(options.strokes, tile),
        settings,
        tuple(read_tile(path, um_per_px=options.um_per_px) for path in others),
        available_cores(),
        previews=False,
    )
    result, interrupted = refine(request)
    save(result, options.out, options.anonymous, options.overwrite)
    told = summary(result)
    if options.json:
        print_json({**told, "run": str(options.out)})
    else:
        print(
            f"{told['steps']} steps in {duration(result.seconds)}: {result.stopped_because} "
            f"{told['objects']} objects, {told['objects_before']} before. Labels used: "
            f"{told['labels_used']}.\nThe run is in {options.out}."
        )
    return INTERRUPTED if interrupted else DONE


def strokes_in(path: str | Path, tile: Tile) -> Strokes:
    """Read strokes that were painted on a tile.

    Raises
    ------
    UserMistake
        If they are no strokes, of another size, or all of one kind.
    """
    import numpy as np

    from napari_selfseg.core.learning.strokes import Strokes, StrokesError
    from napari_selfseg.session.store import StoreError, read_labels

    try:
        painted = read_labels(Path(path))
        if painted.max(initial=0) > np.iinfo(np.uint8).max:
            raise UserMistake(f"{path} holds numbers above 255: it is no image of strokes.")
        strokes = Strokes(painted.astype(np.uint8))
        strokes.check()
    except (StoreError, StrokesError) as error:
        raise UserMistake(f"{error} (--strokes)") from error
    if painted.shape != tile.shape:
        found, wanted = (" × ".join(map(str, shape)) for shape in (painted.shape, tile.shape))
        raise UserMistake(f"The strokes have {found} px, but {tile.name} has {wanted} px.")
    return strokes


def refine(request: RefineRequest) -> tuple[RunResult, bool]:
    """Learn with a progress bar; return the result and whether the user interrupted it.

    Raises
    ------
    UserMistake
        If nothing can be learned from this.
    RunError
        If the learning fails.
    """
    from napari_selfseg.session.refining import RefiningRun
    from napari_selfseg.session.steered import RunError

    learning = RefiningRun(request)
    try:
        learning.check_request()
    except RunError as error:
        raise UserMistake(str(error)) from error
    for note in request.start.tile.notes:
        tell(note)
    return follow(learning)


def summary(result: RunResult) -> dict[str, Any]:
    """Return what ``refine --json`` prints, without the place of the run.

    ``changed`` is the share of the tile's pixels that the corrections made object or background.
    """
    from napari_selfseg.core.instances import label_image

    settings = result.suggested_label_settings()
    labels = result.labels(settings)
    start = result.prediction.before
    assert start is not None
    centres = start.centres(result.choice, result.tile.um_per_px)
    before = label_image(start.maps[0], settings, centres)
    provenance = result.provenance
    return {
        "seconds": round(result.seconds, 3),
        "steps": len(result.curves),
        "stopped_by": result.stopped_by,
        "stopped_because": result.stopped_because,
        "labels_used": provenance["labels_used"],
        "painted_px": provenance["painted_px"],
        "objects": int(labels.max(initial=0)),
        "objects_before": int(before.max(initial=0)),
        "changed": float(((labels > 0) != (before > 0)).mean()),
        "device": provenance["device"],
        "threads": provenance["threads"],
        "seed": provenance["seed"],
    }


def _learners() -> list[str]:
    from napari_selfseg.core.methods import METHODS

    return sorted(name for name, entry in METHODS.items() if entry.needs_annotation)
