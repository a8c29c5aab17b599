"""Contrast of views: two pictures of one place against pictures of other places.

NT-Xent is that of SimCLR (Chen, Kornblith, Norouzi and Hinton, "A Simple Framework for Contrastive
Learning of Visual Representations", ICML 2020, eq. 1). The guard, which never contrasts within a
group of alike places, is our reading of Zhang, Hu, Sapkota, Shi and Chen, "Unsupervised Feature
Clustering Improves Contrastive Representation Learning for Medical Image Segmentation", BIBM 2022,
arXiv 2211.08557.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from napari_selfseg.core.learning.contrast import contrast

SHARPNESS = 2.0  # t of the uniformity


def nt_xent(
    one: Tensor,
    other: Tensor,
    temperature: float,
    groups: Tensor | None = None,
    together: bool = False,
) -> Tensor:
    r"""Contrast two views of every place against all other places.

    .. math:: \ell = \frac{1}{|A|} \sum_{i \in A} -\log \frac{e^{z_i \cdot z_{i'}/\tau}}
              {e^{z_i \cdot z_{i'}/\tau} + \sum_{k \neq i, i'} G_{ik} e^{z_i \cdot z_k/\tau}}

    Without groups G is 1 everywhere and A are all 2n views. With groups :math:`G_{ik}` is 0 where
    i and k are of the same group, and a view without any k that is left is not in A.

    Parameters
    ----------
    one, other : Tensor, shape (n, D)
        Features of the first and the second view; their length does not count.
    temperature : float
        τ.
    groups : Tensor of integers, shape (n,), optional
        Of every place.
    together : bool
        Whether all views of a group are positives of each other, as in supervised contrast: the
        mean over the positives, and these are in the denominator too.

    Returns
    -------
    Tensor, scalar
        Zero if there is no anchor left.
    """
    z = normalize(torch.cat([one, other]), dim=-1)
    return contrast_of_views(z @ z.T, temperature, groups, together)


def contrast_of_views(
    similarity: Tensor, temperature: float, groups: Tensor | None = None, together: bool = False
) -> Tensor:
    """Return `nt_xent` of similarities (2n, 2n); i and i + n are the two views of a place."""
    n = len(similarity) // 2
    itself = torch.eye(2 * n, dtype=torch.bool, device=similarity.device)
    positive = itself.roll(n, 0)
    negative = ~itself & ~positive
    if groups is not None:
        alike = same_group(groups.repeat(2))
        negative = negative & ~alike
        if together:
            positive = positive | (alike & ~itself)
        # who has nobody to be told apart from is no anchor
        positive = positive & negative.any(-1, keepdim=True)
    return contrast(similarity, positive, positive | negative, temperature, "anchor_mean")


def same_group(groups: Tensor) -> Tensor:
    """Return which pairs of (..., n) are of the same group, (..., n, n)."""
    return groups.unsqueeze(-1) == groups.unsqueeze(-2)


def left_out(groups: Tensor) -> Tensor:
    """Return how many of n places have no negative in their batch: all, or none."""
    alone = same_group(groups).all(-1)
    return alone.sum()


def alignment(one: Tensor, other: Tensor) -> Tensor:
    """Return the mean squared distance of the two views of a place on the sphere, 0..4.

    Wang and Isola, "Understanding Contrastive Representation Learning through Alignment and
    Uniformity on the Hypersphere", ICML 2020, eq. 4. Features are (n, D); lower is closer.
    """
    return (normalize(one, dim=-1) - normalize(other, dim=-1)).square().sum(-1).mean()


def uniformity(features: Tensor) -> Tensor:
    """Return how evenly features (n, D) lie on the sphere, at most 0; lower is more even.

    The logarithm of the mean of exp(-2 |z_i - z_j|²) over all pairs (Wang and Isola, 2020, eq. 5).
    All features in one place give 0.
    """
    z = normalize(features, dim=-1)
    distance = (2 - 2 * z @ z.T).clamp(min=0)
    pairs = ~torch.eye(len(z), dtype=torch.bool, device=z.device)
    kept = (-SHARPNESS * distance).masked_fill(~pairs, -torch.inf)
    return kept.flatten().logsumexp(0) - pairs.sum().log()
