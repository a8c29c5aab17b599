"""How the dock stood while somebody worked on a tile, to be brought back with the work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from napari_selfseg.core.channels import ChannelChoice
from napari_selfseg.core.methods import METHODS
from napari_selfseg.core.methods.settings import TrainingSettings
from napari_selfseg.core.regions import LONGEST_NAME

SETTINGS_VALUE = "settings"  # its name among the values of a session


class StoredChoice(BaseModel):
    """Which learned map is the object, as in `ChannelChoice`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    channel: Annotated[int, Field(ge=0, le=100_000)]
    inverted: bool
    score: float
    how: Literal["guess", "one click", "user"]
    correlations: tuple[float, ...]

    def choice(self) -> ChannelChoice:
        """Return it as the result takes it."""
        return ChannelChoice(**self.model_dump())


class StoredVersion(BaseModel):
    """A model that was learned, as in `session.versions.Version`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=100)]
    number: Annotated[int, Field(ge=0, le=999_999)]


class WorkSettings(BaseModel):
    """How the dock stood.

    Parameters
    ----------
    um_per_px : float or None
        The scale of the tile.
    mode : {"objects", "regions"}
    method : str
        Of the training form.
    training : mapping
        The values of the training form, as JSON.
    active, active_regions : str or None
        Which labels are shown in each mode.
    choice : StoredChoice or None
        Which learned map was chosen.
    names : tuple of str
        Of the classes in regions mode.
    structure : int or None
        The class that is wanted as objects.
    versions : tuple of StoredVersion
        The models that were learned, one after the other.
    version : int
        The place of the one in use.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    um_per_px: Annotated[float, Field(gt=0, le=1e4)] | None = None
    mode: Literal["objects", "regions"] = "objects"
    method: Annotated[str, Field(max_length=100)] = ""
    training: dict[str, JsonValue] = {}
    active: Literal["threshold", "learned"] | None = None
    active_regions: Literal["regions", "structure"] | None = None
    choice: StoredChoice | None = None
    names: tuple[Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)], ...] = ()
    structure: Annotated[int, Field(ge=1, le=10_000)] | None = None
    versions: Annotated[tuple[StoredVersion, ...], Field(max_length=1000)] = ()
    version: Annotated[int, Field(ge=0, le=1000)] = 0


def choice_to_store(choice: ChannelChoice | None) -> StoredChoice | None:
    """Return the choice of a result as it is stored."""
    return None if choice is None else StoredChoice(**asdict(choice))


def training_settings(settings: WorkSettings) -> TrainingSettings | None:
    """Return the values of the training form; None if there are none, or not of this program."""
    entry = METHODS.get(settings.method)
    if entry is None or not settings.training:
        return None
    try:
        return entry.Settings.model_validate(settings.training)
    except ValidationError:
        return None


def read_settings(values: Mapping[str, Any]) -> WorkSettings:
    """Return how the dock stood; of what somebody has changed in the file, how it stands anew."""
    try:
        return WorkSettings.model_validate(values.get(SETTINGS_VALUE, {}))
    except ValidationError:
        return WorkSettings()
