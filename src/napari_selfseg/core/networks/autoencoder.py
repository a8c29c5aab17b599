"""A small convolutional auto-encoder of square patches."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SIDE = 32  # px of a patch
WIDTHS = (32, 64, 128)  # features after each halving of the side
SIZE = WIDTHS[-1]  # features of a patch
_COARSE = SIDE // 2 ** len(WIDTHS)  # px of the coarsest grid


class AutoEncoder(nn.Module):
    """Describe a patch by 128 numbers, and draw it again from them.

    Three convolutions of stride 2 with batch normalisation, the mean over all places as the
    description, and a mirrored way back. Zhang et al. (BIBM 2022) do not say which auto-encoder
    theirs is; this one is our choice.

    Parameters
    ----------
    n_channels : int
        C, 1 for grey and 3 for RGB.
    """

    def __init__(self, n_channels: int = 3) -> None:
        super().__init__()
        self.n_channels = n_channels
        down: list[nn.Module] = []
        for n_in, n_out in zip((n_channels, *WIDTHS), WIDTHS, strict=False):
            down += [
                nn.Conv2d(n_in, n_out, 3, stride=2, padding=1, padding_mode="reflect", bias=False),
                nn.BatchNorm2d(n_out),
                nn.ReLU(inplace=True),
            ]
        self.encoder = nn.Sequential(*down)
        self.spread_out = nn.Linear(SIZE, SIZE * _COARSE**2)
        up: list[nn.Module] = []
        for n_in, n_out in zip(WIDTHS[::-1], (*WIDTHS[-2::-1], n_channels), strict=True):
            up += [nn.ReLU(inplace=True), nn.ConvTranspose2d(n_in, n_out, 4, stride=2, padding=1)]
        self.decoder = nn.Sequential(*up)

    def encoded(self, patches: Tensor) -> Tensor:
        """Describe patches (B, C, 32, 32) by features (B, 128)."""
        features: Tensor = self.encoder(patches).mean((2, 3))
        return features

    def drawn(self, features: Tensor) -> Tensor:
        """Draw patches (B, C, 32, 32) from features (B, 128)."""
        coarse = self.spread_out(features).view(-1, SIZE, _COARSE, _COARSE)
        patches: Tensor = torch.sigmoid(self.decoder(coarse))
        return patches

    def forward(self, patches: Tensor) -> Tensor:
        """Map patches (B, C, 32, 32) in 0..1 to what is left of them, (B, C, 32, 32)."""
        return self.drawn(self.encoded(patches))
