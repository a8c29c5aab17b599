"""What the commands print: results on the standard output, everything else on standard error."""

from __future__ import annotations

import json
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

DONE, FAILURE, MISTAKE, INTERRUPTED = 0, 1, 2, 130
PLAIN_EVERY = 10.0  # s between two lines of progress where there is no terminal
REDRAW_EVERY = 0.1  # s
BAR = 24  # characters


class UserMistake(Exception):
    """Something the user can put right; the message is one sentence."""


def tell(sentence: str) -> None:
    """Say something that is no result."""
    print(sentence, file=sys.stderr, flush=True)


def print_json(values: Mapping[str, Any]) -> None:
    """Print one JSON object; numbers that are not finite become null."""
    print(json.dumps(finite(values), allow_nan=False))


def finite(value: Any) -> Any:
    """Return JSON values with None for every number that is not finite."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def duration(seconds: float) -> str:
    """Return "45 s", "2:05 min" or "1:02 h"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


class ProgressBar:
    """A bar with the time that is left; on anything but a terminal, a line now and then.

    Parameters
    ----------
    stream : text stream, optional
        Standard error unless told otherwise.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.is_terminal = self.stream.isatty()
        self._drawn_at = -math.inf
        self._width = 0

    def update(self, done: int, total: int, what: str, seconds_left: float | None = None) -> None:
        """Show that ``done`` of ``total`` steps of something are taken."""
        now = time.monotonic()
        every = REDRAW_EVERY if self.is_terminal else PLAIN_EVERY
        if now - self._drawn_at < every and done < total:
            return
        self._drawn_at = now
        left = "" if seconds_left is None or done >= total else f", {duration(seconds_left)} left"
        text = f"{what}: {done} of {total}{left}"
        if not self.is_terminal:
            print(text, file=self.stream, flush=True)
            return
        filled = round(BAR * done / total) if total else BAR
        line = f"[{'#' * filled}{'-' * (BAR - filled)}] {text}"
        self.stream.write("\r" + line.ljust(self._width))
        self.stream.flush()
        self._width = len(line)

    def say(self, sentence: str) -> None:
        """Print a sentence above the bar."""
        self.close()
        print(sentence, file=self.stream, flush=True)

    def close(self) -> None:
        """Take the bar away."""
        if self.is_terminal and self._width:
            self.stream.write("\r" + " " * self._width + "\r")
            self.stream.flush()
        self._width, self._drawn_at = 0, -math.inf


@contextmanager
def interruptions(stop: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C (and a request to terminate) call ``stop`` once; a second Ctrl-C breaks off.

    A KeyboardInterrupt in the middle of a step would take the generator, and with it the
    result, along. Gives a function that says whether there was an interruption.
    """
    interrupted = threading.Event()

    def on_signal(number: int, _frame: Any) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()
        stop()

    if threading.current_thread() is not threading.main_thread():
        yield interrupted.is_set  # signals only reach the main thread
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield interrupted.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
