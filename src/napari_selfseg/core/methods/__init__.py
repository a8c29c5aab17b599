"""The methods by name. A method is one module, one line here, one test module, one docs page."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from napari_selfseg.core.methods.cluster_settings import ClusterSettings
from napari_selfseg.core.methods.local_contrast_settings import LocalContrastSettings
from napari_selfseg.core.methods.region_settings import RegionSettings
from napari_selfseg.core.methods.settings import PatchContrastSettings, TrainingSettings

if TYPE_CHECKING:
    from torch import nn

    from napari_selfseg.core.learning.training_data import TrainingData


Finds = Literal["objects", "regions", "features"]
"""One kind of object against the rest; K kinds of tissue that fill the tile; or nothing by itself,
but what other methods learn from (a pretraining)."""


@dataclass(frozen=True)
class TrainingStep:
    """What one optimiser step tells: its place in the training and named numbers.

    Steps are counted from 1 over all phases together.
    """

    phase: str
    step: int
    n_steps: int
    measures: Mapping[str, float] = field(default_factory=dict)
    note: str = ""  # one sentence for the user when something was changed to go on
    exploring: bool = False  # one of several starts: no reason to end the whole training
    renewed: bool = False  # while exploring: the model is another one than after the last step
    enough: bool = False  # the method ends here by itself: going on would change nothing


class SegmentationMethod(Protocol):
    """A learner that turns tiles (B, C, M, N) into scores in 0..1 (B, K, M, N)."""

    title: ClassVar[str]
    needs_annotation: ClassVar[bool]
    Settings: ClassVar[type[TrainingSettings]]

    def build_model(self, settings: TrainingSettings, n_channels: int) -> nn.Module:
        """Return an untrained network, its weights drawn from ``settings.seed``."""
        ...

    def fit(
        self,
        model: nn.Module,
        data: TrainingData,
        settings: TrainingSettings,
        should_stop: Callable[[], bool] = ...,
    ) -> Generator[TrainingStep, None, None]:
        """Train ``model`` in place; yield after every optimiser step.

        Stopping at any yield leaves a usable model. ``should_stop`` can end the training in the
        middle of a step, which is then thrown away.
        """
        ...


@dataclass(frozen=True)
class MethodEntry:
    """Where a method is and what the form must know of it, without importing torch."""

    title: str
    summary: str
    needs_annotation: bool
    Settings: type[TrainingSettings]
    location: str
    finds: Finds = "objects"

    def load(self) -> SegmentationMethod:
        """Import the method's module (torch comes with it) and return the method."""
        module, name = self.location.split(":")
        method: SegmentationMethod = getattr(import_module(module), name)()
        return method


METHODS: dict[str, MethodEntry] = {
    "patch-contrast": MethodEntry(
        title="Patch contrast",
        summary="Needs nothing; learns from this tile in about a minute.",
        needs_annotation=False,
        Settings=PatchContrastSettings,
        location="napari_selfseg.core.methods.patch_contrast:PatchContrast",
    ),
    "regions": MethodEntry(
        title="Regions",
        summary="Needs nothing; sorts the tissue into kinds by stain and texture, in seconds.",
        needs_annotation=False,
        Settings=RegionSettings,
        location="napari_selfseg.core.methods.regions:Regions",
        finds="regions",
    ),
    "clusters": MethodEntry(
        title="Groups of patches",
        summary="Needs nothing; sorts patches that look alike into groups, which other methods "
        "then do not contrast.",
        needs_annotation=False,
        Settings=ClusterSettings,
        location="napari_selfseg.core.methods.cluster_guard:ClusterGuard",
        finds="features",
    ),
    "local-contrast": MethodEntry(
        title="Learn from my corrections",
        summary="Needs strokes; the map follows them, in seconds.",
        needs_annotation=True,
        Settings=LocalContrastSettings,
        location="napari_selfseg.core.methods.local_contrast:LocalContrast",
    ),
}
