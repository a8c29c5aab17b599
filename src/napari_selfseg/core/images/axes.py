"""The order of axes: any array that holds one plane to (rows, columns, channels)."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

from napari_selfseg.core.images.tile import TileError

SAMPLES = "S"  # the values of one pixel: grey, RGB or RGBA
CHANNELS = "C"  # separately taken images: dyes, or the three planes of an RGB image


def guess_axes(shape: tuple[int, ...], rgb: bool | None = None, name: str = "The image") -> str:
    """Name the axes of an array by its shape.

    Parameters
    ----------
    shape : tuple of int
        Of the array.
    rgb : bool, optional
        What a viewer says: True, the last axis holds RGB or RGBA; False, it does not.
    name : str
        The image, for messages.

    Returns
    -------
    str
        A letter per axis: T time, Z depth, C channels, Y rows, X columns, S samples.

    Raises
    ------
    TileError
        If the array has fewer than two or more than five axes.
    """
    n_axes = len(shape)
    if n_axes == 2:
        return "YX"
    if not 3 <= n_axes <= 5:
        raise TileError(f"{name} has {n_axes} axes; an image has rows, columns and channels.")
    before = "TZ"[5 - n_axes :]  # what stands before the three last axes
    last, third = shape[-1], shape[-3]
    if rgb is not False and (last in (3, 4) or (rgb and third not in (1, 3))):
        return f"{before}YXS"
    if third in (1, 3):
        return f"{before}CYX"
    if last in (1, 3, 4):  # shown as a stack of narrow images, but nobody takes such images
        return f"{before}YXS"
    if rgb is None and last == 2:
        return f"{before}YXC"
    if rgb is None and n_axes == 3 and third in (2, 4):
        return "CYX"
    return {3: "ZYX", 4: "TZYX", 5: "TCZYX"}[n_axes]


def to_plane(
    array: Any, axes: str, index: Mapping[str, int] | None = None, name: str = "The image"
) -> Any:
    """Return one plane of an array as (M, N, C), without copying or computing.

    Parameters
    ----------
    array : numpy or dask array
        With one axis per letter of `axes`.
    axes : str
        The letters of tifffile: Y rows, X columns, C or S channels, Z, T and others.
    index : mapping of str to int, optional
        Which plane to take along the other axes, such as ``{"z": 3}``; ``{"c": 0}`` takes one
        channel as a grey image.
    name : str
        The image, for messages.

    Returns
    -------
    array, shape (M, N, C)
        C is 1 or 3, or 2 or 4 with alpha as the last channel.

    Raises
    ------
    TileError
        If there is more than one plane to choose from, a choice makes no sense, or the
        channels are neither grey nor RGB.
    """
    axes = axes.upper()
    if len(axes) != array.ndim or len(set(axes)) != len(axes) or not {"Y", "X"} <= set(axes):
        raise TileError(
            f"The axes {axes} do not describe {name}, which has {array.ndim} axes; Y is rows, "
            "X columns, C channels."
        )
    if 0 in array.shape:
        raise TileError(f"{name} is empty.")
    picks = _picks(axes, array.shape, index or {}, name)
    array = array[tuple(picks.get(letter, slice(None)) for letter in axes)]
    axes = "".join(letter for letter in axes if letter not in picks)
    colour = next((letter for letter in (SAMPLES, CHANNELS) if letter in axes), None)
    if colour is None:
        array, axes, colour = array[..., None], axes + SAMPLES, SAMPLES
    array = array.transpose([axes.index(letter) for letter in ("Y", "X", colour)])
    _check_channels(array.shape[2], colour, name)
    return array


def _picks(
    axes: str, shape: tuple[int, ...], index: Mapping[str, int], name: str
) -> dict[str, int]:
    """Return which plane to take along every axis that a tile does not have."""
    sizes = dict(zip(axes, shape, strict=True))
    picks = {}
    for key, value in index.items():
        letter = key.upper()
        if letter == CHANNELS and CHANNELS not in sizes:
            letter = SAMPLES
        if letter not in sizes or letter in "YX":
            there = ", ".join(f"{k.lower()} ({n})" for k, n in sizes.items())
            raise TileError(f"{name} has no axis {key!r} to choose from; its axes are {there}.")
        plane = operator.index(value)
        if not 0 <= plane < sizes[letter]:
            raise TileError(
                f"There is no {key}={plane} in {name}; {key} goes from 0 to {sizes[letter] - 1}."
            )
        picks[letter] = plane
    others = [k for k in axes if k not in picks and k not in "YX" + SAMPLES]
    if SAMPLES not in sizes or SAMPLES in picks:
        others = [k for k in others if k != CHANNELS]
    open_axes = [k for k in others if sizes[k] > 1]
    if open_axes:
        of = ", ".join(f"{k.lower()} of {sizes[k]}" for k in open_axes)
        example = ", ".join(f"'{k.lower()}': {sizes[k] // 2}" for k in open_axes)
        raise TileError(
            f"{name} is a stack ({of}); choose one plane, for instance with index={{{example}}}."
        )
    return {**picks, **dict.fromkeys((k for k in others if k not in picks), 0)}


def _check_channels(n_channels: int, colour: str, name: str) -> None:
    if n_channels in (1, 3) or (colour == SAMPLES and n_channels in (2, 4)):
        return
    raise TileError(
        f"{name} has {n_channels} channels, so it is neither grey (1) nor RGB (3); choose one, "
        "for instance with index={'c': 0}."
    )


def upright(plane: Any, orientation: int) -> Any:
    """Turn a plane (M, N, C) as the TIFF or EXIF orientation 1..8 asks for; lazily."""
    if orientation in (5, 6, 7, 8):
        plane = plane.transpose([1, 0, 2])
    if orientation in (3, 4, 7, 8):
        plane = plane[::-1]
    if orientation in (2, 3, 6, 7):
        plane = plane[:, ::-1]
    return plane
