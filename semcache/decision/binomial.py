"""Exact bounds on a share of which some were counted (Clopper and Pearson, Biometrika 26, 1934)."""

from __future__ import annotations

import math

CONFIDENCE = 0.95
# Of a sum, terms smaller than this share of it no longer change a float.
NEGLIGIBLE = 1e-17


def binomial_upper(wrong: int, served: int, confidence: float = CONFIDENCE) -> float:
    """Clopper-Pearson one-sided upper bound on a share: ``wrong`` of ``served`` were observed.

    The share at which seeing so few is as improbable as ``1 - confidence``; 1 without data.
    Found by bisection to 1e-10.

    >>> round(binomial_upper(0, 299), 4), round(binomial_upper(3, 1000), 4)
    (0.01, 0.0077)
    """
    if served <= 0 or wrong >= served:
        return 1.0
    low, high = wrong / served, 1.0
    while high - low > 1e-10:
        middle = (low + high) / 2
        if _cdf_below_mean(wrong, served, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def binomial_lower(right: int, asked: int, confidence: float = CONFIDENCE) -> float:
    """Clopper-Pearson one-sided lower bound; 0 without data.

    >>> round(binomial_lower(299, 299), 4)
    0.99
    """
    return 1.0 - binomial_upper(asked - right, asked, confidence)


def served_needed(max_wrong: float, confidence: float = CONFIDENCE) -> float:
    """How many served pairs, all right, it takes to support a bound; infinite for 0.

    >>> served_needed(0.01)
    299
    """
    if max_wrong <= 0:
        return math.inf
    if max_wrong >= 1:
        return 1
    return math.ceil(math.log(1 - confidence) / math.log1p(-max_wrong))


def _cdf_below_mean(k: int, n: int, p: float) -> float:
    """P(at most ``k`` of ``n``), for ``k <= n * p``: there the terms fall from ``k`` downwards."""
    if p >= 1.0:
        return 0.0
    log_term = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    term = math.exp(log_term + k * math.log(p) + (n - k) * math.log1p(-p))
    odds = (1 - p) / p
    total = 0.0
    for i in range(k, -1, -1):
        total += term
        if term <= total * NEGLIGIBLE:
            break
        term *= odds * i / (n - i + 1)
    return total
