"""Moving images to where a network computes."""

from __future__ import annotations

import torch
from torch import Tensor


def sent(images: Tensor, device: torch.device) -> Tensor:
    """Return images on a device; a graphics card gets them without anybody waiting for it."""
    if device.type == "cpu":
        return images
    return images.pin_memory().to(device, non_blocking=True)
