"""Segment histology tiles without labels, in napari or without a window.

Importing this package is cheap: no torch, no Qt, no napari.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("napari-selfseg")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
