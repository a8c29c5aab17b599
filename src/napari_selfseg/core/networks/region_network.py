"""A network without a gradient: stain and texture around each pixel, and K centroids of them.

Everything it needs to know is in its state, the size of a pixel too, so that it is stored and
opened like any other network.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as nnf
from numpy.typing import NDArray
from skimage.color import hed_from_rgb
from torch import Tensor, nn

from napari_selfseg.core.images.stain import DARKEST, LEAST_DENSITY
from napari_selfseg.core.networks.network_input import FLOOR

N_SCALES = 2  # a fine and a coarse blur of every feature
REACH = 3.0  # standard deviations at which a Gaussian is cut off
LARGEST_STRIDE, LARGEST_SIGMA = 4096, 200.0  # px and cells; more is no setting but a damaged file
LEAST_TEMPERATURE = 1e-4  # a tile of few flat colours has no spread within a class
GLASS_DENSITY = 0.15  # natural units: 86 % of the light comes through; no stain is that pale
N_SIGNALS = {1: 2, 3: 6}  # of each pixel: density and texture; for RGB red, green, blue, H, hue too


class RegionNetwork(nn.Module):
    """Map tiles to soft memberships of K classes, by the distance to the classes' centroids.

    Of every pixel the optical density per channel is taken, for RGB also the haematoxylin amount
    and the hue of the stain; the local texture is how far the stain differs from its own blur.
    Means over square cells of ``alignment`` px are blurred at two scales and standardised. The
    membership of class k is the softmax of minus the squared distance to its centroid.

    Parameters
    ----------
    n_channels : int
        C, 1 for grey and 3 for RGB.
    n_classes : int
        K.
    """

    stride: Tensor
    sigmas: Tensor
    dark_field: Tensor
    mean: Tensor
    spread: Tensor
    temperature: Tensor
    unmixing: Tensor

    def __init__(self, n_channels: int = 3, n_classes: int = 3) -> None:
        super().__init__()
        n_features = N_SCALES * N_SIGNALS[n_channels]
        self.n_channels, self.n_classes, self.n_features = n_channels, n_classes, n_features
        self.register_buffer("stride", torch.ones((), dtype=torch.int64))
        self.register_buffer("sigmas", torch.ones(1 + N_SCALES))
        self.register_buffer("dark_field", torch.zeros((), dtype=torch.bool))
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("spread", torch.ones(n_features))
        self.register_buffer("temperature", torch.ones(()))
        unmixing = torch.from_numpy(np.asarray(hed_from_rgb[:, 0], dtype=np.float32))
        self.register_buffer("unmixing", unmixing, persistent=False)
        # a parameter, as the device of a network is that of its first one
        self.centroids = nn.Parameter(torch.zeros(n_classes, n_features), requires_grad=False)

    @property
    def alignment(self) -> int:
        """Side of a cell in px; a piece of a tile must begin where a cell begins."""
        return int(self.stride)

    @property
    def halo(self) -> int:
        """Pixels around a pixel that its membership depends on."""
        texture, *scales = self.sigmas.tolist()
        reach = math.ceil(REACH * texture) + math.ceil(REACH * max(scales))
        return self.alignment * int(reach + 2)  # two cells more to interpolate between cells

    @property
    def preview_halo(self) -> int:
        """A smaller halo would show: the coarse blur reaches far, and is cheap."""
        return self.halo

    def set_scale(self, um_per_px: float, cell_um: float, sigmas_um: tuple[float, ...]) -> None:
        """Say how large a pixel is.

        Parameters
        ----------
        um_per_px : float
            Of the tiles that come.
        cell_um : float
            Side of the cells the features are looked at in; a whole number of px is taken.
        sigmas_um : tuple of float
            Standard deviations of the texture's blur and of the fine and the coarse blur.
        """
        stride = max(1, round(cell_um / um_per_px))
        self.stride.fill_(min(stride, LARGEST_STRIDE))
        in_cells = [min(sigma / (um_per_px * stride), LARGEST_SIGMA) for sigma in sigmas_um]
        self.sigmas.copy_(torch.tensor(in_cells))

    def take_classes(self, centroids: NDArray[np.floating], temperature: float) -> None:
        """Take centroids (K, F), standardised, and the temperature of the memberships.

        The class with most stain comes first, so that the same tissue gets the same number.
        """
        found = torch.as_tensor(np.asarray(centroids), dtype=torch.float32)
        with torch.no_grad():
            self.centroids.copy_(found.to(self.centroids.device))
            order = torch.argsort(self.amounts(), descending=True, stable=True)
            self.centroids.copy_(self.centroids[order])
            self.temperature.fill_(max(temperature, LEAST_TEMPERATURE))

    def amounts(self) -> Tensor:
        """Return the stain of every class: haematoxylin, or density where there is no hue; (K,)."""
        return self._of_centroids()[:, :, 3 if self.n_channels == 3 else 0].mean(1)

    def glass(self) -> int | None:
        """Return the class (from 0) that is certainly empty: nearly all light comes through it."""
        density = self._of_centroids()[:, :, : self.n_channels].amax((1, 2))
        palest = int(density.argmin())
        return palest if float(density[palest]) < GLASS_DENSITY else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, M, N) to memberships (B, K, M, N) in 0..1 that add up to 1."""
        features = self.features(x)
        standard = (features - _along(self.mean)) / _along(self.spread)
        # |f - c|² = |f|² - 2 f·c + |c|², and |f|² is the same for every class
        product = nnf.conv2d(standard, self.centroids[:, :, None, None])
        distance = _along(self.centroids.square().sum(1)) - 2 * product
        on_cells = torch.softmax(-distance / (2 * self.temperature), 1)
        if self.alignment == 1:
            return on_cells
        size = [side * self.alignment for side in on_cells.shape[-2:]]
        maps = nnf.interpolate(on_cells, size=size, mode="bilinear", align_corners=False)
        inside: Tensor = maps[..., : x.shape[-2], : x.shape[-1]]
        return inside.clamp(0, 1)

    def features(self, x: Tensor) -> Tensor:
        """Return the features of every cell, (B, C, M, N) to (B, F, m, n), not standardised."""
        signals = self._cells(self._signals(x))
        stain = signals[:, 3:4] if self.n_channels == 3 else signals[:, :1]
        texture = (stain - blur(stain, float(self.sigmas[0]))).abs()
        signals = torch.cat([signals, texture], 1)
        return torch.cat([blur(signals, float(sigma)) for sigma in self.sigmas[1:]], 1)

    def problem(self) -> str:
        """Say what is wrong with numbers that came from a file; "" if nothing is."""
        if not 1 <= self.alignment <= LARGEST_STRIDE:
            return f"a cell cannot be {self.alignment} px large"
        if not bool(((self.sigmas >= 0) & (self.sigmas <= LARGEST_SIGMA)).all()):
            return "a blur is out of range"
        if not bool((self.spread > 0).all()) or not float(self.temperature) > 0:
            return "a spread is not above 0"
        return ""

    def _signals(self, x: Tensor) -> Tensor:
        """Return what each pixel says by itself: density, and for RGB haematoxylin and hue."""
        light = (x - FLOOR) / (1 - FLOOR)
        if bool(self.dark_field):
            light = 1 - light  # fluorescence, as if it were stain on glass
        density = -torch.log(light.clamp(DARKEST, 1))
        if self.n_channels == 1:
            return density
        amount = (density * _along(self.unmixing)).sum(1, keepdim=True).clamp(min=0)
        hue = density[:, :1] / (density.sum(1, keepdim=True) + LEAST_DENSITY)
        return torch.cat([density, amount, hue], 1)

    def _cells(self, signals: Tensor) -> Tensor:
        """Return the means over cells; a part of a cell at the end is filled with its edge."""
        side = self.alignment
        if side == 1:
            return signals
        bottom, right = (-length % side for length in signals.shape[-2:])
        if bottom or right:
            signals = nnf.pad(signals, (0, right, 0, bottom), mode="replicate")
        return nnf.avg_pool2d(signals, side)

    def _of_centroids(self) -> Tensor:
        """Return the signals of the centroids as they are measured, (K, scales, signals)."""
        measured = self.centroids * self.spread + self.mean
        return measured.reshape(self.n_classes, N_SCALES, -1)


def blur(image: Tensor, sigma: float) -> Tensor:
    """Blur (B, C, m, n) with a Gaussian, in cells; beyond the edge the edge goes on."""
    radius = math.ceil(REACH * sigma)
    if radius == 0:
        return image
    n_channels = image.shape[1]
    places = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-0.5 * (places / sigma).square())
    kernel = (kernel / kernel.sum()).repeat(n_channels, 1)[:, None]
    padded = nnf.pad(image, (radius,) * 4, mode="replicate")
    along_rows = nnf.conv2d(padded, kernel[:, :, None], groups=n_channels)
    return nnf.conv2d(along_rows, kernel[:, :, :, None], groups=n_channels)


def _along(values: Tensor) -> Tensor:
    """Return one value per channel so that it combines with (B, C, M, N)."""
    return values[None, :, None, None]
