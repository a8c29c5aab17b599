"""The confidence network of method 0: a fully convolutional network of 7.4k parameters."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_selfseg.core.networks.precision import half_precision

DILATIONS = (1, 2, 3, 5, 10, 20)
HALO = 1 + 2 * sum(DILATIONS)  # 83 px: how far one output pixel sees, on each side


def joined(networks: Sequence[ConfidenceNetwork]) -> ConfidenceNetwork:
    """Return one network whose members are copies of these, each of one member and alike."""
    first = networks[0]
    with torch.random.fork_rng(devices=[]):  # the weights it is made with are not kept
        network = ConfidenceNetwork(
            first.n_channels, first.n_confidence_maps, first.width, n_members=len(networks)
        )
    states = [one.state_dict() for one in networks]
    network.load_state_dict(
        {
            name: torch.cat([state[name] for state in states]) if value.ndim else value
            for name, value in states[0].items()
        }
    )
    return network


def _block(n_in: int, n_out: int, dilation: int, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(
        n_in, n_out, 3, padding=dilation, dilation=dilation, groups=groups, bias=False
    )
    return nn.Sequential(convolution, nn.BatchNorm2d(n_out), nn.ELU())


class ResidualBlock(nn.Module):
    """Two dilated convolutions with batch normalisation and ELU, added to the input."""

    def __init__(self, width: int, dilation: int, groups: int = 1) -> None:
        super().__init__()
        self.first = _block(width, width, dilation, groups)
        self.second = _block(width, width, dilation, groups)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, M, N) to the same shape."""
        y: Tensor = self.second(self.first(x))
        return x + y


class ConfidenceNetwork(nn.Module):
    """Map a tile (B, C, M, N) in 0..1 to K confidence maps (B, K, M, N) in 0..1.

    Several networks of this kind fit into one, as groups of its convolutions: they see the same
    tile, share nothing, and one step trains them all. The maps then come member by member,
    (B, S · K, M, N).

    A 3×3 stem, six residual blocks with dilations 1, 2, 3, 5, 10 and 20, and a 1×1 head with
    sigmoids; the receptive field is 167 px. With 8 features and K = 4 on RGB it has 7,372
    parameters. (The 10.8k in the paper's abstract counts 3,386 of a featuriser that its
    recommended loss never trains.)

    Parameters
    ----------
    n_channels : int
        C, 1 for grey and 3 for RGB.
    n_confidence_maps : int
        K.
    width : int
        Features per layer.
    n_members : int
        S, how many networks this is.

    References
    ----------
    Boserup and Selvan, "Efficient Self-Supervision using Patch-based Contrastive Learning for
    Histopathology Image Segmentation", NLDL 2023, arXiv 2208.10779.
    """

    halo = HALO

    def __init__(
        self,
        n_channels: int = 3,
        n_confidence_maps: int = 4,
        width: int = 8,
        n_members: int = 1,
    ) -> None:
        super().__init__()
        self.n_members, n_features = n_members, width * n_members
        self.stem = _block(n_channels, n_features, 1)
        self.blocks = nn.Sequential(*(ResidualBlock(n_features, d, n_members) for d in DILATIONS))
        self.head = nn.Conv2d(n_features, n_confidence_maps * n_members, 1, groups=n_members)

    @property
    def n_channels(self) -> int:
        """C, how many channels a tile must have."""
        convolution = self.stem[0]
        assert isinstance(convolution, nn.Conv2d)
        return convolution.in_channels

    @property
    def width(self) -> int:
        """Features per layer of every member."""
        return self.head.in_channels // self.n_members

    @property
    def n_confidence_maps(self) -> int:
        """K, how many maps every member draws."""
        return self.head.out_channels // self.n_members

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, M, N) to (B, S · K, M, N)."""
        # on a processor it would change what five seeds were measured with
        with half_precision(x.device, enabled=self.training and x.device.type == "cuda"):
            features = self.blocks(self.stem(x.to(next(self.stem.parameters()).dtype)))
            scores: Tensor = self.head(features.to(x.dtype))
        return torch.sigmoid(scores.to(x.dtype))

    def halve(self) -> None:
        """Compute the features with half the bits from now on, the maps of them with all.

        With maps in bfloat16 too, Dice fell by up to .004 on tiles of other sources.
        """
        self.stem.to(torch.bfloat16)
        self.blocks.to(torch.bfloat16)

    def member_state(self, member: int) -> dict[str, Tensor]:
        """Return a copy of one member's state, on the processor, for a network of one member."""
        return {
            name: (value.chunk(self.n_members)[member] if value.ndim else value)
            .detach()
            .to("cpu", copy=True)
            for name, value in self.state_dict().items()
        }

    def folded(self) -> ConfidenceNetwork:
        """Return a copy for prediction only, with batch normalisation inside the convolutions.

        It predicts what this network predicts in evaluation mode, up to rounding, in about two
        thirds of the time: a folded block writes its result once instead of three times.
        """
        copy = deepcopy(self).eval()
        blocks = [copy.stem]
        for block in copy.blocks:
            assert isinstance(block, ResidualBlock)
            blocks += [block.first, block.second]
        for block in blocks:
            convolution, normalisation = block[0], block[1]
            assert isinstance(convolution, nn.Conv2d)
            assert isinstance(normalisation, nn.BatchNorm2d)
            block[0] = fuse_conv_bn_eval(convolution, normalisation)
            block[1] = nn.Identity()
            block[2] = nn.ELU(inplace=True)
        return copy.requires_grad_(False)
