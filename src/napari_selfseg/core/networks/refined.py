"""The consensus of tiny networks, and larger networks that learned from what they agree on."""

from __future__ import annotations

from copy import deepcopy
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, pad

from napari_selfseg.core.networks.adaptation import distance, mixed, share_for, statistics_of
from napari_selfseg.core.networks.consensus import Consensus
from napari_selfseg.core.networks.ensemble import Ensemble

MOST_SHRINKING = 16


class Refined(nn.Module):
    """Map a tile (B, C, M, N) in 0..1 to K confidence maps (B, K, M, N) in 0..1.

    The maps are those of the consensus; once the larger networks (the pupils) have learned, the
    object's map is their mean. They look at the image ``shrink`` times smaller.

    Parameters
    ----------
    first : Consensus
    n_channels : int
        C, 1 for grey and 3 for RGB.
    n_pupils : int
        How many larger networks there are.

    Attributes
    ----------
    extras : tuple of str
        What `with_extras` returns behind the K maps: "doubt", how much the networks disagree
        about a pixel (twice the standard deviation of their object maps, 0..1), and "depth", how
        deep inside an object it is, 0 at outlines and 1 at centres (0 everywhere before the
        pupils have learned).
    """

    extras: ClassVar[tuple[str, ...]] = ("doubt", "depth")
    shrink: Tensor
    has_learned: Tensor
    usual_distance: Tensor

    def __init__(self, first: Consensus, n_channels: int = 3, n_pupils: int = 1) -> None:
        super().__init__()
        self.first, self.pupils = first, Ensemble(n_pupils, n_channels)
        self.register_buffer("shrink", torch.ones((), dtype=torch.int64))
        self.register_buffer("has_learned", torch.zeros((), dtype=torch.bool))
        self.register_buffer("usual_distance", torch.zeros(()))

    @property
    def n_confidence_maps(self) -> int:
        """K, how many maps come out."""
        return self.first.n_confidence_maps

    @property
    def object_map(self) -> tuple[int, bool] | None:
        """Which map the pupils draw and whether the object is where it is low; None: no map yet."""
        if not bool(self.has_learned):
            return None
        return int(self.first.channels[0]), bool(self.first.inverted[0])

    @property
    def alignment(self) -> int:
        """Pieces of an image give what the whole gives if they begin at multiples of this (px)."""
        return self.pupils.alignment * int(self.shrink)

    @property
    def halo(self) -> int:
        """How far one output pixel sees, in px on each side."""
        return max(self.first.halo, (self.pupils.halo + 1) * int(self.shrink))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, M, N) to (B, K, M, N)."""
        return self.with_extras(x)[:, : self.n_confidence_maps]

    def with_extras(self, x: Tensor) -> Tensor:
        """Map (B, C, M, N) to (B, K + 2, M, N): the maps, the doubt and the depth."""
        maps, voices = self.first.voices(x)
        depth = torch.zeros_like(voices[:, 0])
        drawn = voices.mean(1)
        if bool(self.has_learned):
            objects, depths = torch.sigmoid(self.scores(x)).unbind(2)
            voices = torch.cat([voices, objects], 1)
            drawn, depth = objects.mean(1), depths.mean(1)
            if bool(self.first.inverted[0]):
                drawn = 1 - drawn
        doubt = 2 * voices.std(1, correction=0)
        maps = maps.index_copy(1, self.first.channels[:1], drawn.unsqueeze(1))
        return torch.cat([maps, doubt.unsqueeze(1), depth.unsqueeze(1)], 1)

    def scores(self, x: Tensor) -> Tensor:
        """Return the pupils' scores at full size, (B, S, 2, M, N): object and depth, as logits."""
        shrink = int(self.shrink)
        scores: Tensor
        if shrink == 1:
            scores = self.pupils(x)
            return scores
        rows, columns = x.shape[-2:]
        # a rest that does not fill a square of the smaller image is filled up with its edge
        x = pad(x, (0, -columns % shrink, 0, -rows % shrink), mode="replicate")
        small = self.pupils(avg_pool2d(x, shrink))
        large = interpolate(small.flatten(1, 2), x.shape[-2:], mode="bilinear", align_corners=False)
        scores = large[..., :rows, :columns].unflatten(1, small.shape[1:3])
        return scores

    def adapted(self, x: Tensor) -> Refined:
        """Return the network for tiles that are stained like x (1, C, M, N).

        The less they resemble what was learned from, the more (see `adaptation`). Before the
        pupils have learned it is the network itself.
        """
        if not bool(self.has_learned):
            return self
        seen = statistics_of(self.pupils, avg_pool2d(x, int(self.shrink)))
        share = share_for(distance(self.pupils, seen), float(self.usual_distance))
        copy = deepcopy(self)
        pupils = mixed(self.pupils, seen, share)
        assert isinstance(pupils, Ensemble)
        copy.pupils = pupils
        return copy

    def learned(self, shrink: int, usual_distance: float) -> None:
        """Say that the pupils have learned.

        Parameters
        ----------
        shrink : int
            How many times smaller the images were.
        usual_distance : float
            How far their own statistics are from the pupils' (see `adaptation.distance`).
        """
        self.shrink.fill_(shrink)
        self.usual_distance.fill_(usual_distance)
        self.has_learned.fill_(True)

    def forget(self) -> None:
        """Let the consensus draw again."""
        self.has_learned.fill_(False)

    def problem(self) -> str:
        """Say what is wrong with numbers that came from a file; "" if nothing is."""
        if not 1 <= int(self.shrink) <= MOST_SHRINKING:
            return f"it shrinks images {int(self.shrink)} times"
        if not float(self.usual_distance) >= 0:
            return "the tiles it learned from are nearer than nothing"
        return self.first.problem()

    def folded(self) -> Refined:
        """Return a copy for prediction only (see `ConfidenceNetwork.folded`)."""
        parts = {id(part): part.folded() for part in (self.first, self.pupils)}
        copy = deepcopy(self, parts)
        return copy.eval().requires_grad_(False)
