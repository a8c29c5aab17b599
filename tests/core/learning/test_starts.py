"""Several starts: trained as if each were alone, ranked without labels, the best ones kept."""

import numpy as np
import pytest
import torch
from tests.core.learning.small_training import learned, patch_contrast_with, same, told

from napari_selfseg.core.channels import ChannelChoice
from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.learning import starts as starts_module
from napari_selfseg.core.learning.convergence import StainAgreement
from napari_selfseg.core.learning.starts import EveryMember, Ranking, seed_of_start
from napari_selfseg.core.learning.training import (
    TrainingFailed,
    training_loop,
)
from napari_selfseg.core.learning.training_data import TrainingData
from napari_selfseg.core.methods.patch_contrast import PatchContrast, PatchContrastObjective
from napari_selfseg.core.networks.confidence import ConfidenceNetwork, joined
from napari_selfseg.core.networks.consensus import Consensus


@pytest.fixture(scope="module")
def data():
    return TrainingData([Tile(drawn_he_tile(96, 96, n_nuclei=12, seed=1)[0], 255)])


def settings_with(**changes):
    usual = {"n_steps": 2, "starts": 5, "starts_at_once": 2, "committee": 2}
    return patch_contrast_with(**(usual | changes))


def networks(n):
    return [PatchContrast().build_network(settings_with(seed=seed)) for seed in range(n)]


class TestEveryMember:
    def test_each_learns_what_it_would_learn_alone(self, data):
        """An objective that draws nothing: the crops are the same for all."""

        def towards_dark(images, maps, generator):
            loss = (maps - (1 - images.mean(1, keepdim=True))).square().mean()
            return learned(loss, loss=loss)

        settings = settings_with(n_steps=4, learning_rate=1e-2)
        together = joined(networks(3))
        steps = list(training_loop(together, EveryMember(towards_dark, 3), data, settings))
        for member, alone in enumerate(networks(3)):
            of_it = list(training_loop(alone, towards_dark, data, settings))
            state = together.member_state(member)
            for name, value in alone.state_dict().items():
                torch.testing.assert_close(state[name], value, atol=1e-3, rtol=1e-3)
            if member == 0:
                losses = [s.measures["loss"] for s in of_it]
                assert [s.measures["loss"] for s in steps] == pytest.approx(losses, abs=1e-4)

    @pytest.mark.parametrize("who", [0, 2])
    @pytest.mark.parametrize("has_loss", [(1, 1, 1), (0, 1, 1), (1, 0, 0), (1, 0, 1)])
    def test_a_member_without_a_loss_is_left_out(self, has_loss, who):
        def objective(images, maps, generator):
            member = int(maps[0, 0, 0, 0]) - 1
            loss = maps.sum() * has_loss[member]
            return learned(loss, bool(has_loss[member]), member=float(member), gone=torch.nan)

        maps = torch.arange(1.0, 4.0).view(1, 3, 1, 1).expand(1, 3, 2, 2)
        every = EveryMember(objective, 3)
        every.told.fill_(who)
        loss, measures = told(every(None, maps, None))
        assert loss == sum(4 * (member + 1) for member in range(3) if has_loss[member])
        assert measures == {"member": who}

    def test_nobody_has_a_loss(self):
        maps = torch.zeros(1, 3, 2, 2)
        nothing = EveryMember(lambda _, maps, __: learned(maps.sum() * 0, False, a=1.0), 3)
        loss, measures = told(nothing(None, maps, None))
        assert loss is None
        assert measures == {"a": 1.0}


class TestRanking:
    def test_members_are_judged_as_networks_are(self, data):
        agreement = StainAgreement(data)
        each = networks(3)
        choices = agreement.of_members(joined(each))
        for choice, network in zip(choices, each, strict=True):
            alone = agreement.of(network).choice
            assert (choice.channel, choice.inverted) == (alone.channel, alone.inverted)
            assert choice.score == pytest.approx(alone.score, abs=1e-3)

    def test_the_best_state_of_every_start_is_kept(self):
        """Start 0 is best at its second judgement, start 1 at its first, start 2 at its third."""
        scores = iter([(0.3, 0.6, 0.1), (0.5, 0.2, 0.2), (0.4, 0.4, 0.9)])

        class Judge:
            def of_members(self, network):
                return [
                    ChannelChoice(m, m == 1, s, "guess", ()) for m, s in enumerate(next(scores))
                ]

        ranking = Ranking(Judge())
        seen, below = [], []
        for _ in range(3):
            network = joined([ConfidenceNetwork(3, 3) for _ in range(3)])
            seen.append(network)
            below.append(ranking.judge(network, range(3)))
        assert np.allclose(below, [(0, 0, 0), (0, 0.4, 0), (0.1, 0.2, 0)])
        assert [ranking.score(start) for start in range(4)] == [0.5, 0.6, 0.9, -1]
        third, second, first = ranking.best(9)
        assert same(third.state, seen[2].member_state(2))
        assert same(second.state, seen[0].member_state(1))
        assert same(first.state, seen[1].member_state(0))
        assert [(o.channel, o.inverted) for o in (third, second, first)] == [
            (2, False),
            (1, True),
            (0, False),
        ]
        assert len(ranking.best(2)) == 2


class TestFit:
    def test_steps_are_counted_through(self, data):
        settings = settings_with()
        model = PatchContrast().build_model(settings)
        steps = list(PatchContrast().fit(model, data, settings))
        assert [s.step for s in steps] == list(range(1, 7))
        assert {s.n_steps for s in steps} == {6}
        phases = ["starts 1–2 of 5", "starts 3–4 of 5", "starts 5–5 of 5"]
        assert [s.phase for s in steps][::2] == phases
        assert all(s.exploring for s in steps)

    def test_the_model_is_the_best_start_and_then_the_consensus(self, monkeypatch, data):
        offered = []
        listen = Consensus.listen_to
        monkeypatch.setattr(
            Consensus, "listen_to", lambda self, o: offered.append(o) or listen(self, o)
        )
        settings = settings_with()
        model = PatchContrast().build_model(settings)
        for _ in PatchContrast().fit(model, data, settings):
            assert int(model.n_heard) == 1
        assert int(model.n_heard) == 2
        agreement = StainAgreement(data)
        scores = []
        for opinion in offered[-1]:
            network = PatchContrast().build_network(settings)
            network.load_state_dict(opinion.state)
            choice = agreement.of(network).choice
            assert (choice.channel, choice.inverted) == (opinion.channel, opinion.inverted)
            scores.append(choice.score)
        assert scores[0] >= scores[1] > 0

    def test_a_committee_of_one_is_a_plain_network(self, data):
        settings = settings_with(committee=1)
        model = PatchContrast().build_model(settings)
        before = model.head.weight.clone()
        list(PatchContrast().fit(model, data, settings))
        assert isinstance(model, ConfidenceNetwork)
        assert not torch.equal(model.head.weight, before)

    @pytest.mark.parametrize("at", [1, 2, 3])
    def test_a_stop_ends_it_and_the_best_start_so_far_stays(self, monkeypatch, data, at):
        """No later start is begun, and there is no consensus of starts that were not tried."""
        settings = settings_with()
        model = PatchContrast().build_model(settings)
        taken = []
        for step in PatchContrast().fit(model, data, settings, lambda: len(taken) == at):
            taken.append(step)
        assert len(taken) == at
        assert int(model.n_heard) == 1
        fresh = PatchContrast().build_model(settings)
        assert not torch.equal(model.members[0].head.weight, fresh.members[0].head.weight)
        assert all(value.isfinite().all() for value in model.state_dict().values())

    @pytest.mark.parametrize("stop_early", [True, False])
    def test_starts_that_die_are_left(self, monkeypatch, data, stop_early):
        """Both starts of the first batch fall, in the second batch one lives on."""
        scores = {
            0: {20: (0.5, 0.5), 40: (0.3, 0.38), 60: (0.3, 0.3)},
            1: {20: (0.6, 0.5), 40: (0.2, 0.45), 60: (0.2, 0.44)},
        }

        def judged(self, network):
            at = seen[-1].step % 80 + 1 if seen else 1
            told = scores[len(begun) // 2 - 1].get(at, (0.3, 0.45))
            return [ChannelChoice(0, False, score, "guess", ()) for score in told]

        seen, begun = [], []
        build = PatchContrast.build_network
        monkeypatch.setattr(StainAgreement, "of_members", judged)
        monkeypatch.setattr(PatchContrast, "build_network", lambda *a: begun.append(1) or build(*a))
        settings = settings_with(starts=4, n_steps=80, stop_early=stop_early)
        model = PatchContrast().build_model(settings)
        begun.clear()
        for step in PatchContrast().fit(model, data, settings):
            seen.append(step)
        first = [s.step for s in seen if s.step <= 80]
        assert first == list(range(1, 61 if stop_early else 81))
        assert [s.step for s in seen[len(first) :]] == list(range(81, 161))
        assert int(model.n_heard) == 2

    @pytest.mark.parametrize("stop_early", [True, False])
    def test_barren_starts_end_it(self, monkeypatch, data, stop_early):
        """The second of ten batches is the best; three later ones bring nothing."""
        best = {0: 0.4, 1: 0.6}

        def judged(self, network):
            batch = len(begun) // 2 - 1
            score = best.get(batch, 0.3)
            return [ChannelChoice(0, False, score, "guess", ()) for _ in range(2)]

        begun = []
        build = PatchContrast.build_network
        monkeypatch.setattr(StainAgreement, "of_members", judged)
        monkeypatch.setattr(PatchContrast, "build_network", lambda *a: begun.append(1) or build(*a))
        settings = settings_with(starts=20, stop_early=stop_early)
        model = PatchContrast().build_model(settings)
        begun.clear()
        steps = list(PatchContrast().fit(model, data, settings))
        assert len(steps) == 2 * (5 if stop_early else 10)
        assert [s.step for s in steps if s.enough] == ([10] if stop_early else [])
        assert int(model.n_heard) == 2

    def test_a_step_is_renewed_when_there_is_a_better_start(self, data):
        settings = settings_with(n_steps=25)
        model = PatchContrast().build_model(settings)
        agreement, before, best = StainAgreement(data), None, -1.0
        for step in PatchContrast().fit(model, data, settings):
            state = {name: value.clone() for name, value in model.state_dict().items()}
            if step.renewed:
                now = agreement.of(model).score
                assert now > best - 1e-3
                best = now
            elif before is not None:
                assert same(before, state)
            before = state
        assert best > 0

    def test_unstable_starts_are_left_and_the_others_go_on(self, monkeypatch, data):
        loss = PatchContrastObjective.loss
        calls = []

        def second_batch_is_not_finite(self, *arguments):
            calls.append(1)
            total, similarity = loss(self, *arguments)
            return (total * float("nan") if 4 < len(calls) <= 8 else total), similarity

        monkeypatch.setattr(PatchContrastObjective, "loss", second_batch_is_not_finite)
        settings = settings_with(starts=6)
        model = PatchContrast().build_model(settings)
        steps = list(PatchContrast().fit(model, data, settings))
        assert [s.phase for s in steps].count("starts 5–6 of 6") == 2
        notes = " ".join(s.note for s in steps)
        assert "Starts 3–4 of 6 became unstable and were left." in notes
        assert int(model.n_heard) == 2

    def test_nothing_but_unstable_starts_fail(self, monkeypatch, data):
        def not_finite(self, images, maps, generator):
            return learned(maps.sum() * float("nan"), a=0.0)

        monkeypatch.setattr(PatchContrastObjective, "forward", not_finite)
        monkeypatch.setattr(starts_module, "EARLY", ())
        settings = settings_with()
        model = PatchContrast().build_model(settings)
        with pytest.raises(TrainingFailed, match="Every start became unstable"):
            list(PatchContrast().fit(model, data, settings))

    def test_skipped_steps_are_counted_over_all_starts(self, monkeypatch, data):
        def nothing(self, images, maps, generator):
            return learned(maps.sum() * 0, False, a=0.0)

        monkeypatch.setattr(PatchContrastObjective, "forward", nothing)
        settings = settings_with()
        model = PatchContrast().build_model(settings)
        steps = list(PatchContrast().fit(model, data, settings))
        assert [s.measures["skipped"] for s in steps] == [1, 2, 3, 4, 5, 6]

    def test_a_stop_before_the_first_step(self, data):
        settings = settings_with()
        model = PatchContrast().build_model(settings)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        assert list(PatchContrast().fit(model, data, settings, lambda: True)) == []
        assert same(model.state_dict(), before)


def test_first_start_has_the_seed_of_the_run_and_no_two_are_alike():
    assert seed_of_start(7, 0) == 7
    seeds = [seed_of_start(seed, start) for seed in range(20) for start in range(32)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_every_start_begins_with_its_own_weights(monkeypatch, data):
    seeds = []
    build = PatchContrast.build_network
    monkeypatch.setattr(
        PatchContrast,
        "build_network",
        lambda self, settings, n=3: seeds.append(settings.seed) or build(self, settings, n),
    )
    settings = settings_with(seed=11)
    model = PatchContrast().build_model(settings)
    seeds.clear()
    list(PatchContrast().fit(model, data, settings))
    assert seeds == [seed_of_start(11, start) for start in range(5)]
