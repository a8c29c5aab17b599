"""A graphics card where there is none."""

import pytest
import torch

from napari_selfseg.core.learning import training


class Replayed:
    """Stands for a recorded step: takes it, and insists on the shape it was recorded with."""

    made = 0

    def __init__(self, step, crops, generator):
        type(self).made += 1
        self.step, self.shape = step, crops.shape

    def __call__(self, crops):
        assert crops.shape == self.shape
        return self.step(crops)


@pytest.fixture
def replayed():
    Replayed.made = 0
    return Replayed


@pytest.fixture
def pretend_card(monkeypatch, replayed):
    """A graphics card that is the processor in disguise: the loop believes what it chose."""
    card, to, generator = torch.device("cuda"), torch.Tensor.to, torch.Generator

    def to_nowhere(tensor, *where, **how):
        if where and where[0] == card:
            where = ("cpu", *where[1:])
        return to(tensor, *where, **how)

    monkeypatch.setattr(torch.Tensor, "to", to_nowhere)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": generator())
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(training, "choose_device", lambda name: card)
    monkeypatch.setattr(training, "RecordedStep", replayed)
    return card
