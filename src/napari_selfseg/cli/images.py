"""Which image files a command was given."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path

from napari_selfseg.cli.console import UserMistake, tell

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})
NOT_IMAGES = ("_labels", "_mask", "_confidence")  # what lies beside images and is none


def image_files(arguments: Iterable[str]) -> list[Path]:
    """Return the image files of arguments: files, folders, and patterns such as ``*.png``.

    From folders and patterns, and where several files are given, label images and masks
    (``X_labels.*``, ``X_mask.*``) are left out: nothing is ever learned from them.

    Raises
    ------
    UserMistake
        If something is not there, or no image is left.
    """
    given = list(_expanded(arguments))
    if not given:
        raise UserMistake("No image was given.")
    is_single_file = len(given) == 1 and given[0][1]
    images = [path for path, _ in given if is_single_file or not is_label_file(path)]
    if len(images) < len(given):
        tell(
            f"Left out {len(given) - len(images)} label images, masks or confidence maps "
            "(*_labels.*, *_mask.*, *_confidence.*)."
        )
    if not images:
        raise UserMistake("There is no image among what was given, only label images or masks.")
    return list(dict.fromkeys(images))


def is_label_file(path: Path) -> bool:
    """Whether a name says that this is a label image, a mask or a confidence map."""
    return path.stem.lower().endswith(NOT_IMAGES)


def distinct_names(images: list[Path]) -> dict[Path, str]:
    """Return a name for every image, its stem.

    Raises
    ------
    UserMistake
        If two images have the same stem, so that one result would replace the other.
    """
    names: dict[str, Path] = {}
    for path in images:
        # compared as on Windows and macOS, where case makes no other file
        other = names.setdefault(path.stem.casefold(), path)
        if other != path:
            raise UserMistake(
                f"{other.name} and {path.name} would get the same result file; rename one."
            )
    return {path: path.stem for path in images}


def _expanded(arguments: Iterable[str]) -> Iterator[tuple[Path, bool]]:
    """Yield every file and whether it was named itself."""
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            found = [f for f in sorted(path.iterdir()) if _looks_like_image(f)]
            if not found:
                raise UserMistake(f"The folder {argument} holds no image.")
            yield from ((file, False) for file in found)
        elif path.exists():
            yield path, True
        elif glob.has_magic(argument):  # Windows leaves patterns to the program
            found = [Path(name) for name in sorted(glob.glob(argument))]
            if not found:
                raise UserMistake(f"No file is called like {argument}.")
            yield from ((file, False) for file in found)
        else:
            raise UserMistake(f"There is no file {argument}.")


def _looks_like_image(path: Path) -> bool:
    # macOS puts "._name" beside every file on foreign disks
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
