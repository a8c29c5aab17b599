"""The curves of a training as a picture, drawn with Pillow for a machine without a display."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFont

from napari_selfseg.core.methods import TrainingStep

SIZE = 900, 640  # px
SMOOTH = 2  # drawn twice as large and shrunk: smooth lines
LEFT, RIGHT, TOP, BETWEEN, BOTTOM = 74, 110, 60, 62, 46  # px around the plots
PLOTS = (("entropy", "entropy (bits per pixel)"), ("separation", "separation"))
PAPER, INK, GRID, MEAN = (255, 255, 255), (40, 40, 40), (225, 225, 225), (20, 20, 20)
# after Okabe and Ito: told apart by colour-blind people too
COLOURS = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233))

Points = list[tuple[float, float]]


def curves_picture(curves: Sequence[TrainingStep], title: str = "") -> Image.Image:
    """Return entropy and separation over the steps: a thin line per map, a thick one for the mean.

    Parameters
    ----------
    curves : sequence of TrainingStep
        Numbered through from 1; a grey line marks where another phase begins.
    title : str
        Shown above, such as why the training stopped.
    """
    width, height = (side * SMOOTH for side in SIZE)
    picture = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(picture)
    pen.text((LEFT * SMOOTH, 10 * SMOOTH), title, INK, ImageFont.load_default(14 * SMOOTH))
    each = (SIZE[1] - TOP - BETWEEN - BOTTOM) // len(PLOTS)
    for number, (name, caption) in enumerate(PLOTS):
        top = TOP + number * (each + BETWEEN)
        box = LEFT, top, SIZE[0] - RIGHT, top + each
        lines = {key: series(curves, key) for key in _keys(curves, name)}
        _Plot(pen, box, len(curves), lines).draw(name, caption, _phase_starts(curves))
    return picture.resize(SIZE, Image.Resampling.LANCZOS)


def series(curves: Sequence[TrainingStep], name: str) -> Points:
    """Return (step, value) of one measure, without the steps that do not have it."""
    return [
        (float(i), step.measures[name])
        for i, step in enumerate(curves, start=1)
        if math.isfinite(step.measures.get(name, math.nan))
    ]


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Return about ``wanted`` round numbers in low..high."""
    if not high > low:
        return [low]
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * min((1, 2, 5, 10), key=lambda m: abs(m * power - raw))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


class _Plot:
    """One plot in a box (left, top, right, bottom) of the picture, in px before enlarging."""

    def __init__(
        self,
        pen: ImageDraw.ImageDraw,
        box: tuple[int, int, int, int],
        n_steps: int,
        lines: dict[str, Points],
    ) -> None:
        self.pen, self.lines = pen, lines
        self.left, self.top, self.right, self.bottom = (side * SMOOTH for side in box)
        self.font = ImageFont.load_default(12 * SMOOTH)
        self.n_steps = max(2, n_steps)
        values = [value for points in lines.values() for _, value in points]
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        margin = 0.05 * (high - low) or 0.5 * abs(high) or 0.5
        self.low, self.high = low - margin, high + margin

    def draw(self, name: str, caption: str, phases: Sequence[int]) -> None:
        self.axes(caption)
        for start in phases:
            x = self.place(start, self.low)[0]
            self.pen.line([(x, self.top), (x, self.bottom)], (170, 170, 170), SMOOTH)
        # the mean last, on top of the others
        for key in sorted(self.lines, key=lambda key: key == name):
            number = int(key.rpartition("/")[2]) if "/" in key else -1
            colour = MEAN if key == name else COLOURS[number % len(COLOURS)]
            thick = 3 if key == name else 1
            points = [self.place(*point) for point in self.lines[key]]
            if len(points) > 1:
                self.pen.line(points, colour, thick * SMOOTH, joint="curve")
            self.legend("mean" if key == name else f"map {number}", number + 1, colour, thick)

    def axes(self, caption: str) -> None:
        for value in ticks(self.low, self.high):
            y = self.place(1, value)[1]
            self.pen.line([(self.left, y), (self.right, y)], GRID, SMOOTH)
            beside = self.left - 6 * SMOOTH, y
            self.pen.text(beside, f"{value:.4g}", INK, self.font, anchor="rm")
        for step in ticks(1, self.n_steps, 8):
            if step == int(step) and step >= 1:
                x = self.place(step, self.low)[0]
                below = x, self.bottom + 4 * SMOOTH
                self.pen.text(below, f"{step:.0f}", INK, self.font, anchor="mt")
        self.pen.rectangle([self.left, self.top, self.right, self.bottom], None, INK, SMOOTH)
        middle = (self.left + self.right) / 2
        self.pen.text((middle, self.bottom + 20 * SMOOTH), "step", INK, self.font, anchor="mt")
        above = self.left, self.top - 5 * SMOOTH
        self.pen.text(above, caption, INK, self.font, anchor="lb")

    def legend(self, text: str, row: int, colour: tuple[int, int, int], thick: int) -> None:
        y = self.top + (10 + 16 * row) * SMOOTH
        if y > self.bottom - 8 * SMOOTH:
            return  # sixteen maps do not fit
        x = self.right + 10 * SMOOTH
        self.pen.line([(x, y), (x + 20 * SMOOTH, y)], colour, thick * SMOOTH)
        self.pen.text((x + 26 * SMOOTH, y), text, INK, self.font, anchor="lm")

    def place(self, step: float, value: float) -> tuple[float, float]:
        across = (step - 1) / (self.n_steps - 1)
        up = (value - self.low) / (self.high - self.low)
        return (
            self.left + across * (self.right - self.left),
            self.bottom - up * (self.bottom - self.top),
        )


def _keys(curves: Sequence[TrainingStep], name: str) -> list[str]:
    """Return ``name`` and "name/0", "name/1" ... as far as any step has them."""
    found = {key for step in curves for key in step.measures}
    per_map = [key for key in found if key.partition("/")[0] == name and "/" in key]
    numbered = sorted(
        (key for key in per_map if key.rpartition("/")[2].isdigit()),
        key=lambda key: int(key.rpartition("/")[2]),
    )
    return ([name] if name in found else []) + numbered


def _phase_starts(curves: Sequence[TrainingStep]) -> list[int]:
    return [i for i, (a, b) in enumerate(pairwise(curves), start=2) if a.phase != b.phase]
