"""A small U-Net: larger than the confidence network, and still quick on a processor."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d
from torch.nn.utils.fusion import fuse_conv_bn_eval

WIDTHS = (16, 24, 32, 48)  # features from the finest level down; 120k parameters


def _block(n_in: int, n_out: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for n in (n_in, n_out):
        parts += [
            nn.Conv2d(n, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*parts)


class UNet(nn.Module):
    """Map an image (B, C, M, N) to scores without bound (B, n_out, M, N).

    Two convolutions a level, maximum pooling downwards, bilinear interpolation upwards, and the
    features of the way down beside those of the way up.

    Parameters
    ----------
    n_channels : int
        C, 1 for grey and 3 for RGB. Further channels of the input are not looked at: crops
        carry what they teach behind the image.
    n_out : int
        How many scores a pixel gets.
    widths : sequence of int
        Features of every level, the finest first.

    References
    ----------
    Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image
    Segmentation", MICCAI 2015, arXiv 1505.04597; here with padding, batch normalisation and a
    tenth of the features.
    """

    def __init__(self, n_channels: int = 3, n_out: int = 2, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.n_channels = n_channels
        inputs = (n_channels, *widths[:-1])
        self.down = nn.ModuleList(_block(i, o) for i, o in zip(inputs, widths, strict=True))
        self.up = nn.ModuleList(
            _block(fine + coarse, fine) for fine, coarse in itertools.pairwise(widths)
        )
        self.head = nn.Conv2d(widths[0], n_out, 1)

    @property
    def alignment(self) -> int:
        """Pieces of an image give what the whole gives if they begin at multiples of this (px)."""
        return int(2 ** len(self.up))

    @property
    def halo(self) -> int:
        """How far one output pixel sees, in px on each side."""
        # going down and coming up two 3×3 convolutions a level, and the interpolation
        steps = [2**level for level in range(len(self.down))]
        return int(4 * sum(steps) - 2 * steps[-1] + sum(steps[1:]) + self.alignment)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C or more, M, N) to (B, n_out, M, N)."""
        scores: Tensor = self.head(self.features(x))
        return scores

    def encoded(self, x: Tensor) -> list[Tensor]:
        """Return the features of every level on the way down, the finest first."""
        x = x[:, : self.n_channels]
        seen: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else max_pool2d(x, 2))
            seen.append(x)
        return seen

    def features(self, x: Tensor) -> Tensor:
        """Return what the head sees of every pixel, (B, F, M, N); F is the first width."""
        seen = self.encoded(x)
        x = seen[-1]
        for level in reversed(range(len(self.up))):
            x = interpolate(x, seen[level].shape[-2:], mode="bilinear", align_corners=False)
            x = self.up[level](torch.cat([seen[level], x], 1))
        return x

    def folded(self) -> UNet:
        """Return a copy for prediction only, with batch normalisation inside the convolutions."""
        copy = deepcopy(self).eval()
        for block in [*copy.down, *copy.up]:
            assert isinstance(block, nn.Sequential)
            for place in (0, 3):
                convolution, normalisation = block[place], block[place + 1]
                assert isinstance(convolution, nn.Conv2d)
                assert isinstance(normalisation, nn.BatchNorm2d)
                block[place] = fuse_conv_bn_eval(convolution, normalisation)
                block[place + 1] = nn.Identity()
        return copy.requires_grad_(False)
