"""The session folder: the work on a tile in numbered states; the newest whole one counts.

::

    SESSION/session.json             which image it is, and what it is called
    SESSION/state-000012.json        one saved state: values, runs, and which images belong to it
    SESSION/state-000011.json        the ones before, in case the disk damages the newest
    SESSION/earlier-000007.json      a state that was set aside, as somebody has started afresh
    SESSION/images/learned-labels-000012.tif, learned-touched-000009.tif, ...
    SESSION/runs/0001/               a run folder for every training
    SESSION/lock                     who writes here

An image is written once and never changed; a state that did not change an image names the old one.
Images come first and are on the disk before the manifest takes its name, which is one step for the
operating system: whenever a program is killed, labels and touched pixels of a state belong
together. What no state names any more is removed after that.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.atomic import is_leftover, sync_folder, write_whole
from napari_selfseg.session.label_files import StoreError
from napari_selfseg.session.session_files import (
    ImageRecord,
    LayerRecord,
    Manifest,
    read_manifest,
    to_ranges,
    write_image,
    write_manifest,
)
from napari_selfseg.session.session_state import SessionState, corrected_places
from napari_selfseg.session.stored_states import (
    ABOUT,
    EARLIER,
    IMAGE,
    IMAGES,
    LOCK,
    NUMBERED,
    RUNS,
    STATE,
    StoredStates,
)

__all__ = ["LOCK", "SessionFolder"]

N_STATES = 3  # the newest and those before it that are kept
MAP_FILES = ("confidence.tif", "doubt.tif", "depth.tif")  # in RUN/result


class SessionFolder(StoredStates):
    """Reads the session folder of a tile, and writes it: whoever writes holds its lock.

    Nothing is made before the first state is written.

    Parameters
    ----------
    path : Path
    about : mapping, optional
        What is written into it of the image it is the work on, as JSON; only whoever writes
        needs to know.
    """

    def __init__(self, path: Path, about: Mapping[str, Any] | None = None) -> None:
        super().__init__(path)
        self._about = about
        self._written: dict[tuple[str, str], tuple[NDArray[Any], ImageRecord]] = {}
        self._counted: dict[str, tuple[NDArray[np.bool_], int]] = {}

    def is_kept(self, manifest: Manifest) -> bool:
        """Whether a saved state is still there."""
        return self._path_of(STATE, manifest.number).exists()

    def check_writable(self) -> None:
        """Make the folder and see whether anything can be written into it.

        Raises
        ------
        OSError
        """
        self._make_folders()
        trial = self.path / ".trial.part"
        write_whole(trial, b"")
        trial.unlink()

    # ---- writing

    def save(
        self, state: SessionState, may_write: Callable[[], None] = lambda: None
    ) -> Manifest | None:
        """Save a state; afterwards it is the newest one.

        Parameters
        ----------
        state : SessionState
        may_write : callable()
            Asked right before the state takes its place; raises if it may not any more.

        Returns
        -------
        Manifest or None
            None if there is nothing in the state.

        Raises
        ------
        OSError
            If the disk refuses; what was there stays, and still is the newest state.
        StoreError
            If the layers differ in size.
        """
        shapes = {layer.labels.shape for layer in state.layers.values()}
        shapes |= {layer.touched.shape for layer in state.layers.values()}
        if not shapes:
            return None
        if len(shapes) > 1:
            raise StoreError(f"The labels of one tile differ in size: {sorted(shapes)}.")
        self._make_folders()
        if self._about is not None and self.about() != self._about:
            write_whole(self.path / ABOUT, json.dumps(self._about, indent=1).encode("ascii"))
        number = self._next_number()
        try:
            manifest = self._written_images(state, shapes.pop(), number)
            may_write()
            write_manifest(self._path_of(STATE, number), manifest)
        except Exception:
            self._take_back(number)
            raise
        self._tidy(number)
        return manifest

    def set_aside(self) -> None:
        """Keep the newest state as earlier work: it is not offered as the newest any more.

        Raises
        ------
        OSError
        """
        paths = self._numbered(STATE)
        whole = next((path for path in paths if self._is_whole(path)), None)
        for path in reversed(paths):  # the newest last, so that a kill leaves it as it is
            if path != whole and whole is not None:
                path.unlink()
            else:  # what is damaged is kept too, if there is nothing else
                path.replace(path.with_name(path.name.replace(STATE, EARLIER, 1)))
        if paths:
            sync_folder(self.path)

    def new_run_folder(self) -> tuple[int, Path]:
        """Return the number and the place for another run."""
        number = max(self.runs(), default=0) + 1
        return number, self.run_folder(number)

    def drop_maps(self, kept: set[int]) -> None:
        """Remove what the models of older runs have drawn; they can draw it again.

        Parameters
        ----------
        kept : set of int
            The runs that keep theirs.
        """
        for number in set(self.runs()) - kept:
            for name in MAP_FILES:
                with suppress(OSError):
                    (self.run_folder(number) / "result" / name).unlink(missing_ok=True)

    # ---- inside

    def _make_folders(self) -> None:
        # never its parents: a drive that was unplugged must not be made anew beside it
        self.path.mkdir(exist_ok=True)
        (self.path / IMAGES).mkdir(exist_ok=True)

    def _next_number(self) -> int:
        images = [IMAGE.fullmatch(path.name) for path in (self.path / IMAGES).iterdir()]
        states = [NUMBERED.fullmatch(path.name) for path in self.path.iterdir()]
        taken = [int(m[1]) for m in images if m] + [int(m[2]) for m in states if m]
        return max(taken, default=0) + 1

    def _written_images(self, state: SessionState, shape: tuple[int, ...], number: int) -> Manifest:
        """Write the images of a state that are not there, and return its manifest."""
        layers = {
            name: LayerRecord(
                labels=self._keep(name, "labels", layer.labels, number),
                touched=self._keep(name, "touched", layer.touched, number),
                reserved=to_ranges(layer.reserved),
                settings=dict(layer.settings),
                n_corrections=self._corrections(name, layer.touched),
            )
            for name, layer in state.layers.items()
        }
        n_rows, n_columns = shape
        return Manifest(
            number=number,
            saved_at=time.time(),
            shape=(n_rows, n_columns),
            layers=layers,
            values=dict(state.values),
            runs=dict(state.runs),
        )

    def _take_back(self, number: int) -> None:
        """Remove the images of a state that was refused: a full disk must not get fuller."""
        if self._path_of(STATE, number).exists():
            return  # the state has taken its place, only the disk did not say so
        ending = f"-{number:06d}.tif"
        for key, (_, record) in list(self._written.items()):
            if record.name.endswith(ending):
                del self._written[key]
        for path in (self.path / IMAGES).glob(f"*{ending}"):
            with suppress(OSError):
                path.unlink()

    def _keep(self, name: str, kind: str, image: NDArray[Any], number: int) -> ImageRecord:
        """Write an image, unless the last one of this layer is the same and still there."""
        last, record = self._written.get((name, kind), (None, None))
        folder = self.path / IMAGES
        if last is not None and record is not None and _same(last, image):
            with suppress(OSError):
                if (folder / record.name).stat().st_size == record.n_bytes:
                    return record
        record = write_image(folder, f"{name}-{kind}-{number:06d}.tif", image)
        self._written[name, kind] = image, record
        return record

    def _corrections(self, name: str, touched: NDArray[np.bool_]) -> int:
        last, count = self._counted.get(name, (None, 0))
        if last is None or not _same(last, touched):
            count = corrected_places(touched)
        self._counted[name] = touched, count
        return count

    def _tidy(self, newest: int) -> None:
        """Remove what no state needs any more; nothing of it may disturb the saving."""
        with suppress(OSError):
            old = [p for p in self._numbered(STATE) if p != self._path_of(STATE, newest)]
            for path in old[N_STATES - 1 :]:
                path.unlink()
            named: set[str] = set()
            unknown = 0  # up to this number an image may belong to a manifest that is damaged
            for path in (*self._numbered(STATE), *self._numbered(EARLIER)):
                try:
                    named |= {image.name for image in read_manifest(path).images()}
                except StoreError:
                    unknown = max(unknown, int(path.stem.rpartition("-")[2]))
            for path in (self.path / IMAGES).iterdir():
                match = IMAGE.fullmatch(path.name)
                is_old = match is not None and unknown < int(match[1])
                if is_leftover(path.name) or (is_old and path.name not in named):
                    path.unlink()
            for folder in (self.path, self.path / RUNS):
                for path in folder.glob(".*.part") if folder.is_dir() else ():
                    _remove_leftover(path)


def _remove_leftover(path: Path) -> None:
    if time.time() - path.stat().st_mtime < 3600:
        return  # somebody may be writing it: a run is stored beside the states
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return one is other or (one.dtype == other.dtype and np.array_equal(one, other))
