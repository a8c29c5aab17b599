"""The step loss of method 0 as plain loops in double precision: slow, and easy to read.

Written from the description of the method (Boserup and Selvan, NLDL 2023, arXiv 2208.10779),
not from the matrices it checks. Everything is differentiable, so gradients can be compared too.

>>> loss = step_loss(images, confidence, draws, patch=50, stride=20)  # doctest: +SKIP
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

PairSimilarity = Callable[[Tensor, Tensor], Tensor]
"""(anchor patch, other patch), both (C, P, P) float64 -> a number; higher is closer."""

LEAST_LOG = -100.0  # bits


@dataclass(frozen=True)
class Draws:
    """What a sampler and the drawing of anchors came up with in one step.

    Parameters
    ----------
    locations : Tensor of int64, shape (B, K, n)
        Grid locations, row by row.
    is_positive : Tensor of bool, shape (B, K, n)
        The side of every drawn patch.
    anchors : Tensor of int64, shape (K, n)
        Which of the B * n patches of a map (image after image) are anchors; positives only.
    """

    locations: Tensor
    is_positive: Tensor
    anchors: Tensor


def step_loss(
    images: Tensor,
    confidence: Tensor,
    draws: Draws,
    patch: int,
    stride: int,
    similarity: PairSimilarity | None = None,
    temperature: float = 1.0,
) -> Tensor | None:
    """Return L = sum over the maps of L_intra + L_inter.

    Parameters
    ----------
    images : Tensor, shape (B, C, M, N)
        In 0..1.
    confidence : Tensor, shape (B, K, M, N)
        In 0..1; may require a gradient.
    draws : Draws
    patch, stride : int
        In pixels.
    similarity : callable, optional
        `mse` (the default), `cross_entropy`, or what `featurised_cosine` returns.
    temperature : float
        Divides every similarity.

    Returns
    -------
    Tensor of float64, scalar, or None
        None if a map has no positive or no negative: the step is skipped.
    """
    similarity = mse if similarity is None else similarity
    images, confidence = images.double(), confidence.double()
    n_images, n_maps, n_draws = draws.locations.shape
    positives: list[list[Tensor]] = []
    negatives: list[list[Tensor]] = []
    drawn: list[list[Tensor]] = []
    for k in range(n_maps):
        positives.append([])
        negatives.append([])
        drawn.append([])
        for b in range(n_images):
            for i in range(n_draws):
                location = int(draws.locations[b, k, i])
                one = attended_patch(images[b], confidence[b, k], location, patch, stride)
                side = positives if draws.is_positive[b, k, i] else negatives
                side[k].append(one)
                drawn[k].append(one)
        if not positives[k] or not negatives[k]:
            return None
    total = torch.zeros((), dtype=torch.float64)
    for k in range(n_maps):
        anchors = [drawn[k][int(a)] for a in draws.anchors[k]]
        scale = 1 / (len(anchors) ** 2 * n_images)
        others = [one for j in range(n_maps) if j != k for one in positives[j]]
        total = total + scale * _contrast(
            anchors, positives[k], negatives[k], similarity, temperature
        )
        if n_maps > 1:
            total = total + scale * _contrast(
                anchors, positives[k], others, similarity, temperature
            )
    return total


def distances(
    images: Tensor,
    confidence: Tensor,
    draws: Draws,
    patch: int,
    stride: int,
    similarity: PairSimilarity | None = None,
) -> list[tuple[float, float]]:
    """Return per map the mean distance of anchors to positives and to negatives.

    Parameters are those of `step_loss`; distance is the negative similarity.
    """
    similarity = mse if similarity is None else similarity
    images, confidence = images.double(), confidence.detach().double()
    n_images, n_maps, n_draws = draws.locations.shape
    means = []
    for k in range(n_maps):
        drawn = [
            attended_patch(
                images[b], confidence[b, k], int(draws.locations[b, k, i]), patch, stride
            )
            for b in range(n_images)
            for i in range(n_draws)
        ]
        sides = draws.is_positive[:, k].flatten().tolist()
        found: dict[bool, list[float]] = {True: [], False: []}
        for a in draws.anchors[k]:
            for one, side in zip(drawn, sides, strict=True):
                found[side].append(-similarity(drawn[int(a)], one).item())
        means.append((_mean(found[True]), _mean(found[False])))
    return means


def attended_patch(
    image: Tensor, confidence: Tensor, location: int, patch: int, stride: int
) -> Tensor:
    """Return x * c at a grid location: (C, P, P) of an image (C, M, N) and a map (M, N)."""
    n_columns = len(range(0, image.shape[2] - patch + 1, stride))
    top, left = (location // n_columns) * stride, (location % n_columns) * stride
    rows, columns = slice(top, top + patch), slice(left, left + patch)
    return torch.stack([channel[rows, columns] * confidence[rows, columns] for channel in image])


def mse(u: Tensor, v: Tensor) -> Tensor:
    """Return -mean((u - v)²)."""
    return -((u - v) ** 2).mean()


def cross_entropy(u: Tensor, v: Tensor) -> Tensor:
    """Return mean(u log2 v + (1 - u) log2(1 - v)), the logarithms clamped at -100."""
    return (u * _log2(v) + (1 - u) * _log2(1 - v)).mean()


def featurised_cosine(featuriser: nn.Module) -> PairSimilarity:
    """Return the cosine of what a double-precision featuriser makes of two patches."""

    def similarity(u: Tensor, v: Tensor) -> Tensor:
        f, g = (featuriser(one.unsqueeze(0))[0] for one in (u, v))
        return (f * g).sum() / (f.square().sum().sqrt() * g.square().sum().sqrt())

    return similarity


def _contrast(
    anchors: Iterable[Tensor],
    positives: Sequence[Tensor],
    denominator: Sequence[Tensor],
    similarity: PairSimilarity,
    temperature: float,
) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for anchor in anchors:
        push = torch.zeros((), dtype=torch.float64)  # the same for every positive of the anchor
        for other in denominator:
            push = push + torch.exp(similarity(anchor, other) / temperature)
        for positive in positives:
            pull = similarity(anchor, positive) / temperature
            total = total - pull + torch.log(push)
    return total


def _log2(x: Tensor) -> Tensor:
    least = torch.tensor(2.0**LEAST_LOG, dtype=x.dtype)
    return torch.log(torch.maximum(x, least)) / math.log(2)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
