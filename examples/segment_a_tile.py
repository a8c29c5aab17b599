"""Segment one tile without labels: ``python examples/segment_a_tile.py TILE [UM_PER_PX]``.

Writes ``nuclei.tif`` and the folder ``run`` where it is started.
"""

import sys

from napari_selfseg.core.images.reading import read_tile
from napari_selfseg.core.methods.settings import preset_settings
from napari_selfseg.session.run import TrainingRequest, TrainingRun
from napari_selfseg.session.store import save_run, write_labels

tile = read_tile(sys.argv[1], um_per_px=float(sys.argv[2]) if len(sys.argv) > 2 else None)
*_, finished = TrainingRun(TrainingRequest((tile,), preset_settings("quick"))).updates()
result = finished.result
label_settings = result.suggested_label_settings()
labels = result.labels(label_settings)
write_labels("nuclei.tif", labels, tile.um_per_px)
save_run(result, "run", labels, label_settings)
print(f"{labels.max()} objects. {result.stopped_because} Recommended: {result.recommended}.")
