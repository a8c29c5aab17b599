"""One optimiser step on a device, without the processor looking at any of its numbers."""

from __future__ import annotations

from collections.abc import Iterable
from math import nan
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn


class StepLoss(NamedTuple):
    """What an objective says of a step; everything stays on the device.

    Parameters
    ----------
    value : Tensor, scalar
        What is minimised; where it is not usable, 0 with a gradient of 0.
    usable : Tensor of bool, scalar
        False if there is nothing to learn in this step: it then changes no weight.
    measures : dict
        Named scalars without gradient; NaN if something was not measured in this step. The
        names are the same in every step.
    """

    value: Tensor
    usable: Tensor
    measures: dict[str, Tensor]


class Objective(Protocol):
    """What a step minimises: (images, network output, generator) -> `StepLoss`.

    It must not bring a number to the processor (``item``, ``bool``, ``tolist``) nor raise because
    of one: the output may be NaN. It may say by an attribute ``least_crop`` how large (px) a crop
    must be; smaller ones are then never asked of it where the tiles are large enough.
    """

    def __call__(self, images: Tensor, output: Tensor, generator: torch.Generator) -> StepLoss:
        """Return the loss, whether it is usable, and the named numbers of the step."""
        ...


class OptimiserStep:
    """Forward, objective, backward and Adam; also decides on the device what must be skipped.

    An unusable step changes no weight and nothing in the optimiser. So does a bad one, whose
    output, loss or gradient is not finite; its buffers (batch statistics) go back too.

    Parameters
    ----------
    trained : nn.ModuleList
        The network and, if it has parameters, the objective; all on ``device``.
    objective : Objective
    device : torch.device
    seed : int
        Of the numbers the objective draws.
    weight_decay : float
    skipped : Tensor, scalar
        On the device; counts the unusable steps.

    Attributes
    ----------
    rate : Tensor, scalar
        The learning rate of the next step.
    was_bad : Tensor of bool, scalar
        Whether any step was bad.
    names : tuple of str
        Of the numbers that a step returns.
    """

    def __init__(
        self,
        trained: nn.ModuleList,
        objective: Objective,
        device: torch.device,
        seed: int,
        weight_decay: float,
        skipped: Tensor,
    ) -> None:
        self.trained, self.objective, self.skipped = trained, objective, skipped
        self.generator = torch.Generator(device).manual_seed(seed)
        self.was_bad = torch.tensor(False).to(device)
        self.names: tuple[str, ...] = ()
        # a number would be recorded for good; a tensor is read whenever the record is replayed
        self.rate = torch.tensor(0.0).to(device)
        # only the fused form skips a step by a flag on the device
        self.optimiser = torch.optim.Adam(
            trained.parameters(),
            lr=self.rate,
            weight_decay=weight_decay,
            fused=True,
            capturable=device.type == "cuda",
        )

    def __call__(self, crops: Tensor) -> Tensor:
        """Take one step on crops (B, C, m, n); return what was measured, in order of `names`.

        If it is interrupted, weights and buffers are what they were before it.
        """
        before = [buffer.clone() for buffer in self.trained.buffers()]
        try:
            return self._take(crops, before)
        except BaseException:
            for buffer, old in zip(self.trained.buffers(), before, strict=True):
                buffer.copy_(old)
            raise

    def _take(self, crops: Tensor, before: list[Tensor]) -> Tensor:
        self.optimiser.zero_grad(set_to_none=True)
        output = self.trained[0](crops)
        learned = self.objective(crops, output, self.generator)
        learned.value.backward()
        with torch.no_grad():
            is_bad = self._is_bad(output, learned)
            self.was_bad |= is_bad
            self.skipped += ~learned.usable & ~is_bad
            for buffer, old in zip(self.trained.buffers(), before, strict=True):
                buffer.copy_(torch.where(is_bad, old, buffer))
            lay_out_alike(self.trained.parameters())
            left_out = is_bad | ~learned.usable
            self.optimiser.found_inf = left_out.float()  # type: ignore[attr-defined]
            self.optimiser.step()
        return self._measured(learned, is_bad)

    def _is_bad(self, output: Tensor, learned: StepLoss) -> Tensor:
        gradients = [p.grad for p in self.trained.parameters() if p.grad is not None]
        # the norm, not the elements: Adam squares the gradient, which must not overflow either
        sizes = [learned.value, *(torch.linalg.vector_norm(g) for g in gradients)]
        is_learned_badly = learned.usable & ~torch.stack(sizes).isfinite().all()
        return ~output.isfinite().all() | is_learned_badly

    def _measured(self, learned: StepLoss, is_bad: Tensor) -> Tensor:
        self.names = (*learned.measures, "skipped")
        # of a bad step nothing is told
        measured = [value.float().masked_fill(is_bad, nan) for value in learned.measures.values()]
        return torch.stack([*measured, self.skipped])


def lay_out_alike(parameters: Iterable[Tensor]) -> None:
    """Give every gradient the strides of its weight.

    They may differ along sides of length 1, where they mean nothing, but older fused optimisers
    refuse them (https://github.com/pytorch/pytorch/issues/106951).
    """
    for p in parameters:
        if p.grad is not None and p.grad.stride() != p.stride():
            p.grad = p.grad.as_strided(p.shape, p.stride())
