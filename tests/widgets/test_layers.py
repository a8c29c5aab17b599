"""Image layers and regions of them: pixels, scale, transforms, and what cannot be used."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils._proxies import PublicOnlyProxy

from napari_selfseg.core.images.tile import TileError
from napari_selfseg.widgets.layers import (
    ensure_region_layer,
    image_layers,
    make_tile_view,
    newest_image,
    three_grey_layers,
    um_per_px_of,
    visible_field,
)

RGB = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
GREY = RGB[..., 0]
TRANSFORMS = {
    "scale": {"scale": (0.5, 0.5), "units": ("um", "um")},
    "translate": {"scale": (0.25, 0.25), "translate": (100, -40)},
    "rotate": {"scale": (2, 2), "rotate": 30, "translate": (5, 6)},
    "shear": {"shear": [0.4], "scale": (0.5, 0.7)},
    "affine": {
        "scale": (0.5, 0.5),
        "rotate": 20,
        "affine": [[0.8, 0.3, 4], [-0.2, 1.1, 9], [0, 0, 1]],
    },
    "flip": {"affine": [[-1, 0, 50], [0, 1, 0], [0, 0, 1]]},
}


@pytest.fixture
def viewer():
    return ViewerModel()


def corners_in_world(layer, shape):
    ends = [(0, 0), (0, shape[1] - 1), (shape[0] - 1, 0), (shape[0] - 1, shape[1] - 1)]
    return np.array([layer.data_to_world(end)[-2:] for end in ends])


# ---- finding images


def test_newest_rgb_is_preferred_and_labels_are_not_images(viewer):
    assert newest_image(viewer) is None
    grey = viewer.add_image(GREY)
    assert newest_image(viewer) is grey
    rgb = viewer.add_image(RGB)
    viewer.add_image(GREY)
    viewer.add_labels(np.zeros((60, 80), np.uint8))
    assert newest_image(viewer) is rgb
    assert image_layers(viewer) == list(viewer.layers)[:3]


def test_a_plugin_is_given_the_real_layers_not_proxies(viewer):
    layer = viewer.add_image(RGB)
    assert newest_image(PublicOnlyProxy(viewer)) is layer
    assert make_tile_view(PublicOnlyProxy(viewer), layer).layer is layer


def test_three_grey_layers_become_one_rgb_tile_in_the_order_of_their_colours(viewer):
    assert three_grey_layers(viewer) is None
    for colour, channel in (("blue", 2), ("red", 0), ("green", 1)):
        viewer.add_image(RGB[..., channel], colormap=colour, name=colour)
    layers = three_grey_layers(viewer)
    assert [layer.name for layer in layers] == ["red", "green", "blue"]
    tile = make_tile_view(viewer, layers).tile
    assert np.array_equal(np.asarray(tile.pixels), RGB)
    assert tile.name == "red + green + blue"


def test_three_grey_layers_of_different_size_are_refused(viewer):
    layers = tuple(viewer.add_image(GREY[:n]) for n in (60, 60, 50))
    assert three_grey_layers(viewer) is None
    with pytest.raises(TileError, match="same number of rows"):
        make_tile_view(viewer, layers)


# ---- microns


@pytest.mark.parametrize(
    ("kwargs", "microns"),
    [
        ({"scale": (0.25, 0.25), "units": ("micrometer", "um")}, 0.25),
        ({"scale": (250, 250), "units": ("nm", "nm")}, 0.25),
        ({"scale": (0.5, 0.5), "units": ("mm", "mm")}, None),
        ({"scale": (5e-4, 5e-4), "units": ("mm", "mm")}, 0.5),
        ({"scale": (0.25, 250), "units": ("um", "nm")}, 0.25),
        ({"scale": (0.25, 0.25), "units": ("um", "um"), "rotate": 33}, 0.25),
        ({"affine": np.diag([0.25, 0.25, 1]), "units": ("um", "um")}, 0.25),
        ({"scale": (0.25, 0.25)}, None),
        ({"scale": (0.25, 0.3), "units": ("um", "um")}, None),
        ({"scale": (0.25, 0.25), "shear": [0.5], "units": ("um", "um")}, None),
        ({"scale": (0.25, 0.25), "units": ("s", "s")}, None),
    ],
)
def test_um_per_px_from_scale_and_units(viewer, kwargs, microns):
    layer = viewer.add_image(RGB, **kwargs)
    assert um_per_px_of(layer) == (microns and pytest.approx(microns, rel=1e-9))
    assert make_tile_view(viewer, layer).tile.um_per_px == um_per_px_of(layer)
    assert make_tile_view(viewer, layer, um_per_px=0.7).tile.um_per_px == 0.7


# ---- a result lies exactly over its region


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_result_layer_lies_over_the_tile(viewer, name):
    image = viewer.add_image(RGB, **TRANSFORMS[name])
    corners = corners_in_world(image, (60, 80))
    view = make_tile_view(viewer, image, "whole")
    result = viewer.add_labels(np.zeros(view.tile.shape, int), **view.layer_kwargs())
    np.testing.assert_allclose(corners_in_world(result, (60, 80)), corners, atol=1e-9)
    assert result.units == image.units

    part = make_tile_view(viewer, image, "rectangle", rectangle=corners_of(image, 10, 20, 30, 50))
    result = viewer.add_labels(np.zeros(part.tile.shape, int), **part.layer_kwargs())
    assert part.rows.start >= 0
    np.testing.assert_allclose(
        result.data_to_world((3, 4)),
        image.data_to_world((part.rows.start + 3, part.columns.start + 4)),
        atol=1e-9,
    )


def corners_of(image, top, left, bottom, right):
    ends = [(top, left), (top, right), (bottom, left), (bottom, right)]
    return [image.data_to_world(end) for end in ends]


@pytest.mark.parametrize("name", TRANSFORMS)
def test_world_positions_and_rectangles_are_converted(viewer, name):
    image = viewer.add_image(RGB, **TRANSFORMS[name])
    rectangle = corners_of(image, 9.6, 19.6, 30.4, 50.4)
    view = make_tile_view(viewer, image, "rectangle", rectangle=rectangle)
    assert (view.rows, view.columns) == (slice(10, 31), slice(20, 51))
    assert np.array_equal(np.asarray(view.tile.pixels), RGB[10:31, 20:51])
    assert view.to_tile(image.data_to_world((12.4, 20.0))) == (2, 0)
    assert view.to_tile(image.data_to_world((9.4, 20.0))) is None
    assert view.to_tile(image.data_to_world((12, 50.6))) is None


def test_a_scale_stays_a_scale(viewer):
    image = viewer.add_image(RGB, scale=(0.25, 0.25), translate=(3, 4), units=("um", "um"))
    kwargs = make_tile_view(viewer, image).layer_kwargs()
    assert "affine" not in kwargs
    assert np.allclose(kwargs["scale"], 0.25)
    assert um_per_px_of(viewer.add_labels(np.zeros((60, 80), int), **kwargs)) == 0.25


def test_every_second_pixel_lies_on_its_place(viewer):
    image = viewer.add_image(RGB, scale=(0.5, 0.5), translate=(7, 8), rotate=10)
    view = make_tile_view(viewer, image)
    reduced = viewer.add_image(GREY[1::3, 1::3], **view.layer_kwargs(step=3))
    np.testing.assert_allclose(reduced.data_to_world((2, 5)), image.data_to_world((7, 16)))


def test_results_follow_an_image_that_is_moved_renamed_or_removed(viewer):
    image = viewer.add_image(RGB, scale=(0.5, 0.5))
    view = make_tile_view(viewer, image)
    image.translate = (10, 10)
    image.name = "other"
    viewer.layers.remove(image)
    assert np.allclose(view.layer_kwargs()["translate"], 10)
    assert view.to_tile((10.5, 10)) == (1, 0)


def test_a_click_in_microns_on_an_image_in_nanometres(viewer):
    nm = viewer.add_image(RGB, scale=(250, 250), units=("nm", "nm"))
    viewer.add_image(RGB, scale=(0.25, 0.25), units=("um", "um"))
    unit = str(viewer.layers.extent.units[-1])
    position = (3, 5) if unit == "micrometer" else (3000, 5000)
    assert make_tile_view(viewer, nm).to_tile(position) == (12, 20)


# ---- lazy, multiscale, stacks


def test_a_pyramid_gives_its_full_resolution_and_stays_lazy(viewer):
    full = da.from_array(RGB, chunks=(20, 20, 3))
    image = viewer.add_image([full, full[::2, ::2]], multiscale=True, rgb=True)
    view = make_tile_view(viewer, image, "rectangle", rectangle=corners_of(image, 10, 5, 29, 44))
    assert isinstance(view.tile.pixels, da.Array)
    assert np.array_equal(np.asarray(view.tile.pixels), RGB[10:30, 5:45])


def test_three_planes_with_rgb_off_are_taken_as_rgb_and_said_so(viewer):
    image = viewer.add_image(np.moveaxis(RGB, -1, 0), rgb=False, name="planes")
    view = make_tile_view(viewer, image)
    assert np.array_equal(np.asarray(view.tile.pixels), RGB)
    assert any("red, green and blue" in note for note in view.tile.notes)
    assert viewer.add_labels(np.zeros((60, 80), int), **view.layer_kwargs()).ndim == 2


def test_an_rgb_image_added_as_a_stack_is_named(viewer):
    image = viewer.add_image(RGB, rgb=False, name="odd")
    with pytest.raises(TileError, match="'odd' looks like an RGB image"):
        make_tile_view(viewer, image)


def test_of_a_stack_the_displayed_plane_is_used_and_said_so(viewer):
    stack = np.stack([GREY + i for i in range(7)]).astype(np.uint8)
    image = viewer.add_image(stack, scale=(2, 0.5, 0.5), translate=(10, 1, 1))
    viewer.dims.set_point(0, 10 + 2 * 4)
    view = make_tile_view(viewer, image)
    assert np.array_equal(np.asarray(view.tile.pixels)[..., 0], stack[4])
    assert view.plane == (4,)
    assert any("4 of 0 to 6" in note for note in view.tile.notes)
    result = viewer.add_labels(np.zeros((60, 80), int), **view.layer_kwargs())
    np.testing.assert_allclose(
        result.data_to_world((3, 4)), image.data_to_world((4, 3, 4))[-2:], atol=1e-9
    )


def test_views_that_cannot_be_used_say_so(viewer):
    image = viewer.add_image(np.zeros((5, 60, 80), np.uint8) + GREY)
    viewer.dims.order = (1, 0, 2)
    with pytest.raises(TileError, match="other axes"):
        make_tile_view(viewer, image)
    viewer.dims.order = (0, 1, 2)
    viewer.dims.ndisplay = 3
    with pytest.raises(TileError, match="3-D"):
        make_tile_view(viewer, image)


# ---- visible view and drawn rectangle


def look_at(viewer, centre, zoom):
    viewer.canvas.size = (200, 300)  # height, width on the screen
    viewer.scene.camera.center = (0, *centre)
    viewer.scene.camera.zoom = zoom


def test_the_visible_view_is_what_the_canvas_shows(viewer):
    image = viewer.add_image(np.zeros((600, 800, 3), np.uint8), scale=(0.5, 0.5))
    look_at(viewer, (100, 150), zoom=4)  # 50 x 75 world units = 100 x 150 px
    view = make_tile_view(viewer, image, "view")
    assert (view.rows.start, view.rows.stop) == pytest.approx((150, 251), abs=1)
    assert (view.columns.start, view.columns.stop) == pytest.approx((225, 376), abs=1)
    look_at(viewer, (1000, 1000), zoom=4)
    with pytest.raises(TileError, match="shows nothing"):
        make_tile_view(viewer, image, "view")


def test_the_visible_field_is_in_px_of_the_tile(viewer):
    image = viewer.add_image(np.zeros((600, 800, 3), np.uint8))
    look_at(viewer, (300, 400), zoom=1)
    view = make_tile_view(viewer, image, "view")  # rows 200..400, columns 250..550
    look_at(viewer, (250, 300), zoom=4)  # 50 x 75 px around it
    rows, columns = visible_field(viewer, view)
    assert rows.start == pytest.approx(225 - view.rows.start, abs=1)
    assert columns.stop == pytest.approx(338 - view.columns.start, abs=1)
    look_at(viewer, (-5000, 0), zoom=4)
    assert visible_field(viewer, view) == tuple(slice(0, n) for n in view.tile.shape)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_drawn_rectangle_lies_along_the_image(viewer, name):
    image = viewer.add_image(RGB, **TRANSFORMS[name])
    with pytest.raises(TileError, match="no rectangle"):
        make_tile_view(viewer, image, "rectangle")
    shapes = ensure_region_layer(viewer, image)
    assert viewer.layers.selection.active is shapes
    assert shapes.mode == "add_rectangle"
    shapes.add_rectangles([[4, 6], [4, 20], [33, 20], [33, 6]])
    shapes.name = "renamed"
    assert ensure_region_layer(viewer, image) is shapes
    view = make_tile_view(viewer, image, "rectangle")
    assert (view.rows, view.columns) == (slice(4, 34), slice(6, 21))


def test_a_rectangle_is_clipped_to_the_image_and_refused_outside(viewer):
    image = viewer.add_image(RGB, name="tile")
    view = make_tile_view(viewer, image, "rectangle", rectangle=[[-50, 70], [20, 500]])
    assert view.tile.shape == (21, 10)
    with pytest.raises(TileError, match="outside of 'tile'"):
        make_tile_view(viewer, image, "rectangle", rectangle=[[100, 100], [200, 200]])


# ---- what our reader wrote beside the pixels


def test_what_the_file_said_of_white_counts_more_than_a_guess(viewer):
    dark = np.full((60, 80), 100, np.uint16)
    said = {"white": 4095.0, "dtype": "uint16", "notes": ("12 bit in 16.",)}
    layer = viewer.add_image(dark, metadata={"selfseg": said})
    tile = make_tile_view(viewer, layer).tile
    assert tile.white == 4095
    assert tile.notes == ("12 bit in 16.",)
    layer.data = dark.astype(np.uint8)  # somebody converted it
    assert make_tile_view(viewer, layer).tile.white == 255


def test_a_result_is_nothing_to_learn_from(viewer):
    viewer.add_image(GREY, metadata={"selfseg": {"role": "result"}})
    assert image_layers(viewer) == []
