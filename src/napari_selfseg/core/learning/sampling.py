"""Which patches are compared, and on which side: the samplers of method 0.

A sampler sees the patch means of entropy and confidence at the L locations of a grid and
returns, for every image and map, n locations and for each whether it is a positive.
Sampling has no gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_selfseg.core.learning.contrast import TINY

Sampler = Callable[[Tensor, Tensor, int, torch.Generator], tuple[Tensor, Tensor]]
"""(entropy, confidence, n, generator) -> (locations, is_positive).

entropy and confidence: patch means, (B, K, L); locations: int64 (B, K, n) in 0..L-1, drawn
with replacement; is_positive: bool (B, K, n).
"""

LEAST_WEIGHT = 0.001  # keeps every location possible, also when every pixel is undecided
TOP_K = 50
POWER = 1.0  # exponent of the probabilistic sampler


def binary_entropy(confidence: Tensor) -> Tensor:
    """Return H(c) = -(c log2 c + (1 - c) log2(1 - c)) in bits, elementwise; 0 at 0 and 1."""
    sure = confidence * confidence.clamp(min=TINY).log2()
    sure_not = (1 - confidence) * (1 - confidence).clamp(min=TINY).log2()
    return -(sure + sure_not)


def patch_means(maps: Tensor, patch: int, stride: int) -> Tensor:
    """Average maps (B, K, M, N) over every patch of the grid: (B, K, L), row by row."""
    return F.avg_pool2d(maps, patch, stride).flatten(2)


def grid_shape(rows: int, columns: int, patch: int, stride: int) -> tuple[int, int]:
    """Return how many patch locations there are along rows and columns."""
    return (rows - patch) // stride + 1, (columns - patch) // stride + 1


def gather_patches(images: Tensor, locations: Tensor, patch: int, stride: int) -> Tensor:
    """Cut the patches at grid locations out of images.

    Parameters
    ----------
    images : Tensor, shape (B, C, M, N)
    locations : Tensor of int64, shape (B, n)
        Indices into the grid of `patch_means`.
    patch, stride : int
        In pixels.

    Returns
    -------
    Tensor, shape (B, n, C, patch * patch)
    """
    top, left = _corners(images, locations, patch, stride)
    return _cut(images, top, left, patch)


def gather_around(images: Tensor, locations: Tensor, patch: int, stride: int, side: int) -> Tensor:
    """Cut larger or smaller squares around the middles of patches; inside the image all the same.

    Parameters
    ----------
    images, locations, patch, stride
        As in `gather_patches`.
    side : int
        Of the squares, px; at most that of the images.

    Returns
    -------
    Tensor, shape (B, n, C, side, side)
    """
    rows, columns = images.shape[-2:]
    top, left = _corners(images, locations, patch, stride)
    aside = (side - patch) // 2
    top = (top - aside).clamp(0, rows - side)
    left = (left - aside).clamp(0, columns - side)
    squares: Tensor = _cut(images, top, left, side).unflatten(-1, (side, side))
    return squares


def _corners(images: Tensor, locations: Tensor, patch: int, stride: int) -> tuple[Tensor, Tensor]:
    """Return the rows and columns at which patches begin, each (B, n)."""
    n_columns = grid_shape(images.shape[-2], images.shape[-1], patch, stride)[1]
    return (locations // n_columns) * stride, (locations % n_columns) * stride


def _cut(images: Tensor, top: Tensor, left: Tensor, side: int) -> Tensor:
    """Return the squares that begin at rows and columns (B, n), (B, n, C, side²)."""
    batch, channels, _, columns = images.shape
    inside = torch.arange(side, device=images.device)
    offsets = (inside[:, None] * columns + inside).flatten()
    corners = top * columns + left
    pixels = (corners.unsqueeze(-1) + offsets).flatten(1)  # (B, n * side²)
    picked = images.flatten(2).gather(2, pixels.unsqueeze(1).expand(-1, channels, -1))
    return picked.view(batch, channels, -1, side * side).transpose(1, 2)


def entropy_sampler(
    entropy: Tensor, confidence: Tensor, n: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Prefer patches the network is sure of; their mean confidence decides the side.

    P(l) is proportional to max(1 - E(l), 0.001); the side of a location is one Bernoulli draw
    of C(l), kept when the location is drawn twice (Boserup and Selvan, section on sampling).
    """
    return _draw((1 - entropy).clamp(min=LEAST_WEIGHT), confidence, n, generator)


def uniform_sampler(
    entropy: Tensor, confidence: Tensor, n: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw every location equally often; mean confidence decides the side."""
    return _draw(torch.ones_like(entropy), confidence, n, generator)


def probabilistic_sampler(
    entropy: Tensor, confidence: Tensor, n: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw positives with probability p growing with C, negatives with (1 - p) / (L - 1).

    p(l) is (C(l) / max C)^power, normalised over the grid. Half the draws are positives.
    """
    peak = confidence.amax(-1, keepdim=True).clamp(min=TINY)
    weight = (confidence / peak).clamp(min=LEAST_WEIGHT).pow(POWER)
    p = weight / weight.sum(-1, keepdim=True)
    not_p = ((1 - p) / max(p.shape[-1] - 1, 1)).clamp(min=TINY)
    n_positive = (n + 1) // 2
    positives = draw_from(p, n_positive, generator)
    negatives = draw_from(not_p, n - n_positive, generator) if n > 1 else positives[..., :0]
    return _two_sides(positives, negatives)


def top_k_sampler(
    entropy: Tensor, confidence: Tensor, n: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Take positives among the 50 most confident locations, negatives among the rest.

    On a grid of fewer than 100 locations the positives are its more confident half.
    """
    k = max(1, min(TOP_K, confidence.shape[-1] // 2))
    best = confidence.topk(k, dim=-1).indices
    is_best = torch.zeros_like(confidence).scatter(-1, best, 1.0)
    n_positive = (n + 1) // 2
    positives = draw_from(is_best, n_positive, generator)
    rest = 1 - is_best if k < confidence.shape[-1] else is_best
    negatives = draw_from(rest, n - n_positive, generator) if n > 1 else positives[..., :0]
    return _two_sides(positives, negatives)


SAMPLERS: dict[str, Sampler] = {
    "entropy": entropy_sampler,
    "uniform": uniform_sampler,
    "probabilistic": probabilistic_sampler,
    "top-k": top_k_sampler,
}


def draw_from(weights: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Draw n indices with replacement from each row of weights (..., L): int64 (..., n).

    Nothing is raised for weights that are no numbers, and rows without any weight are drawn from
    evenly: the processor does not look at them, and on a graphics card it would be too late.
    """
    known = weights.nan_to_num(0.0, 0.0, 0.0).flatten(0, -2)
    known = known.masked_fill(~(known.sum(-1, keepdim=True) > 0), 1.0)
    # two at least: torch brings the weights to the processor to draw a single one
    drawn = torch.multinomial(known, max(n, 2), replacement=True, generator=generator)
    return drawn[:, :n].view(*weights.shape[:-1], n)


def _draw(
    weights: Tensor, confidence: Tensor, n: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    locations = draw_from(weights, n, generator)
    chance = torch.rand(confidence.shape, generator=generator, device=confidence.device)
    side = chance < confidence
    return locations, side.gather(-1, locations)


def _two_sides(positives: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
    is_positive = torch.cat([torch.ones_like(positives), torch.zeros_like(negatives)], -1)
    return torch.cat([positives, negatives], -1), is_positive.bool()
