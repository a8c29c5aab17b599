"""When to stop, and which weights to keep, without labels.

The loss is no guide: it goes on falling while the map dies. What is watched instead is how well
the best map agrees with the stain of the tile, and whether separation and entropy still move.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_selfseg.core.channels import ChannelChoice, best_of, confidence_of, mask_agreement
from napari_selfseg.core.images.evidence import Stain
from napari_selfseg.core.images.stain import nuclear_cue
from napari_selfseg.core.learning.training_data import TrainingData
from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.core.networks.confidence import ConfidenceNetwork
from napari_selfseg.core.prediction import folded

LEAST_CROPS, MOST_CROPS = 6, 16  # one of every tile, where there are that many
CROP = 160  # px; six of them cost less than a step of training
N_BINS = 64
MEASURE_EVERY = 10  # steps
JUDGE_EVERY = 20  # steps, of several starts at once: a tenth of their time; 10 found none better

COLLAPSE_MARGIN = 0.1  # how far below its best the agreement may fall
COLLAPSE_PATIENCE = 2  # measurements in a row
PLATEAU_WINDOW = 40  # steps; two such windows are compared
PLATEAU_ENTROPY = 0.01  # bits
PLATEAU_SEPARATION = 0.05  # share of the separation
LEAST_STEPS = 100  # before a plateau is believed

Verdict = Literal["plateau", "collapse"]


@dataclass(frozen=True)
class Agreement:
    """How well the maps agree with the stain on fixed crops of the tiles.

    Parameters
    ----------
    choice : ChannelChoice
        The best map and its polarity; ``choice.score`` is the agreement, 0..1, averaged over
        the crops.
    histogram : ndarray of int64, shape (64,)
        Of that map's confidence over 0..1.
    """

    choice: ChannelChoice
    histogram: NDArray[np.int64]

    @property
    def score(self) -> float:
        """The agreement of the best map, 0..1 (see `mask_agreement`)."""
        return self.choice.score


class StainAgreement:
    """Measures the agreement of a network's maps with the nuclear evidence, without labels.

    Parameters
    ----------
    data : TrainingData
        At least six crops of its tiles are taken at fixed places and kept.
    """

    def __init__(self, data: TrainingData) -> None:
        side = data.crop_side(CROP)
        crops, pixels = [], []
        n_crops = min(max(LEAST_CROPS, len(data.tiles)), MOST_CROPS)
        for i in range(n_crops):
            index = i * len(data.tiles) // n_crops
            rows, columns = data.tiles[index].shape
            # places of a Halton-like sequence: spread over the tile, the same every time
            top = int(((i + 0.5) * 0.618034 % 1) * (rows - side))
            left = int(((i + 0.5) * 0.754878 % 1) * (columns - side))
            region = slice(top, top + side), slice(left, left + side)
            crops.append(data.read(index, *region))
            pixels.append(data.tiles[index].read(*region))
        self.crops = torch.from_numpy(np.stack(crops))
        self.crops = self.crops.contiguous(memory_format=torch.channels_last)
        # one kind of evidence for all: a crop of mere glass would be judged by its noise
        kinds = Counter(nuclear_cue(one)[1] for one in pixels)
        self.cue_name = kinds.most_common(1)[0][0]
        self.cues = [Stain(one, self.cue_name).evidence for one in pixels]

    def of(self, network: nn.Module) -> Agreement:
        """Return the agreement of the network as it is, with running batch statistics."""
        maps = self._maps(network)
        choice = best_of(self._signed(maps))
        known = getattr(network, "object_map", None)
        if known is not None:  # the only one that is drawn together, or was taught
            channel, inverted = known
            score = abs(choice.correlations[channel])
            choice = replace(choice, channel=channel, inverted=inverted, score=score)
        chosen = np.stack([confidence_of(m, choice) for m in maps])
        histogram, _ = np.histogram(chosen, bins=N_BINS, range=(0, 1))
        return Agreement(choice, histogram.astype(np.int64))

    def of_members(self, network: ConfidenceNetwork) -> list[ChannelChoice]:
        """Return the best map of each of a network's members, as `of` finds a single one's."""
        signed = self._signed(self._maps(network))
        return [best_of(of_member) for of_member in np.split(signed, network.n_members)]

    def _maps(self, network: nn.Module) -> list[NDArray[np.float32]]:
        predicting = folded(network)
        was_training = predicting.training
        device = next(network.parameters()).device
        predicting.eval()
        try:
            with torch.inference_mode():
                predicted = predicting(self.crops.to(device)).float().cpu().numpy()
        finally:
            predicting.train(was_training)
        return list(predicted)

    def _signed(self, maps: list[NDArray[np.float32]]) -> NDArray[np.float64]:
        # every crop has its own best threshold: slides differ in how strongly they are stained
        agreements = [mask_agreement(m, c) for m, c in zip(maps, self.cues, strict=True)]
        return np.asarray(np.mean(agreements, axis=0))


@dataclass
class ConvergenceMonitor:
    """Watches a training, keeps its best weights and says when to stop.

    Parameters
    ----------
    agreement : StainAgreement
    """

    agreement: StainAgreement
    last: Agreement | None = None
    best_score: float = -1.0
    best_step: int = 0
    best_choice: ChannelChoice | None = None
    reason: str = ""
    _best_state: dict[str, Tensor] = field(default_factory=dict)
    _phase: str = ""
    _phase_best: float = -1.0
    _low: int = 0
    _curves: deque[tuple[float, float]] = field(
        default_factory=lambda: deque(maxlen=2 * PLATEAU_WINDOW)
    )
    _unread: list[Mapping[str, float]] = field(default_factory=list)
    _steps_in_phase: int = 0

    def watch(self, step: TrainingStep, network: nn.Module) -> Verdict | None:
        """Take note of a step; return why training should stop, or None.

        Every ten steps, or whenever the best of several starts is another one, the agreement is
        measured; the weights with the highest one are kept. One of several starts that are tried
        never ends the training. ``reason`` holds a sentence for the user.
        """
        if step.phase != self._phase:
            self._phase, self._phase_best, self._low, self._steps_in_phase = step.phase, -1.0, 0, 0
            self._curves.clear()
            self._unread.clear()
        self._steps_in_phase += 1
        if step.exploring:
            if step.renewed:
                self.measure(step.step, network)
            return None
        self._unread.append(step.measures)
        if step.step % MEASURE_EVERY == 0 or step.step == step.n_steps:
            self.measure(step.step, network)
            if self._low >= COLLAPSE_PATIENCE:
                assert self.last is not None
                self.reason = (
                    f"The map began to die: its agreement with {self.agreement.cue_name} fell "
                    f"from {self._phase_best:.2f} to {self.last.score:.2f} while the loss went "
                    f"on; the network of step {self.best_step} was kept."
                )
                return "collapse"
            if self._is_flat():
                self.reason = (
                    f"Separation and entropy no longer change; the network of step "
                    f"{self.best_step} agreed best with {self.agreement.cue_name}."
                )
                return "plateau"
        return None

    def measure(self, step: int, network: nn.Module) -> Agreement:
        """Measure now; keep the weights if they are the best so far."""
        self.last = self.agreement.of(network)
        score = self.last.score
        if score > self.best_score:
            self.best_score, self.best_step = score, step
            self.best_choice = self.last.choice
            self._best_state = _copy_of(network)
        self._phase_best = max(self._phase_best, score)
        self._low = self._low + 1 if score < self._phase_best - COLLAPSE_MARGIN else 0
        return self.last

    def accept(self, network: nn.Module) -> None:
        """Take what the method made of all its starts as the best, whatever its agreement."""
        self.last = self.agreement.of(network)
        self.best_score, self.best_choice = self.last.score, self.last.choice
        self._best_state = _copy_of(network)

    def restore_best(self, network: nn.Module) -> None:
        """Put the best weights seen back into the network; none seen: leave it as it is."""
        if self._best_state:
            network.load_state_dict(self._best_state)

    def _read_curves(self) -> None:
        """Look at the measures of all steps since the last time; at each step it would wait."""
        for measures in self._unread:
            if "separation" in measures and "entropy" in measures:
                self._curves.append((measures["entropy"], measures["separation"]))
        self._unread.clear()

    def _is_flat(self) -> bool:
        self._read_curves()
        if len(self._curves) < 2 * PLATEAU_WINDOW or self._steps_in_phase < LEAST_STEPS:
            return False
        curves = np.array(self._curves)
        (entropy_0, apart_0), (entropy_1, apart_1) = (
            curves[:PLATEAU_WINDOW].mean(0),
            curves[PLATEAU_WINDOW:].mean(0),
        )
        size = max(abs(apart_0), abs(apart_1), 1e-6)
        return bool(
            abs(entropy_1 - entropy_0) < PLATEAU_ENTROPY
            and abs(apart_1 - apart_0) / size < PLATEAU_SEPARATION
        )


def _copy_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: v.detach().to("cpu", copy=True) for name, v in network.state_dict().items()}
