"""The npe2 manifest: valid, the same in both places, and every command is there."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from npe2 import PluginManager, PluginManifest
from npe2.types import LayerData

ROOT = Path(__file__).parent.parent
COPIES = [ROOT / "napari.yaml", ROOT / "src" / "napari_selfseg" / "napari.yaml"]


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_file(COPIES[1])


@pytest.mark.parametrize("path", COPIES, ids=lambda path: path.parent.name)
def test_npe2_validate(path):
    result = subprocess.run(
        [sys.executable, "-m", "npe2", "validate", str(path)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_copies_are_equal():
    assert COPIES[0].read_bytes() == COPIES[1].read_bytes()
    assert not any(path.is_symlink() for path in COPIES)


def test_every_command_imports_and_can_be_called(manifest):
    manifest.validate_imports()
    for command in manifest.contributions.commands:
        assert callable(resolved(command.python_name)), command.id


def resolved(python_name: str):
    module, _, name = python_name.partition(":")
    return getattr(__import__(module, fromlist=[name]), name)


def test_commands_are_used_and_used_commands_exist(manifest):
    parts = manifest.contributions
    used = {
        item.command
        for items in (parts.widgets, parts.readers, parts.writers, parts.sample_data)
        for item in items
    } | {item.command for items in parts.menus.values() for item in items}
    assert used == {command.id for command in parts.commands}


def test_menus_are_ones_that_napari_lets_plugins_fill(manifest):
    from napari._app_model.constants import MenuId

    menus = {str(menu) for menu in MenuId.contributables()}
    assert manifest.contributions.menus
    assert set(manifest.contributions.menus) <= menus


def test_napari_finds_the_plugin_and_its_one_widget():
    (entry,) = (e for e in entry_points(group="napari.manifest") if e.name == "napari-selfseg")
    assert entry.value == "napari_selfseg:napari.yaml"
    manager = PluginManager()
    manager.discover()
    found = manager.get_manifest("napari-selfseg")
    assert found.display_name == "SelfSeg"
    assert [widget.display_name for widget in found.contributions.widgets] == ["SelfSeg"]


def test_the_dock_gets_the_viewer(manifest):
    # npe2 hands the viewer over by the parameter's name
    (widget,) = manifest.contributions.widgets
    (command,) = (c for c in manifest.contributions.commands if c.id == widget.command)
    assert "napari_viewer" in inspect.signature(resolved(command.python_name)).parameters


@pytest.mark.parametrize("key", ["ihc_tile", "drawn_he_tile"])
def test_sample_data_is_layer_data(manifest, key):
    (sample,) = (s for s in manifest.contributions.sample_data if s.key == key)
    (command,) = (c for c in manifest.contributions.commands if c.id == sample.command)
    layers: list[LayerData] = resolved(command.python_name)()
    assert layers
    data, attributes, kind = layers[0]
    assert kind == "image"
    assert data.shape[-1] == 3
    assert attributes["name"]


def test_files_and_folders_go_to_the_reader_meant_for_them(tmp_path):
    manager = PluginManager()
    manager.register(PluginManifest.from_file(COPIES[1]))

    def readers(path: Path) -> list[str]:
        return [reader.command for reader in manager.iter_compatible_readers(str(path))]

    assert readers(tmp_path) == ["napari-selfseg.read_run"]
    for name in ("tile.tif", "TILE.TIFF", "tile.ome.tif", "slide.svs"):
        assert readers(tmp_path / name) == ["napari-selfseg.read"], name
    for name in ("photo.png", "table.csv"):
        assert readers(tmp_path / name) == [], name
