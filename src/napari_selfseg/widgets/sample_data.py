"""Sample tiles for File > Open Sample."""

from __future__ import annotations

from pathlib import Path

from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.tile import TileError
from napari_selfseg.widgets.reader import Layers, layers_of

DRAWN_UM_PER_PX = 0.25
SLIDE = "CMU-1-Small-Region.svs"
SLIDE_SOURCE = "https://openslide.cs.cmu.edu/download/openslide-testdata/Aperio/"
SLIDE_SHA256 = "ed92d5a9f2e86df67640d6f92ce3e231419ce127131697fbbce42ad5e002c8a7"
TIMEOUT = 15  # s without an answer before the fetching is given up


def load_ihc() -> Layers:
    """Return scikit-image's immunohistochemistry tile: colon, DAB and haematoxylin.

    Its scale is not known.
    """
    from skimage.data import immunohistochemistry

    return [(immunohistochemistry(), {"name": "IHC colon", "rgb": True}, "image")]


def load_drawn_he() -> Layers:
    """Return a drawn H&E tile and, as a labels layer, the nuclei it was drawn with."""
    rgb, labels = drawn_he_tile(um_per_px=DRAWN_UM_PER_PX)
    where = {"scale": (DRAWN_UM_PER_PX, DRAWN_UM_PER_PX), "units": ("µm", "µm")}
    return [
        (rgb, {"name": "drawn H&E", "rgb": True, **where}, "image"),
        (labels, {"name": "drawn H&E, true nuclei", **where}, "labels"),
    ]


def load_openslide_region() -> Layers:
    """Return a small region of openslide's sample slide CMU-1 (CC0), fetched once (2 MB).

    Raises
    ------
    TileError
        If it is not in the cache and cannot be fetched.
    """
    return layers_of(fetch_slide())


def fetch_slide() -> Path:
    """Return the sample slide in the user's cache; fetch it first if it is not there.

    Raises
    ------
    TileError
        If there is no connection, the server sends something else, or the cache is read-only.
    """
    import pooch
    from requests.exceptions import RequestException

    cache = pooch.create(
        path=pooch.os_cache("napari-selfseg"),
        base_url=SLIDE_SOURCE,
        registry={SLIDE: f"sha256:{SLIDE_SHA256}"},
        env="NAPARI_SELFSEG_CACHE",
    )
    pooch.get_logger().setLevel("WARNING")
    try:
        return Path(cache.fetch(SLIDE, downloader=pooch.HTTPDownloader(timeout=TIMEOUT)))
    except RequestException as error:
        raise TileError(
            f"The sample slide could not be fetched from {SLIDE_SOURCE.split('/')[2]}; check the "
            "connection, or open one of the other samples, which need none."
        ) from error
    except ValueError as error:  # pooch: the hash differs
        raise TileError(
            "The sample slide that was fetched is not the expected file (its SHA-256 differs), "
            "so it was thrown away."
        ) from error
    except OSError as error:
        reason = error.strerror or "it cannot be written to"  # pooch gives a whole paragraph
        raise TileError(
            f"The sample slide could not be kept in the cache folder: {reason}."
        ) from error
