"""Tuning on made-up scores: what is chosen, what counts as evidence, what the report says."""

from __future__ import annotations

import random

import pytest

from semcache.decision.vetoes import ALL, Veto
from semcache.errors import CalibrationError, ConfigurationError
from semcache.evaluate import Pair, Picked
from semcache.tuning.findings import findings
from semcache.tuning.fit import Goal, counts, fit
from semcache.tuning.measure import Scored
from semcache.tuning.parts import components
from semcache.tuning.prior import estimate, low_prior
from semcache.tuning.support import NotEnoughLabels, support_of
from semcache.tuning.words import headline


def scored(
    value: float, same: bool, *fired: str, choosing: bool = False, number: int = 0
) -> Scored:
    return Scored(
        pair=Pair(f"a{number}", f"b{number}", same, source="made up"),
        cosine=value,
        lexical=value,
        values={"x": value},
        fired=tuple(Veto(name, "left / right") for name in fired),
        choosing=choosing,
        evidence=not choosing,
        half=number % 2 == 0,
    )


def even(count: int, wrong: frozenset[int], choosing: bool = False) -> list[Scored]:
    """Scores from .99 down in equal steps; those numbered ``wrong`` are false matches."""
    return [
        scored(0.99 - 0.5 * i / count, i not in wrong, choosing=choosing, number=i)
        for i in range(count)
    ]


def test_a_wrong_label_at_the_top_ends_testing_unless_a_part_says_to_begin_below() -> None:
    at_top = frozenset({3})
    plain = fit(even(1500, at_top), Goal(0.01), scorer="x", encoder=None)
    assert plain.start is None
    assert plain.threshold(0.01) is None
    goal = Goal(0.01, choosing_share=0.3)
    both = [*even(600, frozenset({500}), choosing=True), *even(1500, at_top)]
    helped = fit(both, goal, scorer="x", encoder=None)
    assert helped.start is not None
    threshold = helped.threshold(0.01)
    assert threshold is not None
    assert helped.floor <= threshold <= helped.start


def test_what_is_missing_is_said() -> None:
    few = support_of(fit(even(90, frozenset({89})), Goal(0.01), scorer="x", encoder=None), 0.01)
    with pytest.raises(NotEnoughLabels, match=r"299 served.*has 8.*semcache label.*--max-wrong"):
        few.require()
    bad = frozenset(range(0, 900, 20))
    many = support_of(fit(even(900, bad), Goal(0.01), scorer="x", encoder=None), 0.01)
    with pytest.raises(NotEnoughLabels, match="More labels alone will not help"):
        many.require()
    assert few.tightest is not None
    assert fit(even(90, frozenset({89})), Goal(0.5), scorer="x", encoder=None).threshold(
        few.tightest
    )


def test_with_a_prior_twice_the_labels_needed_are_enough() -> None:
    goal = Goal(0.02, prior=0.2)

    def support(count: int) -> int | float | None:
        some = [scored(0.9, True, number=i) for i in range(count)]
        some += [scored(0.3, False, number=i) for i in range(count)]
        found = support_of(fit(some, goal, scorer="x", encoder=None), 0.02)
        return found.needed if found.threshold is None else found.threshold

    needed = support(100)
    assert isinstance(needed, int)
    assert support(needed - 20) == pytest.approx(needed, rel=0.02)
    assert support(needed + 20) == 0.9


def test_vetoes_are_weighed_one_by_one() -> None:
    some = [scored(0.9, True, number=i) for i in range(100)]
    some += [scored(0.9, True, "tense", number=i) for i in range(7)]
    some += [scored(0.9, False, "tense", number=i) for i in range(2)]
    some += [scored(0.9, False, "tense", "number", number=i) for i in range(5)]
    some += [scored(0.2, False, "tense", number=i) for i in range(9)]
    goal = Goal(0.05)
    calibration = fit(some, goal, scorer="x", encoder=None)
    found = findings(some, calibration, support_of(calibration, 0.05), goal)
    tense, number = (v for v in found.vetoes if v.name in ("tense", "number"))
    if tense.name != "tense":
        tense, number = number, tense
    assert (tense.refuses, tense.right_alone, tense.wrong_alone) == (14, 7, 2)
    assert (tense.served_without, tense.wrong_without) == (109, 2)
    assert (number.refuses, number.right_alone, number.wrong_alone) == (5, 0, 0)
    assert found.best_missed[0].why == "tense (left / right)"
    assert found.worst_false == ()
    assert "100 of 123 evidence pairs, 0 wrong" in headline(found)


def test_a_probability_that_is_true_has_little_calibration_error() -> None:
    rng = random.Random(3)
    values = [rng.random() for _ in range(4000)]
    some = [scored(value, rng.random() < value, number=i) for i, value in enumerate(values)]
    goal = Goal(0.3)
    calibration = fit(some, goal, scorer="x", encoder=None)
    found = findings(some, calibration, support_of(calibration, 0.3), goal)
    assert found.reliability.ece is not None
    assert found.reliability.ece < 0.03
    assert all(b.low <= b.true <= b.high for b in found.reliability.bins)


def test_what_label_picked_counts_only_for_what_it_is_a_sample_of() -> None:
    plain, near, served = (
        Pair("a", "b", True, picked=picked)
        for picked in (None, Picked("near", "x", 0.8), Picked("served", "x", 0.8))
    )
    usual = ALL
    assert counts(plain, Goal(0.01, prior=0.2), scorer="y", usual=usual)
    assert not counts(near, Goal(0.01), scorer="x", usual=usual)
    assert counts(served, Goal(0.01), scorer="x", usual=usual)
    assert not counts(served, Goal(0.01), scorer="y", usual=usual)
    assert not counts(served, Goal(0.01, prior=0.2), scorer="x", usual=usual)
    assert not counts(served, Goal(0.01, vetoes=ALL - {"tense"}), scorer="x", usual=usual)


def test_nothing_is_served_below_what_was_sampled() -> None:
    some = [
        Scored(
            pair=Pair(f"a{i}", "b", True, picked=Picked("served", "x", 0.8)),
            cosine=0.0, lexical=0.0, values={"x": 0.75 + i / 2000}, fired=(), choosing=False,
            evidence=True, half=i % 2 == 0,
        )
        for i in range(450)
    ]  # fmt: skip
    calibration = fit(some, Goal(0.01), scorer="x", encoder=None)
    assert calibration.floor == 0.8
    threshold = calibration.threshold(0.01)
    assert threshold is not None
    assert threshold >= 0.8


@pytest.mark.parametrize(
    "wrong",
    [{"max_wrong": 0.0}, {"max_wrong": 1.0}, {"confidence": 1.0}, {"prior": 0.0},
     {"choosing_share": 1.0}, {"prior": 0.2, "choosing_share": 0.3},
     {"vetoes": frozenset({"mood"})}],
)  # fmt: skip
def test_a_goal_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        Goal(**{"max_wrong": 0.01, **wrong})  # type: ignore[arg-type]


def test_components_do_not_depend_on_the_order_of_the_pairs() -> None:
    pairs = [
        Pair("one", "two", True),
        Pair("three", "four", True, group="g"),
        Pair("Two!", "five", False),
        Pair("six", "seven", True, group="g"),
        Pair("???", "eight", True),
    ]
    forwards = dict(zip(pairs, components(pairs), strict=True))
    backwards = dict(zip(pairs[::-1], components(pairs[::-1]), strict=True))
    assert forwards == backwards
    assert len(set(forwards.values())) == 3


@pytest.mark.parametrize("prior", [0.05, 0.3, 0.8])
def test_a_prior_is_estimated_from_traffic_without_labels(prior: float) -> None:
    rng = random.Random(8)

    def value(same: bool) -> float:
        return rng.betavariate(6, 2) if same else rng.betavariate(2, 4)

    labelled = [(value(i % 2 == 0), i % 2 == 0) for i in range(800)]
    traffic = [value(i < prior * 600) for i in range(600)]
    assert estimate(labelled, traffic) == pytest.approx(prior, abs=0.07)
    low = low_prior(labelled, traffic)
    assert 0 < low < estimate(labelled, traffic)
    assert low == low_prior(labelled, traffic)
    with pytest.raises(CalibrationError, match="both kinds"):
        low_prior([(0.5, True)], traffic)
