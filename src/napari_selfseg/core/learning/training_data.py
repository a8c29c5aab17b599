"""The training data: random crops of tiles, cut where the network computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_selfseg.core.images.tile import Tile, TileError
from napari_selfseg.core.memory import is_out_of_memory
from napari_selfseg.core.networks.device import sent
from napari_selfseg.core.networks.network_input import network_input

MAX_BYTES_IN_MEMORY = 2**30  # a larger tile is read crop by crop
MAX_BYTES_ON_CARD = 2**29  # of all tiles as the network reads them; more are sent crop by crop
PROCESSOR = torch.device("cpu")


class Crops(Protocol):
    """Where the crops of a training come from."""

    def crop_side(self, wanted: int) -> int:
        """Return the side of a crop in px: ``wanted``, or what there is."""
        ...

    def draw(
        self, rng: np.random.Generator, n: int, side: int, device: torch.device = PROCESSOR
    ) -> Tensor:
        """Return n random square crops on a device, (n, C, side, side); the same on every one."""
        ...


class Guard(Protocol):
    """Tells which patches are alike, so that a method does not contrast them.

    Attributes
    ----------
    side : int
        Of the patches it looks at, in px of the tiles.
    """

    side: int

    def __call__(self, patches: Tensor) -> Tensor:
        """Return the number of the group of patches (n, C, side, side), (n,)."""
        ...


class TrainingData:
    """Random crops of one or more tiles, as the network reads them.

    Parameters
    ----------
    tiles : sequence of Tile
        All grey or all RGB, each at least one crop large (the crop shrinks to fit).
    image_space : {"rgb", "optical-density"}
    guard : Guard, optional
        A method that contrasts patches leaves out those of one group.

    Raises
    ------
    TileError
        If there is no tile, or grey and RGB tiles are mixed.
    """

    def __init__(
        self,
        tiles: Sequence[Tile],
        image_space: str = "rgb",
        guard: Guard | None = None,
    ) -> None:
        if not tiles:
            raise TileError("There is no image to learn from.")
        if len({tile.n_channels for tile in tiles}) > 1:
            raise TileError("Grey and colour images cannot be learned together; choose one kind.")
        self.tiles = tuple(tiles)
        self.image_space, self.guard = image_space, guard
        self._pixels: list[Any] = [_in_memory(tile.pixels) for tile in tiles]
        self._queue: list[int] = []
        self._card = PROCESSOR
        self._on_card: list[Tensor] | None = None

    @property
    def n_channels(self) -> int:
        """1 for grey tiles, 3 for RGB."""
        return self.tiles[0].n_channels

    @property
    def um_per_px(self) -> float | None:
        """The median scale of the tiles; None if one is unknown."""
        scales = [tile.um_per_px for tile in self.tiles]
        known = [scale for scale in scales if scale is not None]
        return float(np.median(known)) if len(known) == len(scales) else None

    def crop_side(self, wanted: int) -> int:
        """Return the side of a crop in px: ``wanted``, or what the smallest tile allows."""
        return min(wanted, *(side for tile in self.tiles for side in tile.shape))

    def read(self, index: int, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Return a region of a tile as the network reads it, (C, m, n)."""
        tile, pixels = self.tiles[index], self._pixels[index]
        region = np.asarray(pixels[rows, columns]).astype(np.float32) / np.float32(tile.white)
        return network_input(np.clip(region, 0, 1), self.image_space)

    def restart(self) -> None:
        """Forget whose turn it is, so that a second training draws what the first one drew."""
        self._queue = []

    def draw(
        self, rng: np.random.Generator, n: int, side: int, device: torch.device = PROCESSOR
    ) -> Tensor:
        """Return n random square crops, (n, C, side, side); tiles take turns in random order."""
        places = [self._place(rng, side) for _ in range(n)]
        tiles = self._kept_on(device)
        if tiles is not None:
            return torch.stack([tiles[index][:, rows, columns] for index, rows, columns in places])
        return sent(torch.from_numpy(np.stack([self.read(*place) for place in places])), device)

    def _place(self, rng: np.random.Generator, side: int) -> tuple[int, slice, slice]:
        if not self._queue:
            self._queue = rng.permutation(len(self.tiles)).tolist()
        index = self._queue.pop()
        rows, columns = self.tiles[index].shape
        top = int(rng.integers(rows - side + 1))
        left = int(rng.integers(columns - side + 1))
        return index, slice(top, top + side), slice(left, left + side)

    def _kept_on(self, device: torch.device) -> list[Tensor] | None:
        """Return the tiles as they are kept on a graphics card; None where they are not."""
        if self._card != device:
            self._card, self._on_card = device, None  # first of all, the old ones are let go
            n_bytes = 4 * self.n_channels * sum(rows * cols for rows, cols in self._shapes)
            if device.type != "cpu" and n_bytes <= MAX_BYTES_ON_CARD:
                self._on_card = self._copied_to(device)
        return self._on_card

    def _copied_to(self, device: torch.device) -> list[Tensor] | None:
        try:
            return [
                torch.from_numpy(self.read(i, slice(0, rows), slice(0, columns))).to(device)
                for i, (rows, columns) in enumerate(self._shapes)
            ]
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return None

    @property
    def _shapes(self) -> list[tuple[int, int]]:
        return [tile.shape for tile in self.tiles]


def _in_memory(pixels: Any) -> Any:
    size = int(np.prod(pixels.shape)) * np.dtype(pixels.dtype).itemsize
    return np.asarray(pixels) if size <= MAX_BYTES_IN_MEMORY else pixels
