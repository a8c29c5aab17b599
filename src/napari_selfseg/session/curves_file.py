"""The curves of a training as CSV: one row per step, one column per measure."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from napari_selfseg.core.methods import TrainingStep

FIRST = ("phase", "step", "n_steps", "note")


def curves_to_csv(curves: Sequence[TrainingStep]) -> str:
    """Return the steps as CSV; a measure that a step does not have is left empty.

    Numbers are written so that reading gives the same ones back, bit for bit.
    """
    names = list(dict.fromkeys(name for step in curves for name in step.measures))
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow([*FIRST, *names])
    for step in curves:
        values = (step.measures.get(name) for name in names)
        numbers = ("" if value is None else repr(float(value)) for value in values)
        table.writerow([step.phase, step.step, step.n_steps, step.note, *numbers])
    return stream.getvalue()


def curves_from_csv(text: str) -> tuple[TrainingStep, ...]:
    """Return the steps that `curves_to_csv` wrote.

    Raises
    ------
    ValueError
        If the text is something else.
    """
    table = csv.DictReader(io.StringIO(text), strict=True)
    names = table.fieldnames or ()
    if tuple(names[: len(FIRST)]) != FIRST:
        raise ValueError("no curves")
    steps = []
    try:
        for row in table:
            measures = {name: float(row[name]) for name in names[len(FIRST) :] if row[name]}
            place = int(row["step"]), int(row["n_steps"])
            steps.append(TrainingStep(row["phase"], *place, measures, row["note"] or ""))
    except (TypeError, csv.Error) as error:  # a row that was cut off
        raise ValueError("no curves") from error
    return tuple(steps)
