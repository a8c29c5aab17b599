"""The files of a session folder: one manifest of each saved state, and the images it names.

A manifest says of every image how large it is and its SHA-256, and of itself too; so whatever a
dying disk or another program has changed is seen. Images are TIFFs for any program to look at.
"""

from __future__ import annotations

import hashlib
import io
import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from napari_selfseg.core.atomic import write_whole
from napari_selfseg.session.label_files import StoreError

FORMAT = 1
LARGEST_MANIFEST = 256_000_000  # bytes
LARGEST_IMAGE = 4_000_000_000
LARGEST_NUMBER = int(np.iinfo(np.int32).max)
ROWS_PER_STRIP = 256
KINDS = {"labels": (np.uint8, np.uint16, np.int32), "touched": (np.bool_,)}

NAME = r"^[a-z][a-z0-9_]{0,40}(-[0-9]{1,6})?"  # of a layer or a value
Name = Annotated[str, Field(pattern=NAME + "$")]
Count = Annotated[int, Field(ge=0, le=2**53)]
Side = Annotated[int, Field(ge=1, le=10_000_000)]
LabelNumber = Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ImageRecord(_Record):
    """An image file in the folder of images."""

    name: Annotated[
        str,
        Field(pattern=NAME + r"-(labels|touched)-[0-9]{6,12}\.tif$"),
    ]
    n_bytes: Annotated[int, Field(ge=1, le=LARGEST_IMAGE)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class LayerRecord(_Record):
    """A labels layer; reserved numbers are told as (first, last) of what is without a gap."""

    labels: ImageRecord
    touched: ImageRecord
    reserved: list[tuple[LabelNumber, LabelNumber]]
    settings: dict[str, JsonValue]
    n_corrections: Count


class Manifest(_Record):
    """One saved state."""

    number: Count
    saved_at: Annotated[float, Field(ge=0, le=1e11)]  # s since 1970
    shape: tuple[Side, Side]
    layers: dict[Name, LayerRecord]
    values: dict[Name, JsonValue]
    runs: dict[Name, Annotated[int, Field(ge=1, le=999_999)]]

    @property
    def n_corrections(self) -> int:
        """How many places a person has touched."""
        return sum(layer.n_corrections for layer in self.layers.values())

    @property
    def when(self) -> datetime:
        """When it was saved, in local time."""
        return datetime.fromtimestamp(self.saved_at, UTC).astimezone()

    def images(self) -> tuple[ImageRecord, ...]:
        """Return all images it needs."""
        return tuple(
            image for layer in self.layers.values() for image in (layer.labels, layer.touched)
        )


# ---- manifests


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest whole.

    Raises
    ------
    OSError
    """
    told = manifest.model_dump(mode="json")
    whole = {"format": FORMAT, "sha256": _digest(told), "state": told}
    write_whole(path, (json.dumps(whole, indent=1) + "\n").encode("ascii"))


def read_manifest(path: Path) -> Manifest:
    """Read a manifest and check every field of it.

    Raises
    ------
    StoreError
        If it is damaged or newer than this program; one sentence.
    OSError
        If the file cannot be read at all.
    """
    content = read_bounded(path, LARGEST_MANIFEST)
    try:
        whole = json.loads(content.decode())
        version = whole["format"]
        if isinstance(version, int) and version > FORMAT:
            raise StoreError(
                f"{path.name} was written by a newer SelfSeg: update this one to open it."
            )
        if version != FORMAT or set(whole) != {"format", "sha256", "state"}:
            raise ValueError(version)
        if whole["sha256"] != _digest(whole["state"]):
            raise ValueError("sum")
        return Manifest.model_validate_json(_canonical(whole["state"]))
    except (ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
        raise StoreError(f"{path.name} is damaged.") from error


def read_bounded(path: Path, most: int) -> bytes:
    """Return a file's content.

    Raises
    ------
    StoreError
        If it is no plain file, or larger than ``most`` bytes.
    OSError
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise StoreError(f"{path.name} is no plain file.")
    with path.open("rb") as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise StoreError(f"{path.name} is larger than it can be.")
    return content


def _canonical(told: Any) -> str:
    return json.dumps(told, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(told: Any) -> str:
    return hashlib.sha256(_canonical(told).encode()).hexdigest()


# ---- images


def encode_image(image: NDArray[Any]) -> bytes:
    """Return labels or touched pixels (M, N) as the content of a TIFF.

    zlib at its quickest: four times slower than zstd (0.2 s for 25 megapixels), but every program
    reads it.
    """
    stream = io.BytesIO()
    tifffile.imwrite(
        stream,
        image,
        photometric="minisblack",
        compression="zlib",
        compressionargs={"level": 1},
        rowsperstrip=ROWS_PER_STRIP,
        software="napari-selfseg",
        metadata=None,
    )
    return stream.getvalue()


def write_image(folder: Path, name: str, image: NDArray[Any]) -> ImageRecord:
    """Write an image into the folder of images and return what the manifest says of it.

    Raises
    ------
    OSError
    """
    content = encode_image(image)
    write_whole(folder / name, content)
    digest = hashlib.sha256(content).hexdigest()
    return ImageRecord(name=name, n_bytes=len(content), sha256=digest)


def read_image(folder: Path, record: ImageRecord, shape: tuple[int, int]) -> NDArray[Any]:
    """Read labels or touched pixels (M, N).

    Raises
    ------
    StoreError
        If it is not what the manifest says.
    OSError
    """
    content = read_bounded(folder / record.name, record.n_bytes)
    if len(content) != record.n_bytes or hashlib.sha256(content).hexdigest() != record.sha256:
        raise StoreError(f"{record.name} is damaged.")
    kind = record.name.rsplit("-", 2)[1]
    try:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            page = file.pages[0]
            # looked at before anything is unpacked: a few bytes may claim to be terabytes
            if page.shape != shape or page.dtype not in KINDS[kind] or len(file.pages) != 1:
                raise ValueError(page.shape)
            image = np.asarray(page.asarray())
    except Exception as error:  # tifffile raises many kinds for a damaged file
        raise StoreError(f"{record.name} is damaged or of another image.") from error
    if kind == "labels" and image.min(initial=0) < 0:
        raise StoreError(f"{record.name} holds negative numbers.")
    return image


# ---- numbers


def to_ranges(numbers: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return increasing numbers as (first, last) of each part without a gap."""
    if not len(numbers):
        return []
    ends = np.flatnonzero(np.diff(numbers) > 1)
    first, last = numbers[np.r_[0, ends + 1]], numbers[np.r_[ends, len(numbers) - 1]]
    return list(zip(first.tolist(), last.tolist(), strict=True))


def from_ranges(ranges: list[tuple[int, int]], most: int) -> NDArray[np.int64]:
    """Return the numbers again; ``most`` is how many there can be at all.

    Raises
    ------
    StoreError
        If they are not in order, or more than there can be.
    """
    flat = [end for part in ranges for end in part]
    ordered = all(a <= b for a, b in ranges) and all(a[1] < b[0] for a, b in pairwise(ranges))
    if not ordered or sum(b - a + 1 for a, b in ranges) > most:
        raise StoreError("The reserved numbers of a stored layer are damaged.")
    if not flat:
        return np.zeros(0, np.int64)
    return np.concatenate([np.arange(a, b + 1, dtype=np.int64) for a, b in ranges])
