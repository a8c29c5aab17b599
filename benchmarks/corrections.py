"""How much corrections teach: simulated users correct tiles that were found without labels.

    python -m benchmarks.corrections DATA_DIR [--run RUN] [--robot scribble] [--json]
    python -m benchmarks.corrections --fuzz 10000

A label-free run on monuseg/train (or --run) segments every tile; a robot (`benchmarks.robots`)
corrects it, and after 1, 3, 10, 30 and 60 corrections (and some in between) the learners learn from
all strokes so far. Measured are the corrected tile, its pixels that the robot did not touch, and
other tiles of the set, which it never saw. With --half the robot corrects the left half of a tile,
and the right half is the other tile: of the same slide. Each learner has a robot of its own, which
sees the labels that this learner made. Finished tiles are kept in --cache.

With --fuzz N instead: N random sequences of actions in which only the person may change touched
pixels.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.correction_learners import LEARNERS, Learned
from benchmarks.datasets import TRAINING_SET, images_of
from benchmarks.robots import Robot
from benchmarks.tables import markdown_table
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.learning.strokes import Strokes, StrokesError
from napari_selfseg.core.methods.settings import preset_settings
from napari_selfseg.core.metrics import aji, dice
from napari_selfseg.session.corrections import merge, numbers_in
from napari_selfseg.session.reopened import result_of
from napari_selfseg.session.result import RunResult
from napari_selfseg.session.run import TrainingRequest, TrainingRun
from napari_selfseg.session.store import load_run, save_run

ROUNDS = (1, 3, 10, 20, 30, 40, 50, 60)
TOLD = (0, 1, 3, 10, 30, 60)
MOST_OTHERS = 3  # tiles of the set that are segmented after the last round
N_BOOTSTRAP = 10_000
BINARY = ("tnbc",)
LEARNED_BY_DEFAULT = ("ours", "cross-entropy only", "from scratch", "random forest")


@dataclass(frozen=True)
class Row:
    """The figures of one tile after some corrections."""

    set: str
    image: str
    robot: str
    learner: str
    seed: int
    corrections: int
    dice: float
    aji: float | None
    untouched_dice: float
    others_dice: float | None  # mean change on the tiles the robot never saw
    others_aji: float | None
    seconds: float | None  # of the round, from strokes to labels


@dataclass
class Case:
    """A tile with its reference, what was found in it without labels, and other tiles."""

    name: str
    start: RunResult
    reference: NDArray[np.integer]
    others: list[tuple[RunResult, NDArray[np.integer]]]
    binary: bool = False


def correct(case: Case, learner_name: str, kind: str, seed: int, subset: str) -> list[Row]:
    """Let a robot correct a tile, and the learner learn from it; return what was measured."""
    learner = LEARNERS[learner_name]()
    tile, reference = case.start.tile, case.reference
    robot = Robot(kind, reference, tile.um_per_px, seed)
    labels = case.start.labels().astype(np.int32)
    touched, reserved = np.zeros(labels.shape, bool), np.zeros(0, np.int64)
    smallest = case.start.suggested_label_settings().min_area
    now, learned, seconds, rows = case.start, None, None, []
    for done in range(ROUNDS[-1] + 1):
        if done:
            free = int(max(labels.max(), reserved.max(initial=0))) + 1
            edit = robot.correct(labels, touched, free)
            if edit is not None:
                where = edit.rows, edit.columns
                labels[where][edit.mask] = edit.values[edit.mask]
                touched[where] |= edit.mask
                reserved = np.union1d(reserved, numbers_in(labels[touched]))
        if done in ROUNDS:
            strokes = Strokes.of_corrections(labels, touched)
            try:
                strokes.check()
            except StrokesError:
                learned = None
            else:
                begin = time.perf_counter()
                learned = learner.learn(case.start, now, strokes)
                labels = merge(learned.labels, labels, touched, True, reserved, smallest)
                labels = labels.astype(np.int32)
                seconds = time.perf_counter() - begin
                now = learned.version or now
        if done in TOLD:
            rows.append(_measured(case, labels, touched, learned, seconds, done))
    common = {"set": subset, "image": case.name, "robot": kind, "learner": learner_name}
    return [Row(**common, seed=seed, **row) for row in rows]


def _measured(
    case: Case,
    labels: NDArray[np.integer],
    touched: NDArray[np.bool_],
    learned: Learned | None,
    seconds: float | None,
    done: int,
) -> dict[str, Any]:
    reference, rest = case.reference, ~touched
    gains: list[tuple[float, float]] = []
    if learned is not None and done in (10, ROUNDS[-1]):
        for other, wanted in case.others:
            before, after = other.labels(), learned.of(other.tile)
            gains.append(
                (
                    dice(after, wanted) - dice(before, wanted),
                    0.0 if case.binary else aji(after, wanted) - aji(before, wanted),
                )
            )
    return {
        "corrections": done,
        "dice": float(dice(labels, reference)),
        "aji": None if case.binary else float(aji(labels, reference)),
        "untouched_dice": float(dice(labels * rest, reference * rest)),
        "others_dice": float(np.mean([gain for gain, _ in gains])) if gains else None,
        "others_aji": float(np.mean([g for _, g in gains])) if gains and not case.binary else None,
        "seconds": seconds,
    }


def cases_of(
    data: Path, subset: str, run: Path, half: bool, limit: int | None, first: int = 0
) -> list[Case]:
    """Return the tiles of a set with what the run finds in them; or their left halves."""
    stored = load_run(run, with_images=False)
    found = []
    for image in images_of(data, subset):
        reference = image.reference()
        if reference is not None:
            found.append((image.name, image.tile(), reference))
    found = found[first:][:limit] if limit else found[first:]
    if half:
        cases = []
        for name, tile, reference in found:
            sides = [
                (result_of(stored, part), labels)
                for part, labels in zip(_halves(tile), np.array_split(reference, 2, 1), strict=True)
            ]
            (start, own), *others = sides
            cases.append(Case(name, start, own, others, subset in BINARY))
        return cases
    results = [(name, result_of(stored, tile), reference) for name, tile, reference in found]
    cases = []
    for i, (name, start, reference) in enumerate(results):
        rest = [(r, ref) for _, r, ref in results[i + 1 :] + results[:i]][:MOST_OTHERS]
        cases.append(Case(name, start, reference, rest, subset in BINARY))
    return cases


def _halves(tile: Tile) -> list[Tile]:
    middle = tile.shape[1] // 2
    pixels = np.asarray(tile.pixels)
    # as numpy.array_split cuts: the left half gets the column in the middle
    middle += tile.shape[1] % 2
    parts = pixels[:, :middle], pixels[:, middle:]
    return [
        replace(tile, pixels=np.ascontiguousarray(part), name=f"{tile.name} {side}")
        for part, side in zip(parts, ("left", "right"), strict=True)
    ]


def label_free_run(data: Path, cache: Path, preset: str) -> Path:
    """Return a run of a preset on monuseg/train; trained once and then kept."""
    folder = cache / f"label-free {preset}"
    if not folder.exists():
        tiles = tuple(image.tile() for image in images_of(data, TRAINING_SET))
        settings = preset_settings(preset)
        request = TrainingRequest(tiles, settings, previews=False)
        *_, finished = TrainingRun(request).updates()
        save_run(finished.result, folder)
    return folder


def tabulated(rows: Sequence[Row]) -> str:
    """Return the means over tiles, with a paired interval of what changed elsewhere."""
    lines = []
    groups = dict.fromkeys((row.set, row.robot, row.learner) for row in rows)
    for group in groups:
        of_group = [row for row in rows if (row.set, row.robot, row.learner) == group]
        for done in TOLD:
            own = [row for row in of_group if row.corrections == done]
            gains = [r.others_dice for r in own if r.others_dice is not None]
            times = [r.seconds for r in own if r.seconds is not None]
            lines.append(
                {
                    "set": group[0],
                    "robot": group[1],
                    "learner": group[2],
                    "corrections": done,
                    "Dice": f"{np.mean([r.dice for r in own]):.3f}",
                    "AJI": "–" if own[0].aji is None else f"{np.mean([r.aji for r in own]):.3f}",
                    "Dice untouched px": f"{np.mean([r.untouched_dice for r in own]):.3f}",
                    "other tiles": _interval(gains),
                    "s a round": f"{np.median(times):.1f}" if times else "–",
                }
            )
    return markdown_table(lines)


def _interval(gains: Sequence[float]) -> str:
    """Return the mean gain with a bootstrap 95 % interval over tiles."""
    if not gains:
        return "–"
    drawn = np.random.default_rng(0).choice(gains, (N_BOOTSTRAP, len(gains))).mean(1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return f"{np.mean(gains):+.3f} ({low:+.3f} to {high:+.3f})"


def measure(options: argparse.Namespace) -> list[Row]:
    cache: Path = options.cache
    cache.mkdir(parents=True, exist_ok=True)
    run = options.run or label_free_run(options.data, cache, options.preset)
    rows: list[Row] = []
    for subset in options.sets:
        cases = cases_of(options.data, subset, run, options.half, options.images, options.first)
        tasks = [
            (case, learner, kind, seed)
            for case in cases
            for learner in options.learners
            for kind in options.robots
            for seed in range(options.seeds)
        ]
        for case, learner, kind, seed in tqdm(tasks, desc=subset):
            key = f"{run} {subset} {case.name} {learner} {kind} {seed} {options.half} {options.tag}"
            kept = cache / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
            if not kept.exists():
                found = correct(case, learner, kind, seed, subset)
                kept.write_text(json.dumps([asdict(row) for row in found]))
            rows += [Row(**row) for row in json.loads(kept.read_text())]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, nargs="?", help="the folder of test images")
    parser.add_argument("--sets", nargs="+", default=["monuseg/test", "tnbc"])
    parser.add_argument("--learners", nargs="+", default=LEARNED_BY_DEFAULT, choices=LEARNERS)
    parser.add_argument("--robots", nargs="+", default=["scribble"], choices=["click", "scribble"])
    parser.add_argument("--run", type=Path, help="a label-free run; else one is trained")
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--half", action="store_true", help="correct left halves of tiles")
    parser.add_argument("--images", type=int, help="so many of each set only")
    parser.add_argument("--first", type=int, default=0, help="leave so many out")
    parser.add_argument("--seeds", type=int, default=1, help="so many robots a tile")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=Path("corrections-cache"))
    parser.add_argument("--tag", default="", help="of settings that are tried, for the cache")
    parser.add_argument("--fuzz", type=int, metavar="N", help="random sequences of actions")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.fuzz:
        from benchmarks.fuzz_corrections import fuzz

        print(json.dumps(fuzz(options.fuzz)))
        return
    if options.data is None:
        parser.error("DATA_DIR is missing")
    torch.set_num_threads(options.threads)
    rows = measure(options)
    print(json.dumps([asdict(row) for row in rows]) if options.json else tabulated(rows))


if __name__ == "__main__":
    main()
