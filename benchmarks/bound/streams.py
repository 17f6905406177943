"""Streams: prompts with a group each (same group, same answer) in many random orders.

A prompt meets what was stored before it. Candidates are the ``ASKED`` nearest stored ones among its
``KEPT`` nearest of the whole stream, worked out once with their scores, so that an order is
replayed in numpy, all orders at the same time. As in the cache, a prompt that is served is not
stored, for an alias of the exact tier leads to its answer; another is. Prompts that are equal are
one: they would be served exactly, and rightly.

Thresholds come from risk control on

* what ships (*shipped*), and the *pairs* of the pool: other people's labels, another share of true
  duplicates;
* the *first half* of each order, in which nothing is served and every best candidate is labelled:
  the stream's own traffic.

An order is another sequence of the same prompts: "exceeds" says how much the order matters, and not
how much other prompts would. One pair of look-alikes that is served wrongly is so in nearly every
order; these are listed, for some are wrong labels.

Each scorer's best fixed threshold is found on the same orders with the labels known: an oracle.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.bound.control import NEVER, Share, chosen_threshold, share_of
from benchmarks.bound.known import COSINE, LEAST_LEARNED, Asked, Known
from benchmarks.bound.vcache import PerEntry
from semcache.decision.binomial import binomial_lower
from semcache.evaluate import corpus_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.bound.control import Floats, Ints

KEPT, ASKED = 8, 4
NEAR_COSINE = 0.6
# The rule of vCache keeps a likelihood for every entry of every order.
VCACHE_ORDERS = 10
ORACLE_ORDERS = 20
ORACLE_LEVELS = 40
MOST_EXAMPLES = 5
VCACHE = "vCache's rule"


@dataclass(frozen=True, slots=True)
class Stream:
    """Prompts with their nearest others.

    Attributes:
        group: a number a prompt.
        near: positions of the nearest others, nearest first, -1 where there are no more.
        scores: of every scorer, ``-inf`` where vetoed or where there is no more.
        texts: the prompts.
    """

    name: str
    group: Ints
    near: Ints
    scores: Mapping[str, Floats]
    texts: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Counted:
    """What happened in each order: numbers of prompts."""

    requests: Ints
    served: Ints
    wrong: Ints
    repeats: Ints
    """Prompts whose group was asked before."""
    wrongly: Mapping[tuple[int, int], int] = field(default_factory=dict)
    """Who was served whose answer wrongly, and in how many orders."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """One way to decide, on one stream, under one bound."""

    stream: str
    way: str
    labels: str
    bound: float
    threshold: float | None
    served_repeats: float
    """Rightly served, of the prompts whose group was asked before."""
    wrong_of_served: float
    wrong_of_requests: float
    served: float
    wrong: float
    """Served and wrong prompts in an order, on average."""
    exceeds: Share
    """Share of the orders in which the wrong of the served exceed the bound."""
    beyond: Share
    """The same by more than so few serves explain: the exact lower 95 % limit exceeds it."""
    exceeds_all: Share
    """The same for the wrong of all requests, which is what vCache bounds."""
    supported: Share
    """Share of the orders that serve at all."""
    examples: Sequence[tuple[str, str, int]] = ()
    """The commonest wrong serves: asked, stored, and the number of orders."""

    def to_json(self) -> dict[str, Any]:
        return {
            "stream": self.stream,
            "way": self.way,
            "labels": self.labels,
            "bound": self.bound,
            "threshold": self.threshold,
            "served_repeats": self.served_repeats,
            "wrong_of_served": self.wrong_of_served,
            "wrong_of_requests": self.wrong_of_requests,
            "served": self.served,
            "wrong": self.wrong,
            "examples": [list(one) for one in self.examples],
            "exceeds": self.exceeds.to_json(),
            "beyond": self.beyond.to_json(),
            "exceeds_all": self.exceeds_all.to_json(),
            "supported": self.supported.to_json(),
        }


def prepare(name: str, texts: Sequence[str], groups: Sequence[str], known: Known) -> Stream:
    """Nearest neighbours and scores of a stream."""
    vectors = known.vectors(texts, name)
    likeness = vectors @ vectors.T
    np.fill_diagonal(likeness, -1.0)
    kept = min(KEPT, len(texts) - 1)
    near = np.argsort(-likeness, axis=1, kind="stable")[:, :kept]
    cosine = np.take_along_axis(likeness, near, axis=1).astype(np.float64)
    near[cosine < NEAR_COSINE] = -1
    # A pair is scored once, whichever of the two is asked: the two directions hardly differ.
    pairs = sorted({(min(i, j), max(i, j)) for i, row in enumerate(near) for j in row if j >= 0})
    asked = [Asked(texts[i], texts[j], float(likeness[i, j])) for i, j in pairs]
    scored = known.scores(asked, corpus_of(texts), name, LEAST_LEARNED)
    place = {pair: k for k, pair in enumerate(pairs)}
    scores = {}
    for scorer, values in scored.items():
        table = np.full(near.shape, -math.inf)
        for i, row in enumerate(near):
            for k, j in enumerate(row):
                if j >= 0:
                    table[i, k] = values[place[min(i, j), max(i, j)]]
        scores[scorer] = table
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return Stream(name, np.array([numbers[group] for group in groups]), near, scores, texts)


def orders_of(stream: Stream, orders: int, seed: int) -> Ints:
    """Random orders, ``[orders, prompts]``."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(len(stream.group)) for _ in range(orders)])


def replay(
    stream: Stream, scores: Floats, orders: Ints, threshold: Floats, start: int = 0
) -> Counted:
    """Every order with its threshold; before the position ``start`` nothing is served."""
    rows = np.arange(len(orders))
    stored = np.zeros((len(orders), len(stream.group) + 1), dtype=bool)
    seen = np.zeros((len(orders), int(stream.group.max()) + 1), dtype=bool)
    served, wrong, repeats = (np.zeros(len(orders), dtype=np.int64) for _ in range(3))
    wrongly: Counter[tuple[int, int]] = Counter()
    for position in range(orders.shape[1]):
        asked = orders[:, position]
        group = stream.group[asked]
        if position >= start:
            best, value = best_candidates(stream, scores, stored, asked)
            hit = value >= threshold
            bad = hit & (stream.group[best] != group)
            wrongly.update((int(asked[row]), int(best[row])) for row in np.flatnonzero(bad))
            served += hit
            wrong += bad
            repeats += seen[rows, group]
            stored[rows, asked] = ~hit
        else:
            stored[rows, asked] = True
        seen[rows, group] = True
    requests = np.full(len(orders), orders.shape[1] - start)
    return Counted(requests, served, wrong, repeats, wrongly)


def best_candidates(
    stream: Stream, scores: Floats, stored: NDArray[np.bool_], asked: Ints
) -> tuple[Ints, Floats]:
    """For each row its best candidate and that one's score; ``-inf``: there is none."""
    rows = np.arange(len(asked))
    near = stream.near[asked]
    # Position -1 is the last column, which is never stored.
    there = stored[rows[:, None], near]
    there &= np.cumsum(there, axis=1) <= ASKED
    values = np.where(there, scores[asked], -math.inf)
    best = values.argmax(axis=1)
    return near[rows, best], values[rows, best]


def first_half(stream: Stream, scores: Floats, orders: Ints, bound: float, least: float) -> Floats:
    """For each order, the threshold from the labelled best candidates of its first half."""
    half = orders.shape[1] // 2
    rows = np.arange(len(orders))
    stored = np.zeros((len(orders), len(stream.group) + 1), dtype=bool)
    values = np.full((len(orders), half), -math.inf)
    same = np.zeros((len(orders), half), dtype=bool)
    for position in range(half):
        asked = orders[:, position]
        best, values[:, position] = best_candidates(stream, scores, stored, asked)
        same[:, position] = stream.group[best] == stream.group[asked]
        stored[rows, asked] = True
    return np.array(
        [chosen_threshold(v, s, bound, least=least) for v, s in zip(values, same, strict=True)]
    )


def replay_vcache(stream: Stream, orders: Ints, delta: float, seed: int) -> Counted:
    """Every order by the per-entry rule (``vcache.py``)."""
    rng = np.random.default_rng(seed)
    rows = np.arange(len(orders))
    rule = PerEntry(len(orders), len(stream.group), delta)
    stored = np.zeros((len(orders), len(stream.group) + 1), dtype=bool)
    seen = np.zeros((len(orders), int(stream.group.max()) + 1), dtype=bool)
    served, wrong, repeats = (np.zeros(len(orders), dtype=np.int64) for _ in range(3))
    for position in range(orders.shape[1]):
        asked = orders[:, position]
        group = stream.group[asked]
        best, similarity = best_candidates(stream, stream.scores[COSINE], stored, asked)
        some = np.flatnonzero(similarity > -math.inf)
        right = stream.group[best] == group
        explore = np.ones(len(orders), dtype=bool)
        tau = rule.explore_probability(some, best[some], similarity[some])
        explore[some] = rng.random(len(some)) < tau
        looked = some[explore[some]]
        rule.observe(looked, best[looked], similarity[looked], right[looked])
        served += ~explore
        wrong += ~explore & ~right
        repeats += seen[rows, group]
        # Explored and wrong, or nothing near: a new entry.
        stored[rows, asked] = explore & ~(right & (similarity > -math.inf))
        seen[rows, group] = True
    return Counted(np.full(len(orders), orders.shape[1]), served, wrong, repeats)


def oracle(
    stream: Stream, scores: Floats, orders: Ints, bounds: Sequence[float], least: float
) -> list[float]:
    """For each bound, the loosest fixed threshold whose wrong serves are within it."""
    finite = scores[(scores > -math.inf) & (scores >= least)]
    if not finite.size:
        return [NEVER] * len(bounds)
    levels = np.unique(np.quantile(finite, np.linspace(0, 1, ORACLE_LEVELS)))
    some = orders[:ORACLE_ORDERS]
    many = np.repeat(some, len(levels), axis=0)
    grid = np.tile(levels, len(some))
    counted = replay(stream, scores, many, grid)
    rates = [
        counted.wrong[grid == at].sum() / max(1, counted.served[grid == at].sum()) for at in levels
    ]
    fine = [
        [at for at, rate in zip(levels, rates, strict=True) if rate <= bound] for bound in bounds
    ]
    return [float(within[0]) if within else NEVER for within in fine]


def replayed(
    stream: Stream,
    given: Mapping[str, Mapping[tuple[str, float], float]],
    bounds: Sequence[float],
    runs: int,
    seed: int,
    tell: Callable[[int], None] = lambda done: None,
) -> list[Replayed]:
    """Every way to decide under every bound.

    ``given``: thresholds by scorer and bound, by where they come from.
    """
    orders = orders_of(stream, runs, seed)
    found: list[Replayed] = []
    half = orders.shape[1] // 2
    lowest = {name: LEAST_LEARNED if name == "learned" else -math.inf for name in stream.scores}
    best = {
        name: oracle(stream, scores, orders, bounds, lowest[name])
        for name, scores in stream.scores.items()
    }
    for place, bound in enumerate(bounds):
        for name, scores in stream.scores.items():
            least = lowest[name]
            ways = {labels: at.get((name, bound), NEVER) for labels, at in given.items()}
            for labels, at in {"oracle": best[name][place], **ways}.items():
                at = max(at, least)
                if at == NEVER:
                    continue
                counted = replay(stream, scores, orders, np.full(runs, at))
                found.append(_result(stream, name, labels, bound, at, counted))
            own = first_half(stream, scores, orders, bound, least)
            if (own == NEVER).all():
                continue
            counted = replay(stream, scores, orders, own, half)
            usual = float(np.median(own))
            found.append(_result(stream, name, "first half", bound, usual, counted))
            tell(len(found))
        counted = replay_vcache(stream, orders[:VCACHE_ORDERS], bound, seed)
        found.append(_result(stream, VCACHE, "free", bound, None, counted))
        tell(len(found))
    return found


def _result(
    stream: Stream, way: str, labels: str, bound: float, at: float | None, counted: Counted
) -> Replayed:
    rate = counted.wrong / np.maximum(1, counted.served)
    right = counted.served.sum() - counted.wrong.sum()
    return Replayed(
        stream.name,
        way,
        labels,
        bound,
        at if at is not None and math.isfinite(at) else None,
        float(right / max(1, counted.repeats.sum())),
        float(counted.wrong.sum() / max(1, counted.served.sum())),
        float(counted.wrong.sum() / counted.requests.sum()),
        float(counted.served.mean()),
        float(counted.wrong.mean()),
        share_of([bool(one) for one in rate > bound]),
        share_of(
            [
                binomial_lower(int(w), int(s)) > bound if w else False
                for w, s in zip(counted.wrong, counted.served, strict=True)
            ]
        ),
        share_of([bool(one) for one in counted.wrong > bound * counted.requests]),
        share_of([bool(one) for one in counted.served > 0]),
        _examples(stream, counted),
    )


def _examples(stream: Stream, counted: Counted) -> list[tuple[str, str, int]]:
    if not stream.texts:
        return []
    both: Counter[tuple[int, int]] = Counter()
    for (asked, stored), times in counted.wrongly.items():
        both[min(asked, stored), max(asked, stored)] += times
    listed = sorted(both.items(), key=lambda one: (-one[1], one[0]))[:MOST_EXAMPLES]
    return [(stream.texts[i], stream.texts[j], times) for (i, j), times in listed]
