"""A network that needed no labels, and a U-Net that learned from strokes where it was wrong."""

from __future__ import annotations

import math
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, pad

from napari_selfseg.core.networks.refined import MOST_SHRINKING, Refined
from napari_selfseg.core.networks.unet import UNet

LIMIT = 12.0  # of the evidence, as a logit; twice what a map can be sure of


class Evidence(nn.Module):
    """Map a tile (B, C, M, N) to what speaks for objects and their classes, (B, E, M, N).

    As logits. It looks at the image ``shrink`` times smaller. Before it has learned it is zero.

    Parameters
    ----------
    n_channels : int
        C, 1 for grey and 3 for RGB.
    n_classes : int
        Of objects. There is one plane for the object and, of several classes, one for each.
    """

    shrink: Tensor

    def __init__(self, n_channels: int = 3, n_classes: int = 1) -> None:
        super().__init__()
        self.learner = UNet(n_channels, 1 if n_classes == 1 else 1 + n_classes)
        self.register_buffer("shrink", torch.ones((), dtype=torch.int64))
        nn.init.zeros_(self.learner.head.weight)
        assert self.learner.head.bias is not None
        nn.init.zeros_(self.learner.head.bias)

    @property
    def n_planes(self) -> int:
        """E."""
        return self.learner.head.out_channels

    @property
    def alignment(self) -> int:
        """Pieces of an image give what the whole gives if they begin at multiples of this (px)."""
        return self.learner.alignment * int(self.shrink)

    @property
    def halo(self) -> int:
        """How far one output pixel sees, in px on each side."""
        return (self.learner.halo + 1) * int(self.shrink)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, M, N) to (B, E, M, N)."""
        shrink, (rows, columns) = int(self.shrink), x.shape[-2:]
        if shrink > 1:
            x = pad(x, (0, -columns % shrink, 0, -rows % shrink), mode="replicate")
            x = avg_pool2d(x, shrink)
        small: Tensor = self.learner(x).clamp(-LIMIT, LIMIT)
        if shrink == 1:
            return small
        size = small.shape[-2] * shrink, small.shape[-1] * shrink
        large = interpolate(small, size, mode="bilinear", align_corners=False)
        evidence: Tensor = large[..., :rows, :columns]
        return evidence

    def folded(self) -> Evidence:
        """Return a copy for prediction only (see `ConfidenceNetwork.folded`)."""
        copy = deepcopy(self, {id(self.learner): self.learner.folded()})
        return copy.eval().requires_grad_(False)


class Corrected(nn.Module):
    """Map a tile (B, C, M, N) to the start's planes and the evidence of the corrections.

    The evidence is added to the start's map once that is final, as a logit
    (`napari_selfseg.core.correction`): before anything was learned, the map is the start's.

    Parameters
    ----------
    start : nn.Module
        Draws confidence maps without labels; it learns no more.
    n_channels, n_classes : int
        As in `Evidence`.
    """

    def __init__(self, start: nn.Module, n_channels: int = 3, n_classes: int = 1) -> None:
        super().__init__()
        self.start = start.requires_grad_(False)
        self.correction = Evidence(n_channels, n_classes)

    @property
    def n_confidence_maps(self) -> int:
        """How many maps are made of it: the object's and, if there are several, each class's."""
        return self.correction.n_planes

    @property
    def object_map(self) -> tuple[int, bool]:
        """Which map has the objects, and whether they are where it is low."""
        return 0, False

    @property
    def alignment(self) -> int:
        """Pieces of an image give what the whole gives if they begin at multiples of this (px)."""
        return math.lcm(self.correction.alignment, int(getattr(self.start, "alignment", 1)))

    @property
    def halo(self) -> int:
        """How far one output pixel sees, in px on each side."""
        return max(self.correction.halo, int(getattr(self.start, "halo", 0)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, M, N) to planes: those of the start, its extras, then the evidence."""
        draw = getattr(self.start, "with_extras", self.start)
        return torch.cat([draw(x), self.correction(x)], 1)

    def adapted(self, x: Tensor) -> Corrected:
        """Return the network for tiles that are stained like x (see `Refined.adapted`)."""
        if not isinstance(self.start, Refined):
            return self
        return deepcopy(self, {id(self.start): self.start.adapted(x)})

    def problem(self) -> str:
        """Say what is wrong with numbers that came from a file; "" if nothing is."""
        if not 1 <= int(self.correction.shrink) <= MOST_SHRINKING:
            return f"it shrinks images {int(self.correction.shrink)} times"
        check = getattr(self.start, "problem", None)
        return "" if check is None else str(check())

    def folded(self) -> Corrected:
        """Return a copy for prediction only (see `ConfidenceNetwork.folded`)."""
        parts: dict[int, nn.Module] = {id(self.correction): self.correction.folded()}
        fold = getattr(self.start, "folded", None)
        if fold is not None:
            parts[id(self.start)] = fold()
        copy = deepcopy(self, parts)
        return copy.eval().requires_grad_(False)
