"""A pretraining as the application sees it: tiles in, a network for other methods out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.methods import METHODS, TrainingStep
from napari_selfseg.core.methods.settings import TrainingSettings
from napari_selfseg.session.clock import RunClock
from napari_selfseg.session.provenance import build_provenance
from napari_selfseg.session.result import StoppedBy
from napari_selfseg.session.run import image_space_of
from napari_selfseg.session.steered import RunError, SteeredRun
from napari_selfseg.session.updates import Finished, Update
from napari_selfseg.session.warmup import quiet_openmp
from napari_selfseg.session.watch import RegionWatch

if TYPE_CHECKING:
    from torch import nn

    from napari_selfseg.core.checkpoint import TrainedModel
    from napari_selfseg.core.learning.training_data import TrainingData


@dataclass(frozen=True, eq=False)
class PretrainRequest:
    """What is to be learned from, and how.

    Parameters
    ----------
    tiles : tuple of Tile
        None of them needs labels.
    settings : TrainingSettings
        Of the method's own type.
    method : str
        A key of `METHODS` whose method finds features.
    threads : int, optional
        How many threads torch may use; a setting of the whole process. None leaves it.
    """

    tiles: tuple[Tile, ...]
    settings: TrainingSettings
    method: str
    threads: int | None = None


@dataclass(frozen=True, eq=False)
class Pretrained:
    """What a pretraining gives.

    Parameters
    ----------
    model : TrainedModel
        On the processor.
    curves : tuple of TrainingStep
        Every step.
    stopped_by : {"steps", "user", "unstable"}
    stopped_because : str
        One sentence for the user.
    seconds : float
    provenance : mapping
        What is stored with it (no patient data).
    """

    model: TrainedModel
    curves: tuple[TrainingStep, ...]
    stopped_by: StoppedBy
    stopped_because: str
    seconds: float
    provenance: Mapping[str, Any]


class PretrainingRun(SteeredRun):
    """Learns from tiles without labels; what `TrainingRun` tells, and at last `Pretrained`."""

    def __init__(self, request: PretrainRequest) -> None:
        super().__init__(None)
        self.request = request

    def check_request(self) -> None:
        """Raise `RunError` with one sentence if this request cannot be run."""
        entry = METHODS.get(self.request.method)
        if entry is None or entry.finds != "features":
            raise RunError(f"There is no pretraining {self.request.method!r}.")
        if not isinstance(self.request.settings, entry.Settings):
            raise RunError("These settings belong to another method.")
        if not self.request.tiles:
            raise RunError("There is no image to learn from.")

    def _train(self) -> Iterator[Update]:
        quiet_openmp()
        import torch

        from napari_selfseg.core.learning.training import choose_device
        from napari_selfseg.core.learning.training_data import TrainingData

        if self.request.threads is not None:
            torch.set_num_threads(self.request.threads)
        settings = self.request.settings
        device = choose_device(settings.device)
        data = TrainingData(self.request.tiles, image_space_of(settings))
        method = METHODS[self.request.method].load()
        network = method.build_model(settings, data.n_channels)
        clock, steps = RunClock(settings.total_steps), list[TrainingStep]()
        fit = method.fit(network, data, settings, self._stop.is_set)
        ended = yield from self._follow(fit, clock, steps, settings.completed)
        if self._abandon.is_set():
            return
        yield clock.progress(steps, RegionWatch(), "Putting it together")
        yield Finished(self._result(network, data, tuple(steps), ended, str(device), clock))

    def _result(
        self,
        network: nn.Module,
        data: TrainingData,
        steps: tuple[TrainingStep, ...],
        ended: tuple[StoppedBy, str],
        device: str,
        clock: RunClock,
    ) -> Pretrained:
        import torch

        from napari_selfseg.core.checkpoint import TrainedModel

        request, (stopped_by, because) = self.request, ended
        told = build_provenance(
            method=request.method,
            settings=request.settings,
            tiles=request.tiles,
            device=device,
            threads=torch.get_num_threads(),
            seconds=clock.seconds,
            stopped_by=stopped_by,
            best_step=len(steps),
            choice=None,
            scores={},
            notes=[step.note for step in steps if step.note],
        )
        return Pretrained(
            model=TrainedModel(
                network.cpu().eval(),
                request.method,
                request.settings,
                data.um_per_px,
                data.n_channels,
            ),
            curves=steps,
            stopped_by=stopped_by,
            stopped_because=because,
            seconds=clock.seconds,
            provenance={**told, "labels_used": "none"},
        )
