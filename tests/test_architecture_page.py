"""docs/architecture.md names every module."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_module_is_named():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+)`", page)) | set(re.findall(r"`([a-z_]+)\.", page))
    modules = {
        path.stem
        for path in (ROOT / "src" / "napari_selfseg").rglob("*.py")
        if path.stem != "__init__"
    }
    assert modules - named == set()
