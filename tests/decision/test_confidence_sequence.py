"""The confidence sequence: valid at all times at once, ever narrower, and no slower than said."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semcache import ConfigurationError
from semcache.decision.confidence_sequence import (
    GRID,
    MOST_RISKED,
    ConfidenceSequence,
    lower_limit_of_counts,
)

OBSERVATIONS = st.lists(st.floats(0.0, 1.0) | st.sampled_from([0.0, 1.0]), max_size=60)


@settings(max_examples=50, deadline=None)
@given(OBSERVATIONS)
def test_every_interval_lies_within_the_one_before(xs: list[float]) -> None:
    before = ConfidenceSequence()
    for x in xs:
        after = before.observe(x)
        assert before.lower <= after.lower
        assert after.upper <= before.upper
        before = after
    assert before.n == len(xs)
    assert ConfidenceSequence().observe_all(xs) == before


def misses(mean: float, seed: int, steps: int) -> bool:
    """Whether the interval ever leaves the true mean out, in one run."""
    chance = random.Random(seed)
    seen = ConfidenceSequence(confidence=0.8)
    for _ in range(steps):
        seen = seen.observe(float(chance.random() < mean))
        if not seen.lower <= mean <= seen.upper:
            return True
    return False


@pytest.mark.parametrize("mean", [0.01, 0.05, 0.3])
def test_the_mean_is_within_all_of_them_as_often_as_promised(mean: float) -> None:
    """At 80 %, so that 40 runs show something: at most 20 % may ever miss, and 3 sigma."""
    runs = 40
    missed = sum(misses(mean, seed, 150) for seed in range(runs))
    assert missed <= 0.2 * runs + 3 * math.sqrt(0.2 * 0.8 * runs)


def test_looking_at_every_moment_is_what_an_ordinary_interval_cannot_bear() -> None:
    """The same runs, with a normal interval looked at every time: far more than 20 % miss."""
    missed = 0
    for seed in range(40):
        chance, total = random.Random(seed), 0.0
        for n in range(1, 151):
            total += float(chance.random() < 0.3)
            half = 1.2816 * math.sqrt(max(total / n * (1 - total / n), 1e-9) / n)
            if n > 10 and abs(total / n - 0.3) > half:
                missed += 1
                break
    assert missed > 0.4 * 40


@settings(max_examples=20, deadline=None)
@given(OBSERVATIONS)
def test_it_is_the_capital_process_of_the_paper(xs: list[float]) -> None:
    """Against the formulas written down at once, with sums over all of the past."""
    alpha, grid = 0.05, np.array(GRID)
    rising, falling = np.zeros_like(grid), np.zeros_like(grid)
    lower, upper = 0.0, 1.0
    for t, x in enumerate(xs, 1):
        past = np.array(xs[: t - 1])
        means = np.array([(0.5 + past[: i + 1].sum()) / (i + 2) for i in range(t - 1)])
        variance = (0.25 + ((past - means) ** 2).sum()) / t
        bet = math.sqrt(2 * math.log(2 / alpha) / (variance * t * math.log(1 + t)))
        rising += np.log(1 + np.minimum(bet, MOST_RISKED / grid) * (x - grid))
        falling += np.log(1 - np.minimum(bet, MOST_RISKED / (1 - grid)) * (x - grid))
        hedged = np.log(2 / alpha)
        lower = max([lower, *grid[rising >= hedged]])
        upper = min([upper, *grid[falling >= hedged]])
    seen = ConfidenceSequence().observe_all(xs)
    assert (seen.lower, seen.upper) == pytest.approx((lower, upper))
    assert seen.rising == pytest.approx(tuple(rising), abs=1e-6)


def test_how_many_right_answers_make_one_percent() -> None:
    seen = ConfidenceSequence().observe_all([0.0] * 488)
    assert seen.upper > 0.01
    assert seen.observe(0.0).upper == 0.01
    # One wrong answer among them, and it takes longer.
    assert ConfidenceSequence().observe_all([1.0, *[0.0] * 488]).upper > 0.01


def test_a_broken_bound_shows_soon() -> None:
    """One in ten wrong: the lower limit passes 1 % within 150 observations in most runs."""
    shown = 0
    for seed in range(20):
        chance = random.Random(seed)
        seen = ConfidenceSequence().observe_all(float(chance.random() < 0.1) for _ in range(150))
        shown += seen.lower > 0.01
    assert shown >= 16


@settings(max_examples=20, deadline=None)
@given(OBSERVATIONS, OBSERVATIONS)
def test_it_goes_on_after_a_restart(before: list[float], after: list[float]) -> None:
    seen = ConfidenceSequence().observe_all(before)
    read = ConfidenceSequence.from_json(seen.to_json())
    one, two = seen.observe_all(after), read.observe_all(after)
    assert (one.n, one.lower, one.upper) == (two.n, two.lower, two.upper)


@pytest.mark.parametrize(
    "change",
    [{"rising": []}, {"confidence": 1.0}, {"total": 5.0}, {"spread": float("nan")}, {"lower": 2}],
)
def test_a_state_that_is_none_is_refused(change: dict[str, object]) -> None:
    document = ConfidenceSequence().observe(0.0).to_json() | change
    with pytest.raises(ValueError, match="not a confidence sequence"):
        ConfidenceSequence.from_json(document)


@pytest.mark.parametrize("x", [-0.1, 1.1, float("nan")])
def test_an_observation_that_is_none_is_refused(x: float) -> None:
    with pytest.raises(ConfigurationError):
        ConfidenceSequence().observe(x)


# From counts alone ----------------------------------------------------------------------------


@given(st.integers(0, 50), st.integers(0, 500))
def test_the_limit_of_counts_is_below_their_share_and_grows_with_them(
    hits: int, misses: int
) -> None:
    n = hits + misses
    limit = lower_limit_of_counts(hits, n)
    assert 0.0 <= limit <= (hits / n if n else 0.0)
    assert limit <= lower_limit_of_counts(hits + 1, n + 1)
    assert lower_limit_of_counts(hits, n + 1) <= limit + 1e-12


def test_the_limit_of_counts_holds_at_all_times() -> None:
    missed = 0
    for seed in range(100):
        chance, hits = random.Random(seed), 0
        for n in range(1, 201):
            hits += chance.random() < 0.03
            if lower_limit_of_counts(hits, n, confidence=0.8) > 0.03:
                missed += 1
                break
    assert missed <= 0.2 * 100 + 3 * math.sqrt(0.2 * 0.8 * 100)


def test_counts_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigurationError):
        lower_limit_of_counts(2, 1)
