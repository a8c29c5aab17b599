"""Hundreds of random sequences of actions, against a slow and plain model."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.fuzz_corrections import fuzz

from napari_selfseg.session import corrections
from napari_selfseg.widgets import editable_labels
from napari_selfseg.widgets.editable_labels import EditableLabels
from napari_selfseg.widgets.label_history import LabelHistory
from napari_selfseg.widgets.label_painting import LabelPainting

pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")


def test_touched_pixels_are_changed_by_nobody_but_the_person():
    counts = fuzz(300)
    assert counts["sequences"] >= 300
    assert counts["actions"] > 3000
    assert counts["touched pixels changed"] == 0


def do_nothing(*_):
    """Stand for something that was forgotten."""


def merge_without_numbers(*images, reserved, smallest):
    return corrections.merge(*images, smallest=smallest)


def merge_beside_touched(new, current, touched, **more):
    return corrections.merge(new, current, np.zeros_like(touched), **more)


@pytest.mark.parametrize(
    ("where", "name", "fault"),
    [
        (LabelPainting, "_tell_kept", do_nothing),
        (LabelHistory, "_reserve", do_nothing),
        (EditableLabels, "end_glimpse", do_nothing),
        (editable_labels, "merge", merge_without_numbers),
        (editable_labels, "merge", merge_beside_touched),
    ],
)
def test_the_sequences_find_a_fault(where, name, fault, monkeypatch):
    monkeypatch.setattr(where, name, fault)
    with pytest.raises(AssertionError):
        fuzz(150, 0, shrinks=False)
