"""How long until other slides' tiles are segmented well, against the paper's recipe.

    python -m benchmarks.time_to_dice DATA_DIR [--dice 0.72] [--preset quick] [--every 25]
        [--threads 2] [--seed 0] [--json]

Both learn from the tiles of monuseg/train and segment those of monuseg/test, which they have not
seen; no label chooses anything. The paper's recipe is 150 steps of 10 crops of 300 × 300 px, its
step a loop over anchors. Learning is timed, the program's with all that a run does until it has a
result; the test tiles are segmented while the clock stands still.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.accuracy import train
from benchmarks.datasets import TRAINING_SET, TestImage, images_of
from benchmarks.tables import markdown_table
from benchmarks.training_step import loop_step_of, paper_settings
from napari_selfseg.core.channels import ChannelChoice
from napari_selfseg.core.checkpoint import TrainedModel
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.learning.convergence import StainAgreement
from napari_selfseg.core.learning.training_data import TrainingData
from napari_selfseg.core.methods.patch_contrast import PatchContrast
from napari_selfseg.core.methods.settings import PRESETS, preset_settings
from napari_selfseg.core.metrics import dice
from napari_selfseg.core.segmentation import segment_tile

PAPER_STEPS = 150


@dataclass(frozen=True)
class Look:
    """How well the test tiles are segmented after some seconds of learning."""

    what: str
    seconds: float
    dice: float


def mean_dice(trained: TrainedModel, choice: ChannelChoice, tests: list[TestImage]) -> float:
    """Return the mean Dice over the test tiles."""
    found = [
        dice(segment_tile(trained, choice, image.tile())[0], image.reference()) for image in tests
    ]
    return float(np.mean(found))


def of_paper(
    tiles: tuple[Tile, ...], tests: list[TestImage], seed: int, every: int
) -> Iterator[Look]:
    """Learn as published, with the loop over anchors; look again and again."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    settings = paper_settings(device).model_copy(update={"seed": seed})
    start = time.perf_counter()
    data = TrainingData(tiles, settings.image_space)
    network = PatchContrast().build_network(settings)
    step = loop_step_of(network, data, settings)
    seconds = time.perf_counter() - start
    agreement = StainAgreement(data)
    for n in range(1, PAPER_STEPS + 1):
        start = time.perf_counter()
        step()
        seconds += time.perf_counter() - start
        if n % every == 0 or n == PAPER_STEPS:
            yield Look(f"paper's recipe, {n} steps", seconds, _look(network, agreement, tests))


def _look(network: nn.Module, agreement: StainAgreement, tests: list[TestImage]) -> float:
    choice = agreement.of(network).choice
    settings = paper_settings("cpu")
    trained = TrainedModel(network.eval(), "patch-contrast", settings, tests[0].tile().um_per_px, 3)
    found = mean_dice(trained, choice, tests)
    network.train()
    return found


def of_program(
    tiles: tuple[Tile, ...], tests: list[TestImage], preset: str, seed: int, threads: int
) -> Look:
    """Learn with a preset, from Train to the model."""
    settings = preset_settings(preset, seed=seed)
    torch.set_num_threads(threads)
    start = time.perf_counter()
    result = train(tiles, settings, preset)
    seconds = time.perf_counter() - start
    return Look(f"program, {preset}", seconds, mean_dice(result.model, result.choice, tests))


def first_reaching(looks: list[Look], wanted: float) -> Look | None:
    """Return the first look with that Dice; None if there is none."""
    return next((look for look in looks if look.dice >= wanted), None)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--dice", type=float, default=0.72)
    parser.add_argument("--preset", action="append", choices=PRESETS, help="default: quick")
    parser.add_argument("--every", type=int, default=25, help="steps of the paper's recipe")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    tiles = tuple(image.tile() for image in images_of(options.data, TRAINING_SET))
    tests = [i for i in images_of(options.data, "monuseg/test") if i.reference() is not None]
    mine = [
        of_program(tiles, tests, preset, options.seed, options.threads)
        for preset in options.preset or ["quick"]
    ]
    torch.set_num_threads(options.threads)
    theirs = list(of_paper(tiles, tests, options.seed, options.every))
    ended = theirs[-1].seconds
    reached, reached_by_paper = (first_reaching(looks, options.dice) for looks in (mine, theirs))
    lines = [
        {"what": look.what, "s": f"{look.seconds:.1f}", "Dice": f"{look.dice:.3f}"}
        for look in (*mine, *theirs)
    ]
    if reached is None:
        said = f"The program did not reach {options.dice}."
    elif reached_by_paper is None:
        said = (
            f"Dice {options.dice}: {reached.seconds:.1f} s ({reached.what}); the paper's recipe "
            f"did not reach it in {ended:.0f} s: more than {ended / reached.seconds:.1f} × as fast."
        )
    else:
        said = (
            f"Dice {options.dice}: {reached.seconds:.1f} s ({reached.what}), the paper's recipe "
            f"{reached_by_paper.seconds:.0f} s: {reached_by_paper.seconds / reached.seconds:.1f} × "
            "as fast."
        )
    print(json.dumps({"lines": lines, "said": said}) if options.json else markdown_table(lines))
    if not options.json:
        print(f"\n{said}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
