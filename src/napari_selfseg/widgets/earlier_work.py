"""Looking for stored work on a tile, and bringing it back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydantic import ValidationError

from napari_selfseg.core.images.evidence import stain_of
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.instances import LabelSettings
from napari_selfseg.core.regions import RegionLabelSettings, mask_of_class
from napari_selfseg.core.threshold import threshold_confidence
from napari_selfseg.session.lock import Owner, SessionLock
from napari_selfseg.session.session_files import Manifest
from napari_selfseg.session.session_folder import LOCK, SessionFolder
from napari_selfseg.session.session_place import SessionFinder
from napari_selfseg.session.taking_up import TakenUp, take_up
from napari_selfseg.widgets.candidate import (
    Candidate,
    Source,
    learned_candidate,
    threshold_candidate,
)
from napari_selfseg.widgets.tile_work import TileWork


@dataclass(frozen=True)
class EarlierWork:
    """A stored state that can be taken up.

    Parameters
    ----------
    folder : Path
        Of the session.
    manifest : Manifest
    """

    folder: Path
    manifest: Manifest

    def told(self, now: datetime) -> str:
        """Return when it was saved and what it holds, in words."""
        return f"{ago(self.manifest.when, now)}, {what_is_in(self.manifest)}"


@dataclass(frozen=True)
class Found:
    """What is stored of the work on a tile.

    Parameters
    ----------
    newest : EarlierWork or None
        What to go on with.
    others : tuple of EarlierWork
        What was set aside, and copies; the newest first.
    ended_unexpectedly : bool
        Whether the program that saved the newest did not close it.
    holder : Owner or None
        The window that works on it now.
    """

    newest: EarlierWork | None = None
    others: tuple[EarlierWork, ...] = ()
    ended_unexpectedly: bool = False
    holder: Owner | None = None


def look_for_work(finder: SessionFinder, shape: tuple[int, int]) -> Found:
    """Look what is stored of a tile of a shape (M, N); not for the window's thread."""
    newest: list[EarlierWork] = []
    others: list[EarlierWork] = []
    for path in finder.stored():
        folder = SessionFolder(path)
        manifest = folder.newest()
        if manifest is not None and manifest.shape == shape:
            newest.append(EarlierWork(path, manifest))
        others += [EarlierWork(path, m) for m in folder.earlier() if m.shape == shape]
    newest.sort(key=_saved_at, reverse=True)
    others.sort(key=_saved_at, reverse=True)
    if not newest:
        return Found(others=tuple(others))
    locks = {work.folder: SessionLock(work.folder / LOCK) for work in newest}
    holders = {path: lock.holder() for path, lock in locks.items()}
    free = [work for work in newest if holders[work.folder] is None]
    offered = free[0] if free else newest[0]
    holder = holders[offered.folder]
    return Found(
        newest=offered,
        others=tuple(sorted([w for w in newest if w is not offered] + others, key=_saved_at))[::-1],
        ended_unexpectedly=holder is None and (offered.folder / LOCK).exists(),
        holder=None if locks[offered.folder].is_in_doubt else holder,
    )


@dataclass(frozen=True, eq=False)
class Prepared:
    """Stored work with all that the window needs to show it.

    Parameters
    ----------
    taken : TakenUp
    candidates : mapping of {"threshold", "learned"} to Candidate
    region_settings : RegionLabelSettings
    region_labels : mapping of {"regions", "structure"} to ndarray, shape (M, N)
        As computed, without what a person changed.
    """

    taken: TakenUp
    candidates: Mapping[Source, Candidate]
    region_settings: RegionLabelSettings
    region_labels: Mapping[Any, NDArray[Any]]


def prepare(work: EarlierWork, tile: Tile) -> Prepared:
    """Read stored work and compute what belongs to it; not for the window's thread.

    Raises
    ------
    StoreError
        If it cannot be read; one sentence.
    """
    taken = take_up(SessionFolder(work.folder), work.manifest.number, tile)
    layers = taken.state.layers
    candidates: dict[Source, Candidate] = {}
    result = taken.result
    if result is not None:
        settings = _settings(LabelSettings, layers, "learned")
        candidates["learned"] = learned_candidate(result, settings)
    if result is not None or "threshold" in layers:
        stain = stain_of(tile)
        start = threshold_confidence(stain) if result is None else result.threshold
        plain = threshold_candidate(start, stain, tile.um_per_px)
        settings = _settings(LabelSettings, layers, "threshold")
        candidates["threshold"] = plain if settings is None else plain.with_settings(settings)
    region_settings = _settings(RegionLabelSettings, layers, "regions") or RegionLabelSettings()
    region_labels: dict[Any, NDArray[Any]] = {}
    regions = taken.region_result
    if regions is not None:
        labels = region_labels["regions"] = regions.labels(region_settings)
        if regions.structure is not None and "structure" in layers:
            seen = layers["regions"].labels if "regions" in layers else labels
            region_labels["structure"] = mask_of_class(
                seen, regions.structure, tile.um_per_px, region_settings
            )
    return Prepared(taken, candidates, region_settings, region_labels)


def put_back(work: TileWork, prepared: Prepared) -> None:
    """Show stored work as it was left."""
    taken = prepared.taken
    settings, layers = taken.settings, taken.state.layers
    of_regions = {name: layers[name] for name in ("regions", "structure") if name in layers}
    rest = {name: layer for name, layer in layers.items() if name not in of_regions}
    if taken.region_result is not None:
        work.regions.restore(
            of_regions,
            prepared.region_labels,
            taken.region_result,
            prepared.region_settings,
            settings.active_regions,
        )
    else:  # what they were found with is gone, the labels are not
        rest |= of_regions
    work.restore(rest, prepared.candidates, taken.versions, settings.active)
    if settings.mode == "regions" and taken.region_result is not None:
        work.hide()
        work.regions.show_again()
    work.kept.hand_out(taken.state.values)


def ago(when: datetime, now: datetime) -> str:
    """Return how long ago something was, in words."""
    seconds = (now - when).total_seconds()
    if seconds < 60:
        return "less than a minute ago"
    for unit, size, most in (("minute", 60, 60), ("hour", 3600, 24)):
        n = int(seconds // size)
        if n < most:
            return f"{n} {unit}{'' if n == 1 else 's'} ago"
    return f"on {when.day} {when:%B %Y} at {when:%H:%M}"


def what_is_in(manifest: Manifest) -> str:
    """Return what a stored state holds, in words."""
    n = manifest.n_corrections
    told = [f"{n:,} correction{'' if n == 1 else 's'}"] if n else []
    if manifest.runs:
        told.append("a trained network")
    return ", ".join(told) or "no corrections"


def _settings(kind: Any, layers: Mapping[str, Any], name: str) -> Any:
    """Return how the labels of a layer are made; None if it is not told, or not understood."""
    if name not in layers or not layers[name].settings:
        return None
    try:
        return kind(**layers[name].settings)
    except ValidationError:
        return None


def _saved_at(work: EarlierWork) -> float:
    return work.manifest.saved_at
