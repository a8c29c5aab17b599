"""What strokes teach the features of pixels: the contrastive losses of method 2.

Hu, Zeng, Xu and Shi, "Semi-supervised Contrastive Learning for Label-efficient Medical Image
Segmentation", MICCAI 2021, arXiv 2109.07407; written from the description. Unlike there, pixels
that nobody painted are unknown: they are in no anchor, no positive and no denominator.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize, unfold

from napari_selfseg.core.learning.contrast import contrast

Mode = Literal["sampled", "stride", "block"]
MOST_PER_CLASS = 512  # pixels of a class and view that mode "sampled" compares
STRIDE, BLOCK = 4, 16  # px, of the paper


def local_contrast(
    features: Tensor,
    classes: Tensor,
    temperature: float,
    mode: Mode = "sampled",
    n_classes: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Contrast painted pixels by what was painted (the supervised local contrastive loss).

    .. math:: L = \frac{1}{|\Omega|} \sum_{i \in \Omega} \frac{-1}{|P(i)|} \sum_{p \in P(i)}
              \Big[ \frac{f_i \cdot f_p}{\tau} - \log \sum_{k \neq i} e^{f_i \cdot f_k/\tau} \Big]

    Ω are painted pixels of objects, P(i) the other painted pixels of the same class, k all other
    painted pixels, background included. This is the form of the authors' code; the fraction
    printed in the paper has no positives in its denominator.

    Parameters
    ----------
    features : Tensor, shape (V, B, D, m, n)
        Of V views of B crops that show the same pixels; their length does not count.
    classes : Tensor of integers, shape (B, m, n)
        0 not painted, 1 background, 2 and above classes.
    temperature : float
        τ.
    mode : {"sampled", "stride", "block"}
        Which pixels are compared. "sampled": up to 512 of every class, drawn from all crops and
        seen in every view; thin strokes are not missed. "stride": those of every fourth row and
        column. "block": all, but only within blocks of 16 × 16 px; the mean over the blocks that
        hold an anchor.
    n_classes : int
        How many classes there are beside background; "sampled" draws from no others.
    generator : torch.Generator, optional
        Draws the pixels of "sampled".

    Returns
    -------
    Tensor, scalar
        Zero where no pixel has another one of its class.
    """
    f = normalize(features, dim=2)
    if mode == "block":
        return _of_blocks(f, classes, temperature)
    if mode == "stride":
        f, classes = f[..., ::STRIDE, ::STRIDE], classes[..., ::STRIDE, ::STRIDE]
        said = classes.flatten()
        flat = f.movedim(2, -1).flatten(0, 3)
        return _of_pixels(flat, said.repeat(len(f)), temperature)
    flat = f.movedim(2, -1).flatten(1, 3)  # (V, B·m·n, D)
    drawn, said = _drawn(classes.flatten(), n_classes, generator)
    return _of_pixels(flat[:, drawn].flatten(0, 1), said.repeat(len(f)), temperature)


def _drawn(
    said: Tensor, n_classes: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Return which pixels are compared and their classes, 0 where a class has too few, (P,)."""
    numbers = torch.arange(1, n_classes + 2, device=said.device).unsqueeze(1)
    is_of = said.unsqueeze(0) == numbers
    lot = torch.rand(is_of.shape, generator=generator, device=said.device)
    drawn = lot.masked_fill(~is_of, -1).topk(min(MOST_PER_CLASS, said.numel())).indices
    classes = is_of.gather(1, drawn) * numbers
    return drawn.flatten(), classes.flatten()


def _of_pixels(f: Tensor, said: Tensor, temperature: float) -> Tensor:
    """Return the loss of pixels with features (..., P, D) and classes (..., P); 0: unknown."""
    itself = torch.eye(said.shape[-1], dtype=torch.bool, device=f.device)
    known = said > 0
    others = known.unsqueeze(-2) & known.unsqueeze(-1) & ~itself
    alike = said.unsqueeze(-1) == said.unsqueeze(-2)
    is_anchor = (said > 1).unsqueeze(-1)
    similarity = f @ f.transpose(-1, -2)
    return contrast(similarity, others & alike & is_anchor, others, temperature, "anchor_mean")


def _of_blocks(f: Tensor, classes: Tensor, temperature: float) -> Tensor:
    views, batch, size = f.shape[:3]
    side = min(BLOCK, *classes.shape[-2:])
    cut = unfold(f.flatten(0, 1), side, stride=side)  # (V·B, D·side², blocks)
    cut = cut.view(views, batch, size, side * side, -1)
    per_block = cut.permute(1, 4, 0, 3, 2).flatten(2, 3).flatten(0, 1)  # (B·blocks, V·side², D)
    said = unfold(classes.float().unsqueeze(1), side, stride=side).movedim(-1, 1)
    said = said.repeat(1, 1, views).flatten(0, 1).long()
    losses = _of_pixels(per_block, said, temperature)
    has_anchor = (said > 1).any(-1)
    return losses.sum() / has_anchor.sum().clamp(min=1)
