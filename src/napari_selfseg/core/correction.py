"""The map of a label-free start with what was learned from corrections added to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_selfseg.core.channels import ChannelChoice, confidence_of
from napari_selfseg.core.images.evidence import stain_of
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.instances import LabelSettings, label_image
from napari_selfseg.core.learning.lessons import depth_of
from napari_selfseg.core.maps import Prediction
from napari_selfseg.core.plausibility import suggested_label_settings
from napari_selfseg.core.sharpening import logit_of, sharpened_consensus

OBJECT_MAP = (0, False)  # of corrected maps: the first, high on objects


def settled(
    prediction: Prediction, choice: ChannelChoice, tile: Tile, has_stain_edges: bool = False
) -> Prediction:
    """Return one map of the objects, which end at one half of it, with their depth.

    A refined map is taken as it is. That of starts gets its edges from the stain, is smoothed and
    shifted so that the threshold that is suggested for it becomes one half, and its depth is that
    of its own objects, cut at their waists.

    Parameters
    ----------
    prediction : Prediction
        Maps (K, M, N) of the tile, drawn without labels.
    choice : ChannelChoice
    tile : Tile
    has_stain_edges : bool
        Whether the chosen map has got its edges from the stain already.
    """
    confidence = confidence_of(prediction.maps, choice)
    depth = prediction.depth if prediction.is_refined(choice) else None
    if depth is None:
        stain, scale = stain_of(tile), tile.um_per_px
        if not has_stain_edges:
            confidence = sharpened_consensus(confidence, stain, scale)
        suggested = suggested_label_settings(confidence, stain, scale)
        is_tissue = confidence > 0
        smooth = logit_of(gaussian_filter(confidence, suggested.smoothing))
        ends = logit_of(np.full(1, suggested.threshold, np.float32))
        confidence = (is_tissue / (1 + np.exp(ends - smooth))).astype(np.float32)
        labels = label_image(confidence, LabelSettings.for_scale(scale))
        depth = depth_of(labels.astype(np.int32)).astype(np.float16)
    maps = confidence[None].astype(np.float16)
    return Prediction(maps, prediction.doubt, depth, OBJECT_MAP)


def with_evidence(start: Prediction, evidence: NDArray[np.floating[Any]]) -> Prediction:
    """Return the maps with evidence added to the object's, as a logit.

    Parameters
    ----------
    start : Prediction
        What `settled` returned; or what this function did, of further evidence of the object.
    evidence : ndarray of float, shape (E, M, N)
        Of the object and, if there are several classes, of each class.

    Returns
    -------
    Prediction
        Its first map is the object's; of several classes one map each follows: the share of the
        object's confidence that is theirs. Where there is no tissue (exactly 0) there is none.
    """
    before = start.maps[0].astype(np.float32)
    after = 1 / (1 + np.exp(-(logit_of(before) + evidence[0].astype(np.float32))))
    objects = np.where(before > 0, after, 0).astype(np.float32)
    maps = [objects]
    if len(evidence) > 1:
        share = np.exp(evidence[1:] - evidence[1:].max(0)).astype(np.float32)
        maps += list(objects * share / share.sum(0))
    elif len(start.maps) > 1:
        ratio = np.divide(objects, before, out=np.zeros_like(objects), where=before > 0)
        maps += [one.astype(np.float32) * ratio for one in start.maps[1:]]
    drawn = np.stack(maps).clip(0, 1).astype(np.float16)
    return replace(start, maps=drawn, before=start.before or start)
