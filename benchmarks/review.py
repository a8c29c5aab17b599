"""How soon a review finds the errors, and whether its error bars hold.

    napari-selfseg train DATA_DIR/monuseg/train/*[0-9].png --um-per-px 0.25 --seed 0 --out run0
    python -m benchmarks.review DATA_DIR --run run0 [--fit] [--json]
    python -m benchmarks.review DATA_DIR --coverage

Without --run a model is learned first, without labels, from the tiles of monuseg/train. The
reviewer is simulated: of every item it does what the reference says. Objects are accepted above
an intersection over union of one half, and otherwise replaced by those of the reference that lie
in them; missing ones are painted. --fit prints how much each measure counts, as
`napari_selfseg.core.doubtful` has it, from monuseg/train and no other set. --coverage asks of
simulated cohorts how often the limits hold the truth; it needs no images.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from tqdm import tqdm

from benchmarks.datasets import TRAINING_SET, images_of
from benchmarks.tables import markdown_table
from napari_selfseg.core.doubtful import object_measures, place_measures
from napari_selfseg.core.images.evidence import stain_of
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.object_table import ObjectTable, object_table
from napari_selfseg.core.outcomes import Outcomes, outcomes_of
from napari_selfseg.core.survey import Drawn, interval
from napari_selfseg.core.threshold import threshold_confidence
from napari_selfseg.session.result import Suggestion
from napari_selfseg.session.review import Item, Review, begin
from napari_selfseg.session.review_findings import Findings, look_through
from napari_selfseg.session.review_numbers import MORE_THAN_SEEN, Surroundings, numbers_of
from napari_selfseg.session.review_tile import evidence_of
from napari_selfseg.session.store import StoredRun, load_run

SETS = (TRAINING_SET, "monuseg/test", "consep", "cpm15_20x")
SHARES = (0.1, 0.2, 0.3)  # of the queue
CHECKED = ((50, False), (100, False), (200, False), (100, True), (200, True))  # items, how drawn
RIGHT = 0.5  # intersection over union above which the reviewer accepts
SEEDS = range(20)
RIDGE = 1e-4
RATES = (0.01, 0.05, 0.2, 0.5)


@dataclass(frozen=True, eq=False)
class Known:
    """A tile with its label-free labels, what is to be reviewed of them, and the truth."""

    name: str
    tile: Tile
    findings: Findings
    measures: tuple[dict[str, NDArray], dict[str, NDArray]]
    truth: ObjectTable

    @cached_property
    def outcomes(self) -> Outcomes:
        """What a reviewer with the reference makes of the labels."""
        return outcomes_of(self.findings.table, self.truth)

    @cached_property
    def missing(self) -> NDArray:
        """How many objects are missing at every place."""
        at = self.findings.places.of(self.truth.centre[self.outcomes.added])
        return np.bincount(at, minlength=len(self.findings.places))

    def error(self, item: Item) -> float:
        """Return how wrong an item is: 0..1 of an object, the number missing at a place."""
        if item.unit.kind == "region":
            return float(self.missing[item.unit.number])
        return 1 - float(self.outcomes.iou[self.place_of(item)])

    def place_of(self, item: Item) -> int:
        return int(np.searchsorted(self.findings.table.number, item.unit.number))


def known_tiles(data: Path, run: StoredRun, subset: str, source: str) -> Iterator[Known]:
    """Segment every tile of a set that has a reference, by what was learned or by threshold."""
    from napari_selfseg.core.segmentation import prediction_of_tile

    for image in tqdm(images_of(data, subset), desc=f"{subset} {source}", disable=None):
        reference = image.reference()
        if reference is None:
            continue
        tile, doubt = image.tile(), None
        if source == "learned":
            prediction = prediction_of_tile(run.model, tile)
            stain = stain_of(tile)
            made = Suggestion.of_learned(prediction, run.choice, stain, tile.um_per_px)
            from napari_selfseg.core.channels import confidence_of

            confidence, doubt = confidence_of(prediction.maps, run.choice), prediction.doubt
        else:
            start = threshold_confidence(stain_of(tile))
            made = Suggestion.of_threshold(start, stain_of(tile), tile.um_per_px)
            confidence = start.confidence
        evidence = evidence_of(tile, confidence, made.settings.threshold, doubt)
        found = look_through(made.labels, evidence)
        told = confidence, evidence.threshold, doubt, tile.um_per_px
        measures = (
            object_measures(found.table, *told),
            place_measures(found.places, found.table, *told, stain=evidence.stain),
        )
        yield Known(image.name, tile, found, measures, object_table(reference))


# ---- how soon the errors are found


def found_soon(known: Known) -> dict[str, float]:
    """Return which part of all errors lies in the first parts of the queue."""
    items = begin(known.findings.units).items
    by_doubt = [known.error(item) for item in sorted(items, key=lambda item: item.rank)]
    orders = {
        "by doubt": np.array(by_doubt),
        "queue": np.array([known.error(item) for item in items]),
        "at best": np.sort(by_doubt)[::-1],
    }
    total = sum(by_doubt)
    return {
        f"{name} {share:.0%}": float(errors[: round(share * len(items))].sum() / total)
        for name, errors in orders.items()
        for share in SHARES
    }


# ---- whether the error bars hold


def reviewed(known: Known, n: int, seed: int, at_random: bool) -> tuple[Review, NDArray]:
    """Return the review after ``n`` items, and the labels as the reviewer left them."""
    review = begin(known.findings.units, seed)
    if at_random:
        review = review.with_doubtful_in_a_row(0)
    before, truth, outcomes = known.findings.table, known.truth, known.outcomes
    labels = known.findings.labels.astype(np.int32)
    next_free = int(labels.max(initial=0)) + 1
    in_place = known.findings.places.of(truth.centre)
    is_added = outcomes.parent < 0
    for item in review.items[:n]:
        if item.unit.kind == "object":
            k = known.place_of(item)
            right = np.flatnonzero(outcomes.parent == k)
            if len(right) == 1 and outcomes.iou[k] > RIGHT:
                review = review.decide(item, "accepted")
                continue
            labels[before.place == k + 1] = 0
            verdict = "fixed" if len(right) else "rejected"
        else:
            right = np.flatnonzero(is_added & (in_place == item.unit.number))
            verdict = "fixed" if len(right) else "accepted"
        for one in right:
            labels[truth.place == one + 1] = next_free
            next_free += 1
        review = review.decide(item, verdict)
    return review, labels


def counted(known: Known, n: int, seed: int, at_random: bool) -> tuple[float, float, float]:
    """Return the corrected count after ``n`` items, with its limits."""
    review, labels = reviewed(known, n, seed, at_random)
    made = numbers_of(review, known.findings, labels, Surroundings()).count.corrected
    return made.estimate, made.low, made.high


# ---- how much each measure counts


def fit(tiles: list[Known], of_places: bool) -> dict[str, float]:
    """Fit a logistic regression with no negative weight: what speaks against it, speaks so."""
    names = list(tiles[0].measures[of_places])
    values = np.concatenate(
        [np.stack([t.measures[of_places][name] for name in names], axis=1) for t in tiles]
    )
    wrong = np.concatenate(
        [t.missing > 0 if of_places else t.outcomes.iou < RIGHT for t in tiles]
    ).astype(float)
    spread = values.var(axis=0)

    def loss(weights: NDArray) -> tuple[float, NDArray]:
        logit = weights[0] + values @ weights[1:]
        rest = expit(logit) - wrong
        size = RIDGE * float((weights[1:] ** 2 * spread).sum())
        slope = np.r_[rest.mean(), values.T @ rest / len(wrong) + 2 * RIDGE * weights[1:] * spread]
        return float((np.logaddexp(0, logit) - wrong * logit).mean()) + size, slope

    start, limits = np.zeros(len(names) + 1), [(None, None), *[(0, None)] * len(names)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=limits).x
    return dict(zip(["constant", *names], np.round(found, 2).tolist(), strict=True))


# ---- simulated cohorts


def coverage(n_cohorts: int = 400) -> list[dict[str, object]]:
    """Return how often the limits of simulated cohorts hold the truth."""
    lines = []
    for size, n in ((60, 15), (500, 15), (500, 40), (500, 120), (20_000, 200)):
        hits = [share_held(size, n, rate, n_cohorts, clumped=False) for rate in RATES]
        lines.append(_line("objects that are wrong", size, n, hits))
    for size, n in ((50, 15), (100, 15), (100, 30), (400, 60)):
        hits = [share_held(size, n, rate, n_cohorts, clumped=True) for rate in RATES]
        lines.append(_line("missing, clumped", size, n, hits))
    return lines


def share_held(size: int, n: int, rate: float, n_cohorts: int, clumped: bool) -> float:
    """Return in which share of cohorts the limits hold the total.

    ``clumped``: a negative binomial number at each place, five objects a place times the rate on
    average, with a variance of mean + 2 mean².
    """
    rng = np.random.default_rng([size, n, round(1000 * rate), clumped])
    held = 0
    for cohort in range(n_cohorts):
        if clumped:
            values = rng.poisson(rng.gamma(0.5, 2 * 5 * rate, size)).astype(float)
        else:
            values = (np.arange(size) < round(size * rate)).astype(float)
        drawn = rng.permutation(values)[:n, None]
        highest = max(1.0, MORE_THAN_SEEN * float(drawn.max())) if clumped else 1.0
        stratum = Drawn(size, drawn, np.zeros(1), np.full(1, highest))
        made = interval(np.zeros(1), [stratum], lambda t: t[:, 0], n_draws=1000, seed=cohort)
        held += made.low <= values.sum() <= made.high
    return held / n_cohorts


def _line(what: str, size: int, n: int, hits: list[float]) -> dict[str, object]:
    rates = {f"{rate:.0%}": f"{hit:.3f}" for rate, hit in zip(RATES, hits, strict=True)}
    return {"simulated": what, "N": size, "n": n, **rates}


# ---- the tables


def table_of_errors(tiles: list[Known], subset: str, source: str) -> dict[str, object]:
    found = [found_soon(known) for known in tiles]
    means = {name: float(np.mean([one[name] for one in found])) for name in found[0]}
    return {
        "set": subset,
        "labels": source,
        "tiles": len(tiles),
        **{
            name: " / ".join(f"{means[f'{name} {share:.0%}']:.0%}" for share in SHARES)
            for name in ("by doubt", "queue", "at best")
        },
    }


def table_of_counts(tiles: list[Known]) -> list[dict[str, object]]:
    lines = []
    for known in tiles:
        line = {
            "tile": known.name[:15],
            "true": len(known.truth),
            "predicted": len(known.findings.table),
            "queue": len(known.findings.units),
        }
        for n, at_random in CHECKED:
            found = np.array([counted(known, n, seed, at_random) for seed in SEEDS])
            held = (found[:, 1] <= len(known.truth)) & (len(known.truth) <= found[:, 2])
            estimate, low, high = found[0]
            error = np.nanmean(np.abs(found[:, 0] - len(known.truth)))
            line[f"after {n}{' at random' if at_random else ''}"] = (
                f"{estimate:.0f} ({low:.0f}–{high:.0f}), ±{error:.0f}, held {held.mean():.0%}"
            )
        lines.append(line)
    return lines


def learned_run(data: Path) -> StoredRun:
    """Learn from the tiles of monuseg/train, without their labels."""
    import tempfile

    from napari_selfseg.core.methods.settings import preset_settings
    from napari_selfseg.session.run import TrainingRequest, TrainingRun
    from napari_selfseg.session.store import save_run

    tiles = tuple(image.tile() for image in images_of(data, TRAINING_SET))
    *_, finished = TrainingRun(TrainingRequest(tiles, preset_settings("standard"))).updates()
    with tempfile.TemporaryDirectory() as folder:
        save_run(finished.result, Path(folder, "run"))
        return load_run(Path(folder, "run"), with_images=False)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, metavar="DATA_DIR")
    parser.add_argument("--run", type=Path, metavar="RUN", help="learned from monuseg/train")
    parser.add_argument("--fit", action="store_true", help="print the weights of the measures")
    parser.add_argument("--coverage", action="store_true", help="simulated cohorts only")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    if options.coverage:
        lines = coverage()
        print(json.dumps({"coverage": lines}) if options.json else markdown_table(lines))
        return 0
    if options.run is None:
        run = learned_run(options.data)
    else:
        run = load_run(options.run, with_images=False)
    errors, counts, weights = [], [], {}
    for source in ("learned", "threshold"):
        for subset in SETS:
            tiles = list(known_tiles(options.data, run, subset, source))
            errors.append(table_of_errors(tiles, subset, source))
            if subset == TRAINING_SET and options.fit:
                weights[source] = {"objects": fit(tiles, False), "places": fit(tiles, True)}
            if subset == "monuseg/test" and source == "learned":
                counts = table_of_counts(tiles)
    if options.json:
        print(json.dumps({"errors found": errors, "counts": counts, "weights": weights}))
        return 0
    print(markdown_table(errors), "\n")
    print(markdown_table(counts))
    for source, found in weights.items():
        print(f"\n{source}: {json.dumps(found, indent=4)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
