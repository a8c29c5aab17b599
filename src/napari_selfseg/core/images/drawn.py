"""A drawn H&E tile whose nuclei are known exactly: for trying, teaching and testing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# Optical density per unit of stain in red, green, blue: directions near those that Ruifrok and
# Johnston (2001) measured; eosin is drawn towards the salmon of common scanners.
HAEMATOXYLIN = np.array([0.65, 0.70, 0.33], dtype=np.float32)
EOSIN = np.array([0.14, 0.89, 0.43], dtype=np.float32)
GLASS = np.array([0.955, 0.945, 0.955], dtype=np.float32)  # what the scanner sees of empty glass

DIAMETERS = (6.0, 9.0)  # µm, of nuclei
TOUCHING = 0.3  # share of nuclei that are put beside another one
OVERLAP = 0.04  # share of a new nucleus that may lie below older ones: it is cut there
WHOLE = 0.3  # share of a nucleus that must lie inside the tile
TRIES = 60  # places tried per nucleus before it is left out
LUMEN = 0.12  # share of the tile that is empty glass
NOISE = 0.012  # of the camera, as a share of white


@dataclass(frozen=True)
class _Nucleus:
    """Where a nucleus lies, in px: centre, two half axes, angle, waviness of its outline."""

    row: float
    column: float
    long: float
    short: float
    angle: float
    waves: tuple[float, float, float, float]


def drawn_he_tile(
    rows: int = 512,
    columns: int = 512,
    n_nuclei: int = 80,
    seed: int = 0,
    um_per_px: float = 0.25,
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Draw a tile of H&E tissue: stroma, lumens, and nuclei of which some touch.

    Stains are mixed as optical densities, then blurred as by an objective and made noisy as by
    a camera. The same arguments give the same tile.

    Parameters
    ----------
    rows, columns : int
        Size in px.
    n_nuclei : int
        How many nuclei; fewer are drawn where there is no room for more.
    seed : int
        Of everything that is random.
    um_per_px : float
        Microns per pixel: nuclei are 6 to 9 µm across.

    Returns
    -------
    rgb : ndarray of uint8, shape (rows, columns, 3)
    labels : ndarray of uint16, shape (rows, columns)
        0 outside, 1, 2, ... one number per nucleus, without gaps.
    """
    rng = np.random.default_rng(seed)
    shape = (rows, columns)
    px = 1 / um_per_px
    lumen = _lumens(rng, shape, px)
    labels, nuclei = _placed(rng, lumen, n_nuclei, px)
    eosin = _stroma(rng, shape, px)
    eosin *= 1 + 0.35 * _blurred((labels > 0).astype(np.float32), 2.5 * px)  # cytoplasm
    eosin *= 1 - lumen
    haematoxylin = 0.055 * (1 - lumen) * (1 + 0.5 * _noise(rng, shape, 1.2 * px))
    haematoxylin += _chromatin(rng, labels, len(nuclei), px)
    eosin *= np.where(labels > 0, 0.55, 1.0)
    density = haematoxylin[..., None] * HAEMATOXYLIN + eosin[..., None] * EOSIN
    light = GLASS * np.power(np.float32(10), -np.maximum(density, 0))
    light = ndimage.gaussian_filter(light, (0.2 * px, 0.2 * px, 0))
    light += NOISE * rng.standard_normal(light.shape, dtype=np.float32) * np.sqrt(light)
    return np.clip(np.rint(light * 255), 0, 255).astype(np.uint8), labels


def _noise(
    rng: np.random.Generator, shape: tuple[int, int], sigma: float | tuple[float, float]
) -> NDArray[np.float32]:
    """Return smooth noise of mean 0 and standard deviation 1, (M, N)."""
    smooth = _blurred(rng.standard_normal(shape, dtype=np.float32), sigma)
    smooth -= smooth.mean()
    smooth /= max(float(smooth.std()), 1e-6)
    return smooth


def _blurred(
    values: NDArray[np.float32], sigma: float | tuple[float, float]
) -> NDArray[np.float32]:
    """Blur; wide Gaussians are made on a coarser grid, which is much faster."""
    widest = float(np.max(sigma))
    factor = int(widest // 4)
    if factor < 2 or min(values.shape) < 8 * factor:
        return np.asarray(ndimage.gaussian_filter(values, sigma, mode="reflect"), np.float32)
    small = ndimage.uniform_filter(values, factor)[::factor, ::factor]
    small = ndimage.gaussian_filter(small, np.asarray(sigma) / factor, mode="reflect")
    zoom = [n / m for n, m in zip(values.shape, small.shape, strict=True)]
    return np.asarray(ndimage.zoom(small, zoom, order=1, grid_mode=True, mode="nearest"))


def _lumens(rng: np.random.Generator, shape: tuple[int, int], px: float) -> NDArray[np.float32]:
    """Return where there is empty glass: 1 inside, 0 in tissue, with soft edges, (M, N)."""
    height = _noise(rng, shape, 11 * px) + 0.25 * _noise(rng, shape, 3 * px)
    level = np.quantile(height, 1 - LUMEN)
    return _blurred((height > level).astype(np.float32), 0.5 * px)


def _stroma(rng: np.random.Generator, shape: tuple[int, int], px: float) -> NDArray[np.float32]:
    """Return the amount of eosin in wavy, fibrous tissue, (M, N)."""
    bend = 10 * px
    shift = np.stack([_noise(rng, shape, 18 * px), _noise(rng, shape, 18 * px)]) * bend
    grid = np.indices(shape, dtype=np.float32)
    fibres = sum(
        weight * _noise(rng, shape, (across * px, along * px))
        for weight, across, along in ((0.6, 0.45, 7.0), (0.4, 1.1, 12.0))
    )
    bent = ndimage.map_coordinates(fibres, grid + shift, order=1, mode="reflect")
    grain = _noise(rng, shape, 0.3 * px)
    patches = _noise(rng, shape, 14 * px)
    amount = 0.2 * (1 + 0.22 * bent + 0.07 * grain + 0.18 * patches)
    return np.asarray(np.clip(amount, 0.03, None), dtype=np.float32)


def _placed(
    rng: np.random.Generator, lumen: NDArray[np.float32], n_nuclei: int, px: float
) -> tuple[NDArray[np.uint16], list[_Nucleus]]:
    """Place nuclei in the tissue, some beside others; return labels (M, N) and the nuclei."""
    shape = (lumen.shape[0], lumen.shape[1])
    labels = np.zeros(shape, dtype=np.uint16)
    nuclei: list[_Nucleus] = []
    for _ in range(n_nuclei):
        for _ in range(TRIES):
            nucleus = _somewhere(rng, shape, nuclei, px)
            window, inside = _outline(nucleus, shape)
            area = int(inside.sum())
            if area < WHOLE * np.pi * nucleus.long * nucleus.short:
                continue
            taken = inside & (labels[window] > 0)
            if taken.sum() > OVERLAP * area or lumen[window][inside].mean() > 0.2:
                continue
            nuclei.append(nucleus)
            labels[window][inside & ~taken] = len(nuclei)
            break
    return labels, nuclei


def _somewhere(
    rng: np.random.Generator, shape: tuple[int, int], nuclei: list[_Nucleus], px: float
) -> _Nucleus:
    """Draw a nucleus at a random place, or beside one that is there."""
    long = rng.uniform(*DIAMETERS) / 2 * px
    short = long * rng.uniform(0.6, 0.95)
    angle = rng.uniform(0, np.pi)
    row, column = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
    if nuclei and rng.random() < TOUCHING:
        other = nuclei[rng.integers(len(nuclei))]
        towards = rng.uniform(0, 2 * np.pi)
        distance = (short + other.short) * rng.uniform(0.95, 1.15)
        row = other.row + distance * np.sin(towards)
        column = other.column + distance * np.cos(towards)
    w = rng.normal(0, 0.035, 4)
    return _Nucleus(row, column, long, short, angle, (w[0], w[1], w[2], w[3]))


def _outline(
    nucleus: _Nucleus, shape: tuple[int, int]
) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    """Return the window around a nucleus, cut at the edges of the tile, and its pixels therein."""
    reach = nucleus.long * 1.3 + 1
    centre = (nucleus.row, nucleus.column)
    low = [min(max(0, int(at - reach)), side) for at, side in zip(centre, shape, strict=True)]
    high = [min(max(0, int(at + reach) + 1), side) for at, side in zip(centre, shape, strict=True)]
    window = (slice(low[0], high[0]), slice(low[1], high[1]))
    r, c = np.mgrid[window]
    down, right = r - nucleus.row, c - nucleus.column
    sin, cos = np.sin(nucleus.angle), np.cos(nucleus.angle)
    u = (right * cos + down * sin) / nucleus.long
    v = (down * cos - right * sin) / nucleus.short
    turn = np.arctan2(v, u)
    a, b, d, e = nucleus.waves
    radius = (
        1 + a * np.cos(2 * turn) + b * np.sin(3 * turn) + d * np.cos(3 * turn) + e * np.sin(turn)
    )
    inside: NDArray[np.bool_] = np.hypot(u, v) <= radius
    return window, inside


def _chromatin(
    rng: np.random.Generator, labels: NDArray[np.uint16], n_nuclei: int, px: float
) -> NDArray[np.float32]:
    """Return the amount of haematoxylin in the nuclei: grains, a dark rim, own darkness each."""
    own = np.concatenate([[0], rng.uniform(0.38, 0.72, n_nuclei)]).astype(np.float32)
    grains = _noise(rng, labels.shape, 0.35 * px) + 0.8 * _noise(rng, labels.shape, 0.8 * px)
    rim = _rim(labels, px)
    amount = own[labels] * (0.88 + 0.2 * grains + 0.3 * rim)
    return np.asarray(np.clip(amount, 0.0, None) * (labels > 0), dtype=np.float32)


def _rim(labels: NDArray[np.uint16], px: float) -> NDArray[np.float32]:
    """Return 1 at the border of every nucleus, falling to 0 within about 1 µm, (M, N)."""
    inner = labels > 0
    for axis in (0, 1):  # borders between touching nuclei count, too
        differs = np.diff(labels, axis=axis) != 0
        pad = [(0, 0), (0, 0)]
        pad[axis] = (0, 1)
        inner &= ~np.pad(differs, pad)
    depth = ndimage.distance_transform_edt(inner)
    return np.asarray(np.exp(-depth / (0.5 * px)), dtype=np.float32)
