"""What a run is asked to do."""

from __future__ import annotations

from dataclasses import dataclass

from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.methods.settings import TrainingSettings


@dataclass(frozen=True, eq=False)
class TrainingRequest:
    """What a run is asked to do.

    Parameters
    ----------
    tiles : tuple of Tile
        What is learned from; the first one is in view and is segmented at the end.
    settings : TrainingSettings
        Of the method's own type.
    method : str
        A key of `METHODS`.
    threads : int, optional
        How many threads torch may use; a setting of the whole process. None leaves it.
    previews : bool
        Whether the map of the tile in view is drawn while it learns, for a twentieth of the time.
    """

    tiles: tuple[Tile, ...]
    settings: TrainingSettings
    method: str = "patch-contrast"
    threads: int | None = None
    previews: bool = True
