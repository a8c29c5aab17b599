"""The step of method 0 as a loop over anchors, as a reader of the paper would first write it.

It is what `benchmarks.speed` compares with: single precision, one anchor after another, the loss
and the curves read back as Python numbers on the way. A test holds it against the slower loop
over pairs of tests/core/methods/loop_reference.py.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_selfseg.core.learning.sampling import SAMPLERS, binary_entropy, patch_means


class LoopOverAnchors:
    """The objective of method 0 without matrices (Boserup and Selvan, 2023, section on the loss).

    Parameters
    ----------
    patch, stride : int
        In pixels.
    n_draws : int
        n, draws per image and map, and anchors per map.
    """

    def __init__(self, patch: int = 50, stride: int = 20, n_draws: int = 10) -> None:
        self.patch, self.stride, self.n_draws = patch, stride, n_draws

    def __call__(
        self, images: Tensor, confidence: Tensor, generator: torch.Generator
    ) -> Tensor | None:
        """Return the loss, or None if a map has no positive or no negative."""
        with torch.no_grad():
            locations, is_positive = SAMPLERS["entropy"](
                patch_means(binary_entropy(confidence), self.patch, self.stride),
                patch_means(confidence, self.patch, self.stride),
                self.n_draws,
                generator,
            )
        positives, negatives = self.patches(images, confidence, locations, is_positive)
        if not all(positives) or not all(negatives):
            return None
        anchors = [
            torch.randint(len(mine), (self.n_draws,), generator=generator).tolist()
            for mine in positives
        ]
        return self.loss(positives, negatives, anchors, len(images))

    def patches(
        self, images: Tensor, confidence: Tensor, locations: Tensor, is_positive: Tensor
    ) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """Cut the attended patches: for every map a list of positives and one of negatives."""
        n_images, n_maps, n_draws = locations.shape
        n_columns = (images.shape[3] - self.patch) // self.stride + 1
        positives: list[list[Tensor]] = [[] for _ in range(n_maps)]
        negatives: list[list[Tensor]] = [[] for _ in range(n_maps)]
        for b in range(n_images):
            for k in range(n_maps):
                attended = images[b] * confidence[b, k]
                for i in range(n_draws):
                    row, column = divmod(locations[b, k, i].item(), n_columns)
                    top, left = int(row) * self.stride, int(column) * self.stride
                    one = attended[:, top : top + self.patch, left : left + self.patch]
                    (positives if is_positive[b, k, i].item() else negatives)[k].append(one)
        return positives, negatives

    def loss(
        self,
        positives: list[list[Tensor]],
        negatives: list[list[Tensor]],
        anchors: list[list[int]],
        n_images: int,
    ) -> Tensor:
        """Return the sum of L_intra and L_inter over the maps."""
        total = torch.zeros(())
        for k, mine in enumerate(positives):
            others = [one for j, theirs in enumerate(positives) if j != k for one in theirs]
            for a in anchors[k]:
                pull = self.similarities(mine[a], mine)
                for denominator in (negatives[k], others):
                    if denominator:
                        push = self.similarities(mine[a], denominator).exp().sum().log()
                        total = total + (push - pull).sum() / (len(anchors[k]) ** 2 * n_images)
        return total

    @staticmethod
    def similarities(anchor: Tensor, others: list[Tensor]) -> Tensor:
        """Return -mean((a - o)²) of an anchor to every other patch."""
        return torch.stack([-(anchor - other).square().mean() for other in others])
