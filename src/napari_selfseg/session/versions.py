"""The models that corrections made of a label-free one; one of them is in use."""

from __future__ import annotations

from dataclasses import dataclass, replace

from napari_selfseg.session.result import YOUR_STROKES, RunResult

LABEL_FREE, STORED = "label-free", "as stored"


@dataclass(frozen=True, eq=False)
class Version:
    """A model and what it draws of the tile.

    Parameters
    ----------
    name : str
        In a user's words.
    result : RunResult
    """

    name: str
    result: RunResult


@dataclass(frozen=True, eq=False)
class Versions:
    """All versions of one training, oldest first; every change gives new ones.

    Parameters
    ----------
    all : tuple of Version
        At least one.
    at : int
        The place of the one in use.
    """

    all: tuple[Version, ...]
    at: int = 0

    @classmethod
    def begun_with(cls, result: RunResult) -> Versions:
        """Return the versions of a training that nobody has corrected yet."""
        is_taught = result.provenance.get("labels_used") == YOUR_STROKES
        return cls((Version(STORED if is_taught else LABEL_FREE, result),))

    @property
    def current(self) -> Version:
        """The version in use."""
        return self.all[self.at]

    def added(self, result: RunResult, n_corrections: int) -> Versions:
        """Return the versions with a new one, which is in use then.

        Parameters
        ----------
        result : RunResult
        n_corrections : int
            From how many places it has learned.
        """
        noun = "correction" if n_corrections == 1 else "corrections"
        name = f"{len(self.all)}: {n_corrections:,} {noun}"
        return Versions((*self.all, Version(name, result)), len(self.all))

    def gone_to(self, place: int) -> Versions:
        """Return the versions with another one in use."""
        return replace(self, at=place)

    def with_result(self, result: RunResult) -> Versions:
        """Return the versions with another map chosen of the one in use."""
        changed = replace(self.current, result=result)
        return replace(self, all=(*self.all[: self.at], changed, *self.all[self.at + 1 :]))
