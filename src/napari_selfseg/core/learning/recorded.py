"""A training step that a graphics card has recorded and repeats by itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class RecordedStep:
    """A CUDA graph of a step: hundreds of small launches become one.

    Recording computes nothing; to replay is to take a step. What the step reads and writes
    (weights, buffers, optimiser, learning rate, counters) must stay where it is in memory, and
    the step must have been taken a few times before, so that all of it is there.

    Parameters
    ----------
    step : callable(Tensor) -> Tensor
        Must not look at a number on the card.
    crops : Tensor
        An example of its input; later ones must have this shape.
    generator : torch.Generator
        The one the step draws from. It goes on where it is.

    References
    ----------
    https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
    """

    def __init__(
        self, step: Callable[[Tensor], Tensor], crops: Tensor, generator: torch.Generator
    ) -> None:
        self._crops = crops.clone(memory_format=torch.preserve_format)
        self._graph = torch.cuda.CUDAGraph()
        self._graph.register_generator_state(generator)
        # the thread that shows the map may use the card in the meantime
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._result = step(self._crops)

    def __call__(self, crops: Tensor) -> Tensor:
        """Take the step on other crops; return its result."""
        self._crops.copy_(crops, non_blocking=True)
        self._graph.replay()
        return self._result.clone()  # the next replay writes over it
