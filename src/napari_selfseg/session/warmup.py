"""Import torch in the background and time this device, so that presets can say their seconds."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.methods.settings import PRESETS, PatchContrastSettings, TrainingSettings

TILE = 320  # px a side of the tile that is timed
BESIDE_LEARNING = 1.3  # judging the maps, the preview and the window come on top of the steps
PUPIL_COST = 0.45  # of a pixel in the refinement, in those of the confidence network
PUPIL_COST_IN_FULL = 0.9  # the same where the processor has no bfloat16


@dataclass(frozen=True)
class DeviceReport:
    """How fast this device is.

    Parameters
    ----------
    device : str
        "cpu" or "cuda", with the card's name.
    threads : int
        Threads torch computes with.
    seconds_per_megapixel_step : float
        Forward, backward and update of the confidence network.
    seconds_per_megapixel_predict : float
        Prediction.
    has_bfloat16 : bool
        Whether the refinement computes with half the bits.
    problem : str or None
        One sentence with the remedy when torch cannot be used; the times are then 0.
    """

    device: str
    threads: int
    seconds_per_megapixel_step: float
    seconds_per_megapixel_predict: float
    has_bfloat16: bool = False
    problem: str | None = None


def quiet_openmp() -> None:
    """Let idle OpenMP threads sleep instead of spin; only works before torch is imported.

    Without it two threads on a busy machine can be twenty times slower than one.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def available_cores() -> int:
    """Return how many cores this process may use, or what OMP_NUM_THREADS says."""
    wish = os.environ.get("OMP_NUM_THREADS", "")
    if wish.isdigit() and int(wish) > 0:
        return int(wish)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def warm_up(threads: int = 1) -> DeviceReport:
    """Import torch and time three steps and a prediction; never raises.

    Parameters
    ----------
    threads : int
        How many threads torch may use; it is a setting of the whole process.
    """
    quiet_openmp()
    try:
        import torch

        from napari_selfseg.core.learning.training import choose_device
        from napari_selfseg.core.networks.precision import has_bfloat16
    except (ImportError, OSError) as error:
        return DeviceReport("none", threads, 0.0, 0.0, problem=_remedy(error))
    torch.set_num_threads(threads)
    device = choose_device("auto")
    try:
        step, predict = _timing(device.type)
    except RuntimeError as error:
        return DeviceReport(device.type, threads, 0.0, 0.0, problem=_remedy(error))
    name = "cpu" if device.type == "cpu" else f"cuda ({torch.cuda.get_device_name()})"
    return DeviceReport(name, threads, step, predict, has_bfloat16(device))


def preset_seconds(
    report: DeviceReport, settings: TrainingSettings, tile_shape: tuple[int, int]
) -> float:
    """Estimate the seconds from Train to labels of a tile of M × N px; an upper bound.

    Training may stop earlier by itself.
    """
    side = min(settings.crop_size, *tile_shape)
    megapixels = settings.total_steps * settings.batch_size * side**2 / 1e6
    if isinstance(settings, PatchContrastSettings):
        megapixels = settings.starts * settings.n_steps * settings.batch_size * side**2 / 1e6
        cost = PUPIL_COST if report.has_bfloat16 else PUPIL_COST_IN_FULL
        megapixels += cost * settings.pixels_of_refinement / 1e6
    learning = megapixels * report.seconds_per_megapixel_step * BESIDE_LEARNING
    predicting = tile_shape[0] * tile_shape[1] / 1e6 * report.seconds_per_megapixel_predict
    return learning + predicting * (1 + getattr(settings, "n_agreeing", 1))


def _timing(device: str) -> tuple[float, float]:
    """Return the seconds per megapixel of a training step and of a prediction.

    The steps are those of the standard preset on a tile of noise.
    """
    import torch

    from napari_selfseg.core.learning.training_data import TrainingData
    from napari_selfseg.core.methods.patch_contrast import PatchContrast
    from napari_selfseg.core.prediction import predict

    noise = np.random.default_rng(0).integers(0, 256, (TILE, TILE, 3), dtype=np.uint8)
    tile = Tile(noise, 255.0)
    settings = PatchContrastSettings(
        **{
            **PRESETS["standard"],
            "starts": 1,
            "n_steps": 5,
            "refinement_steps": 0,
            "device": device,
        }
    )
    method = PatchContrast()
    network = method.build_model(settings, 3)

    def now() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    marks = [now()]
    for _ in method.fit(network, TrainingData([tile]), settings):
        marks.append(now())
    steps = sorted(late - early for early, late in pairwise(marks[1:]))  # without the first
    start = now()
    predict(network, tile)
    predicting = now() - start
    of_a_step = settings.batch_size * settings.crop_size**2 / 1e6
    return steps[len(steps) // 2] / of_a_step, predicting / (TILE**2 / 1e6)


def _remedy(error: Exception) -> str:
    if "WinError 1114" in str(error) or "c10.dll" in str(error):
        return (
            "PyTorch could not be loaded after the window library (a known fault on Windows): "
            "start Python with 'import torch' before napari, or install torch older than 2.9."
        )
    if isinstance(error, RuntimeError):
        return f"PyTorch cannot compute here ({str(error).splitlines()[0]}); choose the device cpu."
    return f"PyTorch cannot be loaded ({error}); install it as described on pytorch.org."
