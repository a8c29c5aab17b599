"""Live curves: what was trained is what is drawn, thinned, in the viewer's colours."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.theme import get_theme
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.widgets.curves import MOST_POINTS, LiveCurves, smoothed
from napari_selfseg.widgets.small_plots import map_colour


def step(n, entropy=0.5, separation=None, maps=2, phase="contrast"):
    measures = {"entropy": entropy, "loss": 3.0}
    measures |= {f"entropy/{k}": entropy + k for k in range(maps)}
    if separation is not None:
        measures |= {"separation": separation}
        measures |= {f"separation/{k}": separation + k for k in range(maps)}
    return TrainingStep(phase, n, 100, measures)


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def curves(qtbot, viewer):
    widget = LiveCurves(viewer)
    qtbot.addWidget(widget)
    return widget


def drawn(curves, name):
    """Return {map or None: (steps, values)} of a plot's lines."""
    curves._draw()
    lines = curves._plots[name]._lines
    return {key: line.getOriginalDataset() for key, line in lines.items()}


def test_a_line_per_map_and_a_mean(curves):
    curves.add_steps([step(1, 0.9, 0.01), step(2, 0.7, 0.03)])
    lines = drawn(curves, "entropy")
    assert lines.keys() == {None, 0, 1}
    np.testing.assert_allclose(lines[None], ([1, 2], [0.9, 0.7]))
    np.testing.assert_allclose(lines[1], ([1, 2], [1.9, 1.7]))
    np.testing.assert_allclose(drawn(curves, "separation")[0][1], [0.01, 0.03])
    assert curves.last_values() == "Step 2: mean entropy 0.7, separation 0.03"


def test_skipped_steps_leave_a_gap_in_their_own_place(curves):
    curves.add_steps([step(1), step(2, separation=0.5), step(3), step(4, separation=0.7)])
    steps, values = drawn(curves, "separation")[0]
    assert list(steps) == [1, 2, 3, 4]
    np.testing.assert_equal(values, [np.nan, 0.5, np.nan, 0.7])
    curves.add_steps([step(5)])
    np.testing.assert_equal(drawn(curves, "separation")[0][1][-2:], [0.7, np.nan])


def test_a_second_phase_goes_on_where_the_first_ended(curves):
    curves.add_steps([step(1), step(2), step(3, phase="fine"), step(4, phase="fine")])
    assert list(drawn(curves, "entropy")[None][0]) == [1, 2, 3, 4]


def test_a_long_run_is_thinned_and_its_last_step_shown(curves):
    curves.add_steps([step(n, entropy=n / 5000) for n in range(1, 5001)])
    steps, values = drawn(curves, "entropy")[0]
    assert MOST_POINTS / 2 < len(steps) <= MOST_POINTS
    assert (steps[-1], values[-1]) == (5000, 1.0)


def test_drawing_waits_until_the_curves_are_due(curves, qtbot):
    for n in range(1, 40):
        curves.add_steps([step(n)])
    assert not curves._plots["entropy"]._lines
    qtbot.waitUntil(lambda: bool(curves._plots["entropy"]._lines), timeout=2000)
    assert len(curves._plots["entropy"]._lines[0].getOriginalDataset()[0]) == 39


def test_clear_forgets_everything(curves):
    curves.add_steps([step(1, 0.5, 0.1)])
    curves.mark(1, "kept")
    curves.show_histogram([1, 2, 3])
    assert drawn(curves, "entropy")
    curves.clear()
    assert drawn(curves, "entropy") == {}
    assert curves.last_values() == ""
    assert not curves._plots["entropy"]._marks
    curves.add_steps([step(1, maps=0)])
    assert drawn(curves, "entropy").keys() == {None}


def test_the_chosen_map_stands_out(curves):
    curves.add_steps([step(1), step(2)])
    curves.highlight(1)
    lines = curves._plots["entropy"]._lines
    chosen, other = (lines[k].opts["pen"] for k in (1, 0))
    assert chosen.width() > other.width()
    assert chosen.color().alpha() > other.color().alpha()
    assert "<b>map 2</b>" in curves._legend.text()


def test_the_histogram_fills_0_to_1(curves):
    curves.show_histogram(np.arange(64))
    edges, counts = curves._histogram._bars.getOriginalDataset()
    assert (edges[0], edges[-1], len(counts)) == (0, 1, 64)
    curves.show_histogram(None)
    assert curves._histogram._bars.getOriginalDataset()[1].sum() == 0


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_viewers_theme_is_taken_and_followed(curves, viewer, theme):
    viewer.theme = "light" if theme == "dark" else "dark"
    viewer.theme = theme
    plot = curves._plots["separation"]
    expected = get_theme(theme)
    assert plot.backgroundBrush().color().name() == expected.background.as_hex(format="long")
    assert plot.getAxis("left").textPen().color().name() == expected.text.as_hex(format="long")


def test_a_theme_switch_after_the_end_of_the_widget(qtbot, viewer):
    widget = LiveCurves(viewer)
    widget.deleteLater()
    qtbot.wait(20)
    viewer.theme = "light"


def test_it_fits_a_narrow_dock_and_lets_the_wheel_through(curves, qtbot):
    assert curves.minimumSizeHint().width() < 300
    curves.add_steps([step(n, 0.123456, 0.00012345, maps=6) for n in (1, 100_000)])
    curves._draw()
    assert curves.minimumSizeHint().width() < 300
    curves.show()
    plot = curves._plots["entropy"]
    wheel = QWheelEvent(
        QPointF(5, 5),
        QPointF(5, 5),
        QPoint(0, 10),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(plot.viewport(), wheel)
    assert not wheel.isAccepted()


def test_axes_show_plain_numbers(curves):
    plot = curves._plots["separation"]
    assert not plot.getAxis("left").autoSIPrefix
    assert "bits" in plot.parent()._plots["entropy"].getPlotItem().titleLabel.text
    assert plot.getAxis("bottom").labelText == "step"


def test_the_running_mean():
    values = np.array([1.0] * 60 + [3.0] * 60)
    result = smoothed(values)
    assert result[0] == 1
    assert result[-1] == 3
    assert 1 < result[60] < 3
    gap = values.copy()
    gap[5] = np.nan
    assert np.isnan(smoothed(gap)[5])
    assert smoothed(gap)[6] == 1
    assert len(smoothed(np.array([]))) == 0


def test_colours_of_maps_differ_and_repeat():
    assert len({map_colour(k) for k in range(6)}) == 6
    assert map_colour(6) == map_colour(0)
