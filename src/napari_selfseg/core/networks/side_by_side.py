"""Networks that share nothing but what they see, each computed by a core of its own.

On a processor torch divides every single operation among its threads; those of tiny networks are
too short for that. Whole networks divide better (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache, partial
from threading import Barrier
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Done = TypeVar("Done")


def side_by_side(networks: Sequence[nn.Module], x: Tensor) -> list[Tensor]:
    """Return what each network makes of x, on as many cores as torch may use; also backwards.

    Outputs and gradients are those of ``[network(x) for network in networks]``. That is also what
    is done where nothing can be gained: on a graphics card, and on one thread.

    Parameters
    ----------
    networks : sequence of nn.Module
        Without common parameters; all of them learn, or none.
    x : Tensor
        Gets no gradient.
    """
    n_workers = min(torch.get_num_threads(), len(networks))
    if n_workers < 2 or x.device.type != "cpu":
        return [network(x) for network in networks]
    workers = _Workers.of(n_workers)
    learns = any(p.requires_grad for network in networks for p in network.parameters())
    if not (learns and torch.is_grad_enabled()):
        return workers.outputs_of(networks, x)
    # torch asks for the gradient of something that goes in; the parameters are not seen to
    ticket = torch.ones((), requires_grad=True)
    return list(_SideBySide.apply(ticket, x, networks, workers))  # type: ignore[no-untyped-call]


class _Workers:
    """Threads that compute on one core each."""

    def __init__(self, n: int) -> None:
        everywhere = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(n, "selfseg", initializer=_compute_on_one_core)
        all_here = Barrier(n)  # so that each takes one task, and the pool starts all n of them
        self.all([all_here.wait] * n)
        torch.set_num_threads(everywhere)  # of threads to come; they said it for these as well

    @staticmethod
    @cache
    def of(n: int) -> _Workers:
        """Return n workers, always the same ones: a new thread would begin with new memory."""
        return _Workers(n)

    def outputs_of(
        self, networks: Sequence[nn.Module], x: Tensor, learning: bool = False
    ) -> list[Tensor]:
        """Return what each network makes of x, with a graph of its own if it is learning."""
        # what torch keeps for every thread apart
        inferring = torch.is_inference_mode_enabled()
        in_half, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

        def output_of(network: nn.Module) -> Tensor:
            with (
                torch.inference_mode(inferring),
                torch.set_grad_enabled(learning),
                torch.autocast("cpu", dtype, enabled=in_half),
            ):
                output: Tensor = network(x)
            return output

        return self.all([partial(output_of, network) for network in networks])

    def all(self, tasks: Iterable[Callable[[], Done]]) -> list[Done]:
        """Return what the tasks return; none is still running when this ends or raises."""
        running = [self._pool.submit(task) for task in tasks]
        wait(running)
        return [one.result() for one in running]


def _compute_on_one_core() -> None:
    torch.set_num_threads(1)
    torch.get_num_threads()  # a thread takes over what is set once more when it is first asked


class _SideBySide(torch.autograd.Function):
    """Keeps a graph for every network; they are gone through backwards side by side."""

    @staticmethod
    def forward(
        ctx: Any, _ticket: Tensor, x: Tensor, networks: Sequence[nn.Module], workers: _Workers
    ) -> tuple[Tensor, ...]:
        ctx.workers, ctx.outputs = workers, workers.outputs_of(networks, x, learning=True)
        return tuple(output.detach() for output in ctx.outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, None, None]:
        # the gradients of the parameters are added up as usual
        pairs = zip(ctx.outputs, gradients, strict=True)
        ctx.workers.all([partial(output.backward, gradient) for output, gradient in pairs])
        return None, None, None, None
