"""The thresholds that ship, on a pool that they were not made from (or were: see its files)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.bound.control import NEVER
from semcache.decision.binomial import binomial_lower, binomial_upper
from semcache.decision.calibration import shipped

if TYPE_CHECKING:
    from benchmarks.bound.exchangeable import Pool
    from benchmarks.bound.known import Known


@dataclass(frozen=True, slots=True)
class AsShipped:
    """What one shipped threshold does to a pool.

    Attributes:
        served, wrong: pairs.
        low, high: exact 90 % interval of the wrong share, so 95 % on either side.
        served_share: of the true duplicates.
    """

    scorer: str
    bound: float
    threshold: float
    served: int
    wrong: int
    low: float
    high: float
    served_share: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def shipped_thresholds(known: Known, bounds: Sequence[float]) -> dict[tuple[str, float], float]:
    """By the scorer's short name and the bound; those without support are left out."""
    found: dict[tuple[str, float], float] = {}
    for name, scorer in known.scorers.items():
        evidence = shipped(scorer.name)
        for bound in bounds:
            at = evidence.threshold(bound)
            if at is not None:
                found[name, bound] = at
    return found


def as_shipped(pool: Pool, thresholds: Mapping[tuple[str, float], float]) -> list[AsShipped]:
    """Each on the whole pool."""
    found = []
    for (name, bound), at in thresholds.items():
        hit = pool.scores[name] >= at
        served, wrong = int(hit.sum()), int((hit & ~pool.same).sum())
        low = binomial_lower(wrong, served) if wrong else 0.0
        high = binomial_upper(wrong, served)
        share = float(hit[pool.same].mean()) if at < NEVER else 0.0
        found.append(AsShipped(name, bound, at, served, wrong, low, high, share))
    return found
