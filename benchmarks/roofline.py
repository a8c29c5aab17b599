"""What this machine can do at best, and which part of it the convolutions of a step reach."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

GEMM_SIDE = 2048
COPIED = 2**26  # float32, 256 MiB: no cache holds it
REPEATS = 7
CONVOLUTIONS = ("convolution", "conv2d", "mkldnn")  # in the names of torch's operations


def seconds_of(job: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median of several runs after one that is not counted."""
    job()
    times = []
    for _ in range(repeats):
        synchronise()
        start = time.perf_counter()
        job()
        synchronise()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def synchronise() -> None:
    """Wait for a graphics card, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def gemm_rate(device: torch.device) -> float:
    """Return the float operations per second of a large matrix product in float32."""
    a = torch.rand(GEMM_SIDE, GEMM_SIDE, device=device)
    return 2 * GEMM_SIDE**3 / seconds_of(lambda: a @ a)


def copy_rate(device: torch.device) -> float:
    """Return the bytes per second that a copy reads and writes."""
    source = torch.zeros(COPIED, device=device)
    target = torch.empty_like(source)
    return 2 * 4 * COPIED / seconds_of(lambda: target.copy_(source))


def convolution_flops(network: nn.Module, pixels: int) -> int:
    """Return the float operations of the convolutions in a training step, forwards and back.

    Forwards once, and once each for the gradient of the weights and of the input; the input of
    the first one has no gradient.
    """
    per_pixel = [
        2 * part.weight.numel() for part in network.modules() if isinstance(part, nn.Conv2d)
    ]
    return pixels * (3 * sum(per_pixel) - per_pixel[0])


def seconds_in_convolutions(step: Callable[[], object], repeats: int = 3) -> tuple[float, float]:
    """Return the seconds that a step spends in convolutions and in all its operations.

    Of the threads' work as torch's profiler sees it; on a graphics card that of the card.
    """
    on_card = torch.cuda.is_available()
    activity = ProfilerActivity.CUDA if on_card else ProfilerActivity.CPU
    step()
    with profile(activities=[activity]) as seen:
        for _ in range(repeats):
            step()
        synchronise()
    spent = [
        (event.key, event.self_device_time_total if on_card else event.self_cpu_time_total)
        for event in seen.key_averages()
    ]
    inside = sum(time for name, time in spent if any(part in name for part in CONVOLUTIONS))
    return inside / repeats / 1e6, sum(time for _, time in spent) / repeats / 1e6
