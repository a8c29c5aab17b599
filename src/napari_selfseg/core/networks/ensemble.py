"""Several U-Nets that look at the same image: their mean errs less, their differences are doubt."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from napari_selfseg.core.networks.precision import half_precision
from napari_selfseg.core.networks.side_by_side import side_by_side
from napari_selfseg.core.networks.unet import UNet


class Ensemble(nn.Module):
    """Map an image (B, C, M, N) to the scores of every member (B, S, n_out, M, N), as logits.

    The members share nothing but what they see; one step trains them all.

    Parameters
    ----------
    n_members : int
        S.
    n_channels : int
        C, 1 for grey and 3 for RGB; further channels of the input are not looked at.
    n_out : int
        How many scores a member gives a pixel.

    References
    ----------
    Lakshminarayanan, Pritzel and Blundell, "Simple and Scalable Predictive Uncertainty Estimation
    using Deep Ensembles", NeurIPS 2017, arXiv 1612.01474.
    """

    def __init__(self, n_members: int, n_channels: int = 3, n_out: int = 2) -> None:
        super().__init__()
        self.members = nn.ModuleList(UNet(n_channels, n_out) for _ in range(n_members))

    @property
    def alignment(self) -> int:
        """Pieces of an image give what the whole gives if they begin at multiples of this (px)."""
        return self._first.alignment

    @property
    def halo(self) -> int:
        """How far one output pixel sees, in px on each side."""
        return self._first.halo

    @property
    def _first(self) -> UNet:
        first = self.members[0]
        assert isinstance(first, UNet)
        return first

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C or more, M, N) to (B, S, n_out, M, N)."""
        with half_precision(x.device, enabled=self.training):
            scores = torch.stack(side_by_side(list(self.members), x), 1)
        return scores.float()

    def folded(self) -> Ensemble:
        """Return a copy for prediction only (see `UNet.folded`)."""
        copy = deepcopy(self)
        copy.members = nn.ModuleList(member.folded() for member in copy.members)  # type: ignore[operator]
        return copy.eval().requires_grad_(False)
