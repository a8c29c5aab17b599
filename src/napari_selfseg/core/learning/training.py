"""The training data and the loop that every method shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_selfseg.core.images.tile import Tile, TileError
from napari_selfseg.core.memory import is_out_of_memory, keep_freed_memory
from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.core.methods.settings import TrainingSettings
from napari_selfseg.core.networks.network_input import network_input

MAX_BYTES_IN_MEMORY = 2**30  # a larger tile is read crop by crop
GOOD_STATE_EVERY = 10  # steps between two copies of the weights kept for a roll-back
RATE_AFTER_ROLL_BACK = 0.1  # factor on the learning rate
LEAST_BATCH = 5  # fewer crops of one tile often have no positive or no negative patch
LEAST_CROP = 128  # px; below it a step teaches little


def never() -> bool:
    """Stand for a training that nobody stops."""
    return False


def constant(_progress: float) -> float:
    """Keep the learning rate as it is throughout the training."""
    return 1.0


class TrainingFailed(Exception):
    """Training cannot go on; the message is one sentence for the user."""


class StepInterrupted(Exception):
    """Raised inside a step, by a hook of the network, to throw the step away and end."""


class Objective(Protocol):
    """What a step minimises: (images, network output, generator) -> loss or None, measures.

    It may say by an attribute ``least_crop`` how large (px) a crop must be; smaller ones are
    then never asked of it where the tiles are large enough.
    """

    def __call__(
        self, images: Tensor, output: Tensor, generator: torch.Generator
    ) -> tuple[Tensor | None, dict[str, float]]:
        """Return the loss (None: skip this step) and the named numbers of the step."""
        ...


class Crops(Protocol):
    """Where the crops of a training come from."""

    def crop_side(self, wanted: int) -> int:
        """Return the side of a crop in px: ``wanted``, or what there is."""
        ...

    def draw(self, rng: np.random.Generator, n: int, side: int) -> Tensor:
        """Return n random square crops, (n, C, side, side)."""
        ...


class TrainingData:
    """Random crops of one or more tiles, as the network reads them.

    Parameters
    ----------
    tiles : sequence of Tile
        All grey or all RGB, each at least one crop large (the crop shrinks to fit).
    image_space : {"rgb", "optical-density"}

    Raises
    ------
    TileError
        If there is no tile, or grey and RGB tiles are mixed.
    """

    def __init__(self, tiles: Sequence[Tile], image_space: str = "rgb") -> None:
        if not tiles:
            raise TileError("There is no image to learn from.")
        if len({tile.n_channels for tile in tiles}) > 1:
            raise TileError("Grey and colour images cannot be learned together; choose one kind.")
        self.tiles = tuple(tiles)
        self.image_space = image_space
        self._pixels: list[Any] = [_in_memory(tile.pixels) for tile in tiles]
        self._queue: list[int] = []

    @property
    def n_channels(self) -> int:
        """1 for grey tiles, 3 for RGB."""
        return self.tiles[0].n_channels

    @property
    def um_per_px(self) -> float | None:
        """The median scale of the tiles; None if one is unknown."""
        scales = [tile.um_per_px for tile in self.tiles]
        known = [scale for scale in scales if scale is not None]
        return float(np.median(known)) if len(known) == len(scales) else None

    def crop_side(self, wanted: int) -> int:
        """Return the side of a crop in px: ``wanted``, or what the smallest tile allows."""
        return min(wanted, *(side for tile in self.tiles for side in tile.shape))

    def read(self, index: int, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Return a region of a tile as the network reads it, (C, m, n)."""
        tile, pixels = self.tiles[index], self._pixels[index]
        region = np.asarray(pixels[rows, columns]).astype(np.float32) / np.float32(tile.white)
        return network_input(np.clip(region, 0, 1), self.image_space)

    def restart(self) -> None:
        """Forget whose turn it is, so that a second training draws what the first one drew."""
        self._queue = []

    def draw(self, rng: np.random.Generator, n: int, side: int) -> Tensor:
        """Return n random square crops, (n, C, side, side); tiles take turns in random order."""
        crops = []
        for _ in range(n):
            if not self._queue:
                self._queue = rng.permutation(len(self.tiles)).tolist()
            index = self._queue.pop()
            rows, columns = self.tiles[index].shape
            top = int(rng.integers(rows - side + 1))
            left = int(rng.integers(columns - side + 1))
            crops.append(self.read(index, slice(top, top + side), slice(left, left + side)))
        return torch.from_numpy(np.stack(crops))


def training_loop(
    model: nn.Module,
    objective: Objective,
    data: Crops,
    settings: TrainingSettings,
    phase: str = "learning",
    should_stop: Callable[[], bool] = never,
    schedule: Callable[[float], float] = constant,
) -> Iterator[TrainingStep]:
    """Train ``model`` in place with Adam; yield after every step.

    A non-finite output, loss or gradient brings back the last good weights and lowers the rate,
    once. When memory runs out the batch is halved, then the crop, and at last the training goes
    on on the processor; the step's note says so. ``should_stop`` is asked between the parts of
    the network, forwards and backwards; a step that it ends is thrown away: weights and buffers
    stay as they were before it.

    Parameters
    ----------
    model : nn.Module
        Maps (B, C, m, n) to scores in 0..1; moved to the device of the settings.
    objective : Objective
        May be an nn.Module with parameters of its own, which are trained too.
    data : Crops
        Such as `TrainingData`.
    settings : TrainingSettings
    phase : str
        Name of this part of the training, for the curves.
    should_stop : callable
        May be asked in any thread that computes.
    schedule : callable
        The share of the training that is done, 0..1, to a factor on the learning rate.

    Raises
    ------
    TrainingFailed
        If the training is not finite a second time, or memory is not even enough for the
        smallest crops on the processor. The model holds the last good weights.
    """
    keep_freed_memory()
    trained = nn.ModuleList([model])
    if isinstance(objective, nn.Module):
        trained.append(objective)
    loop = _Loop(trained, objective, data, settings)
    with interruptible(model, should_stop):
        for step in range(1, settings.n_steps + 1):
            try:
                measures, note = loop.step(schedule((step - 1) / settings.n_steps))
            except StepInterrupted:
                return
            yield TrainingStep(phase, step, settings.n_steps, measures, note=note)


@contextmanager
def interruptible(network: nn.Module, should_stop: Callable[[], bool]) -> Iterator[None]:
    """Let a training step end between two parts of the network, forwards and backwards."""

    def look(module: nn.Module, *_: Any) -> None:
        if module.training and should_stop():
            raise StepInterrupted

    def look_back(module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(lambda _gradient: look(module))

    hooks = [part.register_forward_pre_hook(look) for part in network.modules()]
    hooks += [part.register_forward_hook(look_back) for part in network.modules()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Loop:
    """The state of one training: optimiser, generators, batch and crop size, last good weights."""

    def __init__(
        self,
        trained: nn.ModuleList,
        objective: Objective,
        data: Crops,
        settings: TrainingSettings,
    ) -> None:
        self.trained, self.objective, self.data = trained, objective, data
        self.settings = settings
        least_crop = int(getattr(objective, "least_crop", 0))
        self.least_side = max(LEAST_CROP, least_crop)
        self.batch = settings.batch_size
        self.side = data.crop_side(max(settings.crop_size, least_crop))
        self.learning_rate = settings.learning_rate
        self.rate = 1.0
        self.rng = np.random.default_rng(settings.seed)
        self.skipped = 0
        self.rolled_back = False
        self.steps_since_good = 0
        self.notes: list[str] = []  # of the step under way, for the user
        self.start_on(choose_device(settings.device))
        self.good = _copy_of(self.trained.state_dict())

    def start_on(self, device: torch.device) -> None:
        """Move to a device; where it is full before anything began, to the processor."""
        try:
            self.move_to(device)
            return
        except RuntimeError as error:
            if device.type == "cpu" or not is_out_of_memory(error):
                raise
        self.move_to(torch.device("cpu"))
        self.notes.append("The graphics card is full: going on on the processor.")

    def move_to(self, device: torch.device) -> None:
        self.device = device
        self.trained.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.trained.train()
        self.generator = torch.Generator(device).manual_seed(self.settings.seed)
        self.optimiser = torch.optim.Adam(
            self.trained.parameters(),
            lr=self.learning_rate,
            weight_decay=self.settings.weight_decay,
        )

    def step(self, rate: float = 1.0) -> tuple[dict[str, float], str]:
        """Take one step at a share of the learning rate.

        Return its measures and a note for the user (mostly empty).
        """
        self.rate = rate
        buffers = [buffer.clone() for buffer in self.trained.buffers()]
        crops = self.data.draw(self.rng, self.batch, self.side)
        while True:
            try:
                measures = self.try_step(crops.to(self.device))
                break
            except StepInterrupted:
                self.restore_buffers(buffers)
                raise
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # only here, after the handler, are the tensors of the failed step let go
            self.restore_buffers(buffers)
            self.notes.append(self.use_less_memory())
            crops = crops[: self.batch, :, : self.side, : self.side]
        if measures is None:
            measures = {}
            self.notes.append(self.roll_back())
        measures["skipped"] = float(self.skipped)
        note, self.notes = " ".join(self.notes), []
        return measures, note

    def try_step(self, crops: Tensor) -> dict[str, float] | None:
        """Return the measures; None if output, loss or gradient were not finite."""
        crops = crops.contiguous(memory_format=torch.channels_last)
        self.optimiser.zero_grad(set_to_none=True)
        output = self.trained[0](crops)
        if not bool(output.detach().isfinite().all()):
            return None  # no objective can draw patches from such maps
        loss, measures = self.objective(crops, output, self.generator)
        if loss is None:
            self.skipped += 1
            return measures
        loss.backward()
        gradients = [p.grad for p in self.trained.parameters() if p.grad is not None]
        # the norm, not the elements: Adam squares the gradient, which must not overflow either
        sizes = [loss.detach(), *(torch.linalg.vector_norm(g) for g in gradients)]
        if not bool(torch.stack(sizes).isfinite().all()):
            return None
        if self.steps_since_good % GOOD_STATE_EVERY == 0:
            self.good = _copy_of(self.trained.state_dict())
        self.steps_since_good += 1
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate * self.rate
        self.optimiser.step()
        return measures

    def roll_back(self) -> str:
        if self.rolled_back:
            self.trained.load_state_dict(self.good)
            raise TrainingFailed(
                "The training became unstable twice; the last good state was kept. "
                "Try a lower learning rate."
            )
        self.rolled_back = True
        self.trained.load_state_dict(self.good)
        self.learning_rate *= RATE_AFTER_ROLL_BACK
        self.move_to(self.device)
        return (
            "The training became unstable; it goes on from the last good state "
            f"with learning rate {self.learning_rate:g}."
        )

    def use_less_memory(self) -> str:
        """Halve the batch, then the crop, at last use the processor; say which."""
        on_processor = self.device.type == "cpu"
        if not on_processor:
            torch.cuda.empty_cache()
        full = "The memory is full" if on_processor else "The graphics card is full"
        if self.batch // 2 >= LEAST_BATCH:
            self.batch //= 2
            return f"{full}: going on with {self.batch} crops per step."
        if self.side // 2 >= self.least_side:
            self.side //= 2
            return f"{full}: going on with crops of {self.side} px."
        if on_processor:
            raise TrainingFailed("There is not enough memory for this training.")
        self.move_to(torch.device("cpu"))
        return f"{full}: going on on the processor."

    def restore_buffers(self, buffers: list[Tensor]) -> None:
        with torch.no_grad():
            for buffer, before in zip(self.trained.buffers(), buffers, strict=True):
                buffer.copy_(before)


def choose_device(name: str) -> torch.device:
    """Return the torch device of a settings value; "auto" prefers a graphics card.

    Raises
    ------
    TrainingFailed
        If "cuda" is asked for and there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingFailed(
            "No CUDA graphics card can be used here; choose the device auto or cpu."
        )
    return torch.device(name)


def _copy_of(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}


def _in_memory(pixels: Any) -> Any:
    size = int(np.prod(pixels.shape)) * np.dtype(pixels.dtype).itemsize
    return np.asarray(pixels) if size <= MAX_BYTES_IN_MEMORY else pixels
