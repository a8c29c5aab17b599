"""What is lost when the program is killed: somebody paints and trains, and kill -9 comes.

    python -m benchmarks.crash [--tries 50] [--side 400] [--seconds 30] [--window] [--json]

Every try is a program of its own with the dock: it paints, fills, undoes, moves a slider, learns,
and writes down what it did and when. It is killed at a random moment between 3 s and ``--seconds``
after the first stroke. Then the session is opened as the next start would open it: labels and
touched pixels must be, pixel for pixel, those that were handed over with the last action that is
kept. Lost is the time from the first action that is not kept to the last one that was done.
``--window`` opens a real viewer, on the screen that is there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tables import markdown_table
from napari_selfseg.session.lock import SessionLock
from napari_selfseg.session.session_folder import LOCK, SessionFolder
from napari_selfseg.session.session_place import PLACE_VARIABLE

ALLOWED_S = 10.0
EARLIEST_S = 3.0
START_S = 180.0  # until the first stroke: imports, window
UM_PER_PX = 0.25


@dataclass(frozen=True)
class Try:
    """What one kill has cost.

    Parameters
    ----------
    after_s : float
        When it was killed, after the first stroke.
    n_actions, n_lost : int
        Actions done, and those that are not kept.
    lost_s : float
        From the first action that is not kept to the last one.
    is_same : bool
        Whether labels and touched pixels are those of the last action that is kept.
    runs_trained, runs_kept : int
        Whether the last training had ended 10 s before the kill, and whether a run is kept.
    told : str
        How the next start tells of it.
    """

    after_s: float
    n_actions: int
    n_lost: int
    lost_s: float
    is_same: bool
    runs_trained: int
    runs_kept: int
    told: str

    @property
    def is_kept(self) -> bool:
        """Whether no more is lost than is allowed."""
        return self.is_same and self.lost_s <= ALLOWED_S and self.runs_kept >= self.runs_trained


def one_try(place: Path, after_s: float, side: int, seed: int, window: bool = False) -> Try:
    """Let somebody work, kill the program, and look what is left.

    Parameters
    ----------
    place : Path
        An empty folder for the sessions and the log.
    after_s : float
        When it is killed, after the first stroke.
    side : int
        px of the tile.
    seed : int
        Of what is done.
    window : bool
        Whether there is a real viewer.
    """
    log = place / "log"
    sessions = place / "sessions"
    environment = {**os.environ, PLACE_VARIABLE: str(sessions), "OMP_NUM_THREADS": "1"}
    if not window:
        environment["QT_QPA_PLATFORM"] = "offscreen"
    arguments = ["--work", str(log), "--side", str(side), "--seed", str(seed)]
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.crash", *arguments, *(["--window"] if window else [])],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        begun = time.monotonic()
        while not records(log, "action"):
            if child.poll() is not None or time.monotonic() - begun > START_S:
                raise RuntimeError(f"The program did not begin: {child.stderr.read().decode()}")
            time.sleep(0.05)
        time.sleep(after_s)
        if child.poll() is not None:
            raise RuntimeError(f"The program ended by itself: {child.stderr.read().decode()}")
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stderr.close()
    return looked_at(log, sessions, after_s)


def looked_at(log: Path, sessions: Path, after_s: float) -> Try:
    """Compare what is kept with what was done."""
    from napari_selfseg.session.store import load_run

    actions = records(log, "action")
    last = actions[-1]["at"]
    folders = [SessionFolder(path) for path in sessions.iterdir()] if sessions.exists() else []
    kept, is_same, runs, told = 0, True, {}, "nothing kept"
    if folders and folders[0].newest() is not None:
        loaded = folders[0].load()
        kept, runs = int(loaded.state.values["actions"]), loaded.state.runs
        handed = [one["layers"] for one in records(log, "handed") if one["n"] == kept]
        is_same = digests(loaded.state.layers) in handed
        for run in runs.values():
            load_run(folders[0].run_folder(run))
        is_free = SessionLock(folders[0].path / LOCK).holder() is None
        told = f"{loaded.manifest.n_corrections} corrections{'' if is_free else ', locked'}"
    lost = [one for one in actions if one["n"] > kept]
    trained = [one["at"] for one in records(log, "trained")]
    must_be_kept = bool(trained) and last - trained[-1] > ALLOWED_S
    return Try(
        after_s=after_s,
        n_actions=len(actions),
        n_lost=len(lost),
        lost_s=last - lost[0]["at"] if lost else 0.0,
        is_same=is_same,
        runs_trained=int(must_be_kept),
        runs_kept=len(runs),
        told=told,
    )


def records(log: Path, what: str) -> list[dict[str, Any]]:
    """Return what was written down of one kind; the last line may be torn."""
    if not log.exists():
        return []
    lines = log.read_text(encoding="ascii").split("\n")[:-1]
    return [told for told in map(json.loads, lines) if told["what"] == what]


def digests(layers: Any) -> dict[str, str]:
    """Return what tells labels and touched pixels of all layers apart from any other."""
    told = {}
    for name, layer in layers.items():
        digest = hashlib.sha256(np.ascontiguousarray(layer.labels.astype(np.int32)).tobytes())
        digest.update(np.packbits(layer.touched).tobytes())
        digest.update(np.asarray(layer.reserved, np.int64).tobytes())
        told[name] = digest.hexdigest()
    return told


class Somebody:
    """Paints and learns in a dock, and writes down what is done.

    Parameters
    ----------
    log : Path
    side : int
        px of the tile.
    seed : int
    window : bool
    """

    def __init__(self, log: Path, side: int, seed: int, window: bool) -> None:
        import napari
        from napari.components import ViewerModel

        from napari_selfseg.core.images.drawn import drawn_he_tile
        from napari_selfseg.session.autosave import Autosave
        from napari_selfseg.widgets.dock import SelfSegDock

        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._random = random.Random(seed)
        self.side, self.n = side, 0
        rgb, _ = drawn_he_tile(side, side, n_nuclei=side * side // 1600, um_per_px=UM_PER_PX)
        self.viewer = napari.Viewer() if window else ViewerModel()
        self.viewer.add_image(rgb, name="tile", scale=(UM_PER_PX, UM_PER_PX), units="um")
        self.dock = SelfSegDock(self.viewer, warm_up=False)
        if window:
            self.viewer.window.add_dock_widget(self.dock, name="SelfSeg")
        save = Autosave.save

        def noted(autosave: Autosave, state: Any, *args: Any, **kwargs: Any) -> None:
            n = state.values.get("actions", 0)
            self.write("handed", n=n, layers=digests(state.layers))
            save(autosave, state, *args, **kwargs)

        Autosave.save = noted  # type: ignore[method-assign]

    def write(self, what: str, **told: Any) -> None:
        """Write a line that is there even if the next moment is the last."""
        line = json.dumps({"what": what, "at": time.monotonic(), **told}) + "\n"
        os.write(self._log, line.encode("ascii"))

    def work(self) -> None:
        """Go on for ever."""
        from benchmarks.event_loop import wait, wait_until
        from napari_selfseg.core.methods.settings import preset_settings

        wait_until(lambda: self.dock.work is not None)
        work = self.dock.work
        wait_until(lambda: "threshold" in work.candidates)
        work.kept.register("actions", lambda: self.n, lambda _: None)
        work.take("threshold")
        quick = preset_settings("quick", starts=1, n_steps=4, stop_early=False, patch_um=4.0)
        self.dock.training_panel.form.set_settings(quick)
        self.dock.training.finished.connect(lambda *_: self.write("trained"))
        while True:
            if not self.dock.training.is_running and self._random.random() < 0.05:
                self.dock._train()
            self.act(work)
            wait(self._random.choice([0.02, 0.1, 0.3, 1.0]))

    def act(self, work: Any) -> None:
        """Do one thing in the labels that are shown."""
        layer = work.layer_of(work.active)
        if layer is None:
            return
        first, last = ([self._random.uniform(0, self.side) for _ in range(2)] for _ in range(2))
        places = np.linspace(first, last, 8)
        self.n += 1  # before it is done: whatever is handed over from now on has it, or is older
        match self._random.choice(["paint"] * 6 + ["erase", "fill", "undo", "redo", "slider"]):
            case "undo":
                layer.undo()
            case "redo":
                layer.redo()
            case "fill":
                layer.fill(tuple(first), self._random.randint(1, 60_000))
            case "slider":
                settings = work.candidates[work.active].settings
                threshold = round(self._random.uniform(0.3, 0.7), 2)
                work.set_label_settings(settings.model_copy(update={"threshold": threshold}))
            case what:
                number = 0 if what == "erase" else self._random.randint(1, 60_000)
                layer.brush_size = self._random.randint(3, 30)
                with layer.block_history():
                    for row, column in places:
                        layer.paint((row, column), number)
        self.write("action", n=self.n)


def main() -> None:
    """Try, print a table, and end with 1 if more was lost than is allowed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tries", type=int, default=50)
    parser.add_argument("--side", type=int, default=400, help="px of the tile")
    parser.add_argument("--seconds", type=float, default=30.0, help="of work, at most")
    parser.add_argument("--window", action="store_true", help="in a real viewer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work is not None:
        from qtpy.QtWidgets import QApplication

        _application = QApplication.instance() or QApplication([])
        Somebody(options.work, options.side, options.seed, options.window).work()
    chance = random.Random(options.seed)
    tries = []
    for i in range(options.tries):
        after_s = chance.uniform(EARLIEST_S, options.seconds)
        with tempfile.TemporaryDirectory() as place:
            tries.append(one_try(Path(place), after_s, options.side, i, options.window))
        print(f"{i + 1}: {tries[-1]}", file=sys.stderr, flush=True)
    lost = [one.lost_s for one in tries]
    told = {
        "tries": len(tries),
        "kept as they should be": sum(one.is_kept for one in tries),
        "actions": sum(one.n_actions for one in tries),
        "lost, median (s)": round(statistics.median(lost), 2),
        "lost, most (s)": round(max(lost), 2),
        "other pixels": sum(not one.is_same for one in tries),
        "runs trained 10 s before / kept": f"{sum(t.runs_trained for t in tries)} / "
        f"{sum(min(t.runs_kept, t.runs_trained) for t in tries)}",
    }
    if options.json:
        print(json.dumps({**told, "each": [asdict(one) for one in tries]}))
    else:
        print(markdown_table([told]))
    sys.exit(0 if all(one.is_kept for one in tries) else 1)


if __name__ == "__main__":
    main()
