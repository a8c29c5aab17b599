"""Stored work on a tile as it was: labels, settings, and what was learned."""

from __future__ import annotations

from dataclasses import dataclass, replace

from napari_selfseg.core.checkpoint import CheckpointError
from napari_selfseg.core.images.tile import Tile, TileError
from napari_selfseg.session.label_files import StoreError
from napari_selfseg.session.region_result import RegionResult
from napari_selfseg.session.reopened import region_result_of
from napari_selfseg.session.result import RunResult
from napari_selfseg.session.session_folder import SessionFolder
from napari_selfseg.session.session_state import SessionState
from napari_selfseg.session.store import StoredRegions, StoredRun, load_run
from napari_selfseg.session.versions import Versions
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
    versions : Versions or None
        What was learned of objects, the one in use was read; None if nothing was, or it cannot
        be read.
    region_result : RegionResult or None
        The same of regions.
    note : str
        What the user must know of damage; else empty.
    """

    folder: SessionFolder
    state: SessionState
    settings: WorkSettings
    versions: Versions | None
    region_result: RegionResult | None
    note: str

    @property
    def result(self) -> RunResult | None:
        """What the version in use has found."""
        return None if self.versions is None else self.versions.current.result


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
    notes = [loaded.note] if loaded.note else []
    folders = {kind: folder.run_folder(run) for kind, run in state.runs.items()}
    of_regions = folders.pop("regions", None)
    regions = None
    versions = Versions.taken_up(settings.versions, settings.version, folders)
    while versions is not None:
        try:
            result = replace(versions.current.opened(tile), stopped_because=TAKEN_UP)
        except (StoreError, CheckpointError, TileError) as error:
            notes.append(f"What was learned could not be read: {error}")
            versions = versions.without_current()
        else:
            versions = versions.with_result(_as_chosen(result, settings))
            break
    known = {one.kind for one in versions.all} if versions is not None else set()
    if of_regions is not None:
        try:
            regions = _regions_of(load_run(of_regions), tile)
            regions = replace(_as_named(regions, settings), stopped_because=TAKEN_UP)
            known.add("regions")
        except (StoreError, CheckpointError, TileError) as error:
            notes.append(f"What was learned could not be read: {error}")
    return TakenUp(
        folder=folder,
        state=replace(state, runs={k: n for k, n in state.runs.items() if k in known}),
        settings=settings,
        versions=versions,
        region_result=regions,
        note=" ".join(notes),
    )


def _regions_of(stored: StoredRun | StoredRegions, tile: Tile) -> RegionResult:
    if not isinstance(stored, StoredRegions):
        raise StoreError("it is no model of regions.")
    return region_result_of(stored, tile)


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
