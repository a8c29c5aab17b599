"""Keep what was computed of an object for as long as the object lives."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import wraps
from threading import Lock
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
    must not hold the object itself, or neither would ever be let go. Who asks while it is being
    computed waits for it.
    """
    kept: WeakKeyDictionary[One, dict[Any, Future[Result]]] = WeakKeyDictionary()
    looking = Lock()

    @wraps(function)
    def keeping(one: One, /, *others: Others.args, **named: Others.kwargs) -> Result:
        key = others, tuple(sorted(named.items()))
        with looking:
            known = kept.setdefault(one, {})
            is_first = key not in known
            result = known.setdefault(key, Future())
        if is_first:
            try:
                result.set_result(function(one, *others, **named))
            except BaseException as error:
                del known[key]
                result.set_exception(error)
        return result.result()

    return keeping
