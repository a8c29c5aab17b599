"""Settings of the regions method, without torch."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from napari_selfseg.core.methods.settings import TrainingSettings


class RegionSettings(TrainingSettings):
    """Classes of tissue by stain and texture, found by k-means."""

    has_presets: ClassVar[bool] = False
    unused: ClassVar[frozenset[str]] = frozenset(
        {"learning_rate", "weight_decay", "batch_size", "crop_size", "stop_early"}
    )

    n_classes: int = Field(
        3,
        ge=2,
        le=8,
        title="Classes (K)",
        description="How many kinds of tissue there are, the empty background included. "
        "If two kinds got one colour, take one more.",
        json_schema_extra={"main": True},
    )
    detail_um: float = Field(
        3.0,
        ge=0.5,
        le=100.0,
        title="Detail (µm)",
        description="Smaller than this is not told apart. Raise it if regions are frayed.",
        json_schema_extra={"step": 0.5, "main": True},
    )
    context_um: float = Field(
        10.0,
        ge=0.5,
        le=500.0,
        title="Surroundings (µm)",
        description="How far around a place its tissue is looked at.",
        json_schema_extra={"step": 1.0},
    )
    cell_um: float = Field(
        2.0,
        ge=0.1,
        le=50.0,
        title="Looked at in (µm/px)",
        description="The tile is reduced to pixels of this size first. Finer is slower.",
        json_schema_extra={"step": 0.5},
    )
    starts: int = Field(
        5,
        ge=1,
        le=64,
        title="Starts",
        description="How many random beginnings are tried; the one that fits closest is kept.",
    )
    n_steps: int = Field(
        60,
        ge=1,
        le=100_000,
        title="Steps at most",
        description="Of each start. It ends earlier when no pixel changes its class any more.",
    )

    @property
    def total_steps(self) -> int:
        """The steps of all starts together, at most."""
        return self.n_steps * self.starts

    @property
    def completed(self) -> str:
        """What to say when the steps were used up before the classes had settled."""
        return "All steps were taken; the classes were still moving a little."

    @property
    def enough(self) -> str:
        """What to say when every start came to its end."""
        if self.starts == 1:
            return "The classes have settled."
        return f"The classes have settled; of {self.starts} starts the closest fit was kept."

    @property
    def sigmas_um(self) -> tuple[float, float, float]:
        """Standard deviations of the blurs: for the local texture, the fine and the coarse one."""
        return 2 * self.detail_um, self.detail_um, self.context_um

    def least_side(self, um_per_px: float) -> int:
        """Return how many px a side a tile needs: eight of the pixels it is reduced to."""
        return 8 * max(1, round(self.cell_um / um_per_px))
