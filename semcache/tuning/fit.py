"""Choosing on one part, measuring on the other: from scored pairs to a calibration.

Three things are chosen without a look at the labels of the evidence:

* the *grid* of thresholds: ranks of the scores in the choosing part, so that it is as fine as the
  scores are dense, whatever the scorer's scale;
* the *floor*: the score above which ``1 - FLOOR_QUANTILE`` of the pairs without a veto lie, and
  nothing below where ``semcache label`` sampled;
* the *start* of the sequence of tests: the threshold whose bound would be lowest if the evidence
  came out as the choosing part did. Without a choosing part there is none, and the sequence begins
  where enough pairs are served (see ``decision/calibration.py``).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from semcache.decision.binomial import CONFIDENCE, binomial_upper
from semcache.decision.calibration import Calibration, calibrate
from semcache.decision.shift import shifted_upper
from semcache.decision.vetoes import ALL
from semcache.errors import ConfigurationError
from semcache.evaluate import Pair
from semcache.tuning.measure import Scored

CHOOSING_SHARE = 0.3
FLOOR_QUANTILE = 0.05
GRID_SIZE = 200
SERVED = "served"
# Thresholds are kept to this many decimals: finer than any float32 cosine is reproducible.
DECIMALS = 5


@dataclass(frozen=True, slots=True)
class Goal:
    """What the user asks for.

    Raises:
        ConfigurationError: a share that is none, or a prior without a choosing part.
    """

    max_wrong: float
    confidence: float = CONFIDENCE
    prior: float | None = None
    choosing_share: float = CHOOSING_SHARE
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
        if self.prior is not None and not self.choosing_share:
            raise ConfigurationError(
                "with a prior, where testing begins cannot be told without labels: "
                "leave a choosing share"
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
    seen = _open_values(choosing, scorer, goal.vetoes) or _open_values(
        evidence, scorer, goal.vetoes
    )
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
        start=_start(choosing, len(evidence), [t for t in grid if t >= floor], scorer, goal),
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
    choosing: Sequence[Scored], evidence: int, grid: Sequence[float], scorer: str, goal: Goal
) -> float | None:
    """The threshold with the lowest bound that the choosing part foretells for the evidence."""
    if not choosing or not evidence or not grid:
        return None
    ratio = evidence / len(choosing)
    right, wrong = (
        sorted(
            one.values[scorer]
            for one in choosing
            if one.pair.same is label and not one.vetoed(goal.vetoes)
        )
        for label in (True, False)
    )
    positives = sum(one.pair.same for one in choosing)
    negatives = len(choosing) - positives

    def foretold(threshold: float) -> float:
        # Half a wrong pair more than was seen: of a few, none is no promise.
        bad = round((len(wrong) - bisect_left(wrong, threshold) + 0.5) * ratio)
        good = round((len(right) - bisect_left(right, threshold)) * ratio)
        if goal.prior is None:
            return binomial_upper(bad, bad + good, goal.confidence)
        return shifted_upper(
            bad,
            good,
            negatives=max(bad, round(negatives * ratio)),
            positives=round(positives * ratio),
            prior=goal.prior,
            confidence=goal.confidence,
        )

    return min(grid, key=foretold)
