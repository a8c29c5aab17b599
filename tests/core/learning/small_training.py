"""A small network, objectives and tiles for the tests of the training loop."""

import numpy as np
import torch
from torch import nn

from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.learning.step import StepLoss
from napari_selfseg.core.methods.settings import PatchContrastSettings, TrainingSettings


def random_tile(rows=40, columns=50, channels=3, seed=0, **about):
    pixels = np.random.default_rng(seed).integers(0, 256, (rows, columns, channels), np.uint8)
    return Tile(pixels, 255, **about)


class Small(nn.Module):
    """A network with weights, buffers and few numbers."""

    def __init__(self, channels=3):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.ELU(),
            nn.Conv2d(4, 2, 1),
        )

    def forward(self, x):
        return torch.sigmoid(self.layers(x))


def towards_dark(images, output, generator):
    """Objective: the first map is the darkness of the image."""
    loss = (output[:, 0] - (1 - images.mean(1))).square().mean()
    return learned(loss, loss=loss)


def learned(value, usable=True, /, **measures):
    """Return what an objective says that has measured these numbers or tensors."""
    told = {name: torch.as_tensor(number).detach() for name, number in measures.items()}
    return StepLoss(value, torch.tensor(usable), told)


def told(step_loss):
    """Return the loss (None: not usable) and, as numbers, what was measured."""
    numbers = {name: value.item() for name, value in step_loss.measures.items()}
    assert not any(value.requires_grad for value in step_loss.measures.values())
    measures = {name: number for name, number in numbers.items() if not np.isnan(number)}
    return step_loss.value if step_loss.usable.item() else None, measures


class Sequence:
    """An objective that does something else at some steps: {step: objective}."""

    def __init__(self, exceptions, usual=towards_dark):
        self.exceptions, self.usual, self.step = exceptions, usual, 0
        self.shapes = []

    def __call__(self, images, output, generator):
        self.step += 1
        self.shapes.append((images.shape[0], images.shape[-1]))
        return self.exceptions.get(self.step, self.usual)(images, output, generator)


def settings_with(**changes):
    return TrainingSettings(
        **({"n_steps": 4, "batch_size": 4, "crop_size": 32, "device": "cpu"} | changes)
    )


def patch_contrast_with(**changes):
    """Settings of method 0 that take a fraction of a second a step."""
    usual = {
        "patch_px": 8,
        "patch_um": None,
        "stride_px": 4,
        "crop_size": 32,
        "batch_size": 3,
        "n_draws": 5,
        "n_confidence_maps": 2,
        "n_steps": 3,
        "device": "cpu",
    }
    return PatchContrastSettings(**(usual | changes))


def state_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(state, other):
    return all(torch.equal(value, other[name]) for name, value in state.items())


def weights_of(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}
