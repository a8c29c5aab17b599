"""``napari-selfseg pretrain``: learn from images what other methods then use, without labels."""

from __future__ import annotations

import argparse
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
from napari_selfseg.core.methods.settings import PRESETS
from napari_selfseg.session.warmup import available_cores

if TYPE_CHECKING:
    from napari_selfseg.session.pretraining import Pretrained


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "pretrain",
        help="learn what other methods use, without labels",
        description="Learn from images, without labels, what train and refine then begin with.",
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files or folders")
    parser.add_argument("--out", required=True, metavar="RUN", help="folder for the pretraining")
    parser.add_argument("--method", choices=_pretrainings(), required=True)
    parser.add_argument("--preset", choices=tuple(PRESETS), default="standard")
    add_scale(parser)
    parser.add_argument("--seed", type=int, metavar="N", help="same seed, same result")
    add_device(parser)
    parser.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change one setting, such as n_steps=200; may be repeated",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the run that is there already"
    )
    add_anonymous(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def _pretrainings() -> list[str]:
    from napari_selfseg.core.methods import METHODS

    return sorted(name for name, entry in METHODS.items() if entry.finds == "features")


def run(options: argparse.Namespace) -> int:
    """Learn, store what was learned and print what came out."""
    from napari_selfseg.core.images.reading import read_tile
    from napari_selfseg.session.pretraining import PretrainingRun, PretrainRequest
    from napari_selfseg.session.steered import RunError
    from napari_selfseg.session.store import StoreError, check_free, save_pretraining

    settings = settings_from(options)
    files = image_files(options.images)
    check_device(options.device)
    try:
        check_free(options.out, options.overwrite)
    except StoreError as error:
        raise UserMistake(f"{error} (--out)") from error
    tiles = tuple(read_tile(path, um_per_px=options.um_per_px) for path in files)
    for note in dict.fromkeys(f"{tile.name}: {note}" for tile in tiles for note in tile.notes):
        tell(note)
    learning = PretrainingRun(PretrainRequest(tiles, settings, options.method, available_cores()))
    try:
        learning.check_request()
    except RunError as error:
        raise UserMistake(str(error)) from error
    result, interrupted = follow(learning)
    save_pretraining(result, options.out, options.anonymous, options.overwrite)
    if options.json:
        print_json({**summary(result), "run": str(options.out)})
    else:
        print(told(result))
        print(f"The pretraining is in {options.out}.")
    return INTERRUPTED if interrupted else DONE


def summary(result: Pretrained) -> dict[str, Any]:
    """Return what ``pretrain --json`` prints, without the place of the run."""
    last = result.curves[-1].measures if result.curves else {}
    return {
        "method": result.model.method,
        "seconds": round(result.seconds, 3),
        "steps": len(result.curves),
        "stopped_by": result.stopped_by,
        "stopped_because": result.stopped_because,
        "labels_used": result.provenance["labels_used"],
        "measures": {name: float(value) for name, value in last.items()},
        "device": result.provenance["device"],
        "threads": result.provenance["threads"],
    }


def told(result: Pretrained) -> str:
    """Return the same in words."""
    n = len(result.curves)
    steps = f"{n} step{'' if n == 1 else 's'} in {duration(result.seconds)}"
    return f"Learned without labels: {steps}. {result.stopped_because}"
