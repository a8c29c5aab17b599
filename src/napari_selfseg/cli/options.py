"""Options that several commands share, and the settings they lead to."""

from __future__ import annotations

import argparse
import difflib
from typing import TYPE_CHECKING, Any

from napari_selfseg.cli.console import UserMistake

if TYPE_CHECKING:
    from napari_selfseg.core.methods.settings import TrainingSettings


def add_scale(parser: argparse.ArgumentParser) -> None:
    """Add ``--um-per-px``."""
    parser.add_argument(
        "--um-per-px",
        type=scale,
        metavar="X",
        help="microns per pixel, where the file does not say or is wrong",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"))


def add_anonymous(parser: argparse.ArgumentParser) -> None:
    """Add ``--anonymous``."""
    parser.add_argument("--anonymous", action="store_true", help="store no names of images")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def scale(text: str) -> float:
    """Return a finite number above 0, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number above 0")
    return number


def settings_from(options: argparse.Namespace) -> TrainingSettings:
    """Return the settings of a preset with the changes of the command line.

    Raises
    ------
    UserMistake
        If a setting is unknown or out of range.
    """
    from pydantic import ValidationError

    from napari_selfseg.core.methods import METHODS
    from napari_selfseg.core.methods.settings import preset_settings

    kind = METHODS[options.method].Settings
    changes: dict[str, Any] = {}
    for change in options.changes:
        name, equals, value = change.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise UserMistake(f"--set needs NAME=VALUE, but was given {change!r}.")
        known = [field for field in kind.model_fields if field not in kind.unused]
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {_listed(kind)}."
            raise UserMistake(f"There is no setting {name!r}; {hint}")
        changes[name] = None if value.strip().lower() in ("none", "null") else value.strip()
    if options.seed is not None:
        changes["seed"] = options.seed
    if options.device is not None:
        changes["device"] = options.device
    try:
        return preset_settings(options.preset, kind, **changes)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        given = f" (given: {first['input']})" if name else ""
        raise UserMistake(f"{name or 'Settings'}: {first['msg']}{given}.") from error


def check_device(name: str | None) -> None:
    """Raise `UserMistake` if a graphics card is asked for and there is none."""
    from napari_selfseg.session.warmup import quiet_openmp

    quiet_openmp()
    from napari_selfseg.core.learning.training import TrainingFailed, choose_device

    try:
        choose_device(name or "auto")
    except TrainingFailed as error:
        raise UserMistake(str(error)) from error


def _listed(kind: type[TrainingSettings]) -> str:
    return ", ".join(field for field in kind.model_fields if field not in kind.unused)
