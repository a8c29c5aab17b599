"""``napari-selfseg evaluate``: how well label images agree with references."""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from napari_selfseg.cli.console import DONE, UserMistake, print_json, tell
from napari_selfseg.cli.images import is_label_file
from napari_selfseg.cli.options import add_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUFFIXES = (".tif", ".tiff", ".png")
SHOWN = ("dice", "aji", "pq", "sq", "rq")


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "evaluate",
        help="Dice, AJI and PQ against a reference",
        description=(
            "Compare label images with references: two files, or two folders in which X.tif "
            "belongs to X_labels.png or X_mask.png."
        ),
    )
    parser.add_argument("predicted", metavar="PREDICTED", help="label image or folder")
    parser.add_argument("reference", metavar="REFERENCE", help="label image, mask or folder")
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compare, and print a table with the means."""
    rows = [
        {"name": predicted.stem, **compared(predicted, reference)}
        for predicted, reference in pairs(Path(options.predicted), Path(options.reference))
    ]
    means = {name: fmean(row[name] for row in rows) for name in SHOWN}
    if options.json:
        print_json({"n": len(rows), "mean": means, "images": rows})
        return DONE
    width = max(len(row["name"]) for row in rows)
    width = max(width, len(f"mean of {len(rows)}"))
    print(f"{'image':<{width}}  {'Dice':>6} {'AJI':>6} {'PQ':>6} {'SQ':>6} {'RQ':>6}  objects")
    for row in rows:
        count = f"{row['n_predicted']:.0f} / {row['n_reference']:.0f}"
        print(f"{row['name']:<{width}}  {_numbers(row)}  {count}")
    print(f"{f'mean of {len(rows)}':<{width}}  {_numbers(means)}")
    return DONE


def pairs(predicted: Path, reference: Path) -> list[tuple[Path, Path]]:
    """Return what is to be compared with what.

    Raises
    ------
    UserMistake
        If something is not there, or nothing belongs together.
    """
    for path in (predicted, reference):
        if not path.exists():
            raise UserMistake(f"There is no file or folder {path}.")
    if not predicted.is_dir():
        found = _reference_of(predicted.stem, reference) if reference.is_dir() else reference
        if found is None:
            raise UserMistake(f"{reference} holds no reference for {predicted.name}.")
        return [(predicted, found)]
    if not reference.is_dir():
        raise UserMistake("A folder of predictions needs a folder of references.")
    files = [
        path
        for path in sorted(predicted.iterdir())
        if path.suffix.lower() in SUFFIXES and not is_label_file(path)
    ]
    matched = [(path, _reference_of(path.stem, reference)) for path in files]
    missing = [path.name for path, found in matched if found is None]
    if missing:
        tell(f"No reference for {len(missing)} of {len(files)} images, such as {missing[0]}.")
    together = [(path, found) for path, found in matched if found is not None]
    if not together:
        raise UserMistake(
            f"Nothing in {reference} belongs to the images in {predicted}; X.tif belongs to "
            "X_labels.png or X_mask.png."
        )
    return together


def compared(predicted: Path, reference: Path) -> dict[str, Any]:
    """Return the scores of one pair.

    In a mask, where all objects have the same number, the connected parts are taken as the
    objects for AJI and PQ; ``objects`` says so.

    Raises
    ------
    UserMistake
        If a file cannot be read or the sizes differ.
    """
    from napari_selfseg.core.metrics import compare
    from napari_selfseg.session.store import StoreError, read_labels

    try:
        images = [read_labels(predicted), read_labels(reference)]
    except StoreError as error:
        raise UserMistake(str(error)) from error
    if images[0].shape != images[1].shape:
        raise UserMistake(
            f"{predicted.name} has {images[0].shape[0]} × {images[0].shape[1]} px, but "
            f"{reference.name} has {images[1].shape[0]} × {images[1].shape[1]} px."
        )
    labels, from_mask = zip(*(as_objects(image) for image in images), strict=True)
    try:
        scores = compare(*labels)
    except ValueError as error:
        raise UserMistake(f"{predicted.name}: {error}") from error
    names = ("predicted", "reference")
    masks = [name for name, is_mask in zip(names, from_mask, strict=True) if is_mask]
    counted = f"connected parts of the mask ({', '.join(masks)})" if masks else "numbered"
    return {**scores, "objects": counted}


def as_objects(labels: NDArray[Any]) -> tuple[NDArray[Any], bool]:
    """Return an image with a number per object, and whether it was a mask (one number)."""
    from scipy import ndimage

    mask: NDArray[np.bool_] = labels > 0
    inside = labels[mask]
    if inside.size == 0 or inside.min() != inside.max():
        return labels, False
    parts, n_parts = ndimage.label(mask)
    return (parts, True) if n_parts > 1 else (labels, False)


def _reference_of(stem: str, folder: Path) -> Path | None:
    for ending in ("_labels", "_mask"):
        for suffix in (".png", ".tif", ".tiff"):
            path = folder / f"{stem}{ending}{suffix}"
            if path.is_file():
                return path
    return None


def _numbers(scores: dict[str, Any]) -> str:
    return " ".join(f"{scores[name]:6.3f}" for name in SHOWN)
