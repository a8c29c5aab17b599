"""How good the labels are that were made without labels, beside Otsu and an untrained network.

    python -m benchmarks.accuracy DATA_DIR [--preset standard] [--seeds 5] [--json]

Two protocols. transfer: one run on all tiles of monuseg/train, then every test tile is
segmented with it. own-tile: every test tile is learned from and segmented by itself.
Reference masks are read only to compute the figures, and for the row "one click" to say where a
person would click: in the middle of the nucleus whose area is the median of the tile's. Finished
tiles are kept in --cache and not computed again: the command can be stopped and given again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from skimage.measure import label
from tqdm import tqdm

from benchmarks.datasets import TEST_SETS, TRAINING_SET, TestImage, images_of
from benchmarks.tables import markdown_table
from napari_selfseg.core.channels import choose_by_click, choose_channel
from napari_selfseg.core.checkpoint import TrainedModel
from napari_selfseg.core.images.evidence import nuclear_evidence
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.instances import LabelSettings, label_image
from napari_selfseg.core.maps import Prediction
from napari_selfseg.core.methods import METHODS
from napari_selfseg.core.methods.settings import PRESETS, PatchContrastSettings, preset_settings
from napari_selfseg.core.metrics import aji, dice, panoptic_quality
from napari_selfseg.core.prediction import predict
from napari_selfseg.core.segmentation import labels_of, prediction_of_tile, segment_tile
from napari_selfseg.core.threshold import threshold_confidence
from napari_selfseg.session.run import Finished, Progress, TrainingRequest, TrainingRun

METHODS_SHOWN = ("learned", "one click", "Otsu", "untrained")
N_BOOTSTRAP = 10_000
CLICK_UM = 1.0  # radius of the disk that a click means
BINARY = 255  # how a mask without instances says object


@dataclass(frozen=True)
class Row:
    """The figures of one tile under one method."""

    set: str
    image: str
    protocol: str
    preset: str
    seed: int
    method: str
    dice: float
    aji: float | None
    pq: float | None
    intersection: int
    sizes: int
    seconds: float
    labels_used: str = "none"


def measure(labels: NDArray, reference: NDArray, binary: bool) -> dict[str, float | int | None]:
    """Return Dice, AJI and PQ and the pixel counts behind Dice."""
    found, wanted = labels > 0, reference > 0
    instances = not binary
    return {
        "dice": float(dice(labels, reference)),
        "aji": float(aji(labels, reference)) if instances else None,
        "pq": float(panoptic_quality(labels, reference)[0]) if instances else None,
        "intersection": int((found & wanted).sum()),
        "sizes": int(found.sum() + wanted.sum()),
    }


def train(tiles: tuple[Tile, ...], settings: PatchContrastSettings, said: str):
    """Run a training to its end and return its result, with a progress bar on stderr."""
    run = TrainingRun(TrainingRequest(tiles, settings, previews=False))
    with tqdm(total=settings.total_steps, desc=said, unit="step", leave=False, disable=None) as bar:
        for update in run.updates():
            if isinstance(update, Progress):
                bar.update(update.step - bar.n)
            elif isinstance(update, Finished):
                return update.result
    raise RuntimeError("the run ended without a result")


def otsu_labels(tile: Tile) -> NDArray:
    """Segment with the plain threshold, split as in the published baseline."""
    settings = LabelSettings.for_scale(tile.um_per_px, split_smoothing=0)
    return label_image(threshold_confidence(tile.read()).confidence, settings)


def one_click_labels(prediction: Prediction, tile: Tile, reference: NDArray) -> NDArray:
    """Segment with the map and polarity that a click on one nucleus chooses."""
    is_mask = set(np.unique(reference)) <= {0, 1, BINARY}
    objects = label(reference > 0) if is_mask else reference
    areas = np.bincount(objects.ravel())[1:]
    known = np.flatnonzero(areas)
    number = 1 + known[np.argsort(areas[known])[len(known) // 2]]
    depth = distance_transform_edt(np.pad(objects == number, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    radius = CLICK_UM / (tile.um_per_px or 0.25)
    choice = choose_by_click(prediction.maps, int(row), int(column), radius)
    return labels_of(prediction, choice, tile)[0]


def untrained_labels(tile: Tile, settings: PatchContrastSettings) -> NDArray:
    """Segment with the same network before its first step, map and polarity chosen alike."""
    method = METHODS["patch-contrast"].load()
    settings = settings.model_copy(update={"starts": 1, "refinement_steps": 0})
    network = method.build_model(settings, tile.n_channels)
    # its batch statistics are those of the tile: without any step there are no others
    maps = predict(_with_statistics_of(network, tile), tile, settings.image_space)
    choice = choose_channel(maps, nuclear_evidence(tile.read())[0])
    trained = TrainedModel(network, "patch-contrast", settings, tile.um_per_px, tile.n_channels)
    return segment_tile(trained, choice, tile)[0]


def _with_statistics_of(network, tile: Tile):
    import torch

    from napari_selfseg.core.networks.network_input import network_input

    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # a plain average: one pass is enough
    network.train()
    with torch.no_grad():
        network(torch.from_numpy(network_input(tile.read()))[None])
    return network.eval()


class Cache:
    """Figures already computed, one JSON file per tile and configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def _path(self, key: tuple[object, ...]) -> Path:
        name = hashlib.sha256(json.dumps(key, default=str).encode()).hexdigest()[:24]
        return self.folder / f"{name}.json"

    def get(self, *key: object) -> Row | None:
        path = self._path(key)
        return Row(**json.loads(path.read_text())) if path.exists() else None

    def put(self, row: Row, *key: object) -> Row:
        self._path(key).write_text(json.dumps(asdict(row)))
        return row


def rows_of(
    data: Path,
    preset: str,
    seeds: range,
    protocols: tuple[str, ...],
    sets: tuple[str, ...],
    cache: Cache,
) -> Iterator[Row]:
    """Compute (or read back) every row of the table."""
    tests = [(s, image) for s in sets for image in images_of(data, s)]
    bar = tqdm(
        total=len(seeds) * len(protocols) * len(tests), desc=preset, unit="tile", disable=None
    )
    for seed in seeds:
        settings = preset_settings(preset, seed=seed)
        settings_key = settings.model_dump_json()
        for protocol in protocols:
            trained = None
            for subset, image in tests:
                key = (protocol, settings_key, subset, image.name)
                rows = [cache.get(*key, method) for method in METHODS_SHOWN]
                if any(row is None for row in rows):
                    if protocol == "transfer" and trained is None:
                        tiles = tuple(i.tile() for i in images_of(data, TRAINING_SET))
                        trained = train(tiles, settings, f"{preset}, seed {seed}")
                    rows = [
                        cache.put(row, *key, row.method)
                        for row in _figures(subset, image, protocol, preset, settings, trained)
                    ]
                yield from (row for row in rows if row is not None)
                bar.update()
    bar.close()


def _figures(
    subset: str,
    image: TestImage,
    protocol: str,
    preset: str,
    settings: PatchContrastSettings,
    trained,
) -> Iterator[Row]:
    tile, reference = image.tile(), image.reference()
    if reference is None:
        return
    binary = subset == "glas"

    def row(method: str, labels: NDArray, seconds: float, used: str = "none") -> Row:
        figures = measure(labels, reference, binary)
        where = subset, image.name, protocol, preset, settings.seed, method
        return Row(*where, seconds=seconds, labels_used=used, **figures)

    start = time.perf_counter()
    result = trained or train((tile,), settings, f"{image.name}, seed {settings.seed}")
    prediction = prediction_of_tile(result.model, tile)
    labels, _ = labels_of(prediction, result.choice, tile)
    seconds = result.seconds if protocol == "transfer" else time.perf_counter() - start
    yield row("learned", labels, seconds)
    yield row("one click", one_click_labels(prediction, tile, reference), seconds, "one click")
    start = time.perf_counter()
    labels = otsu_labels(tile)
    yield row("Otsu", labels, time.perf_counter() - start)
    start = time.perf_counter()
    labels = untrained_labels(tile, settings)
    yield row("untrained", labels, time.perf_counter() - start)


def bootstrap_interval(differences: NDArray, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of the mean of paired differences, one per tile."""
    rng = np.random.default_rng(seed)
    picks = rng.integers(len(differences), size=(N_BOOTSTRAP, len(differences)))
    low, high = np.quantile(differences[picks].mean(1), [0.025, 0.975])
    return float(low), float(high)


def summarise(rows: list[Row]) -> list[dict[str, object]]:
    """Return one line per protocol, set and method, seeds and tiles averaged."""
    lines: list[dict[str, object]] = []
    keys = dict.fromkeys((r.protocol, r.preset, r.set, r.method) for r in rows)
    for protocol, preset, subset, method in keys:
        mine = [
            r
            for r in rows
            if (r.protocol, r.preset, r.set, r.method) == (protocol, preset, subset, method)
        ]
        seeds = sorted({r.seed for r in mine})
        per_seed = [float(np.mean([r.dice for r in mine if r.seed == s])) for s in seeds]
        line: dict[str, object] = {
            "protocol": protocol,
            "preset": preset,
            "set": subset,
            "method": method,
            "tiles": len({r.image for r in mine}),
            "seeds": len(seeds),
            "Dice": _mean_std(per_seed),
            "worst seed": f"{min(per_seed):.3f}",
            "median": f"{np.median([r.dice for r in mine]):.3f}",
            "pooled": f"{_pooled(mine):.3f}",
            "AJI": _mean([r.aji for r in mine]),
            "PQ": _mean([r.pq for r in mine]),
            "difference to Otsu (95 %)": "",
            "of AJI (95 %)": "",
            "seconds": f"{np.mean([r.seconds for r in mine]):.1f}",
            "labels": mine[0].labels_used,
        }
        if method != "Otsu":
            line["difference to Otsu (95 %)"] = _difference(rows, mine, "dice")
            if mine[0].aji is not None:
                line["of AJI (95 %)"] = _difference(rows, mine, "aji")
        lines.append(line)
    return lines


def _difference(rows: list[Row], mine: list[Row], figure: str) -> str:
    otsu = {
        r.image: getattr(r, figure) for r in rows if r.method == "Otsu" and r.set == mine[0].set
    }
    images = sorted({r.image for r in mine})
    differences = np.array(
        [np.mean([getattr(r, figure) for r in mine if r.image == i]) - otsu[i] for i in images]
    )
    low, high = bootstrap_interval(differences)
    return f"{differences.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def _pooled(rows: list[Row]) -> float:
    """Return the Dice of all pixels of all tiles together."""
    return 2 * sum(r.intersection for r in rows) / max(1, sum(r.sizes for r in rows))


def _mean_std(values: list[float]) -> str:
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"


def _mean(values: list[float | None]) -> str:
    known = [v for v in values if v is not None]
    return f"{np.mean(known):.3f}" if known else "–"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, metavar="DATA_DIR")
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        action="append",
        help="may be given several times; default standard",
    )
    parser.add_argument("--seeds", type=int, default=1, help="5 for a claim, 1 to look")
    parser.add_argument("--protocol", choices=("transfer", "own-tile"), action="append")
    parser.add_argument("--set", choices=TEST_SETS, action="append", dest="sets")
    parser.add_argument("--cache", type=Path, default=Path("runs/accuracy"))
    parser.add_argument("--threads", type=int, help="of torch; default all")
    parser.add_argument("--tiles", action="store_true", help="also print every tile")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    rows: list[Row] = []
    for preset in options.preset or ["standard"]:
        rows += rows_of(
            options.data,
            preset,
            range(options.seeds),
            tuple(options.protocol or ("transfer",)),
            tuple(options.sets or TEST_SETS),
            Cache(options.cache),
        )
    lines = summarise(rows)
    if options.json:
        print(json.dumps({"summary": lines, "tiles": [asdict(r) for r in rows]}))
        return 0
    print(markdown_table(lines))
    if options.tiles:
        print()
        print(
            markdown_table(
                [
                    {
                        "set": r.set,
                        "tile": r.image,
                        "method": r.method,
                        "seed": r.seed,
                        "Dice": f"{r.dice:.3f}",
                        "AJI": _mean([r.aji]),
                        "PQ": _mean([r.pq]),
                    }
                    for r in rows
                ]
            )
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
