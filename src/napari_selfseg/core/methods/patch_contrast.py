"""Method 0: a tiny network learns confidence maps by contrasting patches of one image.

Boserup and Selvan, "Efficient Self-Supervision using Patch-based Contrastive Learning for
Histopathology Image Segmentation", NLDL 2023, arXiv 2208.10779. Written from the description
of the method; the objective is verified in the tests against a loop version.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from math import nan
from typing import ClassVar

import torch
from torch import Tensor, nn

from napari_selfseg.core.images.tile import TileError
from napari_selfseg.core.images.tissue import STRIDES
from napari_selfseg.core.learning import contrast as contrasting
from napari_selfseg.core.learning.refinement import refine
from napari_selfseg.core.learning.sampling import (
    SAMPLERS,
    Sampler,
    binary_entropy,
    draw_from,
    gather_around,
    gather_patches,
    patch_means,
)
from napari_selfseg.core.learning.starts import try_starts
from napari_selfseg.core.learning.step import StepLoss
from napari_selfseg.core.learning.training import never, training_loop
from napari_selfseg.core.learning.training_data import Guard, TrainingData
from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.core.methods.settings import PatchContrastSettings, TrainingSettings
from napari_selfseg.core.networks.confidence import ConfidenceNetwork
from napari_selfseg.core.networks.consensus import Consensus, Opinion
from napari_selfseg.core.networks.featuriser import PatchFeaturiser
from napari_selfseg.core.networks.refined import Refined


class PatchContrastObjective(nn.Module):
    r"""The loss of one step, as pairwise matrices.

    Patches are drawn by the sampler, multiplied by the map that drew them, and split into
    positives and negatives. For n anchors drawn among the positives of map k

    .. math:: L_{intra}(k) = \frac{1}{n^2 B} \sum_a \sum_{p \in Pos_k}
              \Big[ -s(a, p) + \log \sum_{q \in Neg_k} e^{s(a, q)} \Big]

    and L_inter has the same form with the positives of all other maps in the denominator.
    The positive is not in the denominator. L is the sum of both over the maps.

    Parameters
    ----------
    patch, stride : int
        In pixels.
    n_draws : int
        n, draws per image and map, and also the number of anchors per map.
    sampler : callable
        One of `napari_selfseg.core.learning.sampling.SAMPLERS`.
    similarity : {"mse", "cross-entropy", "featurised-cosine"}
    temperature : float
        Divides every similarity; 1 is the paper.
    n_channels : int
        C of the image, for the featuriser.
    guard : Guard, optional
        Patches of the anchor's own group are in no denominator (method 3).
    together : bool
        Whether patches of the anchor's own group are its positives, too.
    """

    def __init__(
        self,
        patch: int = 50,
        stride: int = 20,
        n_draws: int = 10,
        sampler: Sampler = SAMPLERS["entropy"],
        similarity: str = "mse",
        temperature: float = 1.0,
        n_channels: int = 3,
        guard: Guard | None = None,
        together: bool = False,
    ) -> None:
        super().__init__()
        self.guard, self.together = guard, together
        self.patch, self.stride, self.n_draws = patch, stride, n_draws
        self.sampler, self.similarity, self.temperature = sampler, similarity, temperature
        featurised = similarity == "featurised-cosine"
        self.featuriser = PatchFeaturiser(n_channels) if featurised else None

    @property
    def least_crop(self) -> int:
        """The side in px of the smallest crop with patches enough to contrast."""
        return self.patch + STRIDES * self.stride

    def forward(self, images: Tensor, confidence: Tensor, generator: torch.Generator) -> StepLoss:
        """Return the loss and the curves of one step.

        Parameters
        ----------
        images : Tensor, shape (B, C, M, N)
            In 0..1; the network's input.
        confidence : Tensor, shape (B, K, M, N)
            The network's output, with its gradient.
        generator : torch.Generator
            Draws patches and anchors.

        Returns
        -------
        StepLoss
            Not usable when a map has no positive or no negative patch. Its measures are loss,
            entropy, separation, positive-positive, positive-negative: means over the maps, and
            the same names with "/k" for map k. Distances are -s, entropy is in bits per pixel.
            Of a step that is not usable only the entropy is measured.
        """
        with torch.no_grad():
            entropy = binary_entropy(confidence)
            locations, is_positive = self.sampler(
                patch_means(entropy, self.patch, self.stride),
                patch_means(confidence, self.patch, self.stride),
                self.n_draws,
                generator,
            )
            # (K, B * n): the lists of a map run over the whole batch
            is_positive = is_positive.transpose(0, 1).flatten(1)
            measures = per_map("entropy", entropy.mean((0, 2, 3)))
            usable = (is_positive.any(-1) & (~is_positive).any(-1)).all()
            anchors = draw_from(is_positive.float(), self.n_draws, generator)
        patches = self.attended_patches(images, confidence, locations)
        groups = self.groups(images, locations)
        if groups is not None:
            usable = usable & self.has_negatives(is_positive, anchors, groups)
        loss, similarity = self.loss(patches, is_positive, anchors, images.shape[0], groups)
        learned = separation_measures(similarity.detach(), is_positive) | {"loss": loss.detach()}
        measures |= {name: value.masked_fill(~usable, nan) for name, value in learned.items()}
        return StepLoss(loss.masked_fill(~usable, 0.0), usable, measures)

    def attended_patches(self, images: Tensor, confidence: Tensor, locations: Tensor) -> Tensor:
        """Return x * c_k at the drawn locations: (K, B * n, D), D = C * patch² or features."""
        batch, n_maps, n = locations.shape
        x = gather_patches(images, locations.flatten(1), self.patch, self.stride)
        x = x.view(batch, n_maps, n, images.shape[1], -1)
        # every map is cut at its own locations: fold the maps into the batch
        c = gather_patches(
            confidence.flatten(0, 1).unsqueeze(1),
            locations.flatten(0, 1),
            self.patch,
            self.stride,
        ).view(batch, n_maps, n, 1, -1)
        attended = (x * c).transpose(0, 1).flatten(1, 2)  # (K, B * n, C, patch²)
        if self.featuriser is None:
            return attended.flatten(2)
        squares = attended.flatten(0, 1).unflatten(-1, (self.patch, self.patch))
        features: Tensor = self.featuriser(squares)
        return features.view(n_maps, batch * n, -1)

    @torch.no_grad()
    def groups(self, images: Tensor, locations: Tensor) -> Tensor | None:
        """Return the group of every drawn patch, (K, B * n); None without a guard."""
        if self.guard is None:
            return None
        batch, n_maps, n = locations.shape
        side = min(self.guard.side, *images.shape[-2:])
        x = gather_around(images, locations.flatten(1), self.patch, self.stride, side)
        return self.guard(x.flatten(0, 1)).view(batch, n_maps, n).transpose(0, 1).flatten(1)

    def has_negatives(self, is_positive: Tensor, anchors: Tensor, groups: Tensor) -> Tensor:
        """Return whether in every map an anchor has a negative of another group, a scalar."""
        other = groups.gather(1, anchors).unsqueeze(-1) != groups.unsqueeze(1)
        return (other & ~is_positive.unsqueeze(1)).any(-1).any(-1).all()

    def loss(
        self,
        patches: Tensor,
        is_positive: Tensor,
        anchors: Tensor,
        batch_size: int,
        groups: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return L = sum_k (L_intra + L_inter) and the similarities behind L_intra.

        Parameters
        ----------
        patches : Tensor, shape (K, P, D)
        is_positive : Tensor of bool, shape (K, P)
        anchors : Tensor of int64, shape (K, n)
            Indices of positives in each map's list.
        batch_size : int
            B of the factor 1/(n² B).
        groups : Tensor of integers, shape (K, P), optional
            Of the patches, if there is a guard.

        Returns
        -------
        loss : Tensor, scalar
        similarity : Tensor, shape (K, n, P)
            s between the anchors and every patch of the same map.
        """
        n_maps, n_patches, size = patches.shape
        picked = patches.gather(1, anchors.unsqueeze(-1).expand(-1, -1, size))
        everything = patches.flatten(0, 1)
        similarity = self._similarity(picked.flatten(0, 1), everything)
        similarity = similarity.view(n_maps, -1, n_maps, n_patches)
        own = torch.eye(n_maps, dtype=torch.bool, device=patches.device)
        own_map = own.view(n_maps, 1, n_maps, 1)
        positive = is_positive.view(1, 1, n_maps, n_patches)
        allowed, attracted = positive.new_ones(()), own_map & positive
        if groups is not None:
            alike = groups.gather(1, anchors)[:, :, None, None] == groups
            allowed = ~alike
            if self.together:
                attracted = own_map & (positive | alike)
        scale = 1.0 / (anchors.shape[1] ** 2 * batch_size)

        def summed(denominator: Tensor) -> Tensor:
            return contrasting.contrast(
                similarity.flatten(2),
                attracted.flatten(2),
                (denominator & allowed).flatten(2),
                self.temperature,
            ).sum()

        loss = summed(own_map & ~positive)
        if n_maps > 1:
            loss = loss + summed(~own_map & positive)
        within = similarity.diagonal(dim1=0, dim2=2).permute(2, 0, 1)
        return loss * scale, within

    def _similarity(self, u: Tensor, v: Tensor) -> Tensor:
        match self.similarity:
            case "mse":
                return contrasting.mse_similarity(u, v)
            case "cross-entropy":
                return contrasting.cross_entropy_similarity(u, v)
            case _:
                return contrasting.cosine_similarity(u, v)


def separation_measures(similarity: Tensor, is_positive: Tensor) -> dict[str, Tensor]:
    """Return mean distances of anchors to positives and negatives, and their difference.

    Parameters
    ----------
    similarity : Tensor, shape (K, n, P)
    is_positive : Tensor of bool, shape (K, P)
        A map without one of the sides gets NaN.
    """
    positive = is_positive.unsqueeze(1).expand_as(similarity).to(similarity.dtype)
    negative = 1 - positive
    to_positives = -(similarity * positive).sum((1, 2)) / positive.sum((1, 2))
    to_negatives = -(similarity * negative).sum((1, 2)) / negative.sum((1, 2))
    return (
        per_map("positive-positive", to_positives)
        | per_map("positive-negative", to_negatives)
        | per_map("separation", to_negatives - to_positives)
    )


def per_map(name: str, values: Tensor) -> dict[str, Tensor]:
    """Return ``{name: mean, name/0: v0, name/1: v1, ...}`` of one value per map."""
    return {name: values.mean()} | {f"{name}/{k}": v for k, v in enumerate(values.unbind())}


class PatchContrast:
    """Segment without labels: the tile's own confident patches teach the network."""

    title: ClassVar[str] = "Patch contrast"
    needs_annotation: ClassVar[bool] = False
    Settings: ClassVar[type[TrainingSettings]] = PatchContrastSettings

    def build_model(self, settings: TrainingSettings, n_channels: int = 3) -> nn.Module:
        """Return an untrained network, its weights drawn from the seed.

        A `ConfidenceNetwork` for one start; a `Consensus`, which knows the object's map, if
        several are to agree or its edges are to be sharpened; and if that is to be refined,
        `Refined`.
        """
        assert isinstance(settings, PatchContrastSettings)
        network = self.build_network(settings, n_channels)
        if settings.n_agreeing == 1 and not settings.refinement_steps and not settings.stain_edges:
            return network
        with torch.random.fork_rng(devices=[]):
            consensus = Consensus(settings.n_agreeing, n_channels, settings.n_confidence_maps)
        opinion = Opinion(network.state_dict(), channel=0, inverted=False)
        consensus.listen_to([opinion] * settings.n_agreeing)
        consensus.listen_to([opinion])
        if not settings.refinement_steps:
            return consensus
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            return Refined(consensus, n_channels, settings.refinement_networks)

    def build_network(
        self, settings: PatchContrastSettings, n_channels: int = 3
    ) -> ConfidenceNetwork:
        """Return the untrained network of one start, its weights drawn from the seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            return ConfidenceNetwork(n_channels, settings.n_confidence_maps)

    def build_objective(
        self, settings: PatchContrastSettings, data: TrainingData
    ) -> PatchContrastObjective:
        """Return the objective with the patch size that fits the tiles' scale.

        Raises
        ------
        TileError
            If a tile is smaller than a patch and three strides.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            objective = PatchContrastObjective(
                patch=settings.patch_size(data.um_per_px),
                stride=settings.stride(data.um_per_px),
                n_draws=settings.n_draws,
                sampler=SAMPLERS[settings.sampler],
                similarity=settings.similarity,
                temperature=settings.temperature,
                n_channels=data.n_channels,
                guard=data.guard,
                together=settings.group_positives,
            )
        least = objective.least_crop
        if data.crop_side(least) < least:
            raise TileError(
                f"An image is smaller than the {least} × {least} px that patches of "
                f"{objective.patch} px need: choose a larger region or a smaller patch."
            )
        return objective

    def fit(
        self,
        model: nn.Module,
        data: TrainingData,
        settings: TrainingSettings,
        should_stop: Callable[[], bool] = never,
    ) -> Generator[TrainingStep, None, None]:
        """Train ``model`` in place, one `TrainingStep` per optimiser step.

        With several starts, ``model`` is at any time the one that agreed best with the stain so
        far, and in the end the consensus of the best few, refined if the settings say so. That
        choice uses no labels.
        """
        assert isinstance(settings, PatchContrastSettings)
        data.restart()
        if isinstance(model, ConfidenceNetwork) and settings.starts == 1:
            objective = self.build_objective(settings, data)
            yield from training_loop(model, objective, data, settings, should_stop=should_stop)
            return
        first = model.first if isinstance(model, Refined) else model

        def begin(seed: int) -> tuple[ConfidenceNetwork, PatchContrastObjective]:
            own = settings.model_copy(update={"seed": seed})
            return self.build_network(own, data.n_channels), self.build_objective(own, data)

        def take_over(opinions: list[Opinion], device: torch.device) -> None:
            model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            if isinstance(first, Consensus):
                first.listen_to(opinions)
            else:
                first.load_state_dict(opinions[0].state)

        went_through = yield from try_starts(begin, data, settings, take_over, should_stop)
        if went_through and isinstance(model, Refined):
            yield from refine(model, data, settings, should_stop)
