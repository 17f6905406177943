"""The share of true duplicates in traffic that nobody has labelled.

Saerens, Latinne and Decaestecker (Neural Computation 14, 2002): take P(same answer) as the labelled
pairs have it, correct it for a supposed prior, take the mean over the traffic as the next prior,
and so on until it stays (expectation maximisation). It needs that true and false matches look alike
in both, as ``decision/shift.py`` does.

An estimate is uncertain, and one that is too high makes the bound too low. So what is given is a
low one: the 5 % quantile over bootstrap samples of both the labelled pairs and the traffic. That
makes the bound cautious, not exact: no share of its risk is reserved for the estimate.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from semcache.decision.calibration import isotonic
from semcache.errors import CalibrationError

DRAWS = 200
QUANTILE = 0.05
ROUNDS = 200
SETTLED = 1e-6
SEED = 20021  # any; fixed, so that the same pairs give the same estimate


def low_prior(labelled: Sequence[tuple[float, bool]], traffic: Sequence[float]) -> float:
    """A cautious estimate from scores with labels, and scores of traffic; between 0 and 1.

    Raises:
        CalibrationError: no traffic, or labels of one kind.
    """
    if not traffic or len({same for _, same in labelled}) < 2:
        raise CalibrationError("a prior is estimated from labels of both kinds, and some traffic")
    rng = random.Random(SEED)
    estimates = []
    for _ in range(DRAWS):
        some = rng.choices(labelled, k=len(labelled))
        if len({same for _, same in some}) == 2:
            estimates.append(estimate(some, rng.choices(traffic, k=len(traffic))))
    estimates.sort()
    return estimates[int(QUANTILE * len(estimates))]


def estimate(labelled: Sequence[tuple[float, bool]], traffic: Sequence[float]) -> float:
    """The prior that explains the traffic's scores best; both labels must occur."""
    import numpy as np

    ordered = sorted(labelled)
    least = 1 / (len(ordered) + 2)
    known = np.clip(isotonic([same for _, same in ordered]), least, 1 - least)
    foretold = np.interp(traffic, [value for value, _ in ordered], known)
    share = sum(same for _, same in ordered) / len(ordered)
    prior = share
    for _ in range(ROUNDS):
        true = foretold * prior / share
        false = (1 - foretold) * (1 - prior) / (1 - share)
        before, prior = prior, float(np.mean(true / (true + false)))
        if abs(prior - before) < SETTLED:
            break
    return min(max(prior, least), 1 - least)
