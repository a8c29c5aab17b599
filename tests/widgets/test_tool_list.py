"""The how-to page and the list of tools say the same."""

from __future__ import annotations

import re
from pathlib import Path

from napari_selfseg.widgets.tool_list import TOOLS

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "correct.md"


def test_the_page_has_all_tools_in_their_words():
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", PAGE.read_text(encoding="utf-8"), re.M)
    listed = [row for row in rows if row[0] in {tool.key_said for tool in TOOLS}]
    assert listed == [(tool.key_said, tool.title, tool.does) for tool in TOOLS]
