"""Random actions of a person and of SelfSeg on one labels layer, against a slow and plain model.

The model knows a step by the whole picture before it. After every action labels and touched
pixels must be the model's; a prediction may change no touched pixel and give away no reserved
number. A test runs some hundred sequences, ``benchmarks.corrections --fuzz N`` as many as wanted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from napari.layers import Labels
from PIL import Image, ImageDraw
from scipy import ndimage

from napari_selfseg.core.editing import Edit
from napari_selfseg.core.instances import LabelSettings, label_image
from napari_selfseg.widgets.editable_labels import EditableLabels

SHAPE = (24, 32)
N_ACTIONS = 25  # of one sequence, at most
SMALLEST = 6  # px of an object
WIDE = 70_000  # a number beyond uint16

rows, columns = st.integers(-3, SHAPE[0] + 2), st.integers(-3, SHAPE[1] + 2)
places = st.tuples(rows, columns)
inside = st.tuples(st.integers(0, SHAPE[0] - 1), st.integers(0, SHAPE[1] - 1))
corners = st.tuples(inside, inside)
thresholds = st.sampled_from([0.35, 0.45, 0.5, 0.55, 0.65])
numbers = st.sampled_from(["background", "an object", "an erased one", "a new one"])
kinds_of_values = st.sampled_from(["as they are", "one number", "a wide number", "none"])


@dataclass
class Step:
    """One step that can be undone, by the picture before it and after it."""

    kind: str
    before: tuple[np.ndarray, np.ndarray]
    after: tuple[np.ndarray, np.ndarray]


@dataclass
class Model:
    """What must be seen, known and undone."""

    labels: np.ndarray
    touched: np.ndarray
    reserved: set[int] = field(default_factory=set)
    done: list[Step] = field(default_factory=list)
    undone: list[Step] = field(default_factory=list)

    @property
    def state(self) -> tuple[np.ndarray, np.ndarray]:
        return self.labels, self.touched

    def do(self, kind: str, labels: np.ndarray, touched: np.ndarray) -> None:
        self.done.append(Step(kind, self.state, (labels, touched)))
        self.undone.clear()
        self.labels, self.touched = labels, touched

    def paint(self, covered: np.ndarray, labels: np.ndarray) -> bool:
        """Do a person's action; return whether there is anything to be undone."""
        if covered.any():
            self.reserved |= set(self.labels[covered]) | set(labels[covered])
            self.reserved -= {0}
            self.do("person", labels, self.touched | covered)
        return bool(covered.any())

    def undo(self) -> bool:
        if self.done:
            self.undone.append(self.done.pop())
            self.labels, self.touched = self.undone[-1].before
            return True
        return False

    def redo(self) -> bool:
        if self.undone:
            self.done.append(self.undone.pop())
            self.labels, self.touched = self.done[-1].after
            return True
        return False


class Corrections(RuleBasedStateMachine):
    """A person and SelfSeg take turns on one labels layer."""

    counts: ClassVar[Counter[str]] = Counter()

    @initialize(number=st.integers(0, 1000))
    def open(self, number: int) -> None:
        self.counts["sequences"] += 1
        self._learn(number)
        self.model = Model(self._predicted(0.5).astype(np.int64), np.zeros(SHAPE, bool))
        self._show(self._predicted(0.5))

    # ---- a person

    @rule(
        centres=st.lists(places, min_size=1, max_size=4),
        brush=st.integers(1, 9),
        number=numbers,
        preserve=st.booleans(),
    )
    def stroke(self, centres: Any, brush: int, number: str, preserve: bool) -> None:
        label = self._number(number)
        selected = label or self._number("an object")
        self.layer.selected_label, self.layer.preserve_labels = selected, preserve
        self.layer.brush_size = brush
        with self.layer.block_history():
            for centre in centres:
                self.layer.paint(centre, label, refresh=False)
        labels, covered = self.model.labels.copy(), np.zeros(SHAPE, bool)
        row, column = np.indices(SHAPE)
        for r, c in centres:
            disk = (row - r) ** 2 + (column - c) ** 2 <= (brush // 2 + 0.5) ** 2
            if preserve:  # only what may be painted over, and what has the label already
                disk &= (labels == label) | (labels == (0 if label else selected))
            labels[disk] = label
            covered |= disk
        self._expect_edit(self.model.paint(covered, labels))
        self.layer.preserve_labels = False

    @rule(place=inside, number=numbers, contiguous=st.booleans())
    def fill(self, place: Any, number: str, contiguous: bool) -> None:
        label = self._number(number)
        self.layer.contiguous = contiguous
        self.layer.fill(place, label)
        covered = self.model.labels == self.model.labels[place]
        if contiguous:
            parts, _ = ndimage.label(covered)
            covered = parts == parts[place]
        labels = np.where(covered, label, self.model.labels)
        self._expect_edit(self.model.paint(covered, labels))

    @rule(points=st.lists(inside, min_size=3, max_size=5), number=numbers)
    def polygon(self, points: Any, number: str) -> None:
        label = self._number(number)
        self.layer.paint_polygon(points, label)
        # lines are rounded from where they begin: napari draws in the polygon's bounding box
        corners = np.array(points)
        first, last = corners.min(0), corners.max(0)
        canvas = Image.new("L", tuple(int(side) for side in (last - first + 1)[::-1]))
        inside_box = [(int(c), int(r)) for r, c in corners - first]
        ImageDraw.Draw(canvas).polygon(inside_box, outline=1, fill=1)
        covered = np.zeros(SHAPE, bool)
        covered[first[0] : last[0] + 1, first[1] : last[1] + 1] = np.array(canvas, bool)
        labels = np.where(covered, label, self.model.labels)
        self._expect_edit(self.model.paint(covered, labels))

    @rule(part=corners, values=kinds_of_values, every=st.integers(1, 3), number=numbers)
    def tool(self, part: Any, values: str, every: int, number: str) -> None:
        where = box_of(part)
        mask = np.zeros(SHAPE, bool)
        if values != "none":
            mask[where] = (np.indices(SHAPE).sum(0) % every == 0)[where]
        label = WIDE if values == "a wide number" else self._number(number)
        labels = self.model.labels.copy()
        if values != "as they are":
            labels[mask] = label
        self.editable.edit(Edit(*where, mask[where], labels[where]))
        self._expect_edit(self.model.paint(mask, labels))

    @rule(part=st.none() | corners)
    def unlock(self, part: Any) -> None:
        mask = np.zeros(SHAPE, bool)
        mask[... if part is None else box_of(part)] = True
        self.editable.unlock(mask)
        is_something = bool((mask & self.model.touched).any())
        if is_something:
            self.model.do("unlock", self.model.labels, self.model.touched & ~mask)
        self._expect_edit(is_something)

    @rule(times=st.integers(1, 4))
    def undo(self, times: int) -> None:
        for _ in range(times):
            self.layer.undo()
            self._expect_edit(self.model.undo())
            self.looks_as_it_must()

    @rule(times=st.integers(1, 4))
    def redo(self, times: int) -> None:
        for _ in range(times):
            self.layer.redo()
            self._expect_edit(self.model.redo())
            self.looks_as_it_must()

    # ---- SelfSeg

    @rule(moves=st.lists(thresholds, max_size=3))
    def slider(self, moves: list[float]) -> None:
        for threshold in moves or [self.threshold]:  # not moved: predicted again
            self._predict(threshold)

    @rule(number=st.integers(0, 1000))
    def train_again(self, number: int) -> None:
        self._learn(number)
        self._predict(0.5)

    @rule(part=corners, threshold=thresholds)
    def glimpse(self, part: Any, threshold: float) -> None:
        where = box_of(part)
        self.editable.show_glimpse(*where, self._predicted(threshold)[where])
        self._expect_edit(False)
        shown = np.asarray(self.layer.data)
        self._count_lost(shown)

    @rule(forgotten=st.booleans())
    def save_and_load(self, forgotten: bool) -> None:
        kept = self.editable.labels(), self.editable.touched(), self.editable.reserved()
        if forgotten:
            self._learn(int(kept[0].sum()) % 1000)
        self._show(self._predicted(0.5))
        self.editable.restore(*kept)
        self._expect_edit(False)
        self.model.done, self.model.undone = [], []

    # ---- what must hold

    @invariant()
    @precondition(lambda self: hasattr(self, "model"))
    def looks_as_it_must(self) -> None:
        labels = self.editable.labels()
        self._count_lost(labels)
        assert np.array_equal(labels, self.model.labels)
        assert np.array_equal(self.editable.touched(), self.model.touched)
        assert self.model.reserved == set(self.editable.reserved().tolist())
        assert self.editable.is_touched() == self.model.touched.any()
        self.counts["actions"] += 1

    def _count_lost(self, labels: np.ndarray) -> None:
        lost = int((labels != self.model.labels)[self.model.touched].sum())
        self.counts["touched pixels changed"] += lost
        assert not lost, f"{lost} touched pixels were changed"

    # ---- inside

    def _learn(self, number: int) -> None:
        """Draw another confidence map."""
        noise = np.random.default_rng(number).normal(size=SHAPE)
        smooth = ndimage.gaussian_filter(noise, 2.0)
        self.map = ((smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)
        self.threshold = 0.5

    def _predicted(self, threshold: float) -> np.ndarray:
        sizes = LabelSettings(threshold=threshold, min_area=SMALLEST, morphology=False)
        return label_image(self.map, sizes)

    def _show(self, labels: np.ndarray) -> None:
        self.layer = Labels(labels.copy())
        self.editable = EditableLabels(self.layer)
        self.editable.edited.connect(self._on_edited)
        self.n_edited = 0

    def _on_edited(self) -> None:
        self.n_edited += 1

    def _expect_edit(self, told: bool) -> None:
        assert self.n_edited == told, f"told {self.n_edited} times"
        self.n_edited = 0

    def _number(self, which: str) -> int:
        there = sorted(set(self.model.labels.ravel()) - {0})
        erased = sorted(self.model.reserved - set(there))
        if which == "an object" and there:
            return int(there[len(there) // 2])
        if which == "an erased one" and erased:
            return self._fitting(int(erased[0]))
        return 0 if which == "background" else self._fitting(max(there, default=0) + 1)

    def _fitting(self, number: int) -> int:
        return number if number <= np.iinfo(self.layer.data.dtype).max else 1

    def _predict(self, threshold: float) -> None:
        self.threshold = threshold
        predicted = self._predicted(threshold)
        model = self.model
        before = model.labels
        self.editable.update(predicted.copy(), lambda: True, SMALLEST)
        self._expect_edit(False)
        labels = self.editable.labels()
        self._count_lost(labels)
        free = ~model.touched
        assert not labels[free & (predicted == 0)].any(), "nothing appears that was not predicted"
        fresh = set(labels[free]) - set(before.ravel()) - {0}
        assert not fresh & model.reserved, "a reserved number was given away"
        self._follow(labels.astype(np.int64))

    def _follow(self, labels: np.ndarray) -> None:
        """Take over what a prediction has made, as the one step that it must be."""
        model = self.model
        if not model.touched.any() and all(step.kind == "prediction" for step in model.done):
            model.done, model.undone, model.labels = [], [], labels
            return
        if model.done and model.done[-1].kind == "prediction":
            model.labels, _ = model.done.pop().before
            model.undone.clear()
        if not np.array_equal(labels, model.labels):
            model.do("prediction", labels, model.touched)


def box_of(part: Any) -> tuple[slice, slice]:
    """Return the box between two pixels."""
    (top, left), (bottom, right) = part
    rows, columns = sorted((top, bottom)), sorted((left, right))
    return slice(rows[0], rows[1] + 1), slice(columns[0], columns[1] + 1)


def fuzz(
    n_sequences: int,
    number: int | None = None,
    n_actions: int = N_ACTIONS,
    shrinks: bool = True,
) -> dict[str, int]:
    """Run random sequences of actions.

    Parameters
    ----------
    n_sequences : int
    number : int, optional
        Seed; another one every time if omitted.
    n_actions : int
        Of the longest sequence.
    shrinks : bool
        Look for the shortest sequence that fails.

    Returns
    -------
    dict
        How many "sequences" and "actions" were run, and how many "touched pixels changed" by
        anything but the person.

    Raises
    ------
    AssertionError
        With the shortest sequence after which something is not as it must be.
    """

    class Run(Corrections):
        counts: ClassVar[Counter[str]] = Counter({"touched pixels changed": 0})

    if number is not None:
        seed(number)(Run)
    how = settings(
        max_examples=n_sequences,
        stateful_step_count=n_actions,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink) if shrinks else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Run, settings=how)
    return dict(Run.counts)
