"""Exchangeable pairs: the promise itself, on many calibrations from one pool of labelled pairs.

Risk control promises: with probability 1 - δ over the calibration pairs, the *true* wrong share of
what is served at the threshold chosen is within the bound. A part of real pairs never has a true
share, only a realised one with sampling noise of its own, so there are four readings of a run:

* ``drawn``: the pool is the population; pairs are drawn from it one by one, with replacement, as
  many as it has, and the wrong share of the pool at the threshold *is* the true one. This is the
  theorem, word for word.
* ``drawn by component``: the same, but linked pairs (a shared text or group) are drawn together,
  as they come in practice. The theorem does not cover that.
* ``split, pool``: half of the components calibrate; the wrong share is that of the whole pool,
  which holds the calibration half, too.
* ``split, other half``: the same threshold on the half that was not looked at: as a user would
  measure it. Of a few hundred served pairs, the realised share is often above a true one that is
  within the bound, so more than δ of the runs may exceed it without any promise broken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.bound.control import (
    NEVER,
    Share,
    best_fixed,
    chosen_threshold,
    served_share,
    share_of,
    wrong_share,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.bound.control import Flags, Floats, Ints

SPARE = 3
READINGS = ("drawn", "drawn by component", "split, pool", "split, other half")


@dataclass(frozen=True, slots=True)
class Pool:
    """Labelled pairs with the scores of every scorer.

    Attributes:
        component: a number for each pair; linked pairs have the same.
        source: where each pair comes from.
    """

    same: Flags
    scores: Mapping[str, Floats]
    component: Ints
    source: Sequence[str]

    def of(self, chosen: NDArray[Any]) -> Pool:
        """These pairs alone."""
        return Pool(
            self.same[chosen],
            {name: values[chosen] for name, values in self.scores.items()},
            self.component[chosen],
            [self.source[i] for i in np.arange(len(self.same))[chosen]],
        )


@dataclass(frozen=True, slots=True)
class Held:
    """What came out for one scorer and one bound.

    Attributes:
        supported: share of the splits whose labels support the bound; others serve nothing.
        exceeds: for each reading, share of the runs whose wrong share exceeds the bound.
        mean_wrong: of the other halves of the splits that serve, all served pairs together.
        served: share of the true duplicates of the other half that are served, on average, 0 where
            unsupported.
        served_drawn: the same of the whole pool, over the draws, which have twice the labels.
        later: the same as ``served``, if testing began where ``SPARE`` wrong ones pass.
        later_exceeds: and the reading ``drawn`` of that.
        fixed: share of them that the best fixed threshold of the *other half* serves: an oracle.
    """

    scorer: str
    bound: float
    supported: Share
    exceeds: Mapping[str, Share]
    mean_wrong: float
    served: float
    served_drawn: float
    later: float
    later_exceeds: Share
    fixed: float

    def to_json(self) -> dict[str, Any]:
        return {
            "scorer": self.scorer,
            "bound": self.bound,
            "supported": self.supported.to_json(),
            "exceeds": {name: share.to_json() for name, share in self.exceeds.items()},
            "mean_wrong": self.mean_wrong,
            "served": self.served,
            "served_drawn": self.served_drawn,
            "served_later": self.later,
            "exceeds_later": self.later_exceeds.to_json(),
            "fixed_oracle": self.fixed,
        }


def members(component: Ints) -> list[Ints]:
    """The positions of each component's pairs."""
    order = np.argsort(component, kind="stable")
    cuts = np.flatnonzero(np.diff(component[order])) + 1
    return [np.asarray(part) for part in np.split(order, cuts)]


def draw(rng: np.random.Generator, groups: Sequence[Ints]) -> Ints:
    """As many components as there are, with replacement: the positions of their pairs."""
    return np.concatenate([groups[i] for i in rng.integers(len(groups), size=len(groups))])


def exchangeable(
    pool: Pool,
    bounds: Sequence[float],
    runs: int,
    seed: int,
    tell: Callable[[int], None] = lambda done: None,
) -> list[Held]:
    """Every scorer under every bound."""
    rng = np.random.default_rng(seed)
    n, groups = len(pool.same), members(pool.component)
    cells = [(name, bound) for bound in bounds for name in pool.scores]
    exceeded: dict[Any, list[bool]] = {(c, r): [] for c in cells for r in READINGS}
    supported: dict[Any, list[bool]] = {cell: [] for cell in cells}
    served: dict[Any, list[float]] = {cell: [] for cell in cells}
    drawn_served: dict[Any, list[float]] = {cell: [] for cell in cells}
    later: dict[Any, list[float]] = {cell: [] for cell in cells}
    later_exceeded: dict[Any, list[bool]] = {cell: [] for cell in cells}
    fixed: dict[Any, list[float]] = {cell: [] for cell in cells}
    counts = {cell: np.zeros(2) for cell in cells}
    for run in range(runs):
        drawn = rng.integers(n, size=n)
        together = draw(rng, groups)
        half = np.zeros(n, dtype=bool)
        for i in np.flatnonzero(rng.random(len(groups)) < 0.5):
            half[groups[i]] = True
        for cell in cells:
            name, bound = cell
            scores, same = pool.scores[name], pool.same

            def threshold(
                chosen: NDArray[Any], spare: int = 0, bound: float = bound, of: Any = scores
            ) -> float:
                return chosen_threshold(of[chosen], pool.same[chosen], bound, spare=spare)

            at = threshold(drawn)
            exceeded[cell, "drawn"].append(wrong_share(scores, same, at) > bound)
            drawn_served[cell].append(served_share(scores, same, at))
            at = threshold(drawn, SPARE)
            later_exceeded[cell].append(wrong_share(scores, same, at) > bound)
            at = threshold(together)
            exceeded[cell, "drawn by component"].append(wrong_share(scores, same, at) > bound)
            at = threshold(half)
            supported[cell].append(at < NEVER)
            exceeded[cell, "split, pool"].append(wrong_share(scores, same, at) > bound)
            other, truth = scores[~half], same[~half]
            exceeded[cell, "split, other half"].append(wrong_share(other, truth, at) > bound)
            counts[cell] += [(other >= at).sum(), ((other >= at) & ~truth).sum()]
            served[cell].append(served_share(other, truth, at))
            later[cell].append(served_share(other, truth, threshold(half, SPARE)))
            fixed[cell].append(served_share(other, truth, best_fixed(other, truth, bound)))
        tell(run + 1)
    return [
        Held(
            name,
            bound,
            share_of(supported[name, bound]),
            {reading: share_of(exceeded[(name, bound), reading]) for reading in READINGS},
            float(counts[name, bound][1] / max(1.0, counts[name, bound][0])),
            float(np.mean(served[name, bound])),
            float(np.mean(drawn_served[name, bound])),
            float(np.mean(later[name, bound])),
            share_of(later_exceeded[name, bound]),
            float(np.mean(fixed[name, bound])),
        )
        for name, bound in cells
    ]
