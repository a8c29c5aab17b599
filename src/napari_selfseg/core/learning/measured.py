"""Named numbers of a step that stay on the device until somebody looks at them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


class Measured(Mapping[str, float]):
    """A mapping from names to numbers, brought from the device at the first look.

    Whoever looks at every step makes a graphics card wait at every step.

    Parameters
    ----------
    names : sequence of str
    values : Tensor, shape (len(names),)
        NaN where something was not measured: its name is then left out.
    """

    def __init__(self, names: Sequence[str], values: Tensor) -> None:
        self._names, self._values = names, values
        self._numbers: dict[str, float] | None = None

    @property
    def numbers(self) -> dict[str, float]:
        """What was measured, on the processor."""
        if self._numbers is None:
            listed = zip(self._names, self._values.tolist(), strict=True)
            self._numbers = {name: float(value) for name, value in listed if not math.isnan(value)}
            del self._values  # a recorded training would keep thousands of them on the card
        return self._numbers

    def __getitem__(self, name: str) -> float:
        return self.numbers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def __repr__(self) -> str:
        return repr(self.numbers)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (self.numbers,)  # copies and files hold plain numbers
