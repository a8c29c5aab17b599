"""Makes the pictures of docs/results.md: other stainings, scales, glass and pen, each by itself.

    python docs/make_robustness_pictures.py [--out docs/images] [--preset standard]

Every tile is learned from and segmented by itself, without labels. The H&E tile is drawn, so the
true nuclei are known and the Dice is printed; the immunohistochemistry tile is scikit-image's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage.data import immunohistochemistry

from napari_selfseg.core.images import altered
from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.methods.settings import preset_settings
from napari_selfseg.core.metrics import dice
from napari_selfseg.session.overlay import outlined
from napari_selfseg.session.run import Finished, TrainingRequest, TrainingRun

SIDE, CAPTION, GAP = 300, 40, 6  # px
INK = (40, 40, 40)


def tiles() -> dict[str, tuple[NDArray, NDArray | None, float]]:
    """Return caption -> pixels, true labels (None: unknown), µm/px."""
    rgb, labels = drawn_he_tile(512, 512, n_nuclei=130, seed=7)
    inked, pen = altered.with_pen(rgb, "blue")
    outside, half = labels.copy(), labels.copy()
    outside[pen] = 0  # what is under the ink is not to be seen
    half[:, half.shape[1] // 2 :] = 0
    return {
        "40x": (rgb, labels, 0.25),
        "20x": (altered.at_half_scale(rgb), altered.labels_at_half_scale(labels), 0.5),
        "pale: half the stain": (altered.pale(rgb), labels, 0.25),
        "dark: 1.6 times the stain": (altered.dark(rgb), labels, 0.25),
        "a blue pen stroke": (inked, outside, 0.25),
        "half of it glass": (altered.with_glass(rgb), half, 0.25),
        "haematoxylin and DAB": (immunohistochemistry(), None, 0.5),
    }


def segment(rgb: NDArray, um_per_px: float, preset: str) -> tuple[NDArray, str]:
    """Learn from a tile and segment it; return the labels and what is expected of them."""
    request = TrainingRequest((Tile(rgb, 255, um_per_px),), preset_settings(preset))
    *_, last = TrainingRun(request).updates()
    assert isinstance(last, Finished)
    quality = last.result.quality
    return last.result.labels(), "" if quality is None else quality.sentence()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--preset", default="standard")
    options = parser.parse_args()
    shown = []
    for caption, (rgb, truth, um_per_px) in tiles().items():
        labels, expected = segment(rgb, um_per_px, options.preset)
        figure = f"{labels.max()} objects"
        if truth is not None:
            figure += f", Dice {dice(labels, truth):.2f}"
        print(f"{caption}: {figure}. {expected}")
        view = outlined(rgb, labels)
        side = min(*view.shape[:2], SIDE if um_per_px < 0.5 else SIDE // 2)
        corner = tuple((length - side) // 2 for length in view.shape[:2])
        cut = view[corner[0] : corner[0] + side, corner[1] : corner[1] + side]
        zoom = SIDE // side
        shown.append((caption, figure, np.kron(cut, np.ones((zoom, zoom, 1), np.uint8))))
    across = -(-len(shown) // 2)
    picture = Image.new("RGB", (across * (SIDE + GAP) - GAP, 2 * (SIDE + CAPTION)), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    for number, (caption, figure, pixels) in enumerate(shown):
        left, top = number % across * (SIDE + GAP), number // across * (SIDE + CAPTION)
        pen.text((left + 3, top + 3), f"{caption}\n{figure}", INK, font)
        picture.paste(Image.fromarray(pixels), (left, top + CAPTION))
    options.out.mkdir(parents=True, exist_ok=True)
    picture.save(options.out / "robustness.png", optimize=True)
    print(options.out / "robustness.png")


if __name__ == "__main__":
    main()
