"""``napari-selfseg train``: learn from images without labels and store the run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_selfseg.cli.console import (
    DONE,
    INTERRUPTED,
    UserMistake,
    duration,
    print_json,
    tell,
)
from napari_selfseg.cli.following import follow
from napari_selfseg.cli.images import image_files
from napari_selfseg.cli.options import (
    add_anonymous,
    add_device,
    add_json,
    add_scale,
    check_device,
    settings_from,
)
from napari_selfseg.cli.regions import save_regions, summary_of_regions, told_of_regions
from napari_selfseg.core.methods.settings import PRESETS
from napari_selfseg.session.warmup import available_cores

if TYPE_CHECKING:
    from napari_selfseg.core.images.tile import Tile
    from napari_selfseg.core.methods.settings import TrainingSettings
    from napari_selfseg.session.region_result import RegionResult
    from napari_selfseg.session.request import GroupGuard, TrainingRequest
    from napari_selfseg.session.result import RunResult

LAST_STEPS = 10  # one step's numbers hang on what it happened to draw


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "train",
        help="learn without labels",
        description="Learn from one or more images without labels and store the run.",
    )
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="image files or folders; the first one is also segmented",
    )
    parser.add_argument("--out", required=True, metavar="RUN", help="folder for the run")
    parser.add_argument("--method", choices=_label_free(), default="patch-contrast")
    parser.add_argument(
        "--preset",
        choices=tuple(PRESETS),
        default="standard",
        help="how long patch-contrast learns; regions has no presets",
    )
    parser.add_argument(
        "--guard",
        metavar="RUN0",
        help="a pretraining of clusters: patches of one group are then not contrasted",
    )
    parser.add_argument(
        "--groups", type=int, metavar="K", help="into how many groups the guard is cut"
    )
    add_scale(parser)
    parser.add_argument("--seed", type=int, metavar="N", help="same seed, same result")
    add_device(parser)
    parser.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change one setting of the preset, such as n_steps=200; may be repeated",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the run that is there already"
    )
    add_anonymous(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def _label_free() -> list[str]:
    from napari_selfseg.core.methods import METHODS

    return sorted(
        name
        for name, entry in METHODS.items()
        if not entry.needs_annotation and entry.finds != "features"
    )


def run(options: argparse.Namespace) -> int:
    """Train, store the run and print what came out."""
    from napari_selfseg.core.images.reading import read_tile
    from napari_selfseg.session.store import StoreError, check_free

    settings = settings_from(options)
    files = image_files(options.images)
    try:
        check_free(options.out, options.overwrite)
    except StoreError as error:
        raise UserMistake(f"{error} (--out)") from error
    tiles = tuple(read_tile(path, um_per_px=options.um_per_px) for path in files)
    guard = guard_from(options)
    result, interrupted = train(tiles, settings, options.method, guard)
    save(result, options.out, options.anonymous, options.overwrite)
    if options.json:
        print_json({**summary(result), "run": str(options.out)})
    else:
        print(told(result))
        print(f"The run is in {options.out}.")
    return INTERRUPTED if interrupted else DONE


def guard_from(options: argparse.Namespace) -> GroupGuard | None:
    """Return the guard that the options ask for; None without one."""
    from napari_selfseg.session.request import GroupGuard
    from napari_selfseg.session.store import StoreError, load_pretraining

    if options.guard is None:
        if options.groups is not None:
            raise UserMistake("--groups needs a pretraining to cut: name one with --guard.")
        return None
    try:
        model = load_pretraining(options.guard).model
    except StoreError as error:
        raise UserMistake(f"{error} (--guard)") from error
    usual = int(getattr(model.settings, "n_groups", 0))
    return GroupGuard(model, options.groups if options.groups is not None else usual)


def train(
    tiles: Sequence[Tile],
    settings: TrainingSettings,
    method: str = "patch-contrast",
    guard: GroupGuard | None = None,
) -> tuple[RunResult | RegionResult, bool]:
    """Train with a progress bar; return the result and whether the user interrupted it.

    Raises
    ------
    UserMistake
        If the images or settings make no training possible.
    RunError
        If the training fails.
    """
    from napari_selfseg.session.run import TrainingRequest, TrainingRun

    for note in dict.fromkeys(f"{tile.name}: {note}" for tile in tiles for note in tile.notes):
        tell(note)
    request = TrainingRequest(
        tuple(tiles), settings, method, available_cores(), previews=False, guard=guard
    )
    _check(request)
    return follow(TrainingRun(request))


def save(
    result: RunResult | RegionResult, out: str | Path, anonymous: bool, overwrite: bool = False
) -> None:
    """Store a run with the label image of its tile."""
    from napari_selfseg.session.region_result import RegionResult
    from napari_selfseg.session.store import save_run

    if isinstance(result, RegionResult):
        save_regions(result, out, anonymous, overwrite)
        return
    label_settings = result.suggested_label_settings()
    labels = result.labels(label_settings)
    save_run(result, out, labels, label_settings, anonymous=anonymous, overwrite=overwrite)


def summary(result: RunResult | RegionResult) -> dict[str, Any]:
    """Return what ``train --json`` prints, without the place of the run.

    ``score`` is the agreement of the chosen map with the stain, 0..1, by which step, map and
    polarity were chosen; ``separation`` and ``entropy`` are means of the last ten steps up to
    the one that was kept. None of them has seen a label.
    """
    from napari_selfseg.session.region_result import RegionResult

    if isinstance(result, RegionResult):
        return summary_of_regions(result)
    provenance = result.provenance
    return {
        "seconds": round(result.seconds, 3),
        "steps": len(result.curves),
        "stopped_by": result.stopped_by,
        "stopped_because": result.stopped_because,
        "best_step": result.best_step,
        "labels_used": provenance["labels_used"],
        "channel": result.choice.channel,
        "polarity": "inverted" if result.choice.inverted else "normal",
        "channel_chosen_by": result.choice.how,
        "separation": at_kept_step(result, "separation"),
        "entropy": at_kept_step(result, "entropy"),
        "score": float(result.choice.score),
        "scores": {name: float(score) for name, score in result.scores.items()},
        "recommended": result.recommended,
        "quality": None if result.quality is None else asdict(result.quality),
        "threshold": result.threshold.title,
        "device": provenance["device"],
        "threads": provenance["threads"],
        "seed": provenance["seed"],
    }


def told(result: RunResult | RegionResult) -> str:
    """Return the same in words."""
    from napari_selfseg.session.region_result import RegionResult

    if isinstance(result, RegionResult):
        return told_of_regions(result)
    values = summary(result)
    learned, threshold = values["scores"]["learned"], values["scores"]["threshold"]
    better = "the learned labels" if result.recommended == "learned" else result.threshold.title
    return (
        f"{values['steps']} steps in {duration(result.seconds)}, stopped by "
        f"{result.stopped_by}: {result.stopped_because}\n"
        f"Map {values['channel']}, polarity {values['polarity']} (a {values['channel_chosen_by']};"
        f" agreement with the stain {values['score']:.2f}). "
        f"Labels used: {values['labels_used']}.\n"
        f"SelfSeg recommends {better} (label-free score: learned {learned:.2f}, "
        f"{result.threshold.title} {threshold:.2f})."
        + ("" if result.quality is None else f"\n{result.quality.sentence()}")
    )


def at_kept_step(result: RunResult, name: str) -> float | None:
    """Return a measure's mean over the last ten steps up to the one that was kept.

    Steps of an earlier start do not count; when no step was kept, the last ones do. What a
    refinement does not measure is that of the starts before it.
    """
    last = result.best_step or len(result.curves)
    until = [step for step in result.curves if step.step <= last and name in step.measures]
    values = [step.measures[name] for step in until if step.phase == until[-1].phase]
    values = values[-LAST_STEPS:]
    return sum(values) / len(values) if values else None


def _check(request: TrainingRequest) -> None:
    from napari_selfseg.session.run import RunError, TrainingRun

    try:
        TrainingRun(request).check_request()
    except RunError as error:
        raise UserMistake(str(error)) from error
    check_device(request.settings.device)
