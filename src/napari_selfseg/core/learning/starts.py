"""Several random starts, trained as batches of networks; the best weights of each are kept.

Starts of the same training differ by more than a tenth of Dice, and each is at its best at
another step. Which one is good is judged without labels, by its agreement with the stain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

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
from napari_selfseg.core.learning.training import (
    Objective,
    TrainingData,
    never,
    training_loop,
)
from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.core.methods.settings import PatchContrastSettings
from napari_selfseg.core.networks.confidence import ConfidenceNetwork, joined
from napari_selfseg.core.networks.consensus import Opinion

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

    def judge(self, network: ConfidenceNetwork, starts: range) -> bool:
        """Measure the members of a network; keep those that are better than they ever were.

        Return whether all of them are far below their best: their maps are dying.
        """
        choices = self.agreement.of_members(network)
        for member, (start, choice) in enumerate(zip(starts, choices, strict=True)):
            known = self._best.get(start)
            if known is None or choice.score > known.choice.score:
                self._best[start] = Snapshot(choice, network.member_state(member))
        return all(
            choice.score < self._best[start].choice.score - COLLAPSE_MARGIN
            for start, choice in zip(starts, choices, strict=True)
        )

    def best(self, n: int) -> list[Opinion]:
        """Return the n starts that agree most with the stain, the best first."""
        ranked = sorted(self._best.values(), key=lambda snapshot: -snapshot.choice.score)
        return [snapshot.as_opinion() for snapshot in ranked[:n]]


class EveryMember(nn.Module):
    """An objective for each member of a network by itself: the sum of their losses.

    The measures are those of the first member that had a loss. A member without one is not
    trained in this step; a step is skipped if no member has one.

    Parameters
    ----------
    objective : Objective
        Of a single network; may have parameters, which all members then share.
    n_members : int
    """

    def __init__(self, objective: Objective, n_members: int) -> None:
        super().__init__()
        self.objective, self.n_members = objective, n_members
        self.least_crop = int(getattr(objective, "least_crop", 0))

    def forward(
        self, images: Tensor, output: Tensor, generator: torch.Generator
    ) -> tuple[Tensor | None, dict[str, float]]:
        """Return the loss and the measures of (B, S · K, M, N) maps."""
        losses, told = [], {}
        for maps in output.chunk(self.n_members, 1):
            loss, measures = self.objective(images, maps, generator)
            if loss is not None:
                losses.append(loss)
            if len(losses) <= 1:
                told = measures
        return torch.stack(losses).sum() if losses else None, told


def try_starts(
    build: Callable[[int], ConfidenceNetwork],
    objective: Objective,
    data: TrainingData,
    settings: PatchContrastSettings,
    take_over: Callable[[list[Opinion]], None],
    should_stop: Callable[[], bool] = never,
) -> Iterator[TrainingStep]:
    """Train every start, a batch of networks at a time; yield after every step.

    A batch whose maps are all dying ends early, if the settings allow it.

    Parameters
    ----------
    build : callable(seed)
        Returns the untrained network of one start.
    objective : Objective
        Of one network.
    data : TrainingData
    settings : PatchContrastSettings
        ``starts``, ``starts_at_once``, ``committee``, and ``n_steps`` of each start.
    take_over : callable(opinions)
        Gets the best start whenever there is a better one, and after the last step the best
        ones of the whole committee.
    should_stop : callable
        Ends the training in the middle of a step.
    """
    ranking = Ranking(StainAgreement(data))
    for first in range(0, settings.starts, settings.starts_at_once):
        starts = range(first, min(first + settings.starts_at_once, settings.starts))
        before = first // settings.starts_at_once * settings.n_steps
        seeds = [seed_of_start(settings.seed, start) for start in starts]
        network = joined([build(seed) for seed in seeds])
        step, n_low = None, 0
        for step in training_loop(
            network,
            EveryMember(objective, len(starts)),
            data,
            settings.model_copy(update={"seed": seeds[0]}),
            f"starts {starts[0] + 1}–{starts[-1] + 1} of {settings.starts}",
            should_stop,
        ):
            is_new = first == 0 and step.step in EARLY
            if is_new or step.step % JUDGE_EVERY == 0 or step.step == settings.n_steps:
                n_low = n_low + 1 if ranking.judge(network, starts) else 0
                take_over(ranking.best(1))
            yield replace(
                step, step=before + step.step, n_steps=settings.total_steps, exploring=True
            )
            if settings.stop_early and n_low >= COLLAPSE_PATIENCE:
                break
        else:
            if step is None or step.step < settings.n_steps:
                return  # stopped: the best start so far stays
    take_over(ranking.best(settings.committee))


def seed_of_start(seed: int, start: int) -> int:
    """Return the seed of one of several starts; the first has the run's own.

    Neighbouring runs share no start, so that five seeds are five independent trials.
    """
    if start == 0:
        return seed
    return int(np.random.SeedSequence([seed, start]).generate_state(1)[0] >> 1)
