"""How often is the cache wrong *now*? An interval that may be looked at after every observation.

An ordinary confidence interval is valid at one sample size that was fixed before. Whoever looks at
it after every observation, and acts the first time it looks bad, will in the end act on chance. A
*confidence sequence* holds at all times at once: with probability at least ``confidence`` the true
mean lies within every interval of the whole sequence.

By betting: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting",
J. R. Statist. Soc. B 86 (2024) 1-27, arXiv 2010.09686. For each possible mean ``m`` a gambler bets
on the next observation against the claim "the mean is ``m``". Were the claim true, the game would
be fair, and the gambler's capital would exceed ``1 / alpha`` at any time with probability at most
``alpha`` (Ville 1939); so a ``m`` against which somebody got that rich is ruled out. This is the
*hedged capital process* of their theorem 3 with the predictable plug-in bets of their equation
(26): half of the money bets that the mean is higher, half that it is lower.

Pure. The mean is that of what was observed: independent draws of one population, or at least
observations with one conditional mean. When that changes (another threshold), begin anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from semcache.errors import ConfigurationError

CONFIDENCE = 0.95

# No bet risks more than this share of the capital, whatever comes. The paper suggests 1/2 or 3/4
# (section 4.3). With 1/2 it takes 733 right answers in a row to bring the upper limit to 1 %, with
# 3/4 it takes 489, and both find 5 % of wrong answers after 150 (median of 60 simulated runs).
MOST_RISKED = 0.75

# Where the capital is kept: fine where bounds are. The limits are read off to the safe side, so the
# grid costs at most one step of it.
GRID = tuple(
    [i * 0.0005 for i in range(1, 40)]
    + [i * 0.002 for i in range(10, 50)]
    + [i * 0.01 for i in range(10, 100)]
)


@dataclass(frozen=True, slots=True)
class ConfidenceSequence:
    """What is known of a mean after ``n`` observations; a value that ``observe`` replaces.

    Attributes:
        confidence: of all intervals together.
        n, total: number and sum of the observations.
        lower, upper: the interval, in [0, 1]: every one lies within the one before.
        spread: sum of squared deviations, as the plug-in variance wants it.
        rising, falling: log capital at each point of ``GRID`` of those who bet that the mean is
            higher and lower than it.

    >>> seen = ConfidenceSequence().observe_all([0.0] * 488)
    >>> seen.upper, seen.observe(0.0).upper
    (0.0105, 0.01)
    """

    confidence: float = CONFIDENCE
    n: int = 0
    total: float = 0.0
    lower: float = 0.0
    upper: float = 1.0
    spread: float = 0.25
    rising: tuple[float, ...] = (0.0,) * len(GRID)
    falling: tuple[float, ...] = (0.0,) * len(GRID)

    @property
    def mean(self) -> float | None:
        """The mean of what was observed; ``None`` before anything was."""
        return self.total / self.n if self.n else None

    def observe(self, x: float) -> ConfidenceSequence:
        """The sequence after one more observation in [0, 1].

        Raises:
            ConfigurationError: ``x`` is not in [0, 1].
        """
        if not 0.0 <= x <= 1.0:
            raise ConfigurationError(f"an observation must lie between 0 and 1, not {x!r}")
        needed = math.log(2.0 / (1.0 - self.confidence))  # each of the two has half of the money
        n = self.n + 1
        # The bet on this observation, from those before it: equation (26).
        bet = math.sqrt(2.0 * needed / (self.spread * math.log(n + 1)))
        rising = tuple(
            capital + math.log1p(min(bet, MOST_RISKED / m) * (x - m))
            for capital, m in zip(self.rising, GRID, strict=True)
        )
        falling = tuple(
            capital + math.log1p(-min(bet, MOST_RISKED / (1.0 - m)) * (x - m))
            for capital, m in zip(self.falling, GRID, strict=True)
        )
        # The capital of the rising bets falls with m and that of the falling ones rises, so a mean
        # between two points of the grid is ruled out where the outer one of them is.
        lower = max((m for m, won in zip(GRID, rising, strict=True) if won >= needed), default=0.0)
        upper = min((m for m, won in zip(GRID, falling, strict=True) if won >= needed), default=1.0)
        total = self.total + x
        return ConfidenceSequence(
            confidence=self.confidence,
            n=n,
            total=total,
            lower=max(self.lower, lower),
            upper=min(self.upper, upper),
            spread=self.spread + (x - (0.5 + total) / (n + 1)) ** 2,
            rising=rising,
            falling=falling,
        )

    def observe_all(self, xs: Iterable[float]) -> ConfidenceSequence:
        """The sequence after these, one after the other."""
        seen = self
        for x in xs:
            seen = seen.observe(x)
        return seen

    def to_json(self) -> dict[str, Any]:
        """As plain JSON data, some 5 KB."""
        return {
            "confidence": self.confidence,
            "n": self.n,
            "total": self.total,
            "lower": self.lower,
            "upper": self.upper,
            "spread": self.spread,
            "rising": [round(won, 6) for won in self.rising],
            "falling": [round(won, 6) for won in self.falling],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ConfidenceSequence:
        """What ``to_json`` wrote.

        Raises:
            ValueError, KeyError, TypeError: it is not that, or was made on another grid.
        """
        rising = tuple(map(float, document["rising"]))
        falling = tuple(map(float, document["falling"]))
        seen = cls(
            float(document["confidence"]),
            int(document["n"]),
            float(document["total"]),
            float(document["lower"]),
            float(document["upper"]),
            float(document["spread"]),
            rising,
            falling,
        )
        sound = (
            len(rising) == len(falling) == len(GRID)
            and 0.0 < seen.confidence < 1.0
            and 0.0 <= seen.total <= seen.n
            and 0.0 <= seen.lower <= 1.0
            and 0.0 <= seen.upper <= 1.0
            and seen.spread >= 0.25
            and all(map(math.isfinite, rising + falling))
        )
        if not sound:
            raise ValueError("not a confidence sequence of this version")
        return seen


# Rates are averaged with the weight of Beta(1, 19), which expects one in twenty. Any weight is
# valid; this one wants two hits before it says anything about 1 %, where a uniform one wants one.
_PRIOR = 19.0


def lower_limit_of_counts(hits: int, n: int, confidence: float = CONFIDENCE) -> float:
    """A lower limit on a rate that holds at all times, from the counts alone.

    For observations whose order is not known, such as reports, which come in long after the serve
    that they are about. Robbins' mixture (Ann. Math. Statist. 41 (1970) 1397-1409): the likelihood
    of the counts averaged over all rates, over their likelihood at the rate ``m``, ever exceeds
    ``1 / (1 - confidence)`` with at most the probability ``1 - confidence`` if ``m`` is true. More
    hits only raise the limit, so hits that are not known yet leave it valid.

    Raises:
        ConfigurationError: not counts.

    >>> lower_limit_of_counts(0, 100), round(lower_limit_of_counts(10, 100), 3)
    (0.0, 0.033)
    """
    if not 0 <= hits <= n:
        raise ConfigurationError(f"{hits} hits of {n} cannot be")
    if hits == 0:
        return 0.0
    misses = n - hits
    needed = -math.log1p(-confidence)
    mixture = _log_beta(hits + 1, misses + _PRIOR) - _log_beta(1, _PRIOR)

    def ruled_out(m: float) -> bool:
        return mixture - hits * math.log(m) - misses * math.log1p(-m) >= needed

    low, high = 0.0, hits / n
    for _ in range(50):  # halves the interval down to the last digit of a float
        middle = (low + high) / 2
        if middle > 0.0 and ruled_out(middle):
            low = middle
        elif middle <= 0.0:
            break
        else:
            high = middle
    return low


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
