"""Refinement: larger networks learn from the objects that cues and starts agree on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate
from torch.optim.swa_utils import get_ema_multi_avg_fn

from napari_selfseg.core.cues import clearest_cue
from napari_selfseg.core.images.evidence import Stain, stain_of
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.learning.augmentation import stain_jitter, turned
from napari_selfseg.core.learning.lessons import Lesson, lesson_of
from napari_selfseg.core.learning.sampling import binary_entropy
from napari_selfseg.core.learning.step import StepLoss
from napari_selfseg.core.learning.training import TrainingFailed, never, training_loop
from napari_selfseg.core.learning.training_data import PROCESSOR, TrainingData
from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.core.methods.settings import PatchContrastSettings
from napari_selfseg.core.networks.adaptation import distance, statistics_of
from napari_selfseg.core.networks.device import sent
from napari_selfseg.core.networks.network_input import network_input
from napari_selfseg.core.networks.refined import MOST_SHRINKING, Refined
from napari_selfseg.core.plausibility import suggested_threshold
from napari_selfseg.core.prediction import predict_region

LEARNED_AT_UM = 0.5  # per pixel; at 0.25 the same number of steps sees a quarter of the tissue
MOST_PIXELS = 8_000_000  # of all tiles together; what lies around the middle of a tile is taken
TARGETS = 3  # channels of a crop behind the image: objects, weight, depth
SHOWN_AT = (0.4, 0.6, 0.8, 1.0)  # shares of the steps; the first is past the wildest ones
LEAST_BETWEEN = 40  # steps from a milestone to the end
LEFT = "The refinement became unstable and was left; the starts draw the map."
LOOKED_AT = 3  # lessons whose distance is measured before the end
AVERAGED_STEPS = 0.1  # share of the steps that weigh most in the running average of the weights
WARM_UP = 0.2  # share of the steps in which the rate rises
LOWEST_RATE = 0.04  # of the highest, at the beginning


def shrinking(um_per_px: float | None) -> int:
    """Return how many times smaller than a tile of this scale the pupils look at it."""
    if um_per_px is None:
        return 2
    return min(max(1, round(LEARNED_AT_UM / um_per_px)), MOST_SHRINKING)


def one_cycle(progress: float) -> float:
    """Return the learning rate over its highest, at a share 0..1 of the training.

    It rises and falls along half cosines (Smith and Topin, arXiv 1708.07120).
    """
    if progress < WARM_UP:
        return LOWEST_RATE + (1 - LOWEST_RATE) * (1 - math.cos(math.pi * progress / WARM_UP)) / 2
    return (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))) / 2


class LessonCrops:
    """Random crops of lessons, each as another staining and scale might have shown it.

    The lessons are made one by one, whenever crops are drawn, so that learning begins at once.

    Parameters
    ----------
    tiles : sequence of Tile
    make : callable(Tile)
        Returns the lesson of a tile.
    settings : PatchContrastSettings
    """

    def __init__(
        self,
        data: TrainingData,
        make: Callable[[Tile], Lesson],
        settings: PatchContrastSettings,
    ) -> None:
        self._waiting = list(data.tiles)
        self._make, self._settings = make, settings
        self.image_space = data.image_space
        shrink = shrinking(data.um_per_px)
        self._least_side = min(min(_middle(tile, len(data.tiles))) for tile in data.tiles) // shrink
        self.lessons: list[Lesson] = []

    def crop_side(self, wanted: int) -> int:
        """Return the side of a crop in px of the lessons, at most what the smallest allows."""
        return min(wanted, self._least_side)

    def draw(
        self, rng: np.random.Generator, n: int, side: int, device: torch.device = PROCESSOR
    ) -> Tensor:
        """Return n random crops, (n, C + 3, side, side): image, objects, weight, depth."""
        if self._waiting:
            self.lessons.append(self._make(self._waiting.pop(0)))
        crops = [self._crop(rng, side) for _ in range(n)]
        return sent(torch.from_numpy(np.stack(crops)), device)

    def _crop(self, rng: np.random.Generator, side: int) -> NDArray[np.float32]:
        lesson = self.lessons[int(rng.integers(len(self.lessons)))]
        rows, columns = lesson.objects.shape
        zoom = math.exp(rng.uniform(-1, 1) * self._settings.scale_jitter)
        seen = min(max(1, round(side * zoom)), rows, columns)
        top, left = int(rng.integers(rows - seen + 1)), int(rng.integers(columns - seen + 1))
        where = slice(top, top + seen), slice(left, left + seen)
        turn = int(rng.integers(8))
        pixels = stain_jitter(lesson.pixels[where], rng, self._settings.stain_jitter)
        image = network_input(turned(pixels, turn), self.image_space)
        taught = [turned(one[where], turn) for one in (lesson.objects, lesson.weight, lesson.depth)]
        crop = np.concatenate([image, np.stack(taught)])
        return crop if seen == side else _resized(crop, side)


class LessonObjective:
    """Cross-entropy and soft Dice of the objects, cross-entropy of their depth, where taught.

    The Dice part is that of Milletari et al. (V-Net, arXiv 1606.04797, without squares).
    """

    def __call__(self, images: Tensor, output: Tensor, generator: torch.Generator) -> StepLoss:
        """Return the loss and the measures of logits (B, S, 2, M, N) on crops (B, C + 3, M, N).

        The loss is the sum over the S networks, the measures are their means. It is not usable
        where nothing is taught.
        """
        objects, weight, depth = images[:, -TARGETS:].unsqueeze(2).unbind(1)
        usable = weight.any()
        scores, depths = output.unbind(2)
        found = torch.sigmoid(scores) * weight
        wanted = objects * weight
        both, either = _total(found * wanted), _total(found) + wanted.sum()
        dice = (2 * both + 1) / (either + 1)
        each = _mean(scores, objects, weight) + 1 - dice + _mean(depths, depth, weight)
        entropy = binary_entropy(torch.sigmoid(scores.detach())).mean()
        measured = {
            "loss": each.detach().mean(),
            "entropy": entropy,
            "agreement": dice.detach().mean(),
        }
        measures = {name: value.masked_fill(~usable, math.nan) for name, value in measured.items()}
        return StepLoss(each.sum().masked_fill(~usable, 0.0), usable, measures)


def refine(
    network: Refined,
    data: TrainingData,
    settings: PatchContrastSettings,
    should_stop: Callable[[], bool] = never,
) -> Iterator[TrainingStep]:
    """Let the pupils of a network learn from the tiles; yield after every step.

    At the end the pupils' weights are their running average over the steps (Polyak and Juditsky,
    1992): it errs less on tiles of other sources than the last step alone.

    For the first steps the network goes on drawing the consensus; then the pupils' map. If the
    refinement becomes unstable, a last step says so and the consensus is drawn again.

    Parameters
    ----------
    network : Refined
        Its consensus has learned.
    data : TrainingData
    settings : PatchContrastSettings
    should_stop : callable
        Ends the training in the middle of a step.
    """
    shrink = shrinking(data.um_per_px)
    starts = network.first.folded()

    def make(tile: Tile) -> Lesson:
        rows, columns = _middle(tile, len(data.tiles))
        top, left = (tile.shape[0] - rows) // 2, (tile.shape[1] - columns) // 2
        where = slice(top, top + rows), slice(left, left + columns)
        is_only = len(data.tiles) == 1 and (rows, columns) == tile.shape
        # the one that is drawn in the end, from the same stain
        stain = stain_of(tile) if is_only else Stain(tile.read(*where))
        maps = predict_region(starts, tile, *where, data.image_space)
        drawn = network.first.object_of(maps)
        consensus = drawn - np.float32(suggested_threshold(drawn, stain))
        cue = clearest_cue(stain, tile.um_per_px)
        return lesson_of(stain.pixels, cue, tile.um_per_px, shrink, consensus)

    crops = LessonCrops(data, make, settings)
    own = settings.of_refinement()
    before = taken = settings.total_steps - settings.refinement_steps
    decay = 1 - 1 / max(2.0, AVERAGED_STEPS * own.n_steps)
    averaged = deepcopy(network.pupils)
    milestones = _milestones(own.n_steps)
    first_averaged = math.ceil(SHOWN_AT[0] * own.n_steps)
    _renew(network.pupils, settings.seed)
    try:
        for step in training_loop(
            network.pupils, LessonObjective(), crops, own, "refinement", should_stop, one_cycle
        ):
            taken = before + step.step
            is_milestone = step.step in milestones
            device = next(network.pupils.parameters()).device  # a full card moves it
            if step.step >= first_averaged:
                is_first = step.step == first_averaged
                _follow(averaged.to(device), network.pupils, 0.0 if is_first else decay)
            if step.step == own.n_steps:
                network.pupils.load_state_dict(averaged.state_dict())
            if is_milestone:
                network.to(device)
                looked_at = crops.lessons if step.step == own.n_steps else crops.lessons[:LOOKED_AT]
                space = data.image_space
                network.learned(shrink, _usual_distance(network.pupils, looked_at, space))
            yield replace(
                step,
                step=taken,
                n_steps=settings.total_steps,
                exploring=True,
                renewed=is_milestone,
            )
    except TrainingFailed:
        network.forget()
        yield TrainingStep(
            "refinement", taken, settings.total_steps, note=LEFT, exploring=True, renewed=True
        )


def _milestones(n_steps: int) -> list[int]:
    """Return the steps after which the pupils' map is drawn; drawing it costs some steps."""
    wanted = [math.ceil(share * n_steps) for share in SHOWN_AT]
    return [step for step in wanted if n_steps - step >= LEAST_BETWEEN or step == n_steps]


def _follow(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    """Move averaged weights and statistics towards those of a network; 0 makes them equal.

    torch's own `AveragedModel` counts on the device and looks at the count every time.
    """
    move = get_ema_multi_avg_fn(decay)
    pairs = list(zip(averaged.state_dict().values(), network.state_dict().values(), strict=True))
    for is_float in (True, False):
        alike = [pair for pair in pairs if pair[0].is_floating_point() == is_float]
        move([mean for mean, _ in alike], [now for _, now in alike], None)


def _usual_distance(pupils: nn.Module, lessons: Sequence[Lesson], image_space: str) -> float:
    """Return how far the tiles' own statistics are from what was learned, as their median."""
    device = next(pupils.parameters()).device
    far = []
    for lesson in lessons:
        image = torch.from_numpy(network_input(lesson.pixels, image_space))[None]
        far.append(distance(pupils, statistics_of(pupils, image.to(device))))
    return float(np.median(far))


def _mean(scores: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Return the cross-entropy of (B, S, M, N) where something is taught, (S,)."""
    each = binary_cross_entropy_with_logits(scores, wanted.expand_as(scores), reduction="none")
    taught = weight.sum()
    return _total(each * weight) / taught.masked_fill(taught == 0, 1.0)


def _total(values: Tensor) -> Tensor:
    """Sum (B, S, M, N) to (S,)."""
    return values.sum((0, 2, 3))


def _middle(tile: Tile, n_tiles: int) -> tuple[int, int]:
    """Return the rows and columns of the part of a tile that is looked at."""
    side = math.isqrt(MOST_PIXELS // n_tiles)
    return min(side, tile.shape[0]), min(side, tile.shape[1])


def _renew(pupils: nn.Module, seed: int) -> None:
    """Draw the pupils' weights from the seed, whatever happened to them before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for part in pupils.modules():
            if isinstance(part, nn.Conv2d | nn.BatchNorm2d):
                part.reset_parameters()


def _resized(crop: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return a crop (D, m, m) at another size; what is not wholly taught is left open."""
    resized = interpolate(
        torch.from_numpy(crop)[None], (side, side), mode="bilinear", align_corners=False
    )[0].numpy()
    resized[-3] = resized[-3] > 0.5
    resized[-2] = resized[-2] > 0.99
    return resized
