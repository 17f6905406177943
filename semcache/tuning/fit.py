"""From scored pairs to a calibration.

What is chosen before testing is chosen without the labels of the evidence (with a prior, without
its false matches):

* the *grid* of thresholds: ranks of the scores, so that it is as fine as the scores are dense,
  whatever the scorer's scale. A count at the rank of a score is that of a sample above it;
* the *floor*: the score above which ``1 - FLOOR_QUANTILE`` of the pairs without a veto lie, and
  nothing below where ``semcache label`` sampled;
* where testing begins: at the strictest threshold that serves enough pairs. Or, with a part to
  choose on, at the threshold where that part makes it likeliest that the first test passes.

A part to choose on costs evidence, and is off by default. Measured with the learned scorer on
random parts of strict_pairs.tune at ``max_wrong`` .01 (60 draws each): of 90 % of the pairs, all
draws support the bound without it and 57 % with it; of 50 %, 50 % against 20 %. It pays where a
wrong label among the very highest scores would end the usual sequence at once.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from semcache.decision.binomial import CONFIDENCE, binomial_upper
from semcache.decision.calibration import Calibration, calibrate
from semcache.decision.vetoes import ALL
from semcache.errors import ConfigurationError
from semcache.evaluate import Pair
from semcache.tuning.measure import Scored

FLOOR_QUANTILE = 0.05
GRID_SIZE = 200
SERVED = "served"
# Thresholds are kept to this many decimals: finer than any float32 cosine is reproducible.
DECIMALS = 5


@dataclass(frozen=True, slots=True)
class Goal:
    """What the user asks for.

    Raises:
        ConfigurationError: a share that is none, or a prior together with a part to choose on.
    """

    max_wrong: float
    confidence: float = CONFIDENCE
    prior: float | None = None
    choosing_share: float = 0.0
    vetoes: frozenset[str] = ALL

    def __post_init__(self) -> None:
        for name, value in (("max_wrong", self.max_wrong), ("confidence", self.confidence)):
            if not 0 < value < 1:
                raise ConfigurationError(f"{name} must be between 0 and 1, not {value:g}")
        if self.prior is not None and not 0 < self.prior < 1:
            raise ConfigurationError(f"the prior must be between 0 and 1, not {self.prior:g}")
        if not 0 <= self.choosing_share < 1:
            raise ConfigurationError(
                f"the choosing share must be at least 0 and below 1, not {self.choosing_share:g}"
            )
        if self.prior is not None and self.choosing_share:
            raise ConfigurationError(
                "with a prior the true matches say where testing begins, so there is nothing to "
                "choose: leave out the part to choose on"
            )
        if unknown := sorted(self.vetoes - ALL):
            raise ConfigurationError(f"no veto named {unknown[0]!r}; there are {sorted(ALL)}")


def counts(pair: Pair, goal: Goal, *, scorer: str, usual: frozenset[str]) -> bool:
    """Whether a pair may be evidence for that scorer.

    All may, except those that ``semcache label`` picked by their score: ``near`` ones are no
    sample of anything. ``served`` ones are a sample of what that scorer serves with its ``usual``
    vetoes, so they say nothing about another scorer, about pairs that one of these vetoes kept
    out, or about how many of *all* pairs are served, which a prior needs.
    """
    picked = pair.picked
    if picked is None:
        return True
    sampled = picked.how == SERVED and picked.scorer == scorer
    return sampled and goal.prior is None and usual <= goal.vetoes


def fit(
    scored: Sequence[Scored],
    goal: Goal,
    *,
    scorer: str,
    encoder: str | None,
    verifier: str | None = None,
    made_from: str = "",
) -> Calibration:
    """The calibration of one scorer by name.

    Raises:
        CalibrationError: the evidence has pairs of one label only, or none.
    """
    choosing = [one for one in scored if one.choosing]
    evidence = [one for one in scored if one.evidence]
    told_by = choosing or evidence
    if goal.prior is not None:
        told_by = [one for one in evidence if one.pair.same]
    seen = _open_values(told_by, scorer, goal.vetoes)
    grid = _grid(seen)
    picked = [one.pair.picked.least for one in [*choosing, *evidence] if one.pair.picked]
    floor = max([_floor(seen, grid), *picked])
    return calibrate(
        [(one.values[scorer], one.vetoed(goal.vetoes), one.pair.same) for one in evidence],
        scorer=scorer,
        encoder=encoder,
        vetoes=sorted(goal.vetoes),
        grid=grid,
        floor=floor,
        confidence=goal.confidence,
        made_from=made_from,
        start=_start(
            choosing,
            _open_values(evidence, scorer, goal.vetoes),
            [threshold for threshold in grid if threshold >= floor],
            scorer,
            goal,
        ),
        prior=goal.prior,
        verifier=verifier,
        sampled=bool(picked),
    )


def _open_values(scored: Sequence[Scored], scorer: str, enabled: frozenset[str]) -> list[float]:
    """Ascending values of the pairs that no veto refuses."""
    return sorted(one.values[scorer] for one in scored if not one.vetoed(enabled))


def _grid(values: Sequence[float]) -> list[float]:
    if not values:
        return []
    step = max(1, len(values) // GRID_SIZE)
    # From the top down, so that the strictest thresholds are there however coarse the step is.
    return sorted({round(value, DECIMALS) for value in values[::-1][::step]}, reverse=True)


def _floor(values: Sequence[float], grid: Sequence[float]) -> float:
    if not values:
        return 1.0
    lowest = values[int(len(values) * FLOOR_QUANTILE)]
    return min((threshold for threshold in grid if threshold >= lowest), default=grid[0])


def _start(
    choosing: Sequence[Scored],
    evidence: Sequence[float],
    grid: Sequence[float],
    scorer: str,
    goal: Goal,
) -> float | None:
    """Where the choosing part makes a pass of the first test likeliest; the loosest such place.

    The wrong share at a threshold is foretold as Beta (Jeffreys' prior) from the choosing part, and
    so the count among the evidence served there as beta-binomial.
    """
    if not choosing or not grid:
        return None
    right, wrong = (
        _open_values([one for one in choosing if one.pair.same is label], scorer, goal.vetoes)
        for label in (True, False)
    )

    def chance(threshold: float) -> float:
        served = len(evidence) - bisect_left(evidence, threshold)
        bad = len(wrong) - bisect_left(wrong, threshold) + 0.5
        good = len(right) - bisect_left(right, threshold) + 0.5
        total, allowed = 0.0, 0
        while binomial_upper(allowed, served, goal.confidence) <= goal.max_wrong:
            total += _beta_binomial(allowed, served, bad, good)
            allowed += 1
        return total

    return max(reversed(grid), key=chance)


def _beta_binomial(k: int, n: int, a: float, b: float) -> float:
    """P(``k`` of ``n``) where the share is Beta(a, b)."""

    def log_beta(x: float, y: float) -> float:
        return math.lgamma(x) + math.lgamma(y) - math.lgamma(x + y)

    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(ways + log_beta(k + a, n - k + b) - log_beta(a, b))
