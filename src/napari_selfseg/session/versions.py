"""The models that corrections made of a label-free one; one of them is in use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from napari_selfseg.core.images.tile import Tile
from napari_selfseg.session.label_files import StoreError
from napari_selfseg.session.reopened import result_of
from napari_selfseg.session.result import YOUR_STROKES, RunResult
from napari_selfseg.session.store import load_run
from napari_selfseg.session.stored_run import StoredRun
from napari_selfseg.session.work_settings import StoredVersion

LABEL_FREE, STORED = "label-free", "as stored"
MOST = 10  # versions that are kept: the first, and the newest others


@dataclass(frozen=True, eq=False)
class Version:
    """A model and what it draws of the tile.

    Parameters
    ----------
    name : str
        In a user's words.
    number : int
        0 for the first one; no other version of the training ever has the same.
    result : RunResult or None
        None as long as it lies in its folder only.
    folder : Path or None
        Of the run, if it was stored before this window was opened.
    """

    name: str
    number: int = 0
    result: RunResult | None = None
    folder: Path | None = None

    @property
    def kind(self) -> str:
        """Its name among the runs of a session."""
        return "learned" if self.number == 0 else f"learned-{self.number}"

    def opened(self, tile: Tile) -> RunResult:
        """Return its result, read if need be; not for the window's thread.

        Raises
        ------
        StoreError, CheckpointError
            If it cannot be read; one sentence.
        """
        if self.result is not None:
            return self.result
        assert self.folder is not None
        stored = load_run(self.folder)
        if not isinstance(stored, StoredRun):
            raise StoreError(f"{self.name} is no model of objects.")
        return result_of(stored, tile)


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
        return cls((Version(STORED if is_taught else LABEL_FREE, result=result),))

    @classmethod
    def taken_up(
        cls, told: tuple[StoredVersion, ...], at: int, folders: Mapping[str, Path]
    ) -> Versions | None:
        """Return the versions of a session; what was lost of them is left out. None if all was.

        Parameters
        ----------
        told : tuple of StoredVersion
            Of a session that was saved before there were versions: empty.
        at : int
            The place of the one in use.
        folders : mapping of str to Path
            Of the runs, by `Version.kind`; those of an earlier training may be among them.
        """
        wanted = told[at].number if at < len(told) else 0
        versions = [Version(one.name, one.number) for one in told] or [Version(STORED)]
        found = tuple(
            replace(one, folder=folders[one.kind]) for one in versions if one.kind in folders
        )
        if not found:
            return None
        numbers = [one.number for one in found]
        return cls(found, numbers.index(wanted) if wanted in numbers else len(found) - 1)

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
        number = max(version.number for version in self.all) + 1
        new = Version(f"{number}: {n_corrections:,} {noun}", number, result)
        first, *rest = self.all
        kept = (first, *rest[max(len(rest) - MOST + 2, 0) :], new)
        return Versions(kept, len(kept) - 1)

    def gone_to(self, place: int) -> Versions:
        """Return the versions with another one in use."""
        return replace(self, at=place)

    def without_current(self) -> Versions | None:
        """Return the versions without the one in use: the newest other one is; None if alone."""
        rest = (*self.all[: self.at], *self.all[self.at + 1 :])
        return Versions(rest, len(rest) - 1) if rest else None

    def with_result(self, result: RunResult) -> Versions:
        """Return the versions with another map chosen of the one in use, or with it read."""
        changed = replace(self.current, result=result)
        return replace(self, all=(*self.all[: self.at], changed, *self.all[self.at + 1 :]))

    def to_store(self) -> tuple[StoredVersion, ...]:
        """Return what is told of them where they are stored."""
        return tuple(StoredVersion(name=one.name, number=one.number) for one in self.all)
