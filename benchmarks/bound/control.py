"""The threshold that risk control chooses: what ``semcache tune`` does, fast enough to do it often.

Grid, floor and fixed-sequence testing are those of ``semcache.tuning.fit`` and
``Calibration.threshold`` (a test compares them). Faster, because the counts come from one sort, and
because the exact bound is asked once for each number of served pairs and not for each threshold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from semcache.decision.binomial import CONFIDENCE, binomial_lower, binomial_upper
from semcache.tuning.fit import DECIMALS, FLOOR_QUANTILE, GRID_SIZE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Ints = NDArray[np.int64]

# Of few pairs, beginning late would leave nothing above: tried with the learned scorer on halves
# and on nine tenths of the pool, at 1, 2 and 5 %.
SPARE_PART = 8

NEVER = math.inf
"""A threshold that nothing reaches: the evidence does not support the bound."""


@dataclass
class Allowed:
    """How many wrong ones of so many served the bound allows; -1: not even none."""

    bound: float
    confidence: float = CONFIDENCE
    most: list[int] = field(default_factory=lambda: [-1])

    def table(self, served: int) -> Ints:
        """For 0 to ``served`` served pairs. The number never falls, so each costs one more test."""
        while len(self.most) <= served:
            n, wrong = len(self.most), self.most[-1]
            while wrong + 1 < n and binomial_upper(wrong + 1, n, self.confidence) <= self.bound:
                wrong += 1
            self.most.append(wrong)
        return np.asarray(self.most[: served + 1], dtype=np.int64)


_allowed: dict[tuple[float, float], Allowed] = {}


def chosen_threshold(
    scores: Floats,
    same: Flags,
    bound: float,
    *,
    confidence: float = CONFIDENCE,
    least: float = -math.inf,
    spare: int = 0,
) -> float:
    """The threshold for these labelled pairs; ``NEVER`` where they do not support the bound.

    Args:
        scores: ``-inf`` where a veto refuses the pair.
        least: no threshold below this.
        spare: testing begins where so many wrong ones (or an eighth of what the bound would allow
            of all open pairs, if that is less) would pass. 0 is what ``tune`` does. It depends on
            how many are served and not on the labels, so it is as valid; what it may cost is a
            threshold above, and what it gains is that a single wrong one at the top ends nothing.
    """
    open_pairs = scores > -math.inf
    order = np.argsort(scores[open_pairs], kind="stable")
    values, right = scores[open_pairs][order], same[open_pairs][order]
    if not values.size:
        return NEVER
    step = max(1, len(values) // GRID_SIZE)
    grid = np.unique(np.round(values[::-1][::step], DECIMALS))[::-1]
    lowest = values[int(len(values) * FLOOR_QUANTILE)]
    above = grid[grid >= lowest]
    floor = max(float(above[-1] if above.size else grid[0]), least)
    below = np.searchsorted(values, grid, side="left")
    served = len(values) - below
    # wrong_below[i]: wrong ones among the i lowest
    wrong_below = np.concatenate([[0], np.cumsum(~right)])
    wrong = wrong_below[-1] - wrong_below[below]
    limit = _allowed.setdefault((bound, confidence), Allowed(bound, confidence))
    table = limit.table(len(values))
    tested = table[served] >= min(spare, max(0, table[-1] // SPARE_PART))
    passed = (wrong <= table[served]) & (grid >= floor)
    failed = np.flatnonzero(tested & ~passed)
    end = failed[0] if failed.size else len(grid)
    kept = np.flatnonzero(tested[:end])
    return float(grid[kept[-1]]) if kept.size else NEVER


def best_fixed(scores: Floats, same: Flags, bound: float) -> float:
    """The loosest threshold whose wrong share on *these* pairs is within the bound: an oracle."""
    order = np.argsort(-scores, kind="stable")
    values, right = scores[order], same[order]
    last = np.append(values[1:] != values[:-1], True)
    wrong = np.cumsum(~right) / np.arange(1, len(values) + 1)
    fine = np.flatnonzero(last & (wrong <= bound) & (values > -math.inf))
    return float(values[fine[-1]]) if fine.size else NEVER


def wrong_share(scores: Floats, same: Flags, threshold: float) -> float:
    """Of the served; 0 where nothing is served, for nothing was promised and broken there."""
    served = scores >= threshold
    return float((~same[served]).mean()) if served.any() else 0.0


def served_share(scores: Floats, same: Flags, threshold: float) -> float:
    """Of the true duplicates."""
    return float((scores[same] >= threshold).mean()) if same.any() else 0.0


@dataclass(frozen=True, slots=True)
class Share:
    """A share of runs, with its exact two-sided 95 % Monte Carlo interval."""

    hits: int
    runs: int

    @property
    def value(self) -> float:
        return self.hits / self.runs if self.runs else 0.0

    @property
    def low(self) -> float:
        return binomial_lower(self.hits, self.runs, 0.975) if self.hits else 0.0

    @property
    def high(self) -> float:
        return binomial_upper(self.hits, self.runs, 0.975)

    def to_json(self) -> dict[str, float]:
        return {"share": self.value, "low": self.low, "high": self.high, "runs": self.runs}


def share_of(flags: Sequence[bool]) -> Share:
    """How many of the runs."""
    return Share(int(sum(flags)), len(flags))
