"""Calibration: exact bounds, fixed-sequence thresholds, files that cannot be misused."""

import json
import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from semcache.decision.binomial import binomial_upper, served_needed
from semcache.decision.calibration import Calibration, Point, calibrate, shipped
from semcache.decision.lexicon import RULES
from semcache.decision.shift import shifted_upper
from semcache.errors import CalibrationError, ConfigurationError, ModelMismatch

GRID = tuple(i / 100 for i in range(50, 100))


def made(pairs: list[tuple[float, bool, bool]], floor: float = 0.0) -> Calibration:
    return calibrate(pairs, scorer="cosine", encoder=None, vetoes=(), grid=GRID, floor=floor)


@given(st.integers(1, 2000), st.integers(0, 40))
def test_the_bound_is_clopper_pearson(served: int, wrong: int) -> None:
    wrong = min(wrong, served)
    expected = 1.0 if wrong == served else beta.ppf(0.95, wrong + 1, served - wrong)
    assert binomial_upper(wrong, served) == pytest.approx(expected, abs=1e-7)


def test_one_per_cent_takes_299_clean_pairs() -> None:
    assert served_needed(0.01) == 299
    assert binomial_upper(0, 299) <= 0.01 < binomial_upper(0, 298)
    assert served_needed(0.0) == math.inf


def test_the_sequence_ends_at_the_first_failure() -> None:
    def point(threshold: float, served: int, wrong: int) -> Point:
        return Point(threshold, served, wrong, binomial_upper(wrong, served), 0.9)

    points = (point(0.9, 10, 0), point(0.8, 400, 0), point(0.7, 500, 9), point(0.6, 9000, 9))
    calibration = Calibration("cosine", None, (), 0.0, points)
    assert calibration.threshold(0.01) == 0.8
    assert calibration.threshold(0.05) == 0.6
    assert calibration.threshold(0.001) is None
    assert calibration.threshold(0.0) is None


def test_the_floor_cannot_be_loosened() -> None:
    pairs = [(0.55 + i / 2500, False, True) for i in range(1000)] + [(0.5, True, False)]
    assert made(pairs, floor=0.7).threshold(0.5) == 0.7


def test_the_bound_holds_in_repetition() -> None:
    """With a true wrong rate just over the bound, a threshold is given in at most 5 % of runs."""
    rng = random.Random(7)
    given_anyway = 0
    for _ in range(300):
        pairs = [(rng.uniform(0.5, 1.0), False, rng.random() > 0.055) for _ in range(400)]
        given_anyway += made(pairs).threshold(0.05) is not None
    # Every threshold of the sequence has the same risk here, and the first one decides most.
    assert given_anyway / 300 <= 0.08


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.booleans()), min_size=2, max_size=60),
    st.floats(-1, 1),
    st.floats(-1, 1),
)
def test_probability_is_monotone(
    pairs: list[tuple[float, bool, bool]], one: float, two: float
) -> None:
    calibration = made([*pairs, (0.9, False, True), (0.6, False, False)])
    low, high = sorted((one, two))
    assert 0 <= calibration.probability(low) <= calibration.probability(high) <= 1
    assert calibration.probability(math.nan) == calibration.probability(-math.inf) == 0
    assert Calibration.from_json(calibration.to_json()) == calibration


def test_testing_begins_where_it_is_told_to() -> None:
    """One wrong label at the very top ends the usual sequence, and not one that begins below it."""
    pairs = [(0.995 - i / 10_000, False, i != 5) for i in range(2000)]
    assert made(pairs).threshold(0.01) is None
    from_below = calibrate(
        pairs, scorer="cosine", encoder=None, vetoes=(), grid=GRID, floor=0.0, start=0.90
    )
    assert from_below.threshold(0.01) == GRID[0]
    assert Calibration.from_json(from_below.to_json()) == from_below


def test_a_prior_corrects_bounds_and_probabilities() -> None:
    pairs = [(0.9, False, True)] * 900 + [(0.9, False, False)] * 2 + [(0.6, False, False)] * 900
    as_measured, rare = (
        calibrate(
            pairs, scorer="cosine", encoder=None, vetoes=(), grid=GRID, floor=0.0, prior=prior
        )
        for prior in (None, 0.05)
    )
    for before, after in zip(as_measured.points, rare.points, strict=True):
        assert after.upper >= before.upper
        assert after.probability <= before.probability
    assert as_measured.threshold(0.02) is not None
    assert rare.threshold(0.02) is None
    assert Calibration.from_json(rare.to_json()) == rare
    with pytest.raises(ConfigurationError, match="prior"):
        calibrate(pairs, scorer="x", encoder=None, vetoes=(), grid=GRID, floor=0.0, prior=1.0)


def test_the_corrected_bound_holds_in_repetition() -> None:
    """Pairs half and half, traffic one in five: at a true wrong rate just over the bound, at most
    5 % of the samples support it."""
    true_share, false_share, prior = 0.8, 0.011, 0.2
    wrong = 0.8 * false_share / (0.2 * true_share + 0.8 * false_share)
    rng = random.Random(11)
    too_low = 0
    for _ in range(400):
        right = sum(rng.random() < true_share for _ in range(500))
        false = sum(rng.random() < false_share for _ in range(500))
        upper = shifted_upper(
            false, right, negatives=500, positives=500, prior=prior, confidence=0.95
        )
        too_low += upper < wrong
    assert too_low / 400 <= 0.05 + 0.02  # three standard errors


def test_with_a_prior_the_whole_sequence_keeps_the_bound() -> None:
    """Where scores overlap, a threshold worse than the bound is chosen in at most 5 % of runs."""
    rng = random.Random(5)
    prior, max_wrong, runs = 0.3, 0.2, 150

    def served_shares(threshold: float) -> tuple[float, float]:
        """Of true and of false matches, for scores drawn as below."""
        return 1 - threshold**2, (1 - threshold) ** 3

    broken = chosen = 0
    for _ in range(runs):
        pairs = [(math.sqrt(rng.random()), False, True) for _ in range(300)]
        pairs += [(1 - rng.random() ** (1 / 3), False, False) for _ in range(300)]
        grid = sorted(score for score, _, same in pairs if same)[::10]
        made_of = calibrate(
            pairs, scorer="x", encoder=None, vetoes=(), grid=grid, floor=0.0, prior=prior
        )
        threshold = made_of.threshold(max_wrong)
        if threshold is not None:
            chosen += 1
            true, false = served_shares(threshold)
            wrong = (1 - prior) * false / (prior * true + (1 - prior) * false)
            broken += wrong > max_wrong
    assert chosen > runs / 2
    assert broken / runs <= 0.05


def test_a_file_says_which_one_it_was(tmp_path: Path) -> None:
    file = tmp_path / "calibration.json"
    with pytest.raises(CalibrationError, match=r"calibration\.json"):
        Calibration.from_file(file)
    file.write_text("{}")
    with pytest.raises(CalibrationError, match=r"calibration\.json"):
        Calibration.from_file(file)
    file.write_text(shipped("cosine").to_json())
    assert Calibration.from_file(file) == shipped("cosine")


def test_labels_of_one_kind_calibrate_nothing() -> None:
    with pytest.raises(CalibrationError, match="both labels"):
        made([(0.9, False, True)])


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_a_bound_is_a_share(share: float) -> None:
    with pytest.raises(ConfigurationError, match="share"):
        made([(0.9, False, True), (0.6, False, False)]).threshold(share)


@pytest.mark.parametrize("name", ["cosine", "hybrid"])
def test_shipped(name: str) -> None:
    calibration = shipped(name)
    assert calibration.scorer == name
    assert calibration.rules == RULES
    assert calibration.encoder
    for point in calibration.points:
        assert point.upper == pytest.approx(binomial_upper(point.wrong, point.served), abs=1e-6)
    threshold = calibration.threshold(0.01)
    assert threshold is None or threshold >= calibration.floor


@pytest.mark.parametrize("name", ["another", "../calibration", ""])
def test_what_is_not_shipped_says_what_to_do(name: str) -> None:
    with pytest.raises(CalibrationError, match="semcache tune"):
        shipped(name)


def changed(**values: object) -> str:
    return json.dumps({**json.loads(shipped("cosine").to_json()), **values})


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "{}",
        changed(version=3),
        changed(floor=None),
        changed(points=[{"threshold": 0.9}]),
        changed(floor=math.nan),
        changed(points=[{"threshold": 0.9, "served": 1, "wrong": 2, "upper": 1, "probability": 1}]),
        changed(
            points=[{"threshold": 0.9, "served": 100, "wrong": 9, "upper": 0, "probability": 1}]
        ),
        changed(
            points=[
                {"threshold": t, "served": 1, "wrong": 0, "upper": 1, "probability": 1}
                for t in (0.8, 0.9)
            ]
        ),
    ],
)
def test_a_damaged_file_decides_nothing(document: str) -> None:
    with pytest.raises(CalibrationError):
        Calibration.from_json(document)


def test_other_rules_scorers_and_encoders_are_refused() -> None:
    with pytest.raises(ModelMismatch, match="veto rules"):
        Calibration.from_json(changed(rules="0"))
    calibration = shipped("cosine")
    calibration.require(scorer="cosine", encoder=calibration.encoder)
    with pytest.raises(ModelMismatch, match="scorer"):
        calibration.require(scorer="hybrid", encoder=calibration.encoder)
    with pytest.raises(ModelMismatch, match="embedder"):
        calibration.require(scorer="cosine", encoder="another")
    verified = Calibration.from_json(changed(verifier="mine"))
    verified.require(scorer="cosine", encoder=calibration.encoder, verifier="mine")
    with pytest.raises(ModelMismatch, match="verifier"):
        verified.require(scorer="cosine", encoder=calibration.encoder)
