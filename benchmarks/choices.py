"""What the choices that are made without labels cost, beside an oracle and beside chance.

    python -m benchmarks.choices DATA_DIR [--seed 0] [--json]

One run of starts on all tiles of monuseg/train; then, on every tile that has a reference, each
choice is made three ways: without labels, by the reference (an oracle) and at random (the mean of
all candidates). The figures are Dice.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.accuracy import train
from benchmarks.datasets import TEST_SETS, TRAINING_SET, images_of
from benchmarks.tables import markdown_table
from napari_selfseg.core.channels import ChannelChoice, confidence_of
from napari_selfseg.core.cues import clearest_cue, cues_of
from napari_selfseg.core.images.evidence import Stain
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.instances import LabelSettings, label_image
from napari_selfseg.core.methods.settings import PatchContrastSettings, preset_settings
from napari_selfseg.core.metrics import dice
from napari_selfseg.core.plausibility import suggested_label_settings
from napari_selfseg.core.prediction import predict

THRESHOLDS = np.linspace(0.05, 0.95, 19)
UNSPLIT = {"split": False}  # Dice does not ask which object a pixel belongs to
CHOICES = ("start", "map and polarity", "threshold", "cue")


def label_free_oracle_chance(
    tile: Tile, reference: NDArray, maps: list[NDArray], choices: list[ChannelChoice]
) -> Iterator[tuple[str, float, float, float]]:
    """Yield the name of a choice and its Dice: without labels, by an oracle, at random.

    Parameters
    ----------
    tile : Tile
    reference : ndarray of integers, shape (M, N)
    maps : list of ndarray, shape (K, M, N)
        Of every start, the one that agrees best with the stain first.
    choices : list of ChannelChoice
        Made at training for every start, without labels.
    """
    stain = Stain(tile.read())

    def of_map(own: NDArray, choice: ChannelChoice, threshold: float | None = None) -> float:
        confidence = confidence_of(own, choice)
        settings = suggested_label_settings(confidence, stain, tile.um_per_px)
        changes = UNSPLIT if threshold is None else {**UNSPLIT, "threshold": threshold}
        settings = settings.model_copy(update=changes)
        return float(dice(label_image(confidence, settings), reference))

    starts = [of_map(own, choice) for own, choice in zip(maps, choices, strict=True)]
    yield "start", starts[0], max(starts), float(np.mean(starts))
    every = [
        of_map(maps[0], replace(choices[0], channel=channel, inverted=inverted))
        for channel in range(len(maps[0]))
        for inverted in (False, True)
    ]
    yield "map and polarity", starts[0], max(every), float(np.mean(every))
    cut = [of_map(maps[0], choices[0], float(threshold)) for threshold in THRESHOLDS]
    yield "threshold", starts[0], max(starts[0], *cut), float(np.mean(cut))
    sizes = LabelSettings.for_scale(tile.um_per_px).model_copy(update=UNSPLIT)

    def of_cue(margin: NDArray) -> float:
        return float(dice(label_image(1 / (1 + np.exp(-4 * margin)), sizes), reference))

    by_cue = [of_cue(cue.margin) for cue in cues_of(stain, tile.um_per_px)]
    taken = of_cue(clearest_cue(stain, tile.um_per_px).margin)
    yield "cue", taken, max(by_cue), float(np.mean(by_cue))


def lines_of(data: Path, settings: PatchContrastSettings) -> Iterator[dict[str, object]]:
    """Train once and yield a line of the table per set and choice."""
    result = train(
        tuple(image.tile() for image in images_of(data, TRAINING_SET)), settings, "starts"
    )
    consensus = result.model.network
    heard = range(int(consensus.n_heard))
    choices = [
        replace(
            result.choice,
            channel=int(consensus.channels[i]),
            inverted=bool(consensus.inverted[i]),
        )
        for i in heard
    ]
    for subset in (TRAINING_SET, *(s for s in TEST_SETS if s != "glas")):
        figures: dict[str, list[tuple[float, float, float]]] = {name: [] for name in CHOICES}
        for image in tqdm(
            images_of(data, subset), desc=subset, unit="tile", leave=False, disable=None
        ):
            reference = image.reference()
            if reference is None:
                continue
            tile = image.tile()
            maps = [predict(consensus.members[i], tile, settings.image_space) for i in heard]
            for name, *three in label_free_oracle_chance(tile, reference, maps, choices):
                figures[name].append((three[0], three[1], three[2]))
        for name, each in figures.items():
            free, oracle, chance = np.mean(each, axis=0)
            yield {
                "set": subset,
                "choice": name,
                "without labels": f"{free:.3f}",
                "oracle": f"{oracle:.3f}",
                "chance": f"{chance:.3f}",
                "gap to the oracle": f"{oracle - free:.3f}",
                "above chance": f"{free - chance:+.3f}",
            }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, metavar="DATA_DIR")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="of torch; default all")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    # every start is listened to, so that each can be looked at by itself
    settings = preset_settings("standard", seed=options.seed, refinement_steps=0)
    settings = settings.model_copy(update={"committee": settings.starts})
    lines = list(lines_of(options.data, settings))
    print(json.dumps({"choices": lines}) if options.json else markdown_table(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
