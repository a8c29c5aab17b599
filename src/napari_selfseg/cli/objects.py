"""What ``segment`` does with a run that finds objects: which map, and its labels."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from napari_selfseg.cli.console import UserMistake

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_selfseg.core.channels import ChannelChoice
    from napari_selfseg.core.images.tile import Tile
    from napari_selfseg.core.instances import LabelSettings
    from napari_selfseg.core.maps import Prediction
    from napari_selfseg.session.store import StoredRun


def chosen_map(options: argparse.Namespace, stored: StoredRun) -> ChannelChoice:
    """Return the run's map and polarity, or those of the command line.

    Raises
    ------
    UserMistake
        If the command line asks for something that a run that finds objects does not have.
    """
    if options.wanted_class is not None:
        raise UserMistake("--class is for runs in regions mode; this one finds objects.")
    choice = stored.choice
    if options.channel is not None:
        n_maps = int(getattr(stored.settings, "n_confidence_maps", 1))
        if not 0 <= options.channel < n_maps:
            raise UserMistake(
                f"The run has the maps 0 to {n_maps - 1}, but --channel is {options.channel}."
            )
        choice = replace(choice, channel=options.channel, how="user")
    if options.polarity is not None:
        choice = replace(choice, inverted=options.polarity == "inverted", how="user")
    return choice


def described(choice: ChannelChoice) -> dict[str, Any]:
    """Return what the JSON and the provenance say of the map."""
    return {
        "channel": choice.channel,
        "polarity": "inverted" if choice.inverted else "normal",
        "channel_chosen_by": choice.how,
    }


def label_objects(
    tile: Tile, prediction: Prediction, *, stored: StoredRun, choice: ChannelChoice, binary: bool
) -> tuple[NDArray[Any], NDArray[Any], dict[str, Any]]:
    """Return the objects of a tile, the map they were made of, and what is told of them."""
    from napari_selfseg.core.channels import confidence_of
    from napari_selfseg.core.instances import label_image
    from napari_selfseg.core.quality import expected_quality

    confidence = confidence_of(prediction.maps, choice)
    is_refined = prediction.is_refined(choice)
    settings = _label_settings(stored, tile, confidence, is_refined, binary)
    labels = label_image(confidence, settings, prediction.centres(choice, tile.um_per_px))
    quality = None
    if is_refined and prediction.doubt is not None:
        quality = expected_quality(labels, confidence, prediction.doubt)
    told = {
        "objects": None if binary else int(labels.max(initial=0)),
        "foreground": float((labels > 0).mean()),
        "quality": None if quality is None else asdict(quality),
        "label_settings": settings.model_dump(mode="json"),
    }
    return labels, confidence, told


def _label_settings(
    stored: StoredRun,
    tile: Tile,
    confidence: NDArray[np.float32],
    is_refined: bool,
    binary: bool,
) -> LabelSettings:
    """Return what the user set in the run, at the scale of the tile, or a suggestion for it."""
    from napari_selfseg.core.plausibility import suggested_label_settings
    from napari_selfseg.core.segmentation import label_settings_at

    set_by_user = stored.provenance.get("label_settings_chosen_by") == "user"
    if stored.label_settings is not None and set_by_user:
        settings = label_settings_at(stored.label_settings, stored.um_per_px, tile.um_per_px)
    else:
        settings = suggested_label_settings(confidence, tile.read(), tile.um_per_px, is_refined)
    return settings.model_copy(update={"instances": False}) if binary else settings
