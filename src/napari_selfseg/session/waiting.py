"""What waits to be saved, how often that was tried, and what the window is told of it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from napari_selfseg.session.lock import Owner
from napari_selfseg.session.session_state import SessionState

FIRST_RETRY_S, LAST_RETRY_S = 1.0, 8.0


@dataclass(frozen=True)
class SaveStatus:
    """How it stands with the saving.

    Parameters
    ----------
    saved_at : float or None
        When something was saved last, s since 1970.
    is_waiting : bool
        Whether something is not on the disk yet.
    problem : str
        One sentence for the user as long as nothing can be saved.
    is_elsewhere : bool
        Whether another window works, or has worked, on the same session: nothing is saved here
        until `Autosave.take_over` or `Autosave.move_to`.
    holder : Owner or None
        That other window, as long as it is open.
    """

    saved_at: float | None = None
    is_waiting: bool = False
    problem: str = ""
    is_elsewhere: bool = False
    holder: Owner | None = None


@dataclass(frozen=True, eq=False)
class Waiting:
    """A state to be saved, whatever comes after it or not; without one, setting aside."""

    state: SessionState | None
    is_must: bool


def coalesced(waiting: list[Waiting], newest: Waiting) -> list[Waiting]:
    """Return what has to be saved when a newer state has come: few, however long the disk takes."""
    kept = [one for one in waiting if one.is_must]
    asides = [i for i, one in enumerate(kept) if one.state is None]
    after = asides[-1] + 1 if asides else 0
    return [*kept[:after], *kept[after : after + 1], newest]


class Attempts:
    """How often something failed in a row, why, and when it is tried again."""

    def __init__(self) -> None:
        self.count, self.next_at, self.problem = 0, 0.0, ""

    @property
    def is_due(self) -> bool:
        """Whether it may be tried now."""
        return time.monotonic() >= self.next_at

    def failed(self, problem: str) -> None:
        """Count a failure; ``problem`` is a sentence for the user."""
        pause = min(FIRST_RETRY_S * 2**self.count, LAST_RETRY_S)
        self.count, self.problem = self.count + 1, problem
        self.next_at = time.monotonic() + pause

    def again(self) -> None:
        """Try at once; what was wrong stays told until it is known to be over."""
        self.count, self.next_at = 0, 0.0

    def succeeded(self) -> None:
        """Forget what went wrong."""
        self.again()
        self.problem = ""
