"""What is learned and found must not depend on any label file: they may be wrong or missing."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from skimage.io import imsave

from napari_selfseg.cli import main
from napari_selfseg.core.images.drawn import drawn_he_tile

TINY = ["--preset", "standard", "--device", "cpu", "--um-per-px", "0.25", "--seed", "3"]
for change in ("n_steps=2", "crop_size=64", "starts=2", "committee=2", "refinement_steps=3"):
    TINY += ["--set", change]
NAMES = ("a", "b")


@pytest.fixture
def folder(tmp_path):
    """Two tiles with their true labels beside them, under both names that are used."""
    return images_in(tmp_path / "images")


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """What is learned and found with the true labels beside the images."""
    place = tmp_path_factory.mktemp("first")
    return learned_and_found(images_in(place / "images"), place)


def images_in(place):
    place.mkdir()
    for seed, name in enumerate(NAMES):
        rgb, truth = drawn_he_tile(120, 128, n_nuclei=16, seed=seed)
        imsave(place / f"{name}.png", rgb, check_contrast=False)
        imsave(place / f"{name}_labels.png", truth, check_contrast=False)
        mask = (truth > 0).astype(np.uint8) * 255
        imsave(place / f"{name}_mask.png", mask, check_contrast=False)
    return place


def shuffled(folder):
    """Give every tile another tile's labels."""
    for ending in ("labels", "mask"):
        paths = [folder / f"{name}_{ending}.png" for name in NAMES]
        held = [path.read_bytes() for path in paths]
        for path, content in zip(paths, held[1:] + held[:1], strict=True):
            path.write_bytes(content)


def removed(folder):
    """Remove all labels."""
    for path in [*folder.glob("*_labels.png"), *folder.glob("*_mask.png")]:
        path.unlink()


def learned_and_found(folder, out):
    """Return the bytes of the weights and of every label image."""
    assert main(["train", str(folder), "--out", str(out / "run"), *TINY]) == 0
    found = out / "found"
    images = [str(folder), "--um-per-px", "0.25"]
    assert main(["segment", str(out / "run"), *images, "--out", str(found)]) == 0
    labels = {path.name: path.read_bytes() for path in sorted(found.glob("*.tif"))}
    assert len(labels) == len(NAMES)
    return (out / "run" / "model.safetensors").read_bytes(), labels


@pytest.mark.parametrize("change", [shuffled, removed])
def test_labels_beside_the_images_change_no_bit(folder, tmp_path, change, first):
    change(folder)
    assert learned_and_found(folder, tmp_path) == first


def test_the_comparison_would_notice_another_image(folder, tmp_path, first):
    """What the test above compares does depend on what is learned from."""
    shutil.copy(folder / "a.png", folder / "b.png")
    weights, labels = learned_and_found(folder, tmp_path)
    assert weights != first[0]
    assert labels != first[1]
