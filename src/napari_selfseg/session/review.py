"""The queue of doubtful objects and places, and the decisions a person took.

The most doubtful come first; every fourth is drawn at random from all of its kind, so that what is
found can be extrapolated. Objects and places have an order of doubt together and a random order
each. The queue goes through these orders side by side: three of the first, one of the second. An
item that comes up in both stands where it came first. So at any place of the queue all up to some
rank of doubt have been looked at, and so many drawn at random, whatever was decided.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

Kind = Literal["object", "region"]
Verdict = Literal["accepted", "rejected", "fixed"]
Stage = tuple[int, int, int]

DOUBTFUL_IN_A_ROW = 3
RANDOM_KINDS: tuple[Kind, ...] = ("object", "region", "object")
"""What is drawn at random in turn; a place tells more at a time than an object."""


class ReviewError(Exception):
    """A review that cannot begin or be restored; the message is one sentence for the user."""


@dataclass(frozen=True)
class Unit:
    """An object, or a place at which objects may be missing, that is to be looked at.

    Parameters
    ----------
    kind : {"object", "region"}
    number : int
        Of the object in the label image; of a region its place in the grid, from 0.
    row, column : float
        The middle, in px.
    box : tuple of int
        First row and column, and those after the last.
    doubt : float
        How probably it is wrong, or something is missing, 0..1.
    reasons : tuple of str
        In a user's words.
    is_cut : bool
        Whether it touches the edge of the tile. That makes it neither right nor wrong.
    """

    kind: Kind
    number: int
    row: float
    column: float
    box: tuple[int, int, int, int]
    doubt: float
    reasons: tuple[str, ...] = ()
    is_cut: bool = False


@dataclass(frozen=True)
class Item:
    """A unit in the queue.

    Parameters
    ----------
    id : int
        Its own for ever.
    unit : Unit
    round : int
        Of which prediction it is, from 0.
    rank : int
        Its place in the order of doubt of its round, from 0.
    turn : int
        Its place in the random order of its kind and round, from 0.
    by : {"doubt", "random"}
        Why it came up.
    stage : tuple of int
        How many have come up at this item, itself included: by doubt, objects at random, regions
        at random.
    """

    id: int
    unit: Unit
    round: int
    rank: int
    turn: int
    by: Literal["doubt", "random"]
    stage: Stage


@dataclass(frozen=True)
class Decision:
    """What a person decided.

    Parameters
    ----------
    verdict : {"accepted", "rejected", "fixed"}
    seconds : float
        How long the item was looked at.
    seen : bool
        Whether its turn had come. What is fixed before its turn is known to be wrong, but speaks
        for no other.
    missing : int
        Objects that are missing at a region and were counted, not drawn.
    """

    verdict: Verdict
    seconds: float = 0.0
    seen: bool = True
    missing: int = 0


@dataclass(frozen=True, eq=False)
class Review:
    """A review as it stands; every change gives a new one.

    Parameters
    ----------
    items : tuple of Item
        In the order of the queue.
    decisions : mapping of int to Decision
        By the id of the item.
    seed : int
        Of the random orders.
    round : int
        How often the prediction has changed.
    doubtful_in_a_row : int
        How many doubtful items stand between two random ones; 0: all are random.
    at : int
        The place in the queue of the item that is looked at.
    seconds : float
        Time spent in all.
    """

    items: tuple[Item, ...]
    decisions: Mapping[int, Decision] = field(default_factory=dict)
    seed: int = 0
    round: int = 0
    doubtful_in_a_row: int = DOUBTFUL_IN_A_ROW
    at: int = 0
    seconds: float = 0.0

    # ---- what there is

    @property
    def current(self) -> Item | None:
        """The item that is looked at."""
        return self.items[self.at] if 0 <= self.at < len(self.items) else None

    @property
    def n_decided(self) -> int:
        """How many items are decided."""
        return len(self.decisions)

    def decision(self, item: Item) -> Decision | None:
        """Return what was decided about an item."""
        return self.decisions.get(item.id)

    def count(self, verdict: Verdict) -> int:
        """Return how many items were decided this way."""
        return sum(decision.verdict == verdict for decision in self.decisions.values())

    @property
    def reached(self) -> int:
        """How many items of the queue, from its beginning, had their turn."""
        seen = [
            place
            for place, item in enumerate(self.items)
            if item.id in self.decisions and self.decisions[item.id].seen
        ]
        return seen[-1] + 1 if seen else 0

    @property
    def stage(self) -> Stage:
        """How many of this round came up: by doubt, objects at random, regions at random."""
        last = self.items[self.reached - 1] if self.reached else None
        return last.stage if last is not None and last.round == self.round else (0, 0, 0)

    @property
    def n_skipped(self) -> int:
        """How many random items had their turn and were left undecided."""
        _, *drawn = self.stage
        n = dict(zip(("object", "region"), drawn, strict=True))
        return sum(
            item.round == self.round
            and item.turn < n[item.unit.kind]
            and item.id not in self.decisions
            for item in self.items[: self.reached]
        )

    def inclusion(self, item: Item) -> float:
        """Return how probable it was that this item is among those that had their turn."""
        if item.round < self.round:
            return 1.0
        by_doubt, *drawn = self.stage
        if item.rank < by_doubt:
            return 1.0
        kind = item.unit.kind
        n_drawn = drawn[0 if kind == "object" else 1]
        rest = [
            other.turn < n_drawn
            for other in self.items
            if other.round == self.round and other.unit.kind == kind and other.rank >= by_doubt
        ]
        return sum(rest) / len(rest)

    # ---- what a person does

    def decide(
        self,
        item: Item,
        verdict: Verdict,
        seconds: float = 0.0,
        seen: bool = True,
        missing: int = 0,
    ) -> Review:
        """Decide about an item; the time adds up, and what was seen stays seen."""
        former = self.decisions.get(item.id)
        if former is not None:
            seconds, seen = former.seconds + seconds, seen or former.seen
        made = Decision(verdict, seconds, seen, missing)
        return replace(self, decisions={**self.decisions, item.id: made})

    def withdraw(self, item: Item) -> Review:
        """Leave an item undecided again."""
        kept = {key: value for key, value in self.decisions.items() if key != item.id}
        return replace(self, decisions=kept)

    def go_to(self, place: int) -> Review:
        """Look at another item."""
        return replace(self, at=min(max(place, 0), max(len(self.items) - 1, 0)))

    def next_undecided(self) -> int | None:
        """Return the place of the next undecided item after this one, or from the beginning."""
        places = [*range(self.at + 1, len(self.items)), *range(self.at + 1)]
        open_ones = (p for p in places if p < len(self.items) and self._is_open(p))
        return next(open_ones, None)

    def spend(self, seconds: float) -> Review:
        """Add to the time spent."""
        return replace(self, seconds=self.seconds + seconds)

    def with_doubtful_in_a_row(self, n: int) -> Review:
        """Go on with more or fewer doubtful items between the random ones.

        What had its turn stays where it is; only the rest is put into another order.
        """
        n_kept = self.reached
        kept = self.items[:n_kept]
        taken = {item.id for item in kept}
        mine = [item for item in self.items if item.round == self.round]
        rest = tuple(_in_order(mine, n, self.stage, taken))
        others = tuple(i for i in self.items[n_kept:] if i.round != self.round)
        changed = replace(self, items=(*kept, *others, *rest), doubtful_in_a_row=n)
        return changed.go_to(n_kept if self.at >= n_kept else self.at)

    # ---- another prediction

    def renewed(self, units: Sequence[Unit], survivors: Mapping[Unit, int]) -> Review:
        """Go on with another prediction.

        What was decided stays in front; it is known, but says nothing of the new prediction, so
        random orders are drawn anew. Of what was undecided those that are still there keep their
        order; what is new comes after them, what has gone leaves the queue.

        Parameters
        ----------
        units : sequence of Unit
            All that is to be looked at now.
        survivors : mapping of Unit to int
            The id of the item that a unit was before.
        """
        known = tuple(item for item in self.items if item.id in self.decisions)
        decided = {item.id for item in known}
        rank = {item.id: item.rank for item in self.items if item.round == self.round}
        ids: list[tuple[int, Unit]] = []
        first_free = max((item.id for item in self.items), default=-1) + 1
        for unit in units:
            former = survivors.get(unit)
            is_free = former is None or former in decided or former not in rank
            if is_free:
                ids.append((first_free, unit))
                first_free += 1
            else:
                assert former is not None
                ids.append((former, unit))
        ids.sort(key=lambda pair: (rank.get(pair[0], len(rank)), -pair[1].doubt))
        number = self.round + 1
        drawn = _drawn(ids, self.seed, number)
        rest = tuple(_in_order(drawn, self.doubtful_in_a_row, (0, 0, 0), set()))
        return replace(self, items=(*known, *rest), round=number, at=len(known))

    def _is_open(self, place: int) -> bool:
        return self.items[place].id not in self.decisions


def begin(units: Sequence[Unit], seed: int = 0) -> Review:
    """Return a new review of these units."""
    ranked = sorted(units, key=lambda unit: -unit.doubt)
    drawn = _drawn(list(enumerate(ranked)), seed, 0)
    return Review(tuple(_in_order(drawn, DOUBTFUL_IN_A_ROW, (0, 0, 0), set())), seed=seed)


def _drawn(ranked: Sequence[tuple[int, Unit]], seed: int, round_: int) -> list[Item]:
    """Return items in the order of doubt, with their random turns."""
    rng = np.random.default_rng([seed, round_])
    turns: dict[int, int] = {}
    for kind in ("object", "region"):
        mine = [id_ for id_, unit in ranked if unit.kind == kind]
        turns |= dict(zip(mine, rng.permutation(len(mine)).tolist(), strict=True))
    return [
        Item(id_, unit, round_, rank, turns[id_], "doubt", (0, 0, 0))
        for rank, (id_, unit) in enumerate(ranked)
    ]


def _in_order(
    items: Sequence[Item], doubtful_in_a_row: int, stage: Stage, taken: set[int]
) -> Iterator[Item]:
    """Yield items in the order of the queue, from a stage on, without those that are taken."""
    by_doubt = sorted(items, key=lambda item: item.rank)
    by_kind: dict[Kind, list[Item]] = {
        kind: sorted((i for i in items if i.unit.kind == kind), key=lambda item: item.turn)
        for kind in ("object", "region")
    }
    done = {"doubt": stage[0], "object": stage[1], "region": stage[2]}
    taken = set(taken)

    def come_up(item: Item, by: Literal["doubt", "random"]) -> Iterator[Item]:
        if item.id not in taken:
            taken.add(item.id)
            now = done["doubt"], done["object"], done["region"]
            yield replace(item, by=by, stage=now)

    while any(done[kind] < len(mine) for kind, mine in by_kind.items()):
        for item in by_doubt[done["doubt"] : done["doubt"] + doubtful_in_a_row]:
            done["doubt"] += 1
            yield from come_up(item, "doubt")
        n_random = done["object"] + done["region"]
        wanted = RANDOM_KINDS[n_random % len(RANDOM_KINDS)]
        left = [kind for kind, mine in by_kind.items() if done[kind] < len(mine)]
        kind = wanted if wanted in left else left[0]
        item = by_kind[kind][done[kind]]
        done[kind] += 1
        yield from come_up(item, "random")
