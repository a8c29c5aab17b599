"""Crops of tiles with what was painted on them, for learning from strokes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_selfseg.core.learning.augmentation import stain_jitter, turned
from napari_selfseg.core.learning.lessons import shrunk
from napari_selfseg.core.learning.training_data import PROCESSOR
from napari_selfseg.core.networks.device import sent
from napari_selfseg.core.networks.network_input import network_input

PLANES = 3  # of a crop behind the image: what was said, how surely, the start's logit
LEAST_SHARE = 0.5  # of a square of px that must be painted, and of one kind
DISPLACED = 0.25  # of a crop's side: how far two views of one place lie apart at most

Kind = Literal["views", "twins", "single"]
"""Pairs of views of a place that differ in all; pairs that differ in stain only; no pairs."""


@dataclass(frozen=True, eq=False)
class Painted:
    """A tile at the scale of learning, and what is known of it.

    Parameters
    ----------
    pixels : ndarray of float32, shape (M, N, C)
        Intensity in 0..1.
    said : ndarray of float32, shape (M, N)
        0 unknown, 1 background, 2 and above classes.
    weight : ndarray of float32, shape (M, N)
        1 where it was painted, less beside it, 0 where nothing is known.
    start : ndarray of float32, shape (M, N)
        The logit of the label-free map of objects.
    """

    pixels: NDArray[np.float32]
    said: NDArray[np.float32]
    weight: NDArray[np.float32]
    start: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        pixels: NDArray[np.float32],
        classes: NDArray[np.uint8],
        beside: NDArray[np.float32],
        start: NDArray[np.float32],
        shrink: int,
    ) -> Painted:
        """Return a tile ``shrink`` times smaller.

        Parameters
        ----------
        pixels : ndarray of float32, shape (M, N, C)
        classes : ndarray of uint8, shape (M, N)
            0 not painted, 1 background, 2 and above classes.
        beside : ndarray of float32, shape (M, N)
            How surely what is beside the strokes is object (above 0, to 1) or background (below).
        start : ndarray of float32, shape (M, N)
            The logit of the label-free map.
        """
        painted = np.stack([classes == number for number in range(1, int(classes.max()) + 1)], -1)
        share = shrunk(painted.astype(np.float32), shrink)
        most = share.argmax(-1)
        is_painted = np.take_along_axis(share, most[..., None], -1)[..., 0] > LEAST_SHARE
        near = shrunk(beside[..., None], shrink)[..., 0]
        # beside a stroke only object and background are told apart
        guessed = np.where(near > 0, 2, 1)
        return cls(
            pixels=shrunk(pixels, shrink),
            said=np.where(is_painted, most + 1, guessed).astype(np.float32),
            weight=np.where(is_painted, 1, np.abs(near).clip(0, 0.99)).astype(np.float32),
            start=shrunk(start[..., None], shrink)[..., 0],
        )

    @classmethod
    def unpainted(cls, pixels: NDArray[np.float32], shrink: int) -> Painted:
        """Return a tile of which nothing is known; parameters as `of`."""
        small = shrunk(pixels, shrink)
        nothing = np.zeros(small.shape[:2], np.float32)
        return cls(small, nothing, nothing, nothing)


@dataclass(frozen=True, eq=False)
class PaintedData:
    """What is learned from: tiles, and how the network reads them.

    Parameters
    ----------
    tiles : tuple of Painted
    image_space : {"rgb", "optical-density"}
    """

    tiles: tuple[Painted, ...]
    image_space: str = "rgb"


class StrokeCrops:
    """Random crops, (n, C + 3, side, side): image, what was said, how surely, the start's logit.

    Parameters
    ----------
    data : PaintedData
    jitter : float
        How much the stain is varied.
    kind : {"views", "twins", "single"}
        Of pairs the second halves of a batch are the second views.
    painted : float
        Which share of the crops lies around painted pixels, all kinds of them equally often.
    """

    def __init__(
        self,
        data: PaintedData,
        jitter: float,
        kind: Kind = "single",
        painted: float = 0.5,
    ) -> None:
        tiles = self._tiles = data.tiles
        self._image_space = data.image_space
        self._jitter, self._kind, self._painted = jitter, kind, painted
        self._places: list[list[NDArray[np.intp]]] = []  # of every kind of stroke, in every tile
        numbers = {int(n) for tile in tiles for n in np.unique(tile.said[tile.weight == 1])}
        for number in sorted(numbers):
            is_of = [(tile.said == number) & (tile.weight == 1) for tile in tiles]
            self._places.append([np.argwhere(mask) for mask in is_of])

    def crop_side(self, wanted: int) -> int:
        """Return the side of a crop in px of the tiles: ``wanted``, or what there is."""
        sides = [min(tile.said.shape) for tile in self._tiles]
        return int(min([wanted, *sides]))

    def draw(
        self, rng: np.random.Generator, n: int, side: int, device: torch.device = PROCESSOR
    ) -> Tensor:
        """Return n crops; of pairs n // 2 first and n // 2 second views."""
        if self._kind == "single":
            crops = [self._crop(rng, *self._place(rng, side), side) for _ in range(n)]
        else:
            pairs = [self._pair(rng, side) for _ in range(max(n // 2, 1))]
            crops = [one for one, _ in pairs] + [other for _, other in pairs]
        return sent(torch.from_numpy(np.stack(crops)), device)

    def _pair(
        self, rng: np.random.Generator, side: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        index, top, left = self._place(rng, side)
        if self._kind == "twins":
            turn = int(rng.integers(8))
            one, other = (self._crop(rng, index, top, left, side, turn) for _ in range(2))
            return one, other
        reach = round(DISPLACED * side)
        shape = self._tiles[index].said.shape
        moved = [
            int(np.clip(start + rng.integers(-reach, reach + 1), 0, length - side))
            for start, length in zip((top, left), shape, strict=True)
        ]
        return (
            self._crop(rng, index, top, left, side),
            self._crop(rng, index, moved[0], moved[1], side),
        )

    def _place(self, rng: np.random.Generator, side: int) -> tuple[int, int, int]:
        """Return tile, row and column where a crop begins."""
        if self._places and rng.random() < self._painted:
            of_kind = self._places[int(rng.integers(len(self._places)))]
            size = np.array([len(places) for places in of_kind], float)
            index = int(rng.choice(len(of_kind), p=size / size.sum()))
            middle = of_kind[index][int(rng.integers(len(of_kind[index])))]
            begin = middle - rng.integers(side, size=2)
        else:
            index = int(rng.integers(len(self._tiles)))
            begin = rng.integers(np.array(self._tiles[index].said.shape) - side + 1)
        limits = np.array(self._tiles[index].said.shape) - side
        top, left = np.clip(begin, 0, limits)
        return index, int(top), int(left)

    def _crop(
        self,
        rng: np.random.Generator,
        index: int,
        top: int,
        left: int,
        side: int,
        turn: int | None = None,
    ) -> NDArray[np.float32]:
        tile, where = self._tiles[index], (slice(top, top + side), slice(left, left + side))
        turn = int(rng.integers(8)) if turn is None else turn
        pixels = stain_jitter(tile.pixels[where], rng, self._jitter)
        image = network_input(turned(pixels, turn), self._image_space)
        known = [turned(one[where], turn) for one in (tile.said, tile.weight, tile.start)]
        return np.concatenate([image, np.stack(known)])
