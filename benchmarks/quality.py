"""How well the expected Dice ranks the tiles of a set, and the constants behind it.

    napari-selfseg train DATA_DIR/monuseg/train/*[0-9].png --um-per-px 0.25 --seed 0 --out run0
    python -m benchmarks.quality DATA_DIR run0 [run1 ...] [--json]

The runs learned without labels from the tiles of monuseg/train. Here the references of those
tiles, and of no others, say how much each measure counts; the tiles of the other sets say how well
that holds. The constants are printed as `napari_selfseg.core.quality` has them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from tqdm import tqdm

from benchmarks.datasets import TEST_SETS, TRAINING_SET, images_of
from benchmarks.tables import markdown_table
from napari_selfseg.core.metrics import dice
from napari_selfseg.core.quality import measures_of
from napari_selfseg.core.segmentation import labels_of, prediction_of_tile
from napari_selfseg.session.store import load_run

RIDGE = 0.3  # the measures say nearly the same: they share the weight


@dataclass(frozen=True)
class Judged:
    """What is measured of one tile without its reference, and its true Dice."""

    run: str
    set: str
    image: str
    measures: dict[str, float]
    dice: float


@dataclass(frozen=True)
class Calibration:
    """A linear expectation of the Dice from standardised measures."""

    means: NDArray
    deviations: NDArray
    weights: NDArray
    mean_dice: float

    def expected(self, measured: NDArray) -> NDArray:
        """Return the expected Dice of tiles, (n,), from (n, measures)."""
        return self.mean_dice + (measured - self.means) / self.deviations @ self.weights


def judged_tiles(data: Path, folder: Path) -> Iterator[Judged]:
    """Segment every tile that has a reference with a stored run."""
    run = load_run(folder, with_images=False)
    for subset in (TRAINING_SET, *(s for s in TEST_SETS if s != "glas")):
        for image in tqdm(images_of(data, subset), desc=f"{folder.name} {subset}", disable=None):
            reference = image.reference()
            if reference is None:
                continue
            tile = image.tile()
            labels, confidence = labels_of(prediction_of_tile(run.model, tile), run.choice, tile)
            measures = measures_of(labels, confidence)
            true = float(dice(labels, reference))
            yield Judged(folder.name, subset, image.name, measures, true)


def fit(measured: NDArray, true: NDArray) -> Calibration:
    """Fit a ridge regression of the Dice (n,) on standardised measures (n, measures)."""
    means, deviations = measured.mean(0), measured.std(0)
    standard = (measured - means) / deviations
    square = standard.T @ standard + RIDGE * len(true) * np.eye(standard.shape[1])
    weights = np.linalg.solve(square, standard.T @ (true - true.mean()))
    return Calibration(means, deviations, weights, float(true.mean()))


def left_out(measured: NDArray, true: NDArray, tiles: NDArray) -> NDArray:
    """Return the expected Dice of every tile by a fit that has not seen that tile, (n,)."""
    expected = np.empty_like(true)
    for tile in np.unique(tiles):
        seen = tiles != tile
        expected[~seen] = fit(measured[seen], true[seen]).expected(measured[~seen])
    return expected


def line_of(subset: str, mine: list[Judged], expected: NDArray) -> dict[str, object]:
    """Return a line of the table: rank correlation (mean over the runs) and errors."""
    runs, true = np.array([j.run for j in mine]), np.array([j.dice for j in mine])
    ranks = [spearmanr(expected[runs == run], true[runs == run])[0] for run in np.unique(runs)]
    return {
        "set": subset,
        "tiles": len({j.image for j in mine}),
        "rank correlation": f"{np.mean(ranks):.2f}",
        "lowest of the runs": f"{min(ranks):.2f}",
        "mean error": f"{np.abs(expected - true).mean():.3f}",
        "expected": f"{expected.mean():.3f}",
        "true": f"{true.mean():.3f}",
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, metavar="DATA_DIR")
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    judged = [one for folder in options.runs for one in judged_tiles(options.data, folder)]
    names = list(judged[0].measures)

    def measured(subset: str) -> tuple[list[Judged], NDArray, NDArray]:
        mine = [j for j in judged if j.set == subset]
        values = np.array([[j.measures[name] for name in names] for j in mine])
        return mine, values, np.array([j.dice for j in mine])

    mine, values, true = measured(TRAINING_SET)
    calibration = fit(values, true)
    expected = left_out(values, true, np.array([j.image for j in mine]))
    spread = 2 * float(np.sqrt(np.mean((expected - true) ** 2)))
    lines = [line_of(f"{TRAINING_SET}, left out", mine, expected)]
    for subset in sorted({j.set for j in judged} - {TRAINING_SET}, key=TEST_SETS.index):
        mine, values, true = measured(subset)
        lines.append(line_of(subset, mine, calibration.expected(values)))
    columns = zip(calibration.means, calibration.deviations, calibration.weights, strict=True)
    constants = {
        name: tuple(round(float(value), 4) for value in column)
        for name, column in zip(names, columns, strict=True)
    }
    if options.json:
        told = {"mean_dice": calibration.mean_dice, "spread": spread, "calibration": constants}
        print(json.dumps({"sets": lines, **told}))
        return 0
    print(markdown_table(lines))
    print(f"\nCALIBRATION = {constants}")
    print(f"MEAN_DICE = {calibration.mean_dice:.3f}, SPREAD = {spread:.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
