"""A trained model on disk: safetensors weights and JSON settings. Nothing is ever unpickled.

A pickle can run any program when it is opened, and models are passed from hand to hand; so a
folder that holds one is refused, and every field of what is read is checked before it is used.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from napari_selfseg.core.atomic import atomic_file, why_not_written
from napari_selfseg.core.methods import METHODS, MethodEntry
from napari_selfseg.core.methods.settings import TrainingSettings

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHTS_FILE, SETTINGS_FILE = "model.safetensors", "settings.json"
FORMAT, FORMAT_VERSION = "napari-selfseg model", 1
PICKLED = frozenset({".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"})
MAX_SETTINGS_BYTES = 1_000_000
MAX_WEIGHTS_BYTES = 4_000_000_000


class CheckpointError(Exception):
    """A model that cannot be stored or opened; the message is one sentence for the user."""


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A trained network and what is needed to use it again.

    Parameters
    ----------
    network : nn.Module
        Maps (B, C, M, N) to (B, K, M, N).
    method : str
        Its name in ``METHODS``.
    settings : TrainingSettings
        What it was trained with.
    um_per_px : float or None
        The scale it was trained at, in µm/px; None when nobody knew.
    n_channels : int
        C, 1 for grey and 3 for RGB.
    """

    network: nn.Module
    method: str
    settings: TrainingSettings
    um_per_px: float | None
    n_channels: int

    @property
    def image_space(self) -> str:
        """What the network reads: "rgb" or "optical-density"."""
        return str(getattr(self.settings, "image_space", "rgb"))


def save_model(
    model: TrainedModel, folder: str | Path, extra: Mapping[str, Any] | None = None
) -> None:
    """Write ``model.safetensors`` and ``settings.json`` into a folder.

    Parameters
    ----------
    model : TrainedModel
    folder : path
        Created if it is not there; the two files are replaced.
    extra : mapping, optional
        Further JSON values for ``settings.json``.

    Raises
    ------
    CheckpointError
        If the folder cannot be written.
    """
    from safetensors.torch import save

    folder = Path(folder)
    # safetensors takes no channels-last tensors
    state = {
        name: value.detach().cpu().contiguous()
        for name, value in model.network.state_dict().items()
    }
    told = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "method": model.method,
        "settings": model.settings.model_dump(mode="json"),
        "um_per_px": model.um_per_px,
        "n_channels": model.n_channels,
        "image_space": model.image_space,
        **(extra or {}),
    }
    try:
        with atomic_file(folder / WEIGHTS_FILE) as path:
            path.write_bytes(save(state))
        with atomic_file(folder / SETTINGS_FILE) as path:
            path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise CheckpointError(
            f"The model could not be saved in {folder}: {why_not_written(error)}."
        ) from error


def load_model(folder: str | Path) -> TrainedModel:
    """Read a model; it gives the same maps, bit for bit, as the one that was saved.

    Parameters
    ----------
    folder : path
        What `save_model` wrote.

    Returns
    -------
    TrainedModel
        On the processor, in evaluation mode.

    Raises
    ------
    CheckpointError
        If the folder is no model, is damaged, newer than this program, or holds a pickle.
    """
    import torch

    folder = Path(folder)
    told = read_settings(folder)
    entry, settings = _settings_of(told, folder)
    n_channels, um_per_px = _image_of(told, folder)
    network = entry.load().build_model(settings, n_channels)
    state = _weights_of(folder)
    problem = _difference(state, network.state_dict())
    if problem:
        raise CheckpointError(f"The weights in {folder.name} do not fit its settings: {problem}.")
    network.load_state_dict(state)
    check = getattr(network, "problem", None)  # of those whose numbers can be out of range
    problem = check() if check is not None else ""
    if problem:
        raise CheckpointError(f"The weights in {folder.name} are damaged: {problem}.")
    # the layout it was trained in: another one rounds differently
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TrainedModel(network.eval(), str(told["method"]), settings, um_per_px, n_channels)


def read_settings(folder: str | Path) -> dict[str, Any]:
    """Return what ``settings.json`` says, its format and version checked.

    Raises
    ------
    CheckpointError
        If it is missing, damaged, something else, or of a newer version.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"There is no run folder {folder}.")
    _refuse_pickle(folder)
    try:
        text = _bytes_of(folder / SETTINGS_FILE, MAX_SETTINGS_BYTES).decode("utf-8")
        told = json.loads(text)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{folder.name} is no run folder: it holds no {SETTINGS_FILE}."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"The {SETTINGS_FILE} of {folder.name} is damaged.") from error
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise CheckpointError(f"The {SETTINGS_FILE} of {folder.name} describes no SelfSeg model.")
    version = told.get("format_version")
    if not isinstance(version, int) or version < 1:
        raise CheckpointError(f"The {SETTINGS_FILE} of {folder.name} is damaged: no version.")
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"{folder.name} was written by a newer napari-selfseg (format {version}, this one "
            f"reads {FORMAT_VERSION}); please update napari-selfseg."
        )
    return told


def _refuse_pickle(folder: Path) -> None:
    if (folder / WEIGHTS_FILE).exists():
        return
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in PICKLED)
    if pickled:
        raise CheckpointError(
            f"{folder.name} holds a pickled model ({pickled[0]}), which could run any program "
            f"when it is opened; only {WEIGHTS_FILE} is read."
        )


def _settings_of(told: Mapping[str, Any], folder: Path) -> tuple[MethodEntry, TrainingSettings]:
    method = told.get("method")
    if not isinstance(method, str) or method not in METHODS:
        raise CheckpointError(
            f"{folder.name} was trained with the method {str(method)[:40]!r}, which this version "
            f"does not have; it has {', '.join(METHODS)}."
        )
    values = told.get("settings")
    try:
        if not isinstance(values, dict):
            raise TypeError("not an object")
        return METHODS[method], METHODS[method].Settings(**values)
    except ValidationError as error:
        name = ".".join(str(part) for part in error.errors()[0]["loc"]) or "a value"
        raise CheckpointError(
            f"The {SETTINGS_FILE} of {folder.name} holds a setting that is unknown or out of "
            f"range: {name[:40]}."
        ) from error
    except TypeError as error:
        raise CheckpointError(f"The {SETTINGS_FILE} of {folder.name} is damaged.") from error


def _image_of(told: Mapping[str, Any], folder: Path) -> tuple[int, float | None]:
    n_channels, um_per_px = told.get("n_channels"), told.get("um_per_px")
    good_scale = um_per_px is None or (
        isinstance(um_per_px, int | float)
        and not isinstance(um_per_px, bool)
        and 0 < um_per_px < math.inf
    )
    if n_channels not in (1, 3) or isinstance(n_channels, bool) or not good_scale:
        raise CheckpointError(
            f"The {SETTINGS_FILE} of {folder.name} is damaged: it does not say what kind of "
            "image the model reads."
        )
    return int(n_channels), None if um_per_px is None else float(um_per_px)


def _weights_of(folder: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        state: dict[str, Tensor] = load(_bytes_of(folder / WEIGHTS_FILE, MAX_WEIGHTS_BYTES))
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder.name} holds no {WEIGHTS_FILE}.") from error
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"The {WEIGHTS_FILE} of {folder.name} is damaged.") from error
    return state


def _difference(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """Say how the tensors differ from those of the network; "" if they fit."""
    for name, tensor in wanted.items():
        if name not in found:
            return f"{name} is missing"
        if found[name].shape != tensor.shape:
            return (
                f"{name} has the shape {tuple(found[name].shape)} instead of {tuple(tensor.shape)}"
            )
        if found[name].dtype != tensor.dtype:
            return f"{name} has numbers of another type"
        if not bool(found[name].isfinite().all()):
            return f"{name} holds numbers that are not finite"
    unknown = sorted(found.keys() - wanted.keys())
    return f"{unknown[0][:60]} is unknown" if unknown else ""


def _bytes_of(path: Path, limit: int) -> bytes:
    if path.stat().st_size > limit:
        raise ValueError(f"{path.name} is larger than {limit} bytes")
    return path.read_bytes()
