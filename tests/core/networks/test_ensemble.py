"""Several U-Nets as one network, and the precision it computes with."""

import pytest
import torch

from napari_selfseg.core.networks import precision
from napari_selfseg.core.networks.ensemble import Ensemble
from napari_selfseg.core.networks.precision import half_precision, has_bfloat16

CPU = torch.device("cpu")
IMAGES = torch.rand(2, 3, 32, 40, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_every_member_draws_what_it_would_draw_alone():
    torch.manual_seed(0)
    ensemble = Ensemble(3).eval()
    scores = ensemble(IMAGES)
    assert scores.shape == (2, 3, 2, 32, 40)
    for number, member in enumerate(ensemble.members):
        torch.testing.assert_close(scores[:, number], member(IMAGES))


def test_members_are_taught_apart():
    torch.manual_seed(0)
    ensemble = Ensemble(2)
    ensemble(IMAGES)[:, 1].sum().backward()
    assert not any(p.grad is not None and p.grad.any() for p in ensemble.members[0].parameters())
    assert any(p.grad.any() for p in ensemble.members[1].parameters())


@pytest.mark.parametrize("has_it", [False, True])
def test_training_in_half_precision_is_nearly_the_same(monkeypatch, has_it):
    """Emulated where the processor lacks it: slower there, the same numbers."""
    torch.manual_seed(0)
    ensemble = Ensemble(1)
    monkeypatch.setattr(precision, "_processor_has_bfloat16", lambda: False)
    wanted = ensemble(IMAGES)
    monkeypatch.setattr(precision, "_processor_has_bfloat16", lambda: has_it)
    scores = ensemble(IMAGES)
    assert scores.dtype == torch.float32
    assert torch.equal(scores, wanted) != has_it
    assert (scores - wanted).abs().mean() < 0.05 * wanted.std()


def test_prediction_never_computes_with_half_the_bits(monkeypatch):
    monkeypatch.setattr(precision, "_processor_has_bfloat16", lambda: True)
    seen = []
    ensemble = Ensemble(1).eval()
    head = ensemble.members[0].head
    head.register_forward_hook(lambda _network, _inputs, output: seen.append(output.dtype))
    ensemble(IMAGES)
    assert seen == [torch.float32]


def test_only_what_can_be_asked_is_assumed(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    precision._processor_has_bfloat16.cache_clear()
    try:
        assert not has_bfloat16(CPU)
        with half_precision(CPU):
            assert not torch.is_autocast_enabled("cpu")
    finally:
        precision._processor_has_bfloat16.cache_clear()
    assert not has_bfloat16(torch.device("meta"))
