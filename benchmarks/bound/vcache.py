"""vCache's per-entry rule, re-derived from its paper (arXiv 2502.03771).

My reading, without its code:

* Each stored entry keeps what was observed of it: pairs (similarity of a request whose nearest
  entry it was, whether its answer was correct for that request).
* P(correct | similarity s) of an entry is logistic, ``1 / (1 + exp(-γ (s - t)))``, fitted online.
* With a confidence ``1 - ε``, parameters that the observations leave possible give a lower limit
  ``p(s, ε)`` of it, so the answer is correct with at least ``α = max over ε of (1 - ε) p(s, ε)``.
* The request is *explored* (the model is called, the pair is labelled and remembered) with
  probability ``τ = max(0, 1 - δ / (1 - α))``, else the stored answer is served: then a request is
  answered wrongly with probability at most ``(1 - τ)(1 - α) <= δ``. So **δ bounds the wrong among
  all requests**, explored ones counted as right, and not among what is served.
* After exploring, a request for which the entry's answer was wrong becomes an entry of its own.

Mine are the details the reading leaves open: "possible" are the parameters of a grid whose
likelihood is at least ``ε`` times the greatest (the likelihood-ratio region: two parameters, so χ²
of two degrees, whose quantile is ``-2 ln ε``). Nothing is known of an entry before it is observed;
its similarity is the cosine, and only its nearest entry is considered for a request.

Labels are free here (nothing judges the model's answer wrongly), and exploring counts as a miss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.bound.control import Floats, Ints

# Where the logistic may turn, and how steeply: from useless below 1.2 to a step.
TURNS = np.linspace(0.5, 1.2, 36)
SLOPES = np.array([5.0, 10.0, 20.0, 40.0, 80.0, 160.0])
RISKS = np.array([0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4])

_T, _G = (axis.ravel() for axis in np.meshgrid(TURNS, SLOPES, indexing="ij"))


def log_correct(similarity: Floats) -> tuple[Floats, Floats]:
    """log P(correct) and log P(wrong) at each point of the grid, ``[rows, grid]``."""
    x = _G * (similarity[:, None] - _T)
    return -np.logaddexp(0.0, -x), -np.logaddexp(0.0, x)


class PerEntry:
    """The rule for many independent replays ("rows") at once, each with entries ``0 … entries-1``.

    Args:
        delta: the wrong share of all requests that is allowed.
    """

    def __init__(self, rows: int, entries: int, delta: float) -> None:
        self.delta = delta
        self.likelihood: NDArray[np.float32] = np.zeros((rows, entries, _T.size), dtype=np.float32)

    def explore_probability(self, rows: Ints, entry: Ints, similarity: Floats) -> Floats:
        """τ for a request to each of these rows."""
        correct, _ = log_correct(similarity)
        likelihood = self.likelihood[rows, entry]
        below = likelihood - likelihood.max(axis=1, keepdims=True)
        alpha = np.zeros(len(rows))
        for risk in RISKS:
            lowest = np.where(below >= np.log(risk), correct, 0.0).min(axis=1)
            alpha = np.maximum(alpha, (1.0 - risk) * np.exp(lowest))
        tau: Floats = np.maximum(0.0, 1.0 - self.delta / (1.0 - alpha))
        return tau

    def observe(
        self, rows: Ints, entry: Ints, similarity: Floats, right: NDArray[np.bool_]
    ) -> None:
        """Remember what exploring showed."""
        correct, wrong = log_correct(similarity)
        seen = np.where(right[:, None], correct, wrong)
        self.likelihood[rows, entry] += seen.astype(np.float32)
