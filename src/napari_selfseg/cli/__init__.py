"""The command line: the same core without a window.

It starts fast: torch, napari and the image libraries are imported by the command that needs
them, so that ``--help`` and a wrong flag answer at once.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from napari_selfseg import __version__
from napari_selfseg.cli import demo, evaluate, pretrain, refine, segment, train
from napari_selfseg.cli.console import FAILURE, INTERRUPTED, MISTAKE, UserMistake, tell

__all__ = ["main"]

TRACEBACK = "NAPARI_SELFSEG_TRACEBACK"  # set to 1 to see where a failure came from
EPILOG = (
    "Every command takes --json (one object on the standard output) and ends with 0 (done), "
    "2 (a mistake that one sentence explains), 1 (failure) or 130 (interrupted; what was "
    "finished stays). Research use only, not for diagnosis."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Instead of those of the process.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a Windows console may not know "µ"
    options = build_parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except KeyboardInterrupt:
        tell("Interrupted; what was finished stays.")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output went away, as in "... | head"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except Exception as error:
        if os.environ.get(TRACEBACK):
            traceback.print_exc()
        return _explained(error)
    return code


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = _Parser(
        prog="napari-selfseg",
        description="Segment histology tiles without labels.",
        epilog=EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"napari-selfseg {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (demo, train, pretrain, segment, refine, evaluate):
        command.add_to(commands)
    return parser


class _Parser(argparse.ArgumentParser):
    """A parser that answers a mistake with one sentence instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(MISTAKE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _explained(error: Exception) -> int:
    """Print one sentence about an error and return the exit code that belongs to it."""
    from napari_selfseg.core.checkpoint import CheckpointError
    from napari_selfseg.core.images.tile import TileError
    from napari_selfseg.session.label_files import StoreError
    from napari_selfseg.session.run import RunError

    if isinstance(error, UserMistake | TileError | CheckpointError):
        tell(str(error))
        return MISTAKE
    if isinstance(error, StoreError | RunError):
        tell(str(error))
        return FAILURE
    if isinstance(error, MemoryError):
        tell("There is not enough memory for this; use a smaller image.")
        return FAILURE
    tell(f"Something went wrong ({type(error).__name__}: {error}); set {TRACEBACK}=1 to see where.")
    return FAILURE
