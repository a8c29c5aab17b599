"""Method 2: learn from strokes, starting from a network that needed no labels.

Hu, Zeng, Xu and Shi, "Semi-supervised Contrastive Learning for Label-efficient Medical Image
Segmentation", MICCAI 2021, arXiv 2109.07407. Three stages: views of unpainted crops are
contrasted (encoder), painted pixels are contrasted by class (all of the network), and the map is
fine-tuned by cross-entropy and soft Dice. Here what is learned is added to the label-free map, and
held to nothing where nobody painted.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from napari_selfseg.core.learning.refinement import one_cycle
from napari_selfseg.core.learning.step import Objective, StepLoss
from napari_selfseg.core.learning.stroke_contrast import local_contrast
from napari_selfseg.core.learning.stroke_crops import PLANES, PaintedData, StrokeCrops
from napari_selfseg.core.learning.training import never, training_loop
from napari_selfseg.core.learning.view_contrast import nt_xent
from napari_selfseg.core.methods import METHODS, TrainingStep
from napari_selfseg.core.methods.local_contrast_settings import LocalContrastSettings
from napari_selfseg.core.methods.settings import TrainingSettings
from napari_selfseg.core.networks.corrected import Corrected
from napari_selfseg.core.networks.refined import Refined
from napari_selfseg.core.networks.unet import WIDTHS, UNet

SIZE_OF_VIEW, SIZE_OF_PIXEL = 64, 32  # features that are compared
HIDDEN = 64


class ViewFeatures(nn.Module):
    """The encoder and its head h1: crops (B, C, m, n) to features (B, 64)."""

    def __init__(self, learner: UNet) -> None:
        super().__init__()
        self.learner = learner
        self.head = nn.Sequential(
            nn.Linear(WIDTHS[-1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, SIZE_OF_VIEW)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C or more, m, n) to (B, 64)."""
        features: Tensor = self.head(self.learner.encoded(x)[-1].mean((2, 3)))
        return features


class PixelFeatures(nn.Module):
    """The whole network and its head h2, without a non-linearity: (B, C, m, n) to (B, 32, m, n)."""

    def __init__(self, learner: UNet) -> None:
        super().__init__()
        self.learner = learner
        self.head = nn.Sequential(
            nn.Conv2d(WIDTHS[0], HIDDEN, 1), nn.Conv2d(HIDDEN, SIZE_OF_PIXEL, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C or more, m, n) to (B, 32, m, n)."""
        features: Tensor = self.head(self.learner.features(x))
        return features


class WithFixedStatistics(nn.Module):
    """A network whose batch normalisations keep the statistics they have."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def train(self, mode: bool = True) -> WithFixedStatistics:
        """Let everything learn but the statistics."""
        super().train(mode)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Return what the network makes of x."""
        output: Tensor = self.network(x)
        return output


class ViewObjective:
    """NT-Xent of a batch whose second half shows the places of the first."""

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature

    def __call__(self, images: Tensor, output: Tensor, generator: torch.Generator) -> StepLoss:
        """Return the loss of features (2n, D)."""
        one, other = output.chunk(2)
        loss = nt_xent(one, other, self.temperature)
        return _step(loss, {"contrast of views": loss})


class PixelObjective:
    """The supervised local contrast of the painted pixels of twins."""

    def __init__(self, settings: LocalContrastSettings) -> None:
        self.settings = settings

    def __call__(self, images: Tensor, output: Tensor, generator: torch.Generator) -> StepLoss:
        """Return the loss of features (2n, D, m, n) on crops (2n, C + 3, m, n)."""
        said, weight, _ = images[: len(images) // 2, -PLANES:].unbind(1)
        classes = (said * (weight == 1)).long()
        views = torch.stack(output.chunk(2))
        own = self.settings
        loss = local_contrast(views, classes, own.temperature, own.mode, own.n_classes, generator)
        return _step(loss, {"contrast of strokes": loss})


class MapObjective:
    """Cross-entropy and soft Dice of what was painted; elsewhere the evidence is held to 0.

    The map is the start's logit plus the evidence. Object and background count equally in the
    cross-entropy, however much was painted of either. Soft Dice is that of the batch, without
    background, smoothed by 1.

    Parameters
    ----------
    keep : float
        Weight of the mean square of the evidence where nobody painted.
    """

    def __init__(self, keep: float) -> None:
        self.keep = keep

    def __call__(self, images: Tensor, output: Tensor, generator: torch.Generator) -> StepLoss:
        """Return the loss of evidence (B, E, m, n) on crops (B, C + 3, m, n)."""
        said, weight, start = images[:, -PLANES:].unbind(1)
        evidence = output[:, 0]
        wanted = (said > 1).float()
        each = binary_cross_entropy_with_logits(start + evidence, wanted, reduction="none")
        entropy = _mean(each, weight * wanted) + _mean(each, weight * (1 - wanted))
        found = torch.sigmoid(start + evidence) * weight
        both, either = (found * wanted).sum(), found.sum() + (weight * wanted).sum()
        dice = (2 * both + 1) / (either + 1)
        change = _mean(evidence.square(), 1 - weight)
        loss = entropy / 2 + 1 - dice + self.keep * change
        if output.shape[1] > 1:
            loss = loss + self._of_classes(output[:, 1:], said, weight)
        return _step(
            loss,
            {"cross-entropy": entropy / 2, "dice of strokes": dice, "change": change.sqrt()},
        )

    def _of_classes(self, scores: Tensor, said: Tensor, weight: Tensor) -> Tensor:
        """Return the cross-entropy of the classes (B, n, m, n) where an object was painted."""
        painted = (said > 1) & (weight == 1)
        each = cross_entropy(scores, (said - 2).clamp(min=0).long(), reduction="none")
        return _mean(each, painted.float())


class LocalContrast:
    """Learn from corrections: the map follows the strokes, and stays as it was elsewhere."""

    title: ClassVar[str] = "Learn from my corrections"
    needs_annotation: ClassVar[bool] = True
    Settings: ClassVar[type[TrainingSettings]] = LocalContrastSettings

    def build_model(self, settings: TrainingSettings, n_channels: int = 3) -> Corrected:
        """Return the start's network, untrained, with a learner whose evidence is zero."""
        assert isinstance(settings, LocalContrastSettings)
        entry = METHODS[settings.start_method]
        start = entry.load().build_model(entry.Settings(**settings.start_settings), n_channels)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            return Corrected(start, n_channels, settings.n_classes)

    def fit(
        self,
        model: nn.Module,
        data: PaintedData,
        settings: TrainingSettings,
        should_stop: Callable[[], bool] = never,
    ) -> Generator[TrainingStep, None, None]:
        """Train the learner in place, one `TrainingStep` per optimiser step.

        Parameters
        ----------
        model : Corrected
        data : PaintedData
            At least one of its tiles is painted.
        settings : LocalContrastSettings
        should_stop : callable
            Ends the training in the middle of a step.
        """
        assert isinstance(model, Corrected)
        assert isinstance(settings, LocalContrastSettings)
        learner, jitter = model.correction.learner, settings.stain_jitter
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            of_views, of_pixels = ViewFeatures(learner), PixelFeatures(learner)
        rate, batch = settings.contrast_rate, settings.batch_size
        stages: list[tuple[str, nn.Module, Objective, StrokeCrops, TrainingSettings]] = []
        if settings.global_steps:
            stages.append(
                (
                    "views",
                    of_views,
                    ViewObjective(settings.temperature),
                    StrokeCrops(data, 2 * jitter, "views", painted=0.0),
                    settings.of_stage(settings.global_steps, 10 * rate, 2 * batch),
                )
            )
        if settings.local_steps:
            stages.append(
                (
                    "strokes",
                    of_pixels,
                    PixelObjective(settings),
                    StrokeCrops(data, jitter, "twins", painted=1.0),
                    settings.of_stage(settings.local_steps, rate, batch),
                )
            )
        stages.append(
            (
                "map",
                learner,
                MapObjective(settings.keep),
                StrokeCrops(data, jitter, painted=0.5),
                settings.of_stage(settings.n_steps, settings.learning_rate, batch),
            )
        )
        taken = 0
        for phase, learning, objective, crops, own in stages:
            network = WithFixedStatistics(learning) if _has_seen(learner) else learning
            for step in training_loop(
                network, objective, crops, own, phase, should_stop, one_cycle
            ):
                at = taken + step.step
                yield replace(step, step=at, n_steps=settings.total_steps)
            if should_stop():
                return
            taken += own.n_steps


def corrected_from(
    start: nn.Module, settings: LocalContrastSettings, shrink: int, n_channels: int
) -> Corrected:
    """Return a network that corrects a trained one; its learner knows what the start's U-Net does.

    Parameters
    ----------
    start : nn.Module
        Trained without labels; or a `Corrected` of the same classes, which goes on learning.
    settings : LocalContrastSettings
        Of the start's method.
    shrink : int
        How many times smaller the learner looks at images.
    n_channels : int
    """
    model = LocalContrast().build_model(settings, n_channels)
    first = start.start if isinstance(start, Corrected) else start
    model.start.load_state_dict(first.state_dict())
    own = model.correction
    if isinstance(start, Corrected) and start.correction.n_planes == own.n_planes:
        own.load_state_dict(start.correction.state_dict())
        return model
    own.shrink.fill_(shrink)
    if isinstance(first, Refined) and bool(first.has_learned):
        own.shrink.copy_(first.shrink)
        known = first.pupils.members[0].state_dict()
        body = {name: value for name, value in known.items() if not name.startswith("head.")}
        own.learner.load_state_dict(body, strict=False)
    return model


def knows_tissue(network: nn.Module) -> bool:
    """Whether the features of a start's U-Net can be taken over, so that views teach nothing."""
    return isinstance(network, Corrected) or (
        isinstance(network, Refined) and bool(network.has_learned)
    )


def _has_seen(learner: UNet) -> bool:
    """Whether the batch normalisations know images; crops around strokes are a poor sample."""
    return all(
        bool(part.num_batches_tracked)
        for part in learner.modules()
        if isinstance(part, nn.BatchNorm2d) and part.num_batches_tracked is not None
    )


def _step(loss: Tensor, measures: dict[str, Tensor]) -> StepLoss:
    measured: dict[str, Any] = {"loss": loss, **measures}
    usable = torch.ones((), dtype=torch.bool, device=loss.device)
    return StepLoss(loss, usable, {name: value.detach() for name, value in measured.items()})


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    total = weight.sum()
    return (values * weight).sum() / total.masked_fill(total == 0, 1.0)
