"""What a run is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.methods.settings import TrainingSettings

if TYPE_CHECKING:
    from napari_selfseg.core.checkpoint import TrainedModel


@dataclass(frozen=True, eq=False)
class GroupGuard:
    """Which patches are not to be contrasted: those of one group.

    Parameters
    ----------
    model : TrainedModel
        A pretraining of the method "clusters".
    n_groups : int
        Into how many groups its tree is cut.
    """

    model: TrainedModel
    n_groups: int


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
    guard : GroupGuard, optional
        Only for patch contrast.
    """

    tiles: tuple[Tile, ...]
    settings: TrainingSettings
    method: str = "patch-contrast"
    threads: int | None = None
    previews: bool = True
    guard: GroupGuard | None = None
