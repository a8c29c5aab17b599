"""A review on disk: all of it as JSON, to go on later, and the decisions as a table."""

from __future__ import annotations

import base64
import csv
import io
import json
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.doubtful import Places
from napari_selfseg.core.keeping import kept_with_first
from napari_selfseg.session.label_files import checked_suffix, written_beside
from napari_selfseg.session.review import Decision, Item, Review, ReviewError, Unit
from napari_selfseg.session.review_findings import Findings

FORMAT = "napari-selfseg review 1"
COLUMNS = (
    "item",
    "kind",
    "object",
    "row_px",
    "column_px",
    "doubt",
    "reasons",
    "cut_by_edge",
    "prediction",
    "drawn_by",
    "inclusion_probability",
    "decision",
    "seconds",
    "missing",
)
"""Of the table of decisions; docs/how-to/review.md says what they mean."""

_UNIT = ("kind", "number", "row", "column", "box", "doubt", "reasons", "is_cut")
_ITEM = ("id", "round", "rank", "turn", "by", "stage")


def review_to_json(review: Review, findings: Findings) -> str:
    """Return a review and the labels it is about as text; any thread may call it.

    It holds no name, no date and no path.
    """
    items = {name: [getattr(item, name) for item in review.items] for name in _ITEM}
    units = {name: [getattr(item.unit, name) for item in review.items] for name in _UNIT}
    return json.dumps(
        {
            "format": FORMAT,
            "items": items,
            "units": units,
            "decisions": {str(key): asdict(made) for key, made in review.decisions.items()},
            "seed": review.seed,
            "round": review.round,
            "doubtful_in_a_row": review.doubtful_in_a_row,
            "at": review.at,
            "seconds": review.seconds,
            "labels": packed_labels(findings),
            "row_edges": findings.places.row_edges.tolist(),
            "column_edges": findings.places.column_edges.tolist(),
        },
        separators=(",", ":"),
    )


def review_from_json(text: str) -> tuple[Review, Findings]:
    """Bring back what `review_to_json` gave.

    Raises
    ------
    ReviewError
        If the text is something else, or damaged.
    """
    try:
        told = json.loads(text)
        if told["format"] != FORMAT:
            raise ValueError(told["format"])
        units = [
            Unit(**{**line, "box": tuple(line["box"]), "reasons": tuple(line["reasons"])})
            for line in _lines(told["units"], _UNIT)
        ]
        items = tuple(
            Item(unit=unit, **{**line, "stage": tuple(line["stage"])})
            for unit, line in zip(units, _lines(told["items"], _ITEM), strict=True)
        )
        decisions = {int(key): Decision(**made) for key, made in told["decisions"].items()}
        if not set(decisions) <= {item.id for item in items}:
            raise ValueError("a decision about nothing")
        review = Review(
            items,
            decisions,
            int(told["seed"]),
            int(told["round"]),
            int(told["doubtful_in_a_row"]),
            int(told["at"]),
            float(told["seconds"]),
        )
        places = Places(np.array(told["row_edges"], int), np.array(told["column_edges"], int))
        labels = _unpacked(told["labels"])
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise ReviewError("The stored review is damaged or of another version.") from error
    mine = tuple(item.unit for item in review.items if item.round == review.round)
    return review, Findings(labels, places, mine)


def decisions_to_csv(review: Review) -> str:
    """Return the queue with its decisions as a table, one line for every item."""
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    chances = _inclusion_probabilities(review)
    for place, (item, chance) in enumerate(zip(review.items, chances, strict=True), start=1):
        unit, made = item.unit, review.decision(item)
        table.writerow(
            {
                "item": place,
                "kind": unit.kind,
                "object": unit.number if unit.kind == "object" else "",
                "row_px": f"{unit.row:.1f}",
                "column_px": f"{unit.column:.1f}",
                "doubt": f"{unit.doubt:.4f}",
                "reasons": "; ".join(unit.reasons),
                "cut_by_edge": int(unit.is_cut),
                "prediction": item.round + 1,
                "drawn_by": item.by,
                "inclusion_probability": f"{chance:.6g}",
                "decision": "" if made is None else made.verdict,
                "seconds": "" if made is None else f"{made.seconds:.1f}",
                "missing": "" if made is None or unit.kind == "object" else made.missing,
            }
        )
    return text.getvalue()


def write_decisions(path: str | Path, review: Review) -> None:
    """Write `decisions_to_csv`; the file is written beside its place and then renamed.

    Raises
    ------
    StoreError
        If the name does not end with .csv, or the file cannot be written.
    """
    path = Path(path)
    checked_suffix(path, (".csv",), "Decisions")
    with written_beside(path) as beside:
        beside.write_text(decisions_to_csv(review), encoding="utf-8", newline="")


def _inclusion_probabilities(review: Review) -> list[float]:
    """Return `Review.inclusion` of every item; it depends on kind and rank only."""
    chances: dict[tuple[bool, bool, str], float] = {}
    by_doubt = review.stage[0]
    found = []
    for item in review.items:
        key = item.round < review.round, item.rank < by_doubt, item.unit.kind
        if key not in chances:
            chances[key] = review.inclusion(item)
        found.append(chances[key])
    return found


def _lines(columns: dict[str, list[Any]], names: tuple[str, ...]) -> list[dict[str, Any]]:
    return [
        dict(zip(names, line, strict=True))
        for line in zip(*(columns[name] for name in names), strict=True)
    ]


@kept_with_first
def packed_labels(findings: Findings) -> dict[str, Any]:
    """Return the labels that were looked through, small enough for JSON; kept with the findings."""
    return _packed(findings.labels)


def _packed(labels: NDArray[Any]) -> dict[str, Any]:
    compact = zlib.compress(np.ascontiguousarray(labels).tobytes(), 1)
    return {
        "dtype": labels.dtype.str,
        "shape": list(labels.shape),
        "zlib": base64.b64encode(compact).decode("ascii"),
    }


def _unpacked(told: dict[str, Any]) -> NDArray[np.integer[Any]]:
    dtype = np.dtype(told["dtype"])
    if dtype.kind not in "iu":
        raise ValueError(f"labels of {dtype}")
    raw = zlib.decompress(base64.b64decode(told["zlib"]))
    labels: NDArray[np.integer[Any]] = np.frombuffer(raw, dtype).reshape(told["shape"])
    return labels
