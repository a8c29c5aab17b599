"""What is built and installed: the wheel, a cheap import, the layers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import requires, version
from pathlib import Path

import pytest

import napari_selfseg

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
HEAVY = ("torch", "napari", "qtpy", "PyQt6", "PySide6", "magicgui", "vispy", "monai")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """A wheel, built from a copy so that nothing is left behind in the source tree."""
    copy, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    ignored = shutil.ignore_patterns("*.egg-info", "__pycache__")
    for name in ("src", "tests", "benchmarks", "examples"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    code = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    result = subprocess.run(
        [sys.executable, "-c", code, str(built)], cwd=copy, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    (path,) = built.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_manifest_type_marker_and_licence(wheel):
    names = set(wheel.namelist())
    assert {"napari_selfseg/napari.yaml", "napari_selfseg/py.typed"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_holds_every_module_and_nothing_else(wheel):
    source = ROOT / "src"
    modules = {p.relative_to(source).as_posix() for p in source.glob("napari_selfseg/**/*.py")}
    packed = {n for n in wheel.namelist() if ".dist-info/" not in n}
    assert {n for n in packed if n.endswith(".py")} == modules
    assert {n.split("/")[0] for n in packed} == {"napari_selfseg"}


def test_the_wheel_has_both_entry_points(wheel):
    (name,) = (n for n in wheel.namelist() if n.endswith("entry_points.txt"))
    text = wheel.read(name).decode()
    assert "napari-selfseg = napari_selfseg:napari.yaml" in text
    assert "napari-selfseg = napari_selfseg.cli:main" in text


def test_base_dependencies_bring_no_qt_and_pin_nothing():
    base = [need for need in requires("napari-selfseg") or [] if "extra ==" not in need]
    assert any(need.startswith("torch") for need in base)
    assert not [need for need in base if re.match(r"(?i)pyqt\d|pyside|napari\[", need)]
    assert not [need for need in base if re.search(r"==|<|~=", need.split(";")[0])]


def test_the_version_is_the_one_of_the_project_and_of_the_changelog():
    assert napari_selfseg.__version__ == PROJECT["project"]["version"] == version("napari-selfseg")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## .*{re.escape(napari_selfseg.__version__)}", changelog, re.MULTILINE)


def test_pinned_versions_satisfy_what_the_project_asks_for():
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = (ROOT / "requirements" / "pinned.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pins = {canonicalize_name(name): pin for name, pin in pins.items()}
    wanted = PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]
    for need in map(Requirement, wanted):
        assert need.specifier.contains(pins[canonicalize_name(need.name)]), need


@pytest.mark.parametrize(
    "modules",
    [
        ["napari_selfseg"],
        # the form and the command line are built from these, without waiting for torch
        ["napari_selfseg.core.methods", "napari_selfseg.core.methods.settings"],
        ["napari_selfseg.session.run", "napari_selfseg.session.warmup"],
    ],
    ids=["package", "settings", "session"],
)
def test_importing_stays_cheap(modules):
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert not set(HEAVY) & set(result.stdout.split())


def test_the_layers_import_downwards_only():
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    result = subprocess.run(
        [sys.executable, "-c", code, "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert " 0 broken" in result.stdout
