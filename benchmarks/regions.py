"""How well regions found without labels agree with glands, chosen by one click.

    python -m benchmarks.regions DATA_DIR [--seeds 5] [--json]

Every tile of the set glas is learned from and segmented by itself, with the defaults of the
method and of the labels. Reference masks are read only to place the simulated clicks and to
compute the figures.

Clicks: 100 drawn at random on the stained wall of glands (pixels of the reference, eroded by
6 µm, whose haematoxylin, blurred by 3 µm, is in its upper 40 %), and 100 anywhere in glands. The
class under a click, as objects with holes filled, is compared with the reference; the figures are
means over the clicks.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.datasets import TestImage, images_of
from benchmarks.tables import markdown_table
from napari_selfseg.core.images.stain import haematoxylin
from napari_selfseg.core.methods.region_settings import RegionSettings
from napari_selfseg.core.metrics import dice, object_dice
from napari_selfseg.core.regions import class_at, mask_of_class, region_labels
from napari_selfseg.session.run import Finished, TrainingRequest, TrainingRun

N_CLICKS = 100
INNER_UM, BLUR_UM, STAINED = 6.0, 3.0, 60  # µm, µm, percentile
SCORES = {"Dice": dice, "object Dice": object_dice}


def click_places(
    pixels: NDArray[np.float32], mask: NDArray[np.bool_], um_per_px: float, seed: int
) -> dict[str, NDArray[np.intp]]:
    """Return clicks (n, 2) on the stained wall of glands, and anywhere in glands."""
    rng = np.random.default_rng(seed)
    distance = ndimage.distance_transform_edt(mask) * um_per_px
    inner = distance > INNER_UM
    stain = ndimage.gaussian_filter(haematoxylin(pixels), BLUR_UM / um_per_px)
    wall = inner & (stain > np.percentile(stain[inner], STAINED))
    drawn = {}
    for name, where in (("wall", wall), ("anywhere", mask)):
        places = np.argwhere(where)
        drawn[name] = places[rng.integers(0, len(places), N_CLICKS)]
    return drawn


def measured(image: TestImage, seed: int, n_classes: int) -> dict[str, float | str | int]:
    """Return the figures of one tile and seed."""
    tile, reference = image.tile(), image.reference()
    assert reference is not None
    assert tile.um_per_px is not None
    mask = reference > 0
    objects = ndimage.label(mask)[0]
    start = time.perf_counter()
    settings = RegionSettings(seed=seed, n_classes=n_classes)
    *_, finished = TrainingRun(
        TrainingRequest((tile,), settings, "regions", previews=False)
    ).updates()
    assert isinstance(finished, Finished)
    labels = region_labels(finished.result.maps, tile.um_per_px)
    seconds = time.perf_counter() - start
    found = [mask_of_class(labels, k, tile.um_per_px) for k in range(1, n_classes + 1)]
    clicks = click_places(tile.read(), mask, tile.um_per_px, seed)
    chosen = {
        name: [class_at(labels, *place) - 1 for place in places] for name, places in clicks.items()
    }
    row: dict[str, float | str | int] = {"image": image.name, "seed": seed, "seconds": seconds}
    for name, score in SCORES.items():
        scores = [float(score(one, objects)) for one in found]
        row[f"{name}, all foreground"] = float(score(np.ones_like(mask), objects))
        for where, classes in chosen.items():
            row[f"{name}, click {where}"] = float(np.mean([scores[k] for k in classes]))
        row[f"{name}, best class"] = max(scores)
    return row


def rows_of(data: Path, seeds: int, n_classes: int) -> Iterator[dict[str, float | str | int]]:
    for image in images_of(data, "glas"):
        for seed in range(seeds):
            print(f"{image.name}, seed {seed}", file=sys.stderr)
            yield measured(image, seed, n_classes)


def summed_up(rows: list[dict[str, float | str | int]]) -> list[dict[str, str]]:
    """Return one line per tile, the mean over seeds, and one for the mean over tiles."""
    names = [name for name in rows[0] if name not in ("image", "seed")]
    images = list(dict.fromkeys(row["image"] for row in rows))
    lines = []
    for image in images:
        own = [row for row in rows if row["image"] == image]
        lines.append({"image": str(image)} | {n: np.mean([r[n] for r in own]) for n in names})
    mean = {"image": f"mean of {len(images)}"}
    lines.append(mean | {n: np.mean([line[n] for line in lines]) for n in names})
    return [{name: _shown(name, value) for name, value in line.items()} for line in lines]


def _shown(name: str, value: str | float) -> str:
    if name == "image":
        return str(value)
    return f"{value:.1f}" if name == "seconds" else f"{value:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--classes", type=int, default=RegionSettings().n_classes)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = list(rows_of(options.data, options.seeds, options.classes))
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    n_images = len({row["image"] for row in rows})
    print(
        f"{n_images} tiles, {options.seeds} seeds, K = {options.classes}, labels used: one click\n"
    )
    lines = summed_up(rows)
    for score in SCORES:
        kept = {
            name: name.removeprefix(f"{score}, ")
            for name in lines[0]
            if name.startswith(f"{score}, ")
        }
        table = [
            {"image": line["image"]} | {to: line[k] for k, to in kept.items()} for line in lines
        ]
        print(f"{score}\n\n{markdown_table(table)}\n")
    for image in dict.fromkeys(row["image"] for row in rows):
        of_seeds = [row["Dice, click wall"] for row in rows if row["image"] == image]
        print(f"{image}: Dice, click on the wall, differs by {np.ptp(of_seeds):.3f} between seeds")
    print(f"Train to labels: {lines[-1]['seconds']} s on average")


if __name__ == "__main__":
    main()
