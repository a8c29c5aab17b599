"""Groups of patches that look alike: an auto-encoder's features and the tree grown on them."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from napari_selfseg.core.grouping import GroupTree
from napari_selfseg.core.networks.autoencoder import SIDE, SIZE, AutoEncoder
from napari_selfseg.core.networks.network_input import seen_as

LEAST_SPREAD = 1e-6  # a feature that varies less says nothing
MOST_PX = 4096  # side of a patch; more is no setting but a damaged file
AT_ONCE = 256  # patches


class PatchGroups(nn.Module):
    """Tell which group a patch belongs to, for any number of groups.

    Parameters
    ----------
    n_channels : int
        C, 1 for grey and 3 for RGB.
    n_patches : int
        n, on which the tree is grown.

    Attributes
    ----------
    patch_px : Tensor of int64, scalar
        Side of a patch in px of the tiles it was learned from.
    """

    patch_px: Tensor
    mean: Tensor
    spread: Tensor
    rows: Tensor
    merges: Tensor

    def __init__(self, n_channels: int, n_patches: int) -> None:
        super().__init__()
        self.n_channels = n_channels
        self.autoencoder = AutoEncoder(n_channels)
        self.register_buffer("patch_px", torch.tensor(SIDE))
        self.register_buffer("mean", torch.zeros(SIZE))
        self.register_buffer("spread", torch.ones(SIZE))
        rows = np.zeros((n_patches, SIZE), np.float32)
        self.register_buffer("rows", torch.from_numpy(rows))
        self.register_buffer("merges", torch.from_numpy(GroupTree.grown(rows).merges))

    @property
    def tree(self) -> GroupTree:
        """The tree of the patches it was grown on, whose rows are standardised features."""
        return GroupTree(self.rows.cpu().numpy(), self.merges.cpu().numpy())

    def forward(self, patches: Tensor) -> Tensor:
        """Map patches (B, C, s, s) of any side to standardised features (B, 128)."""
        features = self.autoencoder.encoded(at_side(patches))
        standard: Tensor = (features - self.mean) / self.spread
        return standard

    def grow(self, features: NDArray[np.float32]) -> None:
        """Take the features (n, 128) of patches, not standardised, and grow the tree on them."""
        mean, spread = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
        spread[spread < LEAST_SPREAD] = 1.0
        rows = ((features - mean) / spread).astype(np.float32)
        tree = GroupTree.grown(rows)
        for buffer, values in (
            (self.mean, mean.astype(np.float32)),
            (self.spread, spread.astype(np.float32)),
            (self.rows, tree.rows),
            (self.merges, tree.merges),
        ):
            buffer.copy_(torch.from_numpy(values))

    def guard(self, k: int, image_space: str, read_in: str, side: int) -> PatchGuard:
        """Return what tells the group of a patch at a cut into k groups.

        Parameters
        ----------
        k : int
        image_space, read_in : {"rgb", "optical-density"}
            In which this network was trained, and in which the patches come.
        side : int
            Of the patches that it will be asked for, in px.

        Raises
        ------
        ValueError
            If k is not 1..n.
        """
        centroids = torch.from_numpy(self.tree.centroids(k))
        return PatchGuard(self, centroids, image_space, read_in, side)

    def problem(self) -> str:
        """Say what is wrong with numbers that came from a file; "" if nothing is."""
        if not 1 <= int(self.patch_px) <= MOST_PX:
            return f"its patches have {int(self.patch_px)} px"
        if not self.tree.is_sound():
            return "its tree of groups is none"
        return ""


class PatchGuard:
    """Tells the groups of patches; it learns nothing, and belongs to no network.

    Parameters
    ----------
    groups : PatchGroups
    centroids : Tensor, shape (k, 128)
    image_space, read_in : {"rgb", "optical-density"}
    side : int
        As in `PatchGroups.guard`.
    """

    def __init__(
        self, groups: PatchGroups, centroids: Tensor, image_space: str, read_in: str, side: int
    ) -> None:
        self.side = side
        self._describe = deepcopy(groups).eval().requires_grad_(False)
        self._centroids = centroids
        self._image_space, self._read_in = image_space, read_in

    @property
    def n_groups(self) -> int:
        """K."""
        return len(self._centroids)

    @torch.no_grad()
    def __call__(self, patches: Tensor) -> Tensor:
        """Return the number 0..k-1 of the nearest centroid of every patch (B, C, s, s), (B,)."""
        if self._centroids.device != patches.device:
            self._describe.to(patches.device)
            self._centroids = self._centroids.to(patches.device)
        seen = seen_as(patches, self._read_in, self._image_space)
        return torch.cdist(self._describe(seen), self._centroids).argmin(-1)


def at_side(patches: Tensor, side: int = SIDE) -> Tensor:
    """Return square patches (B, C, s, s) with another side; smaller ones as means of areas."""
    if patches.shape[-1] == side:
        return patches
    if patches.shape[-1] > side:
        return interpolate(patches, size=(side, side), mode="area")
    return interpolate(patches, size=(side, side), mode="bilinear", align_corners=False)


@torch.no_grad()
def described(network: AutoEncoder, patches: Tensor) -> NDArray[np.float32]:
    """Return the features of many patches (n, C, s, s), some at a time: (n, 128)."""
    was_training = network.training
    network.eval()
    found = [network.encoded(at_side(part)).cpu() for part in patches.split(AT_ONCE)]
    network.train(was_training)
    return np.asarray(torch.cat(found).numpy())
