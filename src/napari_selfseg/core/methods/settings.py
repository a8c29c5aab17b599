"""Settings of the methods and the presets, without torch.

Title, explanation and range are written once, on the field: the form shows them, the
command line takes them by name, the run folder stores them.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

REFINEMENT_BATCH, REFINEMENT_CROP = 6, 128  # crops a step, and their side in px

Device = Literal["auto", "cpu", "cuda"]


class TrainingSettings(BaseModel):
    """What every method needs to be told. Frozen: a run never sees its settings change."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    has_presets: ClassVar[bool] = True
    unused: ClassVar[frozenset[str]] = frozenset()  # common settings that change nothing here

    seed: int = Field(
        0,
        ge=0,
        le=2**31 - 1,
        title="Seed",
        description="The same seed on the same machine gives the same result. "
        "Try another one if the map looks wrong.",
    )
    device: Device = Field(
        "auto",
        title="Device",
        description="auto takes the graphics card if there is one, otherwise the processor.",
    )
    n_steps: int = Field(
        300,
        ge=1,
        le=100_000,
        title="Steps at most",
        description="Training stops by itself earlier when nothing changes any more.",
    )
    learning_rate: float = Field(
        1e-3,
        gt=0,
        le=1.0,
        title="Learning rate",
        description="How far each step moves the network. Higher is faster and less stable.",
        json_schema_extra={"step": 1e-4},
    )
    weight_decay: float = Field(
        1e-4,
        ge=0,
        le=1.0,
        title="Weight decay",
        description="Pulls the weights gently towards zero.",
        json_schema_extra={"step": 1e-5},
    )
    batch_size: int = Field(
        6,
        ge=1,
        le=256,
        title="Crops per step",
        description="How many random squares of the tile one step looks at. "
        "More is steadier and slower; at least 5 for a single tile.",
    )
    crop_size: int = Field(
        224,
        ge=32,
        le=2048,
        title="Crop size (px)",
        description="Side of the random squares. Larger ones see more context and cost more.",
    )
    stop_early: bool = Field(
        True,
        title="Stop by itself",
        description="Stop at the plateau, or when the map starts to die (collapse alarm).",
    )

    @property
    def total_steps(self) -> int:
        """How many optimiser steps the training takes at most, all phases together."""
        return self.n_steps

    @property
    def completed(self) -> str:
        """What to say when the training went through to its end."""
        return f"All {self.total_steps} steps were taken."

    @property
    def enough(self) -> str:
        """What to say when the method ended by itself because nothing changed any more."""
        return "Going on would have changed nothing."


class PatchContrastSettings(TrainingSettings):
    """Patch-based contrast of a tiny network's own confidence (Boserup and Selvan, 2023)."""

    n_confidence_maps: int = Field(
        4,
        ge=1,
        le=16,
        title="Confidence maps (K)",
        description="How many maps the network draws. One of them usually finds the nuclei.",
    )
    patch_um: float | None = Field(
        12.5,
        gt=0,
        le=10_000,
        title="Patch size (µm)",
        description="About one nucleus. Used when the image says how large a pixel is.",
        json_schema_extra={"step": 0.5},
    )
    patch_px: int = Field(
        50,
        ge=8,
        le=1024,
        title="Patch size (px)",
        description="Used when the size of a pixel is unknown, or the size in µm is off.",
    )
    stride_px: int = Field(
        20,
        ge=1,
        le=1024,
        title="Stride (px)",
        description="Distance between neighbouring patches. Smaller looks more closely.",
    )
    n_draws: int = Field(
        10,
        ge=1,
        le=512,
        title="Patches drawn per crop",
        description="How many patches of each crop and map are compared in one step.",
    )
    sampler: Literal["entropy", "uniform", "probabilistic", "top-k"] = Field(
        "entropy",
        title="Sampler",
        description="Which patches are compared. entropy prefers those the network is sure of.",
    )
    similarity: Literal["mse", "cross-entropy", "featurised-cosine"] = Field(
        "mse",
        title="Similarity",
        description="How two patches are compared. mse is the paper's choice.",
    )
    image_space: Literal["rgb", "optical-density"] = Field(
        "rgb",
        title="Image space",
        description="rgb as in the paper; optical-density measures how much stain there is.",
    )
    temperature: float = Field(
        1.0,
        gt=0,
        le=10.0,
        title="Temperature",
        description="Below 1 the hardest comparisons count more. The paper has none (1).",
        json_schema_extra={"step": 0.05},
    )
    group_positives: bool = Field(
        False,
        title="Groups belong together",
        description="With a guard of groups: patches of one group are drawn together. Without "
        "it they are only never pushed apart.",
    )
    starts: int = Field(
        1,
        ge=1,
        le=64,
        title="Starts",
        description="How many random beginnings are tried, each for all the steps. They differ a "
        "lot; the ones whose maps agree best with the stain are kept.",
    )
    starts_at_once: int = Field(
        3,
        ge=1,
        le=64,
        title="Starts at once",
        description="How many starts are trained together. A graphics card likes more; beyond "
        "three a processor gets slower.",
    )
    committee: int = Field(
        3,
        ge=1,
        le=16,
        title="Starts that agree",
        description="How many of the best starts draw the final map together, as their mean. "
        "More are steadier, and slower on large images.",
    )

    stain_edges: bool = Field(
        False,
        title="Edges from the stain",
        description="The starts say what is an object, the stain of the tile where it ends. A "
        "refinement does that always.",
    )
    refinement_steps: int = Field(
        0,
        ge=0,
        le=100_000,
        title="Refinement steps",
        description="After the starts, larger networks learn that many steps from the objects "
        "that the starts and the stain agree on, and draw the map. 0: the starts draw it.",
    )
    refinement_networks: int = Field(
        2,
        ge=1,
        le=16,
        title="Refinement networks",
        description="How many larger networks learn. Their mean is better than one of them, and "
        "where they differ is doubt; each costs the same time again.",
    )
    refinement_rate: float = Field(
        3e-3,
        gt=0,
        le=1.0,
        title="Refinement learning rate",
        description="The highest rate of the refinement; it rises to it and falls again.",
        json_schema_extra={"step": 1e-3},
    )
    stain_jitter: float = Field(
        0.15,
        ge=0,
        le=0.5,
        title="Stain variation",
        description="How much the stain is varied in the refinement, so that what is learned "
        "holds for other stainings.",
        json_schema_extra={"step": 0.05},
    )
    scale_jitter: float = Field(
        0.0,
        ge=0,
        le=0.7,
        title="Scale variation",
        description="How much the size is varied in the refinement: 0.2 is a fifth up and down.",
        json_schema_extra={"step": 0.05},
    )

    @property
    def steps_of_starts(self) -> int:
        """The steps of all batches of starts together."""
        return self.n_steps * -(-self.starts // self.starts_at_once)

    @property
    def total_steps(self) -> int:
        """The steps of all batches of starts and of the refinement together."""
        return self.steps_of_starts + self.refinement_steps

    @property
    def completed(self) -> str:
        """What to say when the training went through to its end."""
        if self.starts > 1:
            return f"All {self.starts} starts were tried{self._then}."
        return super().completed

    @property
    def enough(self) -> str:
        """What to say when the method ended by itself because nothing changed any more."""
        return f"The last starts were no better than those before{self._then}."

    @property
    def _then(self) -> str:
        n = self.n_agreeing
        those = "they" if n == self.starts else f"the best {n}" if n > 1 else "the best one"
        if self.refinement_steps:
            return f"; {those} and the stain taught larger networks"
        edges = ", with edges from the stain" if self.stain_edges else ""
        return f"; {those} draw the map together{edges}" if n > 1 else ""

    @property
    def n_agreeing(self) -> int:
        """How many starts draw the final map."""
        return min(self.committee, self.starts)

    def of_refinement(self) -> TrainingSettings:
        """Return the settings of the refinement's own training."""
        values: dict[str, Any] = {
            "seed": self.seed,
            "device": self.device,
            "n_steps": self.refinement_steps,
            "learning_rate": self.refinement_rate,
            "weight_decay": self.weight_decay,
            "batch_size": REFINEMENT_BATCH,
            "crop_size": REFINEMENT_CROP,
        }
        return TrainingSettings(**values)

    @property
    def pixels_of_refinement(self) -> int:
        """How many pixels the networks of the refinement look at, all together."""
        per_network = self.refinement_steps * REFINEMENT_BATCH * REFINEMENT_CROP**2
        return self.refinement_networks * per_network

    @property
    def starts_per_step(self) -> float:
        """How many starts a step trains, on average: what it costs more than a single one's."""
        return self.starts * self.n_steps / self.steps_of_starts

    @model_validator(mode="after")
    def _featuriser_needs_pixels(self) -> Self:
        if self.patch_px < self._least_patch:
            raise ValueError(f"featurised-cosine needs patches of at least {self._least_patch} px")
        return self

    @model_validator(mode="after")
    def _both_sides_are_drawn(self) -> Self:
        if self.sampler in ("probabilistic", "top-k") and self.n_draws < 2:
            raise ValueError(f"the {self.sampler} sampler needs at least 2 patches per crop")
        return self

    @property
    def _least_patch(self) -> int:
        """In px; the featuriser's convolutions need more than the others."""
        return 18 if self.similarity == "featurised-cosine" else 8

    def patch_size(self, um_per_px: float | None) -> int:
        """Return the side of a patch in px for an image of this scale (None: unknown)."""
        if self.patch_um is None or um_per_px is None:
            return self.patch_px
        return max(self._least_patch, round(self.patch_um / um_per_px))

    def stride(self, um_per_px: float | None) -> int:
        """Return the stride in px; it keeps its ratio to the patch size."""
        return max(1, round(self.stride_px * self.patch_size(um_per_px) / self.patch_px))


_SMALL_CROPS: dict[str, Any] = {
    # Smaller patches and cheaper steps than the paper's, and several starts: what these gain
    # was measured on training tiles only and stands in docs/results.md.
    "batch_size": 5,
    "crop_size": 128,
    "learning_rate": 5e-4,
    "n_draws": 30,
    "patch_um": 6.0,
    "patch_px": 24,
    "stride_px": 10,
}

PRESETS: dict[str, dict[str, Any]] = {
    "quick": {**_SMALL_CROPS, "starts": 2, "n_steps": 20, "committee": 2, "stain_edges": True},
    "standard": {**_SMALL_CROPS, "starts": 3, "n_steps": 40, "refinement_steps": 250},
    "thorough": {
        **_SMALL_CROPS,
        "starts": 12,
        "n_steps": 100,
        "committee": 5,
        "refinement_steps": 300,
        "refinement_networks": 4,
    },
    "as-published": {
        "n_steps": 150,
        "batch_size": 10,
        "crop_size": 300,
        "learning_rate": 2e-4,
        "stop_early": False,
    },
}
"""Preset name to the settings it changes; the same names in the dock and on the command line."""


def preset_settings(
    preset: str, settings_type: type[TrainingSettings] = PatchContrastSettings, **changes: Any
) -> TrainingSettings:
    """Return the settings of a preset, with ``changes`` on top.

    A method without presets has its defaults in all of them.

    Raises
    ------
    KeyError
        If there is no such preset.
    pydantic.ValidationError
        If a change is unknown or out of range.
    """
    values = PRESETS[preset] if settings_type.has_presets else {}
    known = {k: v for k, v in values.items() if k in settings_type.model_fields}
    return settings_type(**{**known, **changes})
