"""Microns per pixel: what files say about it, and what of that can be believed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from napari_selfseg.core.images.tile import TileError

FINEST, COARSEST = 0.05, 5.0  # µm/px of any light microscope or slide scanner
STATED_FINEST, STATED_COARSEST = 0.01, 100.0  # µm/px a person may state
SQUARE = 1.02  # sides of a pixel that differ by less are equal

UNITS = {  # lengths in µm, by every name that files use
    **dict.fromkeys(("µm", "μm", "um", "micron", "microns", "micrometer", "micrometre"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-3),
    **dict.fromkeys(("å", "angstrom"), 1e-4),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 1e4),
    **dict.fromkeys(("m", "meter", "metre"), 1e6),
    **dict.fromkeys(("in", "inch", "inches"), 25400.0),
}
TIFF_UNITS = {2: 25400.0, 3: 1e4, 4: 1e3, 5: 1.0}  # ResolutionUnit: inch, cm, mm, µm


@dataclass(frozen=True)
class Scale:
    """Microns per pixel as far as a file tells, and what there is to say about it."""

    um_per_px: float | None = None
    notes: tuple[str, ...] = ()


NO_SCALE = Scale()


def checked_scale(um_per_px: float | None) -> float | None:
    """Return what a person stated in µm/px, if it is a possible scale.

    Raises
    ------
    TileError
        If it is not a positive number, or not that of a microscope.
    """
    if um_per_px is None:
        return None
    if not math.isfinite(um_per_px) or um_per_px <= 0:
        raise TileError(f"{um_per_px:g} µm/px is not a scale; it must be a positive number.")
    if not STATED_FINEST <= um_per_px <= STATED_COARSEST:
        raise TileError(
            f"{um_per_px:g} µm/px cannot be right for a microscope; a 40x scan has about 0.25."
        )
    return float(um_per_px)


def believed(rows: float | None, columns: float | None) -> Scale:
    """Return the scale of pixels whose sides a file states in µm; absurd ones are ignored."""
    stated = [
        side for side in (rows, columns) if side is not None and math.isfinite(side) and side > 0
    ]
    if not stated:
        return NO_SCALE
    um_per_px = math.sqrt(math.prod(stated)) if len(stated) == 2 else stated[0]
    if not FINEST <= um_per_px <= COARSEST:
        return Scale(
            notes=(f"The file states {um_per_px:.4g} µm/px, which cannot be right: ignored.",)
        )
    if max(stated) / min(stated) > SQUARE:
        note = (
            f"The pixels are not square ({stated[0]:.4g} by {stated[1]:.4g} µm); "
            f"{um_per_px:.4g} µm/px was taken."
        )
        return Scale(um_per_px, (note,))
    return Scale(um_per_px)


def scale_from_ome(xml: str, image: int = 0) -> Scale:
    """Return the scale that OME-XML gives to an image of the file.

    Parameters
    ----------
    xml : str
        The OME-XML.
    image : int
        Which of its images; the first one if it has fewer.
    """
    try:
        root = ElementTree.fromstring(xml.encode())
    except ElementTree.ParseError:
        return Scale(notes=("The OME metadata of the file is damaged and was ignored.",))
    described = [part.attrib for part in root.iter() if part.tag.rpartition("}")[2] == "Pixels"]
    if not described:
        return NO_SCALE
    pixels = described[image] if image < len(described) else described[0]
    return believed(_ome_length(pixels, "Y"), _ome_length(pixels, "X"))


def _ome_length(pixels: Mapping[str, str], axis: str) -> float | None:
    size = _number(pixels.get(f"PhysicalSize{axis}"))
    unit = UNITS.get(pixels.get(f"PhysicalSize{axis}Unit", "µm").strip().lower())
    return None if size is None or unit is None else size * unit


def scale_from_imagej(unit: Any, rows_per_unit: Any, columns_per_unit: Any) -> Scale:
    """Return the scale of an ImageJ file: pixels per unit, and the name of the unit."""
    name = str(unit or "").replace("\\u00B5", "µ").strip().lower()
    if name not in UNITS:
        return NO_SCALE
    rows, columns = _quotient(rows_per_unit), _quotient(columns_per_unit)
    return believed(
        UNITS[name] / rows if rows else None,
        UNITS[name] / columns if columns else None,
    )


def scale_from_description(description: str) -> Scale:
    """Return the scale of a slide whose description says ``MPP = 0.25`` (Aperio)."""
    found = re.search(r"\bMPP\s*=\s*([0-9.eE+-]+)", description)
    mpp = _number(found.group(1)) if found else None
    return believed(mpp, mpp)


def scale_from_resolution(rows: Any, columns: Any, um_per_unit: float | None) -> Scale:
    """Return the scale that a print resolution means, if it is that of a microscope.

    Most files say 72, 96 or 300 dots per inch, which is about paper and not about tissue: then
    there is no scale and nothing to say about it.

    Parameters
    ----------
    rows, columns : number or pair of int
        Pixels per unit along the rows axis and the columns axis; a pair is a fraction.
    um_per_unit : float, optional
        Length of the unit; None where there is none.
    """
    per_unit = [value for value in (_quotient(rows), _quotient(columns)) if value]
    if um_per_unit is None or not per_unit:
        return NO_SCALE
    sides = [um_per_unit / value for value in per_unit]
    if not all(FINEST <= side <= COARSEST for side in sides):
        return NO_SCALE
    return believed(sides[0], sides[-1])


def _quotient(value: Any) -> float | None:
    """Return a number or a TIFF fraction as a float; None if it means nothing."""
    try:
        numerator, denominator = value if isinstance(value, tuple | list) else (value, 1)
        return float(numerator) / float(denominator)
    except (TypeError, ValueError, ZeroDivisionError):
        return None


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
