"""napari's reader for run folders: a stored result comes back as layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_selfseg.core.channels import confidence_of
from napari_selfseg.core.checkpoint import SETTINGS_FILE, WEIGHTS_FILE
from napari_selfseg.widgets.class_colours import CLASS_OPACITY, class_colormap, class_features
from napari_selfseg.widgets.image_layers import OWN

if TYPE_CHECKING:
    from napari_selfseg.session.store import StoredRegions

Layers = list[tuple[Any, dict[str, Any], str]]


def get_run_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], Layers] | None:
    """Return a reader for a run folder, or None for every other folder; opens no file.

    napari offers every folder to every reader of folders, so a foreign one must be let go.
    """
    if not isinstance(path, str | Path):
        return None
    folder = Path(path)
    is_run = all((folder / name).is_file() for name in (SETTINGS_FILE, WEIGHTS_FILE))
    return layers_of_run if is_run else None


def layers_of_run(path: str | Path | Sequence[str]) -> Layers:
    """Read the result of a run: the chosen confidence map (M, N) and the label image (M, N).

    Of a run in regions mode the classes and the objects of the structure. All have the scale of
    the tile they belong to, in µm, where it is known.

    Raises
    ------
    StoreError
        If the folder is damaged, from a newer version, or holds no result; one sentence.
    """
    from napari_selfseg.session.store import StoredRegions, StoreError, load_run

    folder = Path(path if isinstance(path, str | Path) else path[0])
    stored = load_run(folder)
    placed: dict[str, Any] = {}
    if stored.um_per_px is not None:
        placed = {"scale": (stored.um_per_px,) * 2, "units": ("µm", "µm")}
    layers: Layers = []
    if isinstance(stored, StoredRegions):
        layers = _layers_of_regions(stored, folder.name, placed)
    elif stored.prediction is not None:
        confidence = {
            "name": f"{folder.name} confidence",
            "contrast_limits": (0.0, 1.0),
            "visible": stored.labels is None,
            "metadata": {OWN: {"role": "result"}},  # nothing to learn from
            **placed,
        }
        layers.append((confidence_of(stored.prediction.maps, stored.choice), confidence, "image"))
    if stored.labels is not None and not isinstance(stored, StoredRegions):
        layers.append((stored.labels, {"name": f"{folder.name} labels", **placed}, "labels"))
    if not layers:
        raise StoreError(f"{folder.name} holds a model, but no result that could be shown.")
    return layers


def _layers_of_regions(stored: StoredRegions, name: str, placed: dict[str, Any]) -> Layers:
    layers: Layers = []
    if stored.labels is not None:
        look = {
            "name": f"{name} regions",
            "colormap": class_colormap(len(stored.names)),
            "features": class_features(stored.names),
            "opacity": CLASS_OPACITY,
            "visible": stored.objects is None,
        }
        layers.append((stored.labels, {**look, **placed}, "labels"))
    if stored.objects is not None and stored.structure is not None:
        structure = f"{name} {stored.names[stored.structure - 1]}"
        layers.append((stored.objects, {"name": structure, **placed}, "labels"))
    return layers
