"""How a result came about, to be unfolded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from qtpy.QtWidgets import QPlainTextEdit, QWidget

from napari_selfseg.widgets.style import Fold

HEIGHT = 170  # px


class ProvenanceFold(Fold):
    """Shows a provenance as text without the punctuation of JSON."""

    def __init__(self, parent: QWidget | None = None) -> None:
        text = QPlainTextEdit()
        text.setReadOnly(True)
        text.setFixedHeight(HEIGHT)
        text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        super().__init__("How it came about", text, parent)
        self._text = text

    def tell(self, provenance: Mapping[str, Any]) -> None:
        """Show how another result came about."""
        text = json.dumps(dict(provenance), indent=2, default=str)
        self._text.setPlainText(text.translate({ord(c): None for c in '{}",'}).strip("\n"))
