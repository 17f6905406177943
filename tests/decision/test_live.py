"""The rules: when the threshold tightens and relaxes, what a report forbids, what is doubtful."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.candidates import Found
from semcache.decision.calibration import shipped
from semcache.decision.decide import Judged, Verdict
from semcache.decision.doubtful import SOFT_VETOES, doubtful, least_doubtful
from semcache.decision.live import STEP_KEEPS, Counts, Live, Move, steps_up, tightened
from semcache.decision.neighbourhood import MARGIN, Wrong, forbidden
from semcache.decision.vetoes import ALL
from semcache.entry import Entry
from tests.cache.online_cases import evidence

# The threshold --------------------------------------------------------------------------------


@pytest.mark.parametrize("scorer", ["cosine", "hybrid"])
def test_each_step_is_on_the_grid_supported_and_keeps_less(scorer: str) -> None:
    calibration = shipped(scorer)
    steps = steps_up(calibration, 0.01)
    served = {point.threshold: point.served for point in calibration.points}
    assert steps[0] == calibration.threshold(0.01)
    assert len(steps) >= 2
    for lower, higher in itertools.pairwise(steps):
        assert higher > lower
        assert served[higher] <= STEP_KEEPS * served[lower]
    for step, threshold in enumerate(steps):
        raised = tightened(calibration, 0.01, step)
        assert raised is not None
        assert raised.threshold(0.01) == threshold
        assert raised.threshold(0.05) == threshold, "a looser call does not come in below"
    assert tightened(calibration, 0.01, len(steps)) is None


def test_without_support_there_are_no_steps() -> None:
    assert steps_up(shipped("hybrid"), 0.001) == ()
    state, move = Live().counted(Counts(10, 0, 10)).moved(0.001, 0)
    assert (state.step, move) == (0, None)


def after(state: Live, samples: list[bool]) -> tuple[Live, list[Move]]:
    moves: list[Move] = []
    for wrong in samples:
        state, move = state.sampled(wrong).moved(0.01, 3)
        if move is not None:
            moves.append(move)
    return state, moves


def test_it_goes_up_as_many_steps_as_the_bound_is_broken_times_over() -> None:
    a_little, moves = after(Live(), [False] * 10 + [True] * 5)  # at least 1.9 %
    assert (a_little.step, moves) == (1, ["tightened"])
    far_off, moves = after(Live(), [True, True])  # at least 3.4 %
    assert (far_off.step, moves) == (3, ["tightened"])


def test_it_tightens_at_most_to_the_pause_and_relaxes_at_most_to_the_calibration() -> None:
    paused, moves = after(Live(), [True] * 60)
    assert (paused.step, moves) == (3, ["tightened"])
    relaxed, moves = after(paused, [False] * 5 * 600)
    assert (relaxed.step, moves) == (0, ["relaxed"] * 3)
    assert (relaxed.samples, relaxed.samples_wrong) == (60 + 5 * 600, 60)


def test_each_step_begins_a_window_of_its_own() -> None:
    state = Live()
    while state.step == 0:
        state, _ = state.sampled(True).counted(Counts(1, 0, 0)).moved(0.01, 3)
    assert (state.window.n, state.window.lower, state.window.upper) == (0, 0.0, 1.0)
    assert state.reports == Counts()
    assert state.samples == state.all_reports.served > 0


def test_a_change_for_the_worse_shows_however_long_all_was_well() -> None:
    chance, state = random.Random(7), Live()
    for _ in range(3000):
        state, move = state.sampled(False).moved(0.01, 3)
        assert move is None
    assert state.last is not None
    assert state.last.upper <= 0.01
    for _ in range(600):
        state, move = state.sampled(chance.random() < 0.1).moved(0.01, 3)
        if move is not None:
            break
    assert move == "tightened"


def test_so_it_is_with_reports() -> None:
    state, move = Live(), None
    for _ in range(100):
        state, move = state.counted(Counts(1000, 0, 1)).moved(0.01, 3)
        assert move is None
    assert state.all_reports == Counts(100_000, 0, 100)
    state, move = state.counted(Counts(1000, 0, 50)).moved(0.01, 3)
    assert move == "tightened"


def test_right_reports_relax_nothing() -> None:
    state, move = Live(step=1).counted(Counts(100_000, 100_000, 0)).moved(0.01, 3)
    assert (state.step, move) == (1, None)


@given(st.integers(0, 5), st.integers(0, 40), st.integers(0, 40), st.integers(0, 9))
def test_it_is_the_same_after_a_restart(step: int, right: int, wrong: int, served: int) -> None:
    state = Live(step=step).counted(Counts(served, right, wrong))
    for sample in (True, False, False):
        state = state.sampled(sample)
    read = Live.from_json(state.to_json())
    assert (read.step, read.reports, read.all_reports) == (step, state.reports, state.all_reports)
    assert (read.window.lower, read.window.upper) == (state.window.lower, state.window.upper)


@pytest.mark.parametrize(
    "change", [{"step": -1}, {"samples": -1}, {"reports": [1, 2]}, {"reports": [-1, 0, 0]}]
)
def test_a_state_that_is_none_is_refused(change: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Live.from_json(Live().to_json() | change)


# The neighbourhood ----------------------------------------------------------------------------

COSINES = st.floats(-1.0, 1.0)


@given(COSINES, COSINES)
def test_the_same_entry_needs_to_be_clearly_nearer(entry: float, wrong: float) -> None:
    assert forbidden("e", entry, [Wrong("e", wrong)]) == (wrong > entry - MARGIN)


@given(COSINES)
def test_the_pair_itself_is_always_forbidden(cosine: float) -> None:
    assert forbidden("e", cosine, [Wrong("e", 1.0)])


@given(COSINES)
def test_the_answer_of_the_wrong_prompt_itself_never_is(cosine: float) -> None:
    assert not forbidden("its own", cosine, [Wrong("e", cosine)])


# The grey zone --------------------------------------------------------------------------------


def judged(query: str, score: float) -> Judged:
    entry = Entry("e", "s", query, None, 0.0)
    return Judged(Found(entry, score, (), "vector"), score, 0.9, {}, ())


def test_the_best_that_no_hard_veto_rules_out_is_doubtful() -> None:
    candidates = (
        judged("How do I not delete my account?", 0.94),
        judged("How do I get rid of my account?", 0.93),
        judged("How do I delete the account?", 0.92),
    )
    asked = "How do I delete my account?"
    verdict = Verdict(None, candidates, 0.95, "cosine", "")
    least = least_doubtful(evidence(), 0.01, 0.15)
    assert least == pytest.approx(0.80)
    assert least is not None
    found = doubtful(asked, verdict, least=least, enabled=ALL, soft=SOFT_VETOES)
    assert found is candidates[1]
    assert doubtful(asked, verdict, least=0.935, enabled=ALL, soft=SOFT_VETOES) is None
    nothing = Verdict(None, (judged(asked, -math.inf),), 0.95, "cosine", "")
    assert doubtful(asked, nothing, least=least, enabled=ALL, soft=SOFT_VETOES) is None


def test_without_a_threshold_nothing_is_doubtful() -> None:
    assert least_doubtful(evidence(), 0.0001, 0.15) is None
