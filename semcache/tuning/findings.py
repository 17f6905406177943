"""What there is to see in labelled pairs: plain values, for the terminal, the pictures and JSON.

Two views, as in ``semcache.evaluate``: the *ranking* of a scorer alone, over all pairs; and the
*decision*, in which a vetoed pair is never served. What describes the bound comes from the evidence
only; what describes the pairs comes from all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from semcache.decision.binomial import binomial_lower, binomial_upper
from semcache.decision.calibration import Calibration, isotonic
from semcache.decision.shift import shifted_probability
from semcache.decision.vetoes import VETOES
from semcache.evaluate import PRECISIONS, average_precision, recall_at_precision, roc_auc
from semcache.tuning.fit import Goal
from semcache.tuning.measure import Scored
from semcache.tuning.support import Support

BINS = 40
RELIABILITY_BINS = 10
ALPHAS = tuple(i / 10 for i in range(11))
SWEEP_PRECISION = 0.95
EXAMPLES = 12


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well a scorer's value alone orders the pairs; ``None`` where a measure does not exist."""

    average_precision: float | None
    roc_auc: float | None
    recall_at_precision: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Distribution:
    """Counts of pairs by value: true and false matches, with and without a veto against them."""

    edges: tuple[float, ...]
    true: tuple[int, ...]
    true_vetoed: tuple[int, ...]
    false: tuple[int, ...]
    false_vetoed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """Precision by recall, from the highest value down; recall is of all true matches."""

    recall: tuple[float, ...]
    precision: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Bin:
    """Pairs whose foretold P(same answer) is alike: what was foretold, and what came true."""

    n: int
    foretold: float
    true: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """Foretold against true, each pair foretold from pairs that it is not linked with.

    ``ece``: expected calibration error over bins of about equal size, in [0, 1]; ``None`` where
    there are too few pairs.
    """

    ece: float | None
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class AlphaPoint:
    """The hybrid scorer alone at one ``alpha``, on the part to choose on, or on all pairs.

    ``recall``: at a precision of ``SWEEP_PRECISION``.
    """

    alpha: float
    average_precision: float | None
    recall: float | None


@dataclass(frozen=True, slots=True)
class VetoEffect:
    """One veto: what it refuses at the threshold, and what would be served without it.

    ``right_alone`` and ``wrong_alone``: pairs that would be served if this one were switched off,
    because no other veto is against them.
    """

    name: str
    description: str
    refuses: int
    right_alone: int
    wrong_alone: int
    served_without: int
    wrong_without: int


@dataclass(frozen=True, slots=True)
class Example:
    """A pair to read: ``why`` says what kept it from being served, or nothing."""

    a: str
    b: str
    score: float
    cosine: float
    why: str
    source: str | None


@dataclass(frozen=True, slots=True)
class Source:
    """The evidence from one source: a bound that holds for all need not hold for each."""

    name: str
    n: int
    positives: int
    served: int
    wrong: int
    upper: float


@dataclass(frozen=True, slots=True)
class Findings:
    """All of it. ``threshold``: where it is shown; the bound's, or where testing began."""

    scorer: str
    pairs: int
    positives: int
    choosing: int
    evidence: int
    support: Support
    calibration: Calibration
    threshold: float | None
    served_positive_share: float | None
    rankings: Mapping[str, Ranking]
    distributions: Mapping[str, Distribution]
    curves: Mapping[str, Curve]
    decision_curve: Curve
    reliability: Reliability
    reliability_alone: Reliability
    alphas: tuple[AlphaPoint, ...]
    vetoes: tuple[VetoEffect, ...]
    worst_false: tuple[Example, ...]
    stopped_false: tuple[Example, ...]
    best_missed: tuple[Example, ...]
    sources: tuple[Source, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain data; the calibration only by its points, its file has the rest."""
        plain = {
            name: _plain(getattr(self, name)) for name in self.__slots__ if name != "calibration"
        }
        support = plain.pop("support")
        at = support.pop("at")
        plain |= support | {
            "threshold": support["threshold"],
            "shown_threshold": self.threshold,
            "supported": support["threshold"] is not None,
            "served": at and at["served"],
            "wrong": at and at["wrong"],
            "upper": at and at["upper"],
            "floor": self.calibration.floor,
            "start": self.calibration.start,
            "encoder": self.calibration.encoder,
            "verifier": self.calibration.verifier,
            "points": [asdict(point) for point in self.calibration.points],
        }
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value


def findings(
    scored: Sequence[Scored], calibration: Calibration, support: Support, goal: Goal
) -> Findings:
    """All there is to see about ``calibration``, which was fitted to ``scored``."""
    scorer = calibration.scorer
    evidence = [one for one in scored if one.evidence]
    threshold = support.at.threshold if support.at is not None else None
    names = list(scored[0].values)
    labels = [one.pair.same for one in scored]
    weight = _weight(labels, goal.prior)
    served = [one for one in evidence if _served(one, scorer, threshold, goal)]
    positives = sum(one.pair.same for one in evidence)
    return Findings(
        scorer=scorer,
        pairs=len(scored),
        positives=sum(labels),
        choosing=sum(one.choosing for one in scored),
        evidence=len(evidence),
        support=support,
        calibration=calibration,
        threshold=threshold,
        served_positive_share=(
            sum(one.pair.same for one in served) / positives
            if positives and support.threshold is not None
            else None
        ),
        rankings={
            name: _ranking(labels, [one.values[name] for one in scored]) for name in names
        },
        distributions={name: _distribution(scored, name, goal) for name in names},
        curves={
            name: _curve([(one.values[name], one.pair.same) for one in scored], sum(labels), weight)
            for name in names
        },
        decision_curve=_curve(
            [
                (one.values[scorer], one.pair.same)
                for one in scored
                if not one.vetoed(goal.vetoes)
            ],
            sum(labels),
            weight,
        ),
        reliability=_reliability(scored, scorer, goal, goal.vetoes),
        reliability_alone=_reliability(scored, scorer, goal, frozenset()),
        alphas=_alphas([one for one in scored if one.choosing] or scored),
        vetoes=_vetoes(evidence, scorer, threshold, goal),
        worst_false=_examples(
            (one for one in scored if not one.pair.same and not one.vetoed(goal.vetoes)),
            scorer, threshold, goal,
        ),
        stopped_false=_examples(
            (one for one in scored if not one.pair.same and one.vetoed(goal.vetoes)),
            scorer, threshold, goal,
        ),
        best_missed=_examples(
            (
                one
                for one in scored
                if one.pair.same and not _served(one, scorer, threshold, goal)
            ),
            scorer, threshold, goal,
        ),
        sources=_sources(evidence, scorer, threshold, goal),
    )  # fmt: skip


def _served(one: Scored, scorer: str, threshold: float | None, goal: Goal) -> bool:
    return threshold is not None and one.values[scorer] >= threshold and not one.vetoed(goal.vetoes)


def _weight(labels: Sequence[bool], prior: float | None) -> float:
    """What a false match counts against a true one, so that the mix is that of the prior."""
    share = sum(labels) / len(labels)
    if prior is None or not 0 < share < 1:
        return 1.0
    return (1 - prior) / prior * share / (1 - share)


def _ranking(labels: Sequence[bool], values: Sequence[float]) -> Ranking:
    return Ranking(
        average_precision(labels, values),
        roc_auc(labels, values),
        {f"{p:.2f}": recall_at_precision(labels, values, p) for p in PRECISIONS},
    )


def _distribution(scored: Sequence[Scored], name: str, goal: Goal) -> Distribution:
    import numpy as np

    values = np.array([one.values[name] for one in scored])
    same = np.array([one.pair.same for one in scored])
    vetoed = np.array([one.vetoed(goal.vetoes) for one in scored])
    known = np.isfinite(values)
    edges = np.histogram_bin_edges(values[known], BINS)
    counts = [
        tuple(map(int, np.histogram(values[known & (same == label) & (vetoed == no)], edges)[0]))
        for label in (True, False)
        for no in (False, True)
    ]
    return Distribution(tuple(map(float, edges)), counts[0], counts[1], counts[2], counts[3])


def _curve(pairs: Sequence[tuple[float, bool]], positives: int, weight: float) -> Curve:
    recall: list[float] = []
    precision: list[float] = []
    right = wrong = 0
    ordered = sorted(pairs, key=lambda pair: -pair[0])
    for i, (value, same) in enumerate(ordered):
        right, wrong = right + same, wrong + (not same)
        if (i + 1 == len(ordered) or ordered[i + 1][0] != value) and positives:
            recall.append(right / positives)
            precision.append(right / (right + weight * wrong))
    return Curve(tuple(recall), tuple(precision))


def _reliability(
    scored: Sequence[Scored], scorer: str, goal: Goal, enabled: frozenset[str]
) -> Reliability:
    """Two-fold: each half is foretold by the isotonic fit of the other."""
    halves = [
        sorted(
            (one.values[scorer], one.pair.same)
            for one in scored
            if one.half is half and (one.choosing or one.evidence) and not one.vetoed(enabled)
        )
        for half in (True, False)
    ]
    if min(map(len, halves)) < RELIABILITY_BINS:
        return Reliability(None, ())
    foretold = sorted(
        pair
        for fitted_on, applied_to in (halves, halves[::-1])
        for pair in _foretell(fitted_on, applied_to)
    )
    share = sum(one.pair.same for one in scored) / len(scored)
    weight = _weight([one.pair.same for one in scored], goal.prior)
    bins: list[Bin] = []
    error = total = 0.0
    for some in _bins(foretold):
        n, right = len(some), sum(same for _, same in some)
        rates = [
            sum(probability for probability, _ in some) / n,
            right / n,
            binomial_lower(right, n, 0.975),
            binomial_upper(right, n, 0.975),
        ]
        if goal.prior is not None:
            rates = [shifted_probability(rate, share, goal.prior) for rate in rates]
        mass = right + weight * (n - right)
        error += mass * abs(rates[0] - rates[1])
        total += mass
        bins.append(Bin(n, *rates))
    return Reliability(error / total, tuple(bins))


def _bins(foretold: Sequence[tuple[float, bool]]) -> list[list[tuple[float, bool]]]:
    """About equally many pairs each; what is foretold alike stays together."""
    least = len(foretold) / RELIABILITY_BINS
    bins: list[list[tuple[float, bool]]] = []
    for _, alike in groupby(foretold, key=lambda pair: pair[0]):
        if bins and len(bins[-1]) < least:
            bins[-1] += alike
        else:
            bins.append(list(alike))
    if len(bins) > 1 and len(bins[-1]) < least / 2:
        last = bins.pop()
        bins[-1] += last
    return bins


def _foretell(
    fitted_on: Sequence[tuple[float, bool]], applied_to: Sequence[tuple[float, bool]]
) -> list[tuple[float, bool]]:
    import numpy as np

    values = [value for value, _ in fitted_on]
    # Rule of succession, as in the calibration itself.
    most = 1 - 1 / (len(values) + 2)
    means = [min(mean, most) for mean in isotonic([same for _, same in fitted_on])]
    foretold = np.interp([value for value, _ in applied_to], values, means)
    return [(float(p), same) for p, (_, same) in zip(foretold, applied_to, strict=True)]


def _alphas(scored: Sequence[Scored]) -> tuple[AlphaPoint, ...]:
    labels = [one.pair.same for one in scored]
    points = []
    for alpha in ALPHAS:
        values = [alpha * one.cosine + (1 - alpha) * one.lexical for one in scored]
        points.append(
            AlphaPoint(
                alpha,
                average_precision(labels, values),
                recall_at_precision(labels, values, SWEEP_PRECISION),
            )
        )
    return tuple(points)


def _vetoes(
    evidence: Sequence[Scored], scorer: str, threshold: float | None, goal: Goal
) -> tuple[VetoEffect, ...]:
    if threshold is None:
        return ()
    near = [
        (one, {veto.name for veto in one.fired if veto.name in goal.vetoes})
        for one in evidence
        if one.values[scorer] >= threshold
    ]
    served = [one for one, fired in near if not fired]
    wrong = sum(not one.pair.same for one in served)
    effects = []
    for name, rule in VETOES.items():
        if name not in goal.vetoes:
            continue
        alone = [one.pair.same for one, fired in near if fired == {name}]
        right_alone = sum(alone)
        effects.append(
            VetoEffect(
                name=name,
                description=rule.description,
                refuses=sum(name in fired for _, fired in near),
                right_alone=right_alone,
                wrong_alone=len(alone) - right_alone,
                served_without=len(served) + len(alone),
                wrong_without=wrong + len(alone) - right_alone,
            )
        )
    return tuple(effects)


def _examples(some: Any, scorer: str, threshold: float | None, goal: Goal) -> tuple[Example, ...]:
    ordered = sorted(some, key=lambda one: (-one.values[scorer], one.pair.a, one.pair.b))
    return tuple(
        Example(
            one.pair.a,
            one.pair.b,
            one.values[scorer],
            one.cosine,
            _why(one, scorer, threshold, goal),
            one.pair.source,
        )
        for one in ordered[:EXAMPLES]
    )


def _why(one: Scored, scorer: str, threshold: float | None, goal: Goal) -> str:
    against = [f"{v.name} ({v.detail})" for v in one.fired if v.name in goal.vetoes]
    if against:
        return ", ".join(against)
    if threshold is None or one.values[scorer] < threshold:
        return "below the threshold"
    return ""


def _sources(
    evidence: Sequence[Scored], scorer: str, threshold: float | None, goal: Goal
) -> tuple[Source, ...]:
    by_name: dict[str, list[Scored]] = {}
    for one in evidence:
        by_name.setdefault(one.pair.source or "–", []).append(one)
    sources = []
    for name, some in sorted(by_name.items(), key=lambda item: (-len(item[1]), item[0])):
        served = [one.pair.same for one in some if _served(one, scorer, threshold, goal)]
        wrong = len(served) - sum(served)
        sources.append(
            Source(
                name,
                len(some),
                sum(one.pair.same for one in some),
                len(served),
                wrong,
                binomial_upper(wrong, len(served), goal.confidence),
            )
        )
    return tuple(sources)
