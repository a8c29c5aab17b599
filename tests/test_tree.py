"""The source tree: no paths of anyone's machine, no dead links, no long modules, no pickles."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("src", "tests", "benchmarks", "examples", "docs", "scripts", ".github", ".ci")
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".sh", ".txt", ".json", ".cfg", ""}
MODULES = sorted((ROOT / "src").rglob("*.py"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def text_files() -> list[Path]:
    inside = [path for name in FOLDERS for path in (ROOT / name).rglob("*")]
    return sorted(
        path
        for path in [*ROOT.iterdir(), *inside]
        if path.is_file()
        and path.suffix in TEXT
        and not {part for part in path.parts if part.endswith((".egg-info", "__pycache__"))}
        and path.name != ".git"  # a file in a linked work tree
    )


def test_no_path_of_one_machine():
    # put together, so that this file does not find itself; made-up homes in tests may stay
    places = ["/ro" + "ot/", "/wo" + "rk/", str(Path.home()) + "/"]
    listed = "|".join(re.escape(place) for place in places if len(place) > 4)
    absolute = re.compile(rf"(?:^|[^\w.])(?:{listed})", re.MULTILINE)
    files = text_files()
    assert len(files) > 20
    found = {
        path.relative_to(ROOT).as_posix(): match.group()
        for path in files
        if (match := absolute.search(path.read_text(encoding="utf-8")))
    }
    assert not found


def test_modules_are_one_idea_long():
    assert not [
        path.name for path in MODULES if len(path.read_text(encoding="utf-8").splitlines()) > 400
    ]


def test_every_folder_with_modules_is_a_package():
    assert {p.parent for p in MODULES} == {p.parent for p in MODULES if p.name == "__init__.py"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_nothing_is_unpickled(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
        )
    }
    assert not imported & {"pickle", "cloudpickle", "dill", "joblib", "shelve"}
    calls = {ast.unparse(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
    assert "torch.load" not in calls


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [
        target
        for target in targets
        if "://" not in target
        and not target.startswith("mailto:")
        and not (page.parent / target).exists()
    ]
    assert not missing
