"""How a result came about, without a word about the patient or the person at the computer.

Never in here: paths, user names, host names, dates. A tile is known by its name (a file stem or
layer name, left out on request) and by the hash of its pixels.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from napari_selfseg.core.channels import ChannelChoice
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.methods.settings import PRESETS, PatchContrastSettings, TrainingSettings

NOTICE = "Research use only, not for diagnosis."
OF_THE_USER = ("seed", "device")  # settings that belong to no preset
UNKNOWN_SCALE = "unknown, patch in px"
PACKAGES = (
    "napari-selfseg",
    "torch",
    "numpy",
    "scipy",
    "scikit-image",
    "pydantic",
    "safetensors",
    "tifffile",
    "imagecodecs",
    "pillow",
    "dask",
    "napari",
)
# an absolute path up to its last part; folders may hold spaces, "µm/px" is no folder
_PATH = re.compile(
    r"(?<![\w/\\.])(?:[A-Za-z]:[\\/]|\\\\|~[\\/]|/)(?=\S)(?:(?:(?!µm)[^\\/\"'\n])+[\\/])*"
)


def build_provenance(
    *,
    method: str,
    settings: TrainingSettings,
    tiles: Sequence[Tile],
    device: str,
    threads: int,
    seconds: float,
    stopped_by: str,
    best_step: int,
    choice: ChannelChoice | None,
    scores: Mapping[str, float],
    notes: Sequence[str],
) -> dict[str, Any]:
    """Return what is stored with a result, as JSON values.

    Parameters
    ----------
    method : str
        Its name in ``METHODS``.
    settings : TrainingSettings
    tiles : sequence of Tile
        What was learned from; the first is the one in view. Each is read once, for its hash.
    device : str
        Where it was trained, such as "cpu" or "cuda (NVIDIA H200)".
    threads : int
        Threads torch computed with.
    seconds : float
    stopped_by : str
    best_step : int
        The step the network was kept from.
    choice : ChannelChoice or None
        None where no map is chosen, as all of them are the result.
    scores : mapping
        Label-free scores.
    notes : sequence of str
        What the run had to change to go on (such as a smaller batch), in sentences.
    """
    differs = _differences(device, stopped_by, notes)
    return {
        "program": "napari-selfseg",
        "notice": NOTICE,
        "method": method,
        "preset": preset_of(settings),
        "settings": settings.model_dump(mode="json"),
        "seed": settings.seed,
        "device": device,
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}".strip(),
        "versions": {"python": platform.python_version(), **_package_versions()},
        "tiles": [_described(tile, settings) for tile in tiles],
        **_described_choice(choice),
        "scores": {name: float(score) for name, score in scores.items()},
        "stopped_by": stopped_by,
        "best_step": best_step,
        "seconds": round(float(seconds), 3),
        "notes": [without_paths(note) for note in notes],
        "reproducible_bit_for_bit": not differs,
        "differs_because": differs,
    }


def anonymised(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the provenance without the names of the tiles, in notes too."""
    tiles = [dict(tile) for tile in provenance.get("tiles", [])]
    names = {
        str(tile["name"]): f"tile {number}"
        for number, tile in enumerate(tiles, start=1)
        if tile.get("name")
    }

    def renamed(note: str) -> str:
        # the longest first: one name may be part of another
        for name in sorted(names, key=len, reverse=True):
            note = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", names[name], note)
        return note

    for number, tile in enumerate(tiles, start=1):
        tile["name"] = f"tile {number}"
        tile["notes"] = [renamed(note) for note in tile.get("notes", [])]
    notes = [renamed(note) for note in provenance.get("notes", [])]
    return {**provenance, "tiles": tiles, "notes": notes, "anonymous": True}


def preset_of(settings: TrainingSettings) -> str:
    """Return the preset these settings come from: its name, "name, changed", or "own".

    "default" are those of a method without presets.

    Seed and device are the user's and change no preset.
    """
    if not settings.has_presets:
        return "default" if settings == type(settings)(**_of_the_user(settings)) else "own"
    told = settings.model_dump()
    exact: list[str] = []
    close: list[str] = []
    for name, values in PRESETS.items():
        if any(told.get(key) != value for key, value in values.items() if key in told):
            continue
        plain = type(settings)(**{k: v for k, v in values.items() if k in told}).model_dump()
        same = all(told[key] == plain[key] for key in told if key not in OF_THE_USER)
        (exact if same else close).append(name)
    if exact:
        return exact[0]
    return f"{close[0]}, changed" if close else "own"


def _of_the_user(settings: TrainingSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in OF_THE_USER}


def without_paths(text: str) -> str:
    """Return a text with only the last part of every absolute path in it."""
    home = str(Path.home())
    if len(home) > 1:
        text = text.replace(home, "~")
    return _PATH.sub("", text)


def plain_name(name: str) -> str:
    """Return the name of a tile without folders, should it be a path after all."""
    return PurePosixPath(PureWindowsPath(name).name or name).name or "tile"


def _described_choice(choice: ChannelChoice | None) -> dict[str, Any]:
    if choice is None:
        return {"labels_used": "none"}
    return {
        "labels_used": "one click" if choice.how == "one click" else "none",
        "channel": choice.channel,
        "polarity": "inverted" if choice.inverted else "normal",
        "channel_chosen_by": choice.how,
        "channel_score": float(choice.score),
    }


def _described(tile: Tile, settings: TrainingSettings) -> dict[str, Any]:
    rows, columns = tile.shape
    told: dict[str, Any] = {
        "name": plain_name(tile.name),
        "rows": rows,
        "columns": columns,
        "channels": tile.n_channels,
        "um_per_px": UNKNOWN_SCALE if tile.um_per_px is None else tile.um_per_px,
        "sha256": tile.sha256(),
        "notes": [without_paths(note) for note in tile.notes],
    }
    if isinstance(settings, PatchContrastSettings):
        told["patch_px"] = settings.patch_size(tile.um_per_px)
        told["stride_px"] = settings.stride(tile.um_per_px)
    return told


def _differences(device: str, stopped_by: str, notes: Sequence[str]) -> list[str]:
    """Say what keeps the same seed from giving the same result, bit for bit."""
    differs = [without_paths(note) for note in notes if "is full: going on" in note]
    if device.startswith("cuda"):
        differs.append("A graphics card adds numbers in an order of its own.")
    if stopped_by == "user":
        differs.append("The training was stopped by hand.")
    return differs


def _package_versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # napari is not needed on the command line
            continue
    return found
