"""Saving labels, confidence and the run; opening a stored run."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QFileDialog, QGridLayout, QPushButton, QVBoxLayout, QWidget

from napari_selfseg.widgets.style import Sentence

LABEL_FILES = "TIFF with µm/px (*.tif);;PNG (*.png)"
CONFIDENCE_FILES = "TIFF (*.tif)"


class ExportPanel(QWidget):
    """Asks where to save to and what to open; the dock does it.

    Parameters
    ----------
    parent : QWidget, optional

    Attributes
    ----------
    labels_path, confidence_path, run_folder, open_folder : Signal(str)
        The user has named a file or folder to save to, or a run to open.
    """

    labels_path = Signal(str)
    confidence_path = Signal(str)
    run_folder = Signal(str)
    open_folder = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.suggested_name = "tile"
        self.labels_button = QPushButton("Labels …")
        self.labels_button.setToolTip("The label image with your corrections, for Fiji or QuPath.")
        self.confidence_button = QPushButton("Confidence …")
        self.confidence_button.setToolTip("The map before the threshold, 0 to 1.")
        self.run_button = QPushButton("Whole run …")
        self.run_button.setToolTip(
            "A folder with the model, its settings, curves, provenance and the labels."
        )
        self.open_button = QPushButton("Open run …")
        self.open_button.setToolTip("Bring back a stored run: model, curves, settings, labels.")
        self.anonymous = QCheckBox("Leave out image names")
        self.anonymous.setToolTip("In the run folder; file names may hold a patient's number.")
        self.message = Sentence()
        self._lay_out()
        self.labels_button.clicked.connect(self._ask_labels)
        self.confidence_button.clicked.connect(self._ask_confidence)
        self.run_button.clicked.connect(self._ask_run)
        self.open_button.clicked.connect(self._ask_open)
        self.set_available(labels=False, run=False)

    def set_available(self, labels: bool, run: bool) -> None:
        """Say what there is to save."""
        self.labels_button.setEnabled(labels)
        self.confidence_button.setEnabled(labels)
        self.run_button.setEnabled(run)
        self.anonymous.setEnabled(run)

    def show_done(self, sentence: str) -> None:
        """Say what was saved or opened."""
        self.message.tell(sentence, "good")

    def show_problem(self, sentence: str) -> None:
        """Say why something could not be saved or opened."""
        self.message.tell(sentence, "problem")

    def show_busy(self, sentence: str) -> None:
        """Say what is going on."""
        self.message.tell(sentence, "hint")

    def ask_file(self, title: str, suggested: str, kinds: str) -> str:
        """Open the file dialogue; empty if the user cancels."""
        path, kind = QFileDialog.getSaveFileName(self, title, suggested, kinds)
        ending = kind.rpartition("*")[2].rstrip(")")
        has_one = any(path.lower().endswith(known) for known in (".tif", ".tiff", ".png"))
        return path if not path or has_one else path + ending

    def ask_new_folder(self, title: str, suggested: str) -> str:
        """Open the dialogue for a folder that does not exist yet; empty if cancelled."""
        return QFileDialog.getSaveFileName(self, title, suggested, "Run folder (*)")[0]

    def ask_folder(self, title: str) -> str:
        """Open the dialogue for a folder that exists; empty if the user cancels."""
        return QFileDialog.getExistingDirectory(self, title)

    def _ask_labels(self) -> None:
        name = f"{self.suggested_name}_labels.tif"
        self._emit(self.labels_path, self.ask_file("Save the labels", name, LABEL_FILES))

    def _ask_confidence(self) -> None:
        name = f"{self.suggested_name}_confidence.tif"
        path = self.ask_file("Save the confidence", name, CONFIDENCE_FILES)
        self._emit(self.confidence_path, path)

    def _ask_run(self) -> None:
        name = f"{self.suggested_name}_run"
        self._emit(self.run_folder, self.ask_new_folder("Save the run as a new folder", name))

    def _ask_open(self) -> None:
        self._emit(self.open_folder, self.ask_folder("Open a run folder"))

    def _emit(self, signal: Signal, path: str) -> None:
        if path:
            signal.emit(path)

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setSpacing(6)
        grid.addWidget(self.labels_button, 0, 0)
        grid.addWidget(self.confidence_button, 0, 1)
        grid.addWidget(self.run_button, 1, 0)
        grid.addWidget(self.open_button, 1, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addLayout(grid)
        column.addWidget(self.anonymous)
        column.addWidget(self.message)
