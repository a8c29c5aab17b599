"""Keep what was computed of an object for as long as the object lives."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

One = TypeVar("One")
Others = ParamSpec("Others")
Result = TypeVar("Result")


def kept_with_first(
    function: Callable[Concatenate[One, Others], Result],
) -> Callable[Concatenate[One, Others], Result]:
    """Decorate a function whose results are kept with its first argument.

    That argument is compared by identity and must not change; the others are hashed. A result
    must not hold the object itself, or neither would ever be let go.
    """
    kept: WeakKeyDictionary[One, dict[Any, Result]] = WeakKeyDictionary()

    @wraps(function)
    def keeping(one: One, /, *others: Others.args, **named: Others.kwargs) -> Result:
        known = kept.setdefault(one, {})
        key = others, tuple(sorted(named.items()))
        if key not in known:
            known[key] = function(one, *others, **named)
        return known[key]

    return keeping
