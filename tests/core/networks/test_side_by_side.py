"""Several networks at once give what they give one after another, and fail as one would."""

import threading

import pytest
import torch
from torch import nn

from napari_selfseg.core.networks.side_by_side import side_by_side
from napari_selfseg.core.networks.unet import UNet

IMAGES = torch.rand(2, 3, 32, 40, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def networks(n=3):
    torch.manual_seed(0)
    return [UNet(3) for _ in range(n)]


class Watching(nn.Module):
    """Notes the thread it computes in, forwards and backwards; waits for its fellows."""

    def __init__(self, all_here=None):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.all_here, self.threads, self.counts = all_here, [], []

    def forward(self, x):
        if self.all_here is not None:
            self.all_here.wait(timeout=30)
        self.note()
        y = self.weight * x
        if y.requires_grad:
            y.register_hook(lambda _gradient: self.note())
        return y

    def note(self):
        self.threads.append(threading.current_thread())
        self.counts.append(torch.get_num_threads())


@pytest.mark.usefixtures("two_threads")
def test_outputs_and_gradients_are_those_of_one_after_another():
    apart, together = networks(), networks()
    wanted = [network(IMAGES) for network in apart]
    outputs = side_by_side(together, IMAGES)
    weights = torch.rand(3, generator=torch.Generator().manual_seed(1))
    sum(w * (y**2).mean() for w, y in zip(weights, wanted, strict=True)).backward()
    sum(w * (y**2).mean() for w, y in zip(weights, outputs, strict=True)).backward()
    for one, other in zip(apart, together, strict=True):
        for name, parameter in one.named_parameters():
            torch.testing.assert_close(other.get_parameter(name).grad, parameter.grad)
        for name, buffer in one.named_buffers():  # the batch statistics
            torch.testing.assert_close(other.get_buffer(name), buffer)
    for output, other in zip(outputs, wanted, strict=True):
        torch.testing.assert_close(output.detach(), other.detach())


@pytest.mark.usefixtures("two_threads")
def test_they_compute_at_the_same_time_on_one_core_each():
    all_here = threading.Barrier(2)  # neither goes on before the other is there
    watched = [Watching(all_here), Watching(all_here)]
    sum(side_by_side(watched, IMAGES)).sum().backward()
    for one in watched:
        assert one.weight.grad == IMAGES.sum()
        assert one.counts == [1, 1]
        assert threading.current_thread() not in one.threads
    assert torch.get_num_threads() == 2
    seen = []
    late = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    late.start()
    late.join()
    assert seen == [2]  # threads to come are told nothing else


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_learning_there_is_no_graph(mode):
    with mode():
        outputs = side_by_side(networks(), IMAGES)
    assert not any(output.requires_grad for output in outputs)
    assert all(output.is_inference() == (mode is torch.inference_mode) for output in outputs)
    frozen = [network.requires_grad_(False) for network in networks()]
    assert not any(output.requires_grad for output in side_by_side(frozen, IMAGES))


@pytest.mark.usefixtures("two_threads")
def test_precision_is_that_of_the_caller():
    with torch.autocast("cpu", torch.bfloat16):
        outputs = side_by_side(networks(), IMAGES)
    assert {output.dtype for output in outputs} == {torch.bfloat16}


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("backwards", [False, True])
def test_an_error_comes_when_nothing_computes_any_more(backwards):
    running = threading.Event()

    class Interrupted(Exception):
        pass

    class Failing(Watching):
        def note(self):
            super().note()
            if len(self.counts) == 1 + backwards:
                raise Interrupted

    class Slow(Watching):
        def note(self):
            running.set()
            threading.Event().wait(0.2)
            running.clear()

    def compute():
        sum(side_by_side([Failing(), Slow()], IMAGES)).sum().backward()

    with pytest.raises(Interrupted):
        compute()
    assert not running.is_set()


def test_on_one_thread_it_is_a_loop(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    watched = [Watching(), Watching()]
    side_by_side(watched, IMAGES)
    assert {thread for one in watched for thread in one.threads} == {threading.current_thread()}
