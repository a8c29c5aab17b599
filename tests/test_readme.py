"""What the README promises can be typed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_selfseg.core.images.drawn import drawn_he_tile

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_script_runs_and_writes_what_it_says(tmp_path, monkeypatch, capsys):
    (script,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    asked = "PatchContrastSettings)\n"
    assert asked in script
    quick = script.replace(asked, "PatchContrastSettings, starts=1, n_steps=5)\n")
    image, _ = drawn_he_tile(rows=160, columns=192, n_nuclei=20)
    tifffile.imwrite(tmp_path / "tile.tif", image, photometric="rgb")
    monkeypatch.chdir(tmp_path)
    exec(compile(quick, "README.md", "exec"), {})
    labels = tifffile.imread(tmp_path / "nuclei.tif")
    assert labels.shape == (160, 192)
    assert np.issubdtype(labels.dtype, np.integer)
    assert (tmp_path / "run" / "model.safetensors").is_file()
    assert "Recommended:" in capsys.readouterr().out


@pytest.mark.parametrize("command", re.findall(r"^\| `napari-selfseg (\w+)", README, re.MULTILINE))
def test_every_command_of_the_table_is_there(command, capsys):
    from napari_selfseg.cli import main

    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    (row,) = re.findall(rf"^\| `napari-selfseg {command} (.*?)` \|", README, re.MULTILINE)
    assert set(re.findall(r"--[a-z-]+", row)) <= options


def test_the_make_targets_it_names_are_there():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    pages = README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", pages, re.MULTILINE))
    assert {"demo", "test", "lint"} <= named
    assert named <= set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
