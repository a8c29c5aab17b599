"""Prediction of large images: megapixels per second, and how much memory it takes.

Every size runs in a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.tile import Tile

DRAWN = 1000  # px, the side of what is repeated
LEAST_PIXELS = 10_000_000  # a smaller image is predicted several times
LOOK_EVERY = 0.02  # s, at the memory


class Repeated:
    """A lazy image (N, N, 3) that repeats a drawn one; only what is asked for is made."""

    def __init__(self, side: int) -> None:
        self.shape, self.dtype = (side, side, 3), np.dtype(np.uint8)
        self._drawn = drawn_he_tile(DRAWN, DRAWN, n_nuclei=600)[0]

    def __getitem__(self, place: tuple[slice, slice]) -> NDArray[np.uint8]:
        rows, columns = (np.arange(*part.indices(self.shape[0])) % DRAWN for part in place)
        return self._drawn[np.ix_(rows, columns)]


class HighestMemory:
    """Watches how much memory this process needs above what it needed at first, in GiB."""

    def __enter__(self) -> HighestMemory:
        self._process, self._done = psutil.Process(), threading.Event()
        self._first = self._highest = self._process.memory_info().rss
        self._watch = threading.Thread(target=self._look)
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watch.join()

    @property
    def gib_above(self) -> float:
        """What was needed at the highest, above the beginning."""
        return (self._highest - self._first) / 2**30

    def _look(self) -> None:
        while not self._done.wait(LOOK_EVERY):
            self._highest = max(self._highest, self._process.memory_info().rss)


def predict_once(side: int, model: str, threads: int) -> dict[str, Any]:
    """Predict an image of side × side px piece by piece; return rate and memory.

    Parameters
    ----------
    side : int
    model : str
        "single", a confidence network, or a folder with a model.
    threads : int

    Returns
    -------
    dict
        megapixels of all times together, seconds, MP/s, and GiB above idle: what the process
        needed at its highest above what it needed before, with the object's map kept as uint8.
    """
    import torch

    from napari_selfseg.core.checkpoint import load_model
    from napari_selfseg.core.networks.confidence import ConfidenceNetwork
    from napari_selfseg.core.prediction import for_prediction, pieces, predict_pieces

    torch.set_num_threads(threads)
    network = ConfidenceNetwork() if model == "single" else load_model(model).network
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = for_prediction(network.eval()).to(device)
    tile = Tile(Repeated(side), 255.0, 0.25, "repeated")
    small = pieces(slice(0, 256), slice(0, 256))
    for _ in predict_pieces(network, tile, small):
        pass  # what torch sets up at its first use is no cost of this image
    times = max(1, round(LEAST_PIXELS / side**2))
    start = time.perf_counter()
    with HighestMemory() as memory:
        found = np.zeros((side, side), np.uint8)
        whole = slice(0, side), slice(0, side)
        for _ in range(times):
            for place, maps in predict_pieces(network, tile, pieces(*whole)):
                found[place] = np.round(maps[0] * 255)
    seconds = time.perf_counter() - start
    megapixels = times * side**2 / 1e6
    return {
        "megapixels": megapixels,
        "seconds": seconds,
        "MP/s": megapixels / seconds,
        "GiB above idle": memory.gib_above,
    }


def predict_apart(side: int, model: str, threads: int) -> dict[str, Any]:
    """Do `predict_once` in a process of its own."""
    command = [sys.executable, "-m", __name__, str(side), model, str(threads)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


if __name__ == "__main__":
    print(json.dumps(predict_once(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
