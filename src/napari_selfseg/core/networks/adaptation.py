"""Batch normalisation that takes the staining of a tile into account.

A network predicts with the statistics of the tiles it learned from. Tiles of another laboratory
have others, and the network then sees everything too dark or too pale. How far they are apart needs
no label, and neither does mixing them.
"""

from __future__ import annotations

from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor, nn

MOST_SHARE = 0.5  # of the tile's own statistics; with more, what is learned is lost
FAR = 3.0  # times the usual distance: half of the most is taken


class Statistics(NamedTuple):
    """Mean and variance of the channels before one batch normalisation, each (C,)."""

    mean: Tensor
    variance: Tensor


def statistics_of(network: nn.Module, images: Tensor) -> list[Statistics]:
    """Return what the batch normalisations of a network see of images (B, C, M, N), in order."""
    looking = deepcopy(network)
    normalisations = _normalisations(looking)
    for one in normalisations:
        one.momentum = 1.0  # nothing of what was seen before
        one.train()
    with torch.no_grad():
        looking(images)
    return [_known(one) for one in normalisations]


def distance(network: nn.Module, seen: list[Statistics]) -> float:
    """Return how far statistics are from those a network has learned with.

    The mean over all channels of the squared difference of the means, in variances.
    """
    known = [_known(one) for one in _normalisations(network)]
    return float(
        sum(((s.mean - k.mean) ** 2 / k.variance).mean() for s, k in zip(seen, known, strict=True))
        / max(len(known), 1)
    )


def share_for(far: float, usual: float) -> float:
    """Return which share of a tile's own statistics to take, 0 to one half.

    Parameters
    ----------
    far : float
        The `distance` of the tile.
    usual : float
        The median distance of the tiles that were learned from.
    """
    if not far > 0:
        return 0.0
    return MOST_SHARE * far**2 / (far**2 + (FAR * usual) ** 2)


def mixed(network: nn.Module, seen: list[Statistics], share: float) -> nn.Module:
    """Return a copy of a network whose normalisations are partly those of a tile.

    Source of the mixture: Schneider et al., "Improving robustness against common corruptions by
    covariate shift adaptation", NeurIPS 2020, arXiv 2006.16971, where the share depends on the
    size of the batch; here it depends on the distance.
    """
    copy = deepcopy(network)
    for one, statistics in zip(_normalisations(copy), seen, strict=True):
        assert one.running_mean is not None
        assert one.running_var is not None
        one.running_mean.lerp_(statistics.mean, share)
        one.running_var.lerp_(statistics.variance, share)
    return copy


def _normalisations(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]


def _known(one: nn.BatchNorm2d) -> Statistics:
    assert one.running_mean is not None
    assert one.running_var is not None
    return Statistics(one.running_mean.clone(), one.running_var.clone())
