"""Where a network may compute with half the bits and gains time by it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

import torch


def half_precision(device: torch.device, enabled: bool = True) -> AbstractContextManager[None]:
    """Return a context in which convolutions are done in bfloat16 where the device is made for it.

    Weights, sums and batch statistics stay in float32 (mixed precision, Micikevicius et al.,
    arXiv 1710.03740; bfloat16 needs no scaling of the loss). Elsewhere nothing changes.

    Parameters
    ----------
    device : torch.device
    enabled : bool
        False changes nothing on any device.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled and has_bfloat16(device))


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions of its own for bfloat16; emulated it would be slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and _processor_has_bfloat16()


@cache
def _processor_has_bfloat16() -> bool:
    # torch has no public question for it; without this one nothing is assumed
    ask = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(ask is not None and ask())
