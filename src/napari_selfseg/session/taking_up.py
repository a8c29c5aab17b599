"""Stored work on a tile as it was: labels, settings, and what was learned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from napari_selfseg.core.checkpoint import CheckpointError
from napari_selfseg.core.images.tile import Tile, TileError
from napari_selfseg.session.label_files import StoreError
from napari_selfseg.session.region_result import RegionResult
from napari_selfseg.session.reopened import region_result_of, result_of
from napari_selfseg.session.result import RunResult
from napari_selfseg.session.session_folder import SessionFolder
from napari_selfseg.session.session_state import SessionState
from napari_selfseg.session.store import StoredRegions, StoredRun, load_run
from napari_selfseg.session.work_settings import WorkSettings, read_settings

TAKEN_UP = "Taken up from earlier work on this image."


@dataclass(frozen=True, eq=False)
class TakenUp:
    """Stored work that was read for a tile.

    Parameters
    ----------
    folder : SessionFolder
        Where it is from.
    state : SessionState
        With the runs that can still be read.
    settings : WorkSettings
        How the dock stood.
    result : RunResult or None
        What was learned of objects; None if nothing was, or it cannot be read.
    region_result : RegionResult or None
        The same of regions.
    note : str
        What the user must know of damage; else empty.
    """

    folder: SessionFolder
    state: SessionState
    settings: WorkSettings
    result: RunResult | None
    region_result: RegionResult | None
    note: str


def take_up(folder: SessionFolder, number: int, tile: Tile) -> TakenUp:
    """Read stored work; in a worker's thread, as torch may be imported and a map drawn again.

    Parameters
    ----------
    folder : SessionFolder
    number : int
        Of the state.
    tile : Tile
        The image it is the work on, shape (M, N).

    Raises
    ------
    StoreError
        If nothing of it can be read, or it is of another image; one sentence.
    """
    loaded = folder.load_number(number)
    state, settings = loaded.state, read_settings(loaded.state.values)
    if loaded.manifest.shape != tile.shape:
        raise StoreError("The stored work is of an image of another size.")
    found: dict[str, Any] = {}
    notes = [loaded.note] if loaded.note else []
    for kind, run in state.runs.items():
        try:
            found[kind] = _result(load_run(folder.run_folder(run)), tile)
        except (StoreError, CheckpointError, TileError) as error:
            notes.append(f"What was learned could not be read: {error}")
    result, regions = found.get("learned"), found.get("regions")
    return TakenUp(
        folder=folder,
        state=replace(state, runs={k: n for k, n in state.runs.items() if k in found}),
        settings=settings,
        result=_as_chosen(result, settings) if isinstance(result, RunResult) else None,
        region_result=_as_named(regions, settings) if isinstance(regions, RegionResult) else None,
        note=" ".join(notes),
    )


def _result(stored: StoredRun | StoredRegions, tile: Tile) -> RunResult | RegionResult:
    if isinstance(stored, StoredRegions):
        return replace(region_result_of(stored, tile), stopped_because=TAKEN_UP)
    return replace(result_of(stored, tile), stopped_because=TAKEN_UP)


def _as_chosen(result: RunResult, settings: WorkSettings) -> RunResult:
    """Return the result with the map that was chosen later."""
    stored = settings.choice
    if stored is None or stored.channel >= len(result.maps):
        return result
    choice = stored.choice()
    return result if choice == result.choice else result.with_choice(choice)


def _as_named(result: RegionResult, settings: WorkSettings) -> RegionResult:
    """Return the result with the names and the structure that were given later."""
    if len(settings.names) == result.n_classes:
        for number, name in enumerate(settings.names, start=1):
            if name != result.names[number - 1]:
                result = result.renamed(number, name)
    structure = settings.structure
    if structure is not None and structure <= result.n_classes and structure != result.structure:
        result = result.with_structure(structure)
    return result
