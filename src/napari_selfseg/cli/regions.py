"""What ``train`` and ``segment`` do with a run in regions mode: classes instead of objects."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_selfseg.cli.console import UserMistake, duration

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_selfseg.core.images.tile import Tile
    from napari_selfseg.core.maps import Prediction
    from napari_selfseg.session.region_result import RegionResult
    from napari_selfseg.session.store import StoredRegions


# ---- train


def save_regions(result: RegionResult, out: str | Path, anonymous: bool, overwrite: bool) -> None:
    """Store a run with the classes of its tile."""
    from napari_selfseg.core.regions import RegionLabelSettings
    from napari_selfseg.session.store import save_region_run

    settings = RegionLabelSettings()
    labels = result.labels(settings)
    save_region_run(result, out, labels, settings, anonymous=anonymous, overwrite=overwrite)


def summary_of_regions(result: RegionResult) -> dict[str, Any]:
    """Return what ``train --json`` prints, without the place of the run.

    ``inertia``, ``separation`` and ``entropy`` are those of the step that was kept.
    """
    kept = next((s.measures for s in result.curves if s.step == result.best_step), {})
    return {
        "seconds": round(result.seconds, 3),
        "steps": len(result.curves),
        "stopped_by": result.stopped_by,
        "stopped_because": result.stopped_because,
        "best_step": result.best_step,
        "labels_used": result.labels_used,
        "classes": described_classes(result.labels(), result.names),
        **{name: kept.get(name) for name in ("inertia", "separation", "entropy")},
        "device": result.provenance["device"],
        "threads": result.provenance["threads"],
        "seed": result.provenance["seed"],
    }


def told_of_regions(result: RegionResult) -> str:
    """Return the same in words."""
    values = summary_of_regions(result)
    classes = ", ".join(f"{c['number']} {c['name']} ({c['share']:.0%})" for c in values["classes"])
    return (
        f"{values['steps']} steps in {duration(result.seconds)}: {result.stopped_because}\n"
        f"Classes: {classes}. Labels used: {values['labels_used']}."
    )


def described_classes(
    labels: NDArray[np.integer[Any]], names: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Return number, name and share of the area of every class."""
    from napari_selfseg.core.regions import area_shares

    shares = area_shares(labels, len(names))
    pairs = enumerate(zip(names, shares, strict=True), start=1)
    return [{"number": k, "name": name, "share": round(share, 6)} for k, (name, share) in pairs]


# ---- segment


@dataclass(frozen=True)
class RegionsWanted:
    """All classes, or one of them as objects.

    Parameters
    ----------
    names : tuple of str
    number : int or None
        Of the class that is wanted as objects, from 1.
    """

    names: tuple[str, ...]
    number: int | None

    @classmethod
    def by(cls, options: argparse.Namespace, stored: StoredRegions) -> RegionsWanted:
        """Return what the command line asks for.

        Raises
        ------
        UserMistake
            If it asks for something that a run in regions mode does not have.
        """
        for flag, given in (
            ("--binary", options.binary),
            ("--channel", options.channel is not None),
            ("--polarity", options.polarity is not None),
        ):
            if given:
                raise UserMistake(
                    f"{flag} is for runs that find objects; this one has {len(stored.names)} "
                    "classes, and --class N gives one of them as objects."
                )
        if options.wanted_class is None:
            return cls(stored.names, None)
        return cls(stored.names, _number_of(options.wanted_class, stored.names))

    def described(self) -> dict[str, Any]:
        """Return what the JSON and the provenance say of it."""
        numbered = [{"number": k, "name": name} for k, name in enumerate(self.names, start=1)]
        if self.number is None:
            return {"classes": numbered}
        return {"class": numbered[self.number - 1]}


def label_regions(
    tile: Tile, prediction: Prediction, *, stored: StoredRegions, wanted: RegionsWanted
) -> tuple[NDArray[Any], NDArray[Any], dict[str, Any]]:
    """Return the classes of a tile or one of them as objects, the memberships, what is told."""
    from napari_selfseg.core.regions import RegionLabelSettings, mask_of_class, region_labels

    maps = prediction.maps
    settings = stored.label_settings or RegionLabelSettings()
    labels = region_labels(maps, tile.um_per_px, settings)
    told: dict[str, Any] = {"label_settings": settings.model_dump(mode="json")}
    if wanted.number is None:
        told["classes"] = described_classes(labels, stored.names)
    else:
        labels = mask_of_class(labels, wanted.number, tile.um_per_px, settings)
        told |= {
            "objects": int(labels.max(initial=0)),
            "foreground": float((labels > 0).mean()),
        }
    return labels, maps, told


def _number_of(wanted: str, names: tuple[str, ...]) -> int:
    for number, name in enumerate(names, start=1):
        if wanted.strip().casefold() in (str(number), name.casefold()):
            return number
    listed = ", ".join(f"{k} ({name})" for k, name in enumerate(names, start=1))
    raise UserMistake(f"There is no class {wanted!r}; the run has {listed}.")
