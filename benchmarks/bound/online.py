"""The bound watched in operation (``semcache/decision/live.py``), at a shadow rate.

Requests are drawn from a population of pairs. A pair that scores at least the threshold is served;
of these a share is a sample: the model is asked, too, and says whether the serve was wrong. The
state moves as in the cache: step by step through ``steps_up``, up to serving nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from semcache.decision.calibration import Calibration, calibrate
from semcache.decision.live import fresh, steps_up
from semcache.tuning.fit import DECIMALS, GRID_SIZE

if TYPE_CHECKING:
    from benchmarks.bound.control import Flags, Floats

SHADOW_RATE = 0.05


@dataclass(frozen=True, slots=True)
class Watched:
    """One run.

    Attributes:
        served, wrong: of all requests.
        late_served, late_wrong: of the last quarter of the requests.
        first_step: how many were served before the threshold first tightened; ``None``: never.
        steps: how far up it is at the end; ``off``: nothing is served any more.
    """

    served: int
    wrong: int
    late_served: int
    late_wrong: int
    first_step: int | None
    steps: int
    off: bool


def calibration_at(scores: Floats, same: Flags, threshold: float, bound: float) -> Calibration:
    """What ``tune`` would have written, down to the threshold that it chose."""
    values = np.sort(scores[scores > -math.inf])[::-1]
    grid = np.unique(np.round(values[:: max(1, len(values) // GRID_SIZE)], DECIMALS))
    return calibrate(
        [(s, s == -math.inf, bool(t)) for s, t in zip(scores.tolist(), same, strict=True)],
        scorer="simulated",
        encoder=None,
        vetoes=(),
        grid=[float(one) for one in grid if one >= threshold],
        floor=threshold,
    )


def watch(
    calibration: Calibration,
    bound: float,
    scores: Floats,
    same: Flags,
    requests: int,
    rng: np.random.Generator,
    shadow_rate: float = SHADOW_RATE,
) -> Watched:
    """Requests drawn from these pairs, until there have been so many."""
    thresholds = steps_up(calibration, bound)
    shares = [float((scores >= at).mean()) for at in thresholds]
    rates = [
        float((~same[scores >= at]).mean()) if share else 0.0
        for at, share in zip(thresholds, shares, strict=True)
    ]
    late = requests - requests // 4
    state, asked = fresh(), 0
    totals = np.zeros(4, dtype=np.int64)
    first: int | None = None
    while asked < requests and state.step < len(thresholds) and shares[state.step] > 0:
        # To the next sample: so many serves, the last of them the sample; so many requests.
        serves = int(rng.geometric(shadow_rate))
        took = serves + int(rng.negative_binomial(serves, shares[state.step]))
        whole = took
        if asked + took > requests:
            took = requests - asked
            serves = max(0, round(serves * took / whole))
        rate = rates[state.step]
        sampled_wrong = bool(rng.random() < rate)
        wrong = int(rng.binomial(max(0, serves - 1), rate)) + (sampled_wrong and serves > 0)
        asked += took
        totals[:2] += [serves, wrong]
        if asked > late:
            totals[2:] += [serves, wrong]
        if took == whole:
            state, move = state.sampled(sampled_wrong).moved(bound, len(thresholds))
            if move == "tightened" and first is None:
                first = int(totals[0])
    off = state.step >= len(thresholds) or shares[state.step] == 0
    served, wrong_, late_served, late_wrong = map(int, totals)
    return Watched(served, wrong_, late_served, late_wrong, first, state.step, off)
