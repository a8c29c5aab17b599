"""The folder of test images: which tiles it holds, their scale and their reference masks."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.io import imread

from napari_selfseg.core.images.reading import read_tile
from napari_selfseg.core.images.tile import Tile

TRAINING_SET = "monuseg/train"
TEST_SETS = ("monuseg/test", "tnbc", "consep", "cpm15_20x", "dsb2018", "glas")


@dataclass(frozen=True)
class TestImage:
    """An image file with its scale (µm/px, None: unknown) and its reference mask."""

    path: Path
    um_per_px: float | None

    @property
    def name(self) -> str:
        return self.path.stem

    def tile(self) -> Tile:
        """Read the image."""
        return read_tile(self.path, um_per_px=self.um_per_px)

    def reference(self) -> NDArray[np.integer] | None:
        """Read the label image or mask beside it, (M, N); None where there is none."""
        for ending in ("_labels.png", "_mask.png"):
            path = self.path.with_name(self.path.stem + ending)
            if path.exists():
                return np.asarray(imread(path))
        return None


def images_of(data: Path, subset: str) -> list[TestImage]:
    """List the images of a set, by name."""
    scales = dict(_scales(data / "manifest.csv"))
    return [
        TestImage(path, scales.get(path.relative_to(data).as_posix()))
        for path in sorted((data / subset).glob("*.png"))
        if not path.stem.endswith(("_labels", "_mask"))
    ]


def _scales(manifest: Path) -> Iterator[tuple[str, float]]:
    """Yield file and µm/px: as measured, else what the stated magnification means."""
    with manifest.open(newline="") as lines:
        for row in csv.DictReader(lines):
            if row["mpp_um"]:
                yield row["file"], float(row["mpp_um"])
            elif row["magnification"].endswith("x"):
                yield row["file"], 10.0 / float(row["magnification"].rstrip("x"))
