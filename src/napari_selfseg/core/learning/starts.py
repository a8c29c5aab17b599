"""Several random starts, trained as batches of networks; the best weights of each are kept.

Starts of the same training differ by more than a tenth of Dice, and each is at its best at
another step. Which one is good is judged without labels, by its agreement with the stain.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from napari_selfseg.core.channels import ChannelChoice
from napari_selfseg.core.learning.convergence import (
    COLLAPSE_MARGIN,
    COLLAPSE_PATIENCE,
    JUDGE_EVERY,
    StainAgreement,
)
from napari_selfseg.core.learning.step import Objective, StepLoss
from napari_selfseg.core.learning.training import (
    TrainingFailed,
    choose_device,
    never,
    training_loop,
)
from napari_selfseg.core.learning.training_data import TrainingData
from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.core.methods.settings import PatchContrastSettings
from napari_selfseg.core.networks.confidence import ConfidenceNetwork, joined
from napari_selfseg.core.networks.consensus import Opinion

BARREN = 3  # batches in a row that bring no better start: more of them would not either
EARLY = (1, 5, 10)  # steps of the first starts that are judged too: there is nothing better yet


@dataclass
class Snapshot:
    """The best weights of one start so far, and what was seen in its maps."""

    choice: ChannelChoice
    state: dict[str, Tensor]

    def as_opinion(self) -> Opinion:
        """Return the part of it that a consensus needs."""
        return Opinion(self.state, self.choice.channel, self.choice.inverted)


@dataclass
class Ranking:
    """The best snapshot of every start that was judged."""

    agreement: StainAgreement
    _best: dict[int, Snapshot] = field(default_factory=dict)

    def judge(self, network: ConfidenceNetwork, starts: range) -> list[float]:
        """Measure the members of a network; keep those that are better than they ever were.

        Return how far each is below its best, 0 for those that are at it.
        """
        choices = self.agreement.of_members(network)
        for member, (start, choice) in enumerate(zip(starts, choices, strict=True)):
            known = self._best.get(start)
            if known is None or choice.score > known.choice.score:
                self._best[start] = Snapshot(choice, network.member_state(member))
        return [self.score(start) - c.score for start, c in zip(starts, choices, strict=True)]

    def score(self, start: int) -> float:
        """Return the best agreement of a start; -1 if it was never judged."""
        known = self._best.get(start)
        return -1.0 if known is None else known.choice.score

    def leaders(self, n: int) -> list[int]:
        """Return the n starts that agree most with the stain, the best first."""
        return sorted(self._best, key=lambda start: -self.score(start))[:n]

    def best(self, n: int) -> list[Opinion]:
        """Return what is known of the `leaders`."""
        return [self._best[start].as_opinion() for start in self.leaders(n)]


class EveryMember(nn.Module):
    """An objective for each member of a network by itself: the sum of their losses.

    A member without a usable loss is taught nothing in this step (what Adam still moves by its
    momentum is little); a step is skipped if no member has one.

    Parameters
    ----------
    objective : Objective
        Of a single network; may have parameters, which all members then share.
    n_members : int

    Attributes
    ----------
    told : Tensor of int64, shape (1,)
        The member whose measures are told. On the device: a recorded step goes on reading it.
    """

    told: Tensor

    def __init__(self, objective: Objective, n_members: int) -> None:
        super().__init__()
        self.objective, self.n_members = objective, n_members
        self.register_buffer("told", torch.zeros(1, dtype=torch.int64), persistent=False)
        self.least_crop = int(getattr(objective, "least_crop", 0))

    def forward(self, images: Tensor, output: Tensor, generator: torch.Generator) -> StepLoss:
        """Return the loss and the measures of (B, S · K, M, N) maps."""
        each = [self.objective(images, maps, generator) for maps in output.chunk(self.n_members, 1)]
        loss = torch.stack([member.value for member in each]).sum()
        usable = torch.stack([member.usable for member in each]).any()
        names = each[0].measures
        measured = torch.stack([self._stacked(member.measures) for member in each])
        told = measured.index_select(0, self.told).squeeze(0)
        return StepLoss(loss, usable, dict(zip(names, told.unbind(), strict=True)))

    @staticmethod
    def _stacked(measures: dict[str, Tensor]) -> Tensor:
        return torch.stack(list(measures.values()))


class Beginning(Protocol):
    """Where starts come from."""

    def __call__(self, seed: int) -> tuple[ConfidenceNetwork, Objective]:
        """Return an untrained network and its objective."""
        ...


def try_starts(
    begin: Beginning,
    data: TrainingData,
    settings: PatchContrastSettings,
    take_over: Callable[[list[Opinion], torch.device], None],
    should_stop: Callable[[], bool] = never,
) -> Generator[TrainingStep, None, bool]:
    """Train every start, a batch of networks at a time; yield after every step.

    If the settings allow it, a batch whose maps are all dying ends early, and all ends when three
    batches in a row have brought no better start. A batch that becomes unstable is left.

    Parameters
    ----------
    begin : callable(seed)
        Returns the untrained network and the objective of one start.
    data : TrainingData
    settings : PatchContrastSettings
        ``starts``, ``starts_at_once``, ``committee``, and ``n_steps`` of each start.
    take_over : callable(opinions, device)
        Gets the best start whenever there is a better one (the step is then ``renewed``), and
        after the last step the best ones of the whole committee.
    should_stop : callable
        Ends the training in the middle of a step.

    Returns
    -------
    bool
        Whether it went through to its end; False if it was stopped.

    Raises
    ------
    TrainingFailed
        If every batch became unstable before anything was judged.
    """
    ranking = Ranking(StainAgreement(data))
    leading, skipped, note = -1.0, 0.0, ""
    leaders: list[int] = []
    n_barren, enough = 0, False
    device = choose_device(settings.device)
    for first in range(0, settings.starts, settings.starts_at_once):
        starts = range(first, min(first + settings.starts_at_once, settings.starts))
        phase = f"starts {starts[0] + 1}–{starts[-1] + 1} of {settings.starts}"
        before = first // settings.starts_at_once * settings.n_steps
        seeds = [seed_of_start(settings.seed, start) for start in starts]
        begun = [begin(seed) for seed in seeds]
        network = joined([network for network, _ in begun])
        objective = EveryMember(begun[0][1], len(starts))
        own = settings.model_copy(update={"seed": seeds[0]})
        step, n_low = None, 0
        is_last = starts[-1] + 1 == settings.starts
        try:
            for step in training_loop(
                network, objective, data, own, phase, should_stop, skipped=skipped
            ):
                is_due = step.step % JUDGE_EVERY == 0 or step.step == settings.n_steps
                renewed = False
                if is_due or (first == 0 and step.step in EARLY):
                    below = ranking.judge(network, starts)
                    dying = is_due and min(below) > COLLAPSE_MARGIN
                    n_low = n_low + 1 if dying else 0
                    device = next(network.parameters()).device
                    best = max(starts, key=ranking.score)
                    objective.told.fill_(starts.index(best))
                    if ranking.score(best) > leading:
                        leading, renewed = ranking.score(best), True
                        take_over(ranking.best(1), device)
                if step.step == settings.n_steps:
                    former, leaders = leaders, ranking.leaders(settings.committee)
                    n_barren = n_barren + 1 if leaders == former else 0
                    enough = settings.stop_early and n_barren >= BARREN and not is_last
                yield replace(
                    step,
                    step=before + step.step,
                    n_steps=settings.total_steps,
                    note=f"{note} {step.note}".strip(),
                    exploring=True,
                    renewed=renewed,
                    enough=enough,
                )
                note = ""
                if settings.stop_early and n_low >= COLLAPSE_PATIENCE:
                    break
            else:
                if step is None or step.step < settings.n_steps:
                    return False  # stopped: the best start so far stays
        except TrainingFailed:
            note = f"{phase.capitalize()} became unstable and were left."
        if enough:
            break
        if step is not None:
            skipped = step.measures["skipped"]
    if leading < 0:
        raise TrainingFailed(
            "Every start became unstable before anything was learned. Try a lower learning rate."
        )
    take_over(ranking.best(settings.committee), device)
    return True


def seed_of_start(seed: int, start: int) -> int:
    """Return the seed of one of several starts; the first has the run's own.

    Neighbouring runs share no start, so that five seeds are five independent trials.
    """
    if start == 0:
        return seed
    return int(np.random.SeedSequence([seed, start]).generate_state(1)[0] >> 1)
