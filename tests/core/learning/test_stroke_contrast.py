"""The contrastive losses of strokes against loops written from the papers."""

import math

import pytest
import torch

from napari_selfseg.core.learning.stroke_contrast import local_contrast


def unit(vector):
    return [v / math.sqrt(sum(w * w for w in vector)) for v in vector]


def dot(u, v):
    return sum(a * b for a, b in zip(u, v, strict=True))


def slow_local(pixels, temperature):
    """Pixels are (feature, class); 0 is unknown, 1 background: no anchor."""
    known = [(unit(f), c) for f, c in pixels if c > 0]
    losses = []
    for i, (f, c) in enumerate(known):
        others = [known[k] for k in range(len(known)) if k != i]
        positives = [g for g, d in others if d == c]
        if c == 1 or not positives:
            continue
        log_sum = math.log(sum(math.exp(dot(f, g) / temperature) for g, _ in others))
        losses.append(-sum(dot(f, p) / temperature - log_sum for p in positives) / len(positives))
    return sum(losses) / len(losses) if losses else 0.0


def pixels_of(features, classes, rows=slice(None), columns=slice(None)):
    said = classes[:, rows, columns]
    for view in features:
        seen = view[..., rows, columns]
        for b in range(len(said)):
            for r in range(said.shape[1]):
                for c in range(said.shape[2]):
                    yield seen[b, :, r, c].tolist(), int(said[b, r, c])


def drawn_case(seed, side=12, classes=3, painted=0.3):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 2, 4, side, side, generator=generator, dtype=torch.float64)
    said = torch.randint(1, classes + 1, (2, side, side), generator=generator)
    said[torch.rand(said.shape, generator=generator) > painted] = 0
    return features, said


@pytest.mark.parametrize("mode", ["sampled", "stride"])
@pytest.mark.parametrize("seed", range(5))
def test_painted_pixels_against_a_loop(mode, seed):
    features, said = drawn_case(seed)
    every = slice(None, None, 4) if mode == "stride" else slice(None)
    wanted = slow_local(list(pixels_of(features, said, every, every)), 0.1)
    found = local_contrast(features, said, 0.1, mode, n_classes=2)
    assert found.item() == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_blocks_against_a_loop(seed):
    features, said = drawn_case(seed, side=32, painted=0.02)
    losses = []
    for b in range(2):
        for top in (0, 16):
            for left in (0, 16):
                box = slice(top, top + 16), slice(left, left + 16)
                if (said[b][box] > 1).any():
                    here = pixels_of(features[:, b : b + 1], said[b : b + 1], *box)
                    losses.append(slow_local(list(here), 0.1))
    wanted = sum(losses) / len(losses)
    assert local_contrast(features, said, 0.1, "block").item() == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("mode", ["sampled", "stride", "block"])
def test_unknown_pixels_have_no_part_in_it(mode):
    features, said = drawn_case(3, side=16)
    features.requires_grad_(True)
    before = local_contrast(features, said, 0.1, mode, 2, torch.Generator().manual_seed(0))
    before.backward()
    unknown = (said == 0)[None, :, None].expand_as(features)
    assert features.grad[unknown].abs().max() == 0
    assert features.grad[~unknown].abs().max() > 0
    with torch.no_grad():
        changed = torch.where(unknown, torch.randn_like(features), features)
        after = local_contrast(changed, said, 0.1, mode, 2, torch.Generator().manual_seed(0))
    assert after.item() == pytest.approx(before.item())


@pytest.mark.parametrize("mode", ["sampled", "stride", "block"])
@pytest.mark.parametrize("painted", ["nothing", "background", "one pixel"])
def test_where_nothing_can_be_compared_it_is_zero(mode, painted):
    features, said = drawn_case(0, side=16)
    features.requires_grad_(True)
    said[:] = 1 if painted == "background" else 0
    if painted == "one pixel":
        said[0, 0, 0] = 2
        features = features[:1]  # one view: not even a twin
    loss = local_contrast(features, said, 0.1, mode)
    loss.backward()
    assert loss.item() == 0


def test_a_large_stroke_is_drawn_from():
    features, said = drawn_case(1, side=64, painted=1.0)
    drawn = local_contrast(features, said, 0.1, "sampled", 2, torch.Generator().manual_seed(0))
    assert torch.isfinite(drawn)
    again = local_contrast(features, said, 0.1, "sampled", 2, torch.Generator().manual_seed(0))
    assert drawn == again
