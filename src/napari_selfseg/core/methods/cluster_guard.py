"""Method 3: patches that look alike form groups, which other methods do not contrast.

Zhang, Hu, Sapkota, Shi and Chen, "Unsupervised Feature Clustering Improves Contrastive
Representation Learning for Medical Image Segmentation", BIBM 2022, arXiv 2211.08557. Only the
outline is published: an auto-encoder, hierarchical clustering of its features, no negatives from
the anchor's own group. Architecture, linkage and numbers are our choice
(docs/methods/cluster-guard.md).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from napari_selfseg.core.instances import DEFAULT_SCALE
from napari_selfseg.core.learning.step import StepLoss
from napari_selfseg.core.learning.training import never, training_loop
from napari_selfseg.core.learning.training_data import PROCESSOR, TrainingData
from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.core.methods.cluster_settings import ClusterSettings
from napari_selfseg.core.methods.settings import TrainingSettings
from napari_selfseg.core.networks.autoencoder import SIDE
from napari_selfseg.core.networks.patch_groups import AT_ONCE, PatchGroups, at_side, described


class Patches:
    """Random square patches of tiles, as large as the auto-encoder reads them.

    Parameters
    ----------
    data : TrainingData
    side : int
        Of a patch, in px of the tiles.
    """

    def __init__(self, data: TrainingData, side: int) -> None:
        self._data, self.side = data, data.crop_side(side)

    def crop_side(self, wanted: int) -> int:
        """Return the side of a patch in px of the tiles, whatever is wanted."""
        return self.side

    def draw(
        self, rng: np.random.Generator, n: int, side: int, device: torch.device = PROCESSOR
    ) -> Tensor:
        """Return n patches, (n, C, 32, 32)."""
        return at_side(self._data.draw(rng, n, self.side, device), SIDE)


def reconstruction(images: Tensor, output: Tensor, generator: torch.Generator) -> StepLoss:
    """Return the mean squared difference of patches (B, C, 32, 32) to what was drawn of them."""
    loss = (output - images).square().mean()
    usable = torch.ones((), dtype=torch.bool, device=loss.device)
    explained = 1 - loss.detach() / images.var().clamp(min=1e-12)
    return StepLoss(loss, usable, {"loss": loss.detach(), "explained": explained})


class ClusterGuard:
    """Group patches without labels: an auto-encoder, then Ward's tree on its features."""

    title: ClassVar[str] = "Groups of patches"
    needs_annotation: ClassVar[bool] = False
    Settings: ClassVar[type[TrainingSettings]] = ClusterSettings

    def build_model(self, settings: TrainingSettings, n_channels: int = 3) -> PatchGroups:
        """Return an untrained network whose tree is of rows that are all alike."""
        assert isinstance(settings, ClusterSettings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            return PatchGroups(n_channels, settings.n_patches)

    def fit(
        self,
        model: nn.Module,
        data: TrainingData,
        settings: TrainingSettings,
        should_stop: Callable[[], bool] = never,
    ) -> Generator[TrainingStep, None, None]:
        """Train the auto-encoder, one `TrainingStep` per step; then grow the tree.

        The tree is also grown if nobody asks for the next step: a training that is stopped ends
        with the groups of what was learned by then.
        """
        assert isinstance(model, PatchGroups)
        assert isinstance(settings, ClusterSettings)
        data.restart()
        patches = Patches(data, settings.patch_px(data.um_per_px or DEFAULT_SCALE))
        model.patch_px.fill_(patches.side)
        try:
            yield from training_loop(
                model.autoencoder, reconstruction, patches, settings, "patches", should_stop
            )
        finally:
            grow(model, patches, settings)


def grow(model: PatchGroups, patches: Patches, settings: ClusterSettings) -> None:
    """Draw patches, describe them, and grow the tree on what is said of them."""
    rng = np.random.default_rng((settings.seed, 1))  # not those of the first steps
    device = next(model.autoencoder.parameters()).device
    model.to(device)
    features = []
    for begin in range(0, settings.n_patches, AT_ONCE):
        n = min(AT_ONCE, settings.n_patches - begin)
        features.append(described(model.autoencoder, patches.draw(rng, n, SIDE, device)))
    model.grow(np.concatenate(features))
