"""The guard of a training: checked, made for its tiles, and told in the provenance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_selfseg.core.methods.cluster_settings import ClusterSettings
from napari_selfseg.core.methods.settings import PatchContrastSettings
from napari_selfseg.session.request import GroupGuard, TrainingRequest
from napari_selfseg.session.steered import RunError

if TYPE_CHECKING:
    from napari_selfseg.core.networks.patch_groups import PatchGuard


def check_guard(request: TrainingRequest) -> None:
    """Raise `RunError` with one sentence if the guard of a request cannot be used."""
    guard = request.guard
    if guard is None:
        return
    own = guard.model.settings
    if not isinstance(own, ClusterSettings):
        raise RunError(f"A guard is a pretraining of clusters, not of {guard.model.method}.")
    if not isinstance(request.settings, PatchContrastSettings):
        raise RunError("Only patch contrast takes a guard of groups.")
    if guard.n_groups < 2:
        raise RunError("With one group there is nothing to contrast: cut into two or more.")
    if guard.n_groups > own.n_patches:
        raise RunError(f"{own.n_patches:,} patches cannot be {guard.n_groups:,} groups.")
    channels = {tile.n_channels for tile in request.tiles}
    if channels != {guard.model.n_channels}:
        raise RunError("The guard has learned another kind of image: grey in place of colour.")


def guard_of(
    request: TrainingRequest, image_space: str, um_per_px: float | None
) -> PatchGuard | None:
    """Return the guard for tiles of a scale that are read in an image space; None without one."""
    guard = request.guard
    if guard is None:
        return None
    from napari_selfseg.core.networks.patch_groups import PatchGroups

    settings, network = guard.model.settings, guard.model.network
    assert isinstance(settings, ClusterSettings)
    assert isinstance(network, PatchGroups)
    side = int(network.patch_px) if um_per_px is None else settings.patch_px(um_per_px)
    return network.guard(guard.n_groups, settings.image_space, image_space, side)


def told_of(guard: GroupGuard | None) -> dict[str, Any]:
    """Return what the provenance says of a guard; empty without one."""
    if guard is None:
        return {}
    settings = guard.model.settings.model_dump(mode="json")
    return {"guard": {"method": guard.model.method, "groups": guard.n_groups, "settings": settings}}
