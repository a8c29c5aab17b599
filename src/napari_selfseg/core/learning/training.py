"""The loop that every method shares: steps, schedule, stop, and what to do when a step fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_selfseg.core.learning.measured import Measured
from napari_selfseg.core.learning.recorded import RecordedStep
from napari_selfseg.core.learning.step import Objective, OptimiserStep
from napari_selfseg.core.learning.training_data import Crops
from napari_selfseg.core.memory import is_out_of_memory, keep_freed_memory
from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.core.methods.settings import TrainingSettings

GOOD_STATE_EVERY = 10  # steps between two copies of the weights kept for a roll-back
RECORD_AFTER = 3  # steps on a graphics card that are taken one by one before one is recorded
CANNOT_RECORD = "The graphics card cannot record steps here: going on without."
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


def training_loop(
    model: nn.Module,
    objective: Objective,
    data: Crops,
    settings: TrainingSettings,
    phase: str = "learning",
    should_stop: Callable[[], bool] = never,
    schedule: Callable[[float], float] = constant,
    skipped: float = 0.0,
) -> Iterator[TrainingStep]:
    """Train ``model`` in place with Adam; yield after every step.

    A step whose output, loss or gradient is not finite changes nothing. When one is noticed (on a
    graphics card only every tenth step is waited for), the last good weights come back and the
    rate is lowered, once. When memory runs out the batch is halved, then the crop, and at last
    the training goes on on the processor; the step's note says so. ``should_stop`` is asked
    between the parts of the network, forwards and backwards; a step that it ends is thrown away:
    weights and buffers stay as they were before it. On a graphics card a step is soon recorded
    and then repeated as one piece; ``should_stop`` is then asked between two steps.

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
    skipped : float
        Where the count of the skipped steps begins.

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
    loop = _Loop(trained, objective, data, settings, should_stop, skipped)
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
    """The state of one training: device, crops, recorded step, last good weights."""

    def __init__(
        self,
        trained: nn.ModuleList,
        objective: Objective,
        data: Crops,
        settings: TrainingSettings,
        should_stop: Callable[[], bool],
        skipped: float,
    ) -> None:
        self.trained, self.objective, self.data = trained, objective, data
        self.settings, self.should_stop = settings, should_stop
        least_crop = int(getattr(objective, "least_crop", 0))
        self.least_side = max(LEAST_CROP, least_crop)
        self.batch = settings.batch_size
        self.side = data.crop_side(max(settings.crop_size, least_crop))
        self.learning_rate = settings.learning_rate
        self.rng = np.random.default_rng(settings.seed)
        self.skipped = torch.tensor(float(skipped))
        self.taken = 0
        self.rolled_back = False
        self.can_record = True
        self.recorded: RecordedStep | None = None
        self.n_single = 0  # steps since the last move that were taken one by one
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
        """Begin anew on a device, with the weights and the count of skipped steps as they are."""
        self.forget_record()
        self.device, self.skipped = device, self.skipped.to(device)
        self.trained.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.trained.train()
        seed, decay = self.settings.seed, self.settings.weight_decay
        self.single = OptimiserStep(self.trained, self.objective, device, seed, decay, self.skipped)

    def step(self, rate: float = 1.0) -> tuple[Measured, str]:
        """Take one step at a share of the learning rate.

        Return its measures and a note for the user (mostly empty).
        """
        before = None
        if self.taken % GOOD_STATE_EVERY == 0:
            before = _copy_of(self.trained.state_dict())
        crops = self.data.draw(self.rng, self.batch, self.side, self.device)
        values = self.take(crops, rate)
        measures = Measured(self.single.names, values)
        self.taken += 1
        if before is not None or self.device.type == "cpu" or self.taken == self.settings.n_steps:
            self.look_back(before)
        note, self.notes = " ".join(self.notes), []
        return measures, note

    def take(self, crops: Tensor, rate: float) -> Tensor:
        """Return what was measured in a step; where memory runs out, in a smaller one."""
        while True:
            try:
                return self.try_step(crops.to(self.device), self.learning_rate * rate)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # only here, after the handler, are the tensors of the failed step let go
            self.notes.append(self.use_less_memory())
            crops = crops[: self.batch, :, : self.side, : self.side]

    def look_back(self, before: dict[str, Tensor] | None) -> None:
        """Wait for the device, and roll back if a step was bad; else what was before it is good."""
        if bool(self.single.was_bad):
            self.notes.append(self.roll_back())
        elif before is not None:
            self.good = before

    def try_step(self, crops: Tensor, rate: float) -> Tensor:
        """Return what was measured; on a card the step is recorded and then replayed."""
        crops = crops.contiguous(memory_format=torch.channels_last)
        self.single.rate.fill_(rate)
        if self.is_time_to_record():
            self.record(crops)
        if self.recorded is None:
            self.n_single += 1
            return self.single(crops)
        if self.should_stop():
            raise StepInterrupted
        return self.recorded(crops)

    def is_time_to_record(self) -> bool:
        waits = self.can_record and self.recorded is None and self.n_single >= RECORD_AFTER
        return waits and self.device.type == "cuda"

    def record(self, crops: Tensor) -> None:
        """Record the step; where that fails, say so and go on taking one by one."""
        numbers = self.single.generator.get_state()
        try:
            self.recorded = RecordedStep(self.single, crops, self.single.generator)
        except StepInterrupted:
            raise
        except Exception as error:
            # a generator may be left in the state of recording
            self.single.generator = torch.Generator(self.device)
            self.single.generator.set_state(numbers)
            if is_out_of_memory(error):
                raise
            self.can_record = False
            self.notes.append(CANNOT_RECORD)

    def forget_record(self) -> None:
        """Let the recorded step go: what it reads is no longer there, or has another shape."""
        self.recorded, self.n_single = None, 0

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
        self.forget_record()
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
