"""Several confidence networks that agree on one map of the objects."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_selfseg.core.networks.confidence import HALO, ConfidenceNetwork
from napari_selfseg.core.networks.side_by_side import side_by_side


class Opinion(NamedTuple):
    """One network's weights, and which of its maps is the object."""

    state: dict[str, Tensor]
    channel: int
    inverted: bool  # the object is where the map is low


class Consensus(nn.Module):
    """Map a tile (B, C, M, N) in 0..1 to K confidence maps (B, K, M, N) in 0..1.

    The maps are those of the leading network, but the one that is the object is the mean of
    all networks' maps of the object, each turned so that it is high where the leader's is.
    Networks that began differently err differently, and the mean errs less (an ensemble,
    Lakshminarayanan et al., NeurIPS 2017).

    Parameters
    ----------
    n_members : int
        How many networks there is room for; until `listen_to` only the first is asked.
    n_channels : int
        C, 1 for grey and 3 for RGB.
    n_confidence_maps : int
        K.
    """

    halo = HALO
    channels: Tensor
    inverted: Tensor
    n_heard: Tensor

    def __init__(self, n_members: int, n_channels: int = 3, n_confidence_maps: int = 4) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            ConfidenceNetwork(n_channels, n_confidence_maps) for _ in range(n_members)
        )
        self.register_buffer("channels", torch.zeros(n_members, dtype=torch.int64))
        self.register_buffer("inverted", torch.zeros(n_members, dtype=torch.bool))
        self.register_buffer("n_heard", torch.ones((), dtype=torch.int64))

    def listen_to(self, opinions: Sequence[Opinion]) -> None:
        """Take over these networks, the leading one first; at most as many as there is room."""
        for place, (member, opinion) in enumerate(zip(self.members, opinions, strict=False)):
            member.load_state_dict(opinion.state)
            self.channels[place] = opinion.channel
            self.inverted[place] = opinion.inverted
        self.n_heard.fill_(min(len(opinions), len(self.members)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, M, N) to (B, K, M, N)."""
        maps, objects = self.voices(x)
        if int(self.n_heard) == 1:
            return maps
        return maps.index_copy(1, self.channels[:1], objects.mean(1, keepdim=True))

    def voices(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maps of the leading network and all heard networks' maps of the object.

        Parameters
        ----------
        x : Tensor, shape (B, C, M, N)

        Returns
        -------
        maps : Tensor, shape (B, K, M, N)
        objects : Tensor, shape (B, n, M, N)
            All turned like the leading network's.
        """
        heard = side_by_side(list(self.members)[: int(self.n_heard)], x)
        objects = [maps[:, channel] for maps, channel in zip(heard, self.channels, strict=False)]
        turned = [
            1 - one if inverted != self.inverted[0] else one
            for one, inverted in zip(objects, self.inverted, strict=False)
        ]
        return heard[0], torch.stack(turned, 1)

    @property
    def object_map(self) -> tuple[int, bool]:
        """Which map is the object's, and whether the object is where it is low."""
        return int(self.channels[0]), bool(self.inverted[0])

    def object_of(self, maps: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the object's one of predicted maps (K, M, N), high on objects."""
        drawn: NDArray[np.float32] = maps[int(self.channels[0])]
        return 1 - drawn if bool(self.inverted[0]) else drawn

    def problem(self) -> str:
        """Say what is wrong with numbers that came from a file; "" if nothing is."""
        if not 1 <= int(self.n_heard) <= len(self.members):
            return f"{int(self.n_heard)} of {len(self.members)} members cannot be heard"
        if not bool(((self.channels >= 0) & (self.channels < self.n_confidence_maps)).all()):
            return "a member names a map that there is not"
        return ""

    @property
    def n_confidence_maps(self) -> int:
        """K, how many maps come out."""
        first = self.members[0]
        assert isinstance(first, ConfidenceNetwork)
        return first.n_confidence_maps

    def folded(self) -> Consensus:
        """Return a copy for prediction only (see `ConfidenceNetwork.folded`)."""
        copy = deepcopy(self)
        copy.members = nn.ModuleList(
            member.folded() for member in self.members if isinstance(member, ConfidenceNetwork)
        )
        return copy.eval().requires_grad_(False)
