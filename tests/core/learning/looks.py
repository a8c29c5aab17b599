"""Catch whoever brings a number from the device to the processor, also where both are one."""

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

BY_OPERATION = ("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "unique")
BY_METHOD = (torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.cpu, torch.Tensor.__array__)


class _Operations(TorchDispatchMode):
    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in BY_OPERATION:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


class _Methods(TorchFunctionMode):
    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in BY_METHOD:
            self.seen.append(func.__name__)
        return func(*args, **(kwargs or {}))


class Looks:
    """A context; ``seen`` names what a graphics card would have been waited for."""

    def __init__(self):
        self.seen = []
        self.modes = _Methods(self.seen), _Operations(self.seen)

    def __enter__(self):
        for mode in self.modes:
            mode.__enter__()
        return self

    def __exit__(self, *error):
        for mode in reversed(self.modes):
            mode.__exit__(*error)
