"""Settings of learning from strokes, without torch."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from napari_selfseg.core.methods.settings import TrainingSettings

COMMON = ("seed", "device")
OF_THE_START = frozenset({"start_method", "start_settings", "channel", "inverted", "n_classes"})


class LocalContrastSettings(TrainingSettings):
    """Semi-supervised contrast of strokes (Hu et al., 2021), from a network that needed no labels.

    The last fields say what that network is, so that the model can be built again from its
    settings; they are no choice of the user.
    """

    has_presets: ClassVar[bool] = False
    unused: ClassVar[frozenset[str]] = OF_THE_START | {"stop_early"}

    global_steps: int = Field(
        20,
        ge=0,
        le=100_000,
        title="Steps without strokes",
        description="First the encoder learns which views show the same place, from crops that "
        "nobody painted. Only in the first round.",
    )
    local_steps: int = Field(
        20,
        ge=0,
        le=100_000,
        title="Steps of contrast",
        description="Then the features of painted pixels are drawn together by class.",
    )
    n_steps: int = Field(
        40,
        ge=1,
        le=100_000,
        title="Steps of fine-tuning",
        description="At last the map itself learns the strokes.",
    )
    mode: Literal["sampled", "stride", "block"] = Field(
        "sampled",
        title="Pixels compared",
        description="sampled: up to 512 of every class, also of thin strokes. stride: every "
        "fourth row and column. block: all within blocks of 16 × 16 px.",
    )
    temperature: float = Field(
        0.1,
        gt=0,
        le=10.0,
        title="Temperature",
        description="Below it the hardest comparisons count more.",
        json_schema_extra={"step": 0.05},
    )
    keep: float = Field(
        1.0,
        ge=0,
        le=1000.0,
        title="Keep what was known",
        description="How much the map is held to what was found without labels, where nobody "
        "painted. 0: only the strokes count.",
        json_schema_extra={"step": 0.5},
    )
    contrast_rate: float = Field(
        1e-4,
        gt=0,
        le=1.0,
        title="Learning rate of the contrast",
        description="Of the steps before the fine-tuning.",
        json_schema_extra={"step": 1e-4},
    )
    learning_rate: float = Field(
        5e-4,
        gt=0,
        le=1.0,
        title="Learning rate",
        description="Of the fine-tuning. Higher follows the strokes faster.",
        json_schema_extra={"step": 1e-4},
    )
    stain_jitter: float = Field(
        0.1,
        ge=0,
        le=0.5,
        title="Stain variation",
        description="How much the stain is varied, so that what is learned holds for other tiles.",
        json_schema_extra={"step": 0.05},
    )
    batch_size: int = Field(
        8, ge=2, le=256, title="Crops per step", description="Squares that one step looks at."
    )
    crop_size: int = Field(
        64,
        ge=32,
        le=1024,
        title="Crop size (px)",
        description="Side of the squares, at the scale at which is learned (0.5 µm/px).",
    )

    start_method: str = Field("patch-contrast", title="Method of the start")
    start_settings: dict[str, Any] = Field(default_factory=dict, title="Settings of the start")
    channel: int = Field(0, ge=0, le=15, title="Map of the object")
    inverted: bool = Field(False, title="Object where the map is low")
    n_classes: int = Field(1, ge=1, le=32, title="Classes")

    @property
    def n_confidence_maps(self) -> int:
        """One of the object and, if there are several, one of every class."""
        return 1 if self.n_classes == 1 else 1 + self.n_classes

    @property
    def total_steps(self) -> int:
        """The steps of all stages together."""
        return self.global_steps + self.local_steps + self.n_steps

    def of_stage(self, n_steps: int, learning_rate: float, batch_size: int) -> TrainingSettings:
        """Return the settings of one stage's own training."""
        common = {name: getattr(self, name) for name in COMMON}
        return TrainingSettings(
            n_steps=n_steps,
            learning_rate=learning_rate,
            weight_decay=self.weight_decay,
            batch_size=batch_size,
            crop_size=self.crop_size,
            **common,
        )
