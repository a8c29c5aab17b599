"""A stored run as a result again: on the tile it was made on, or on another one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, get_args

from napari_selfseg.core.images.evidence import stain_of
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.threshold import threshold_confidence
from napari_selfseg.session.region_result import RegionResult
from napari_selfseg.session.result import RunResult, StoppedBy, Suggestion
from napari_selfseg.session.store import StoredRegions, StoredRun


def is_tile_of(stored: StoredRun | StoredRegions, tile: Tile) -> bool:
    """Whether the stored maps were made of exactly these pixels."""
    described = _first_tile(stored.provenance)
    if stored.maps is None or stored.maps.shape[1:] != tile.shape:
        return False
    return described.get("sha256") == tile.sha256()


def name_of_tile(stored: StoredRun | StoredRegions) -> str:
    """Return what the tile of a stored run is called."""
    return str(_first_tile(stored.provenance).get("name", "an unknown tile"))


def result_of(stored: StoredRun, tile: Tile) -> RunResult:
    """Return the stored result of a tile; of another tile, what the stored model finds in it.

    Parameters
    ----------
    stored : StoredRun
    tile : Tile
        Shape (M, N).

    Raises
    ------
    TileError
        If the model reads another kind of image (grey instead of RGB); one sentence.
    """
    own = is_tile_of(stored, tile)
    prediction = stored.prediction if own else None
    if prediction is None:
        from napari_selfseg.core.segmentation import prediction_of_tile

        prediction = prediction_of_tile(stored.model, tile)
    stain = stain_of(tile)
    threshold = threshold_confidence(stain)
    plain = Suggestion.of_threshold(threshold, stain, tile.um_per_px)
    learned = Suggestion.of_learned(prediction, stored.choice, stain, tile.um_per_px)
    scores = {"learned": learned.score, "threshold": plain.score}
    told = stored.provenance
    return RunResult(
        model=stored.model,
        curves=stored.curves,
        prediction=prediction,
        choice=stored.choice,
        stopped_by=_stopped_by(told),
        stopped_because=_told(stored, tile, own),
        best_step=best_step_of(stored),
        tile=tile,
        threshold=threshold,
        scores=scores,
        recommended=learned.or_rather(plain),
        seconds=_number(told, "seconds"),
        provenance=told,
        suggestion=learned,
    )


def region_result_of(stored: StoredRegions, tile: Tile) -> RegionResult:
    """Return the stored regions of a tile; of another tile, what the stored classes are there.

    Raises
    ------
    TileError
        If the model reads another kind of image (grey instead of RGB); one sentence.
    """
    own = is_tile_of(stored, tile)
    maps = stored.maps if own else None
    if maps is None:
        from napari_selfseg.core.segmentation import prediction_of_tile

        maps = prediction_of_tile(stored.model, tile).maps
    told = stored.provenance
    return RegionResult(
        model=stored.model,
        curves=stored.curves,
        maps=maps,
        names=stored.names,
        stopped_by=_stopped_by(told),
        stopped_because=_told(stored, tile, own),
        best_step=best_step_of(stored),
        tile=tile,
        seconds=_number(told, "seconds"),
        provenance=told,
        structure=stored.structure,
    )


def _told(stored: StoredRun | StoredRegions, tile: Tile, own: bool) -> str:
    if own:
        return "Opened from a stored run."
    return f"This run was made on {name_of_tile(stored)}; its model was used on {tile.name}."


def best_step_of(stored: StoredRun | StoredRegions) -> int:
    """Return the step whose network was kept; 0 if the run does not say."""
    return int(_number(stored.provenance, "best_step"))


def _number(provenance: Mapping[str, Any], name: str) -> float:
    """Return a number that somebody may have changed in the file; 0 if it is none."""
    told = provenance.get(name)
    return float(told) if isinstance(told, int | float) and math.isfinite(told) else 0.0


def _stopped_by(provenance: Mapping[str, Any]) -> StoppedBy:
    told = provenance.get("stopped_by")
    return next((known for known in get_args(StoppedBy) if known == told), "steps")


def _first_tile(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    tiles = provenance.get("tiles")
    if isinstance(tiles, list) and tiles and isinstance(tiles[0], dict):
        return tiles[0]
    return {}
