"""The small network that turns a patch into features, for the featurised-cosine similarity."""

from __future__ import annotations

from torch import Tensor, nn

GRID = 9  # what three convolutions leave of a 50-px patch


class PatchFeaturiser(nn.Module):
    """Map patches (B, C, P, P) to features (B, 32).

    Conv 3×3 to 8, two Conv 3×3 of stride 2 and dilation 2 to 8 and 1, and a linear layer from
    9 × 9 to 32, as described for the paper's featuriser, which is valid for 50-px patches only.
    For other sizes (at least 18 px) we pool to 9 × 9 first; at 50 px that changes nothing.
    Where the public description is silent (activation), ReLU is our choice.
    """

    def __init__(self, n_channels: int = 3, width: int = 8, n_features: int = 32) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(n_channels, width, 3),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2, dilation=2),
            nn.ReLU(),
            nn.Conv2d(width, 1, 3, stride=2, dilation=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(GRID),
        )
        self.linear = nn.Linear(GRID * GRID, n_features)

    def forward(self, patches: Tensor) -> Tensor:
        """Map (B, C, P, P) to (B, 32)."""
        features: Tensor = self.linear(self.convolutions(patches).flatten(1))
        return features
