"""Settings of grouping patches, without torch."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from napari_selfseg.core.methods.settings import TrainingSettings

MOST_PATCHES = 5000  # the memory of a tree grows with the square


class ClusterSettings(TrainingSettings):
    """Groups of patches that look alike (Zhang, Hu et al., 2022, as far as it is described)."""

    has_presets: ClassVar[bool] = False
    unused: ClassVar[frozenset[str]] = frozenset({"crop_size", "stop_early"})

    n_groups: int = Field(
        12,
        ge=1,
        le=MOST_PATCHES,
        title="Groups (k)",
        description="Into how many groups the tree is cut. It can be cut anew at any time.",
        json_schema_extra={"main": True},
    )
    patch_um: float = Field(
        16.0,
        gt=0,
        le=10_000,
        title="Patch size (µm)",
        description="What is compared: about a nucleus with its surroundings.",
        json_schema_extra={"step": 1.0, "main": True},
    )
    n_patches: int = Field(
        2000,
        ge=2,
        le=MOST_PATCHES,
        title="Patches",
        description="From how many the tree is grown; all others join the nearest group.",
    )
    image_space: Literal["rgb", "optical-density"] = Field(
        "optical-density",
        title="Image space",
        description="rgb, or optical-density, which measures how much stain there is.",
    )
    n_steps: int = Field(
        300,
        ge=1,
        le=100_000,
        title="Steps",
        description="Of the auto-encoder that learns to describe a patch.",
    )
    batch_size: int = Field(
        64, ge=1, le=4096, title="Patches per step", description="More is steadier and slower."
    )

    def patch_px(self, um_per_px: float) -> int:
        """Return the side of a patch in px of a tile of this scale."""
        return max(8, round(self.patch_um / um_per_px))
