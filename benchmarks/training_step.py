"""A training step of method 0 three ways: as loops, as plain matrices, and as the program does it.

The same crops, the same network. The three take turns, so that what else the machine does falls
on all alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.loop_step import LoopOverAnchors
from benchmarks.roofline import synchronise
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.learning.training import training_loop
from napari_selfseg.core.learning.training_data import TrainingData
from napari_selfseg.core.methods.patch_contrast import PatchContrast
from napari_selfseg.core.methods.settings import PatchContrastSettings, preset_settings

STEPS = 10**5  # never reached
WARM = 5  # steps before a graphics card repeats a recorded one

Step = Callable[[], object]


def paper_settings(device: str) -> PatchContrastSettings:
    """Return the settings of the paper: 10 crops of 300 × 300 px, one start."""
    settings = preset_settings("as-published", n_steps=STEPS, device=device)
    assert isinstance(settings, PatchContrastSettings)
    return settings


def program_step(tile: Tile, settings: PatchContrastSettings) -> Step:
    """Return a function that takes the program's next step."""
    method, data = PatchContrast(), TrainingData([tile])
    network = method.build_network(settings)
    objective = method.build_objective(settings, data)
    steps = iter(training_loop(network, objective, data, settings))
    return lambda: next(steps)


def plain_step(tile: Tile, settings: PatchContrastSettings) -> Step:
    """Return a step with the same matrices, without anything that makes it faster."""
    method, data = PatchContrast(), TrainingData([tile])
    objective = method.build_objective(settings, data)

    def loss(crops: Tensor, maps: Tensor, generator: torch.Generator) -> Tensor:
        return objective(crops, maps, generator).value

    return _bare_step(method.build_network(settings), data, settings, loss)


def loop_step(tile: Tile, settings: PatchContrastSettings) -> Step:
    """Return a step whose loss is a loop over anchors."""
    network = PatchContrast().build_network(settings)
    return loop_step_of(network, TrainingData([tile]), settings)


def loop_step_of(network: nn.Module, data: TrainingData, settings: PatchContrastSettings) -> Step:
    """Return a step of a network whose loss is a loop over anchors."""
    patch, stride = settings.patch_size(data.um_per_px), settings.stride(data.um_per_px)
    loss = LoopOverAnchors(patch, stride, settings.n_draws)
    return _bare_step(network, data, settings, loss)


def _bare_step(
    network: nn.Module,
    data: TrainingData,
    settings: PatchContrastSettings,
    loss_of: Callable[[Tensor, Tensor, torch.Generator], Tensor | None],
) -> Step:
    device = torch.device(settings.device)
    network.to(device).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    generator = torch.Generator(device).manual_seed(0)
    rng = np.random.default_rng(0)

    def step() -> None:
        crops = data.draw(rng, settings.batch_size, settings.crop_size).to(device)
        optimiser.zero_grad()
        loss = loss_of(crops, network(crops), generator)
        if loss is not None:
            loss.backward()
            optimiser.step()

    return step


def seconds_in_turn(steps: dict[str, Step], repeats: int) -> dict[str, float]:
    """Return the median seconds of each step; they take turns."""
    for step in steps.values():
        for _ in range(WARM if torch.cuda.is_available() else 1):
            step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            synchronise()
            start = time.perf_counter()
            step()
            synchronise()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(mine) for name, mine in times.items()}
