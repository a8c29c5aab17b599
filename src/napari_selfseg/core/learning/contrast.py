"""One masked contrast for every method, and the similarities it contrasts."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

TINY = 2.0**-100  # log2 of it is -100, where the logarithms are clamped

Reduction = Literal["sum", "anchor_mean"]


def contrast(
    similarity: Tensor,
    positive_mask: Tensor,
    denominator_mask: Tensor,
    temperature: float = 1.0,
    reduction: Reduction = "sum",
) -> Tensor:
    r"""Contrast every anchor's positives against its denominator set.

    For anchor *a* with positives P(a) and denominator set D(a)

    .. math:: L_a = \sum_{p \in P(a)} \Big[ -s(a, p)/\tau
              + \log \sum_{q \in D(a)} e^{s(a, q)/\tau} \Big]

    Parameters
    ----------
    similarity : Tensor, shape (..., A, N)
        s(a, n), higher is closer.
    positive_mask, denominator_mask : Tensor of bool, shape broadcastable to (..., A, N)
        Which n are in P(a) and D(a). Anchors without a positive or without a member of the
        denominator contribute exactly zero.
    temperature : float
        The divisor τ.
    reduction : {"sum", "anchor_mean"}
        "sum": :math:`\sum_a L_a`. "anchor_mean": :math:`L_a / |P(a)|`, averaged over the anchors
        that contribute.

    Returns
    -------
    Tensor, shape (...)
        The loss; zero where no anchor contributes.
    """
    positive_mask, denominator_mask, similarity = torch.broadcast_tensors(
        positive_mask, denominator_mask, similarity
    )
    scaled = similarity / temperature
    usable = positive_mask.any(-1) & denominator_mask.any(-1)
    # An empty set would give logsumexp = -inf, and NaN in its gradient; fill such rows instead.
    allowed = denominator_mask | ~usable.unsqueeze(-1)
    log_denominator = scaled.masked_fill(~allowed, -torch.inf).logsumexp(-1)
    n_positives = positive_mask.sum(-1)
    attraction = scaled.masked_fill(~positive_mask, 0.0).sum(-1)
    per_anchor = n_positives * log_denominator - attraction
    if reduction == "anchor_mean":
        per_anchor = per_anchor / n_positives.clamp(min=1)
    per_anchor = per_anchor.masked_fill(~usable, 0.0)
    if reduction == "anchor_mean":
        return per_anchor.sum(-1) / usable.sum(-1).clamp(min=1)
    return per_anchor.sum(-1)


def mse_similarity(u: Tensor, v: Tensor) -> Tensor:
    """Return -mean((u - v)²) of every pair, in [-1, 0] for values in 0..1.

    Parameters
    ----------
    u, v : Tensor, shapes (..., A, D) and (..., N, D)

    Returns
    -------
    Tensor, shape (..., A, N)
    """
    # |u - v|² as |u|² + |v|² - 2uv: one matrix product instead of A*N*D differences. Centring
    # first keeps the cancellation small in single precision.
    centre = v.detach().mean(-2, keepdim=True)
    u, v = u - centre, v - centre
    squares = u.square().sum(-1).unsqueeze(-1) + v.square().sum(-1).unsqueeze(-2)
    distance = squares - 2 * u @ v.transpose(-1, -2)
    return -distance.clamp(min=0) / u.shape[-1]


def cross_entropy_similarity(u: Tensor, v: Tensor) -> Tensor:
    """Return mean(u log2 v + (1 - u) log2(1 - v)) of every pair, logs clamped at -100 bits.

    Parameters
    ----------
    u, v : Tensor, shapes (..., A, D) and (..., N, D)
        Values in 0..1.

    Returns
    -------
    Tensor, shape (..., A, N)
        Zero for equal binary patches, negative otherwise.
    """
    log_v = v.clamp(min=TINY).log2().transpose(-1, -2)
    log_not_v = (1 - v).clamp(min=TINY).log2().transpose(-1, -2)
    return (u @ log_v + (1 - u) @ log_not_v) / u.shape[-1]


def cosine_similarity(u: Tensor, v: Tensor) -> Tensor:
    """Return the cosine of every pair of features (..., A, D) and (..., N, D): (..., A, N)."""
    unit_u = torch.nn.functional.normalize(u, dim=-1)
    unit_v = torch.nn.functional.normalize(v, dim=-1)
    return unit_u @ unit_v.transpose(-1, -2)
