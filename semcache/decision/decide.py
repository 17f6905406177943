"""The decision: which stored answer, if any, may be served, and why not another.

Pure: no I/O, no clock, no randomness. Everything it needs is in its arguments, and everything it
concluded is in the ``Verdict``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from semcache.candidates import Found, SearchResult
from semcache.decision.calibration import Calibration
from semcache.decision.scorers import Score, Scorer
from semcache.decision.terms import terms
from semcache.decision.vetoes import ALL, Veto, vetoes
from semcache.errors import ModelMismatch


@dataclass(frozen=True, slots=True)
class Judged:
    """One candidate with everything that was found about it.

    Attributes:
        score: the scorer's value; ``-inf`` where the candidate has no vector.
        probability: calibrated P(same answer), 0 where vetoed or without a vector.
        features: what the score was made of.
        vetoes: every reason against it.
    """

    found: Found
    score: float
    probability: float
    features: Mapping[str, float]
    vetoes: tuple[Veto, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome: ``served`` or nothing, all candidates best first, and a plain sentence."""

    served: Judged | None
    judged: tuple[Judged, ...]
    threshold: float | None
    scorer: str
    reason: str


def decide(
    query: str,
    result: SearchResult,
    *,
    scorer: Scorer,
    calibration: Calibration,
    max_wrong: float,
    enabled_vetoes: frozenset[str] = ALL,
) -> Verdict:
    """Judge the candidates of a search; serve the best one without a veto above the threshold.

    A candidate found by terms alone has no cosine: it is listed and never served. With a veto
    switched off that was on when the calibration was made, the evidence says nothing, and nothing
    is served.

    Raises:
        ModelMismatch: the calibration belongs to another scorer.
        ConfigurationError: ``max_wrong`` is not within 0 and 1.
    """
    if calibration.scorer != scorer.name:
        raise ModelMismatch(
            f"the calibration of {calibration.scorer!r} cannot judge scores of {scorer.name!r}; "
            f"pass shipped({scorer.name!r}) or a calibration made for it (semcache tune)"
        )
    missing = sorted(set(calibration.vetoes) - enabled_vetoes)
    threshold = None if missing else calibration.threshold(max_wrong)
    scores = scorer.score(query, terms(query), result.candidates, result.corpus)
    judged = tuple(
        sorted(
            (
                _judge(query, found, score, calibration, enabled_vetoes)
                for found, score in zip(result.candidates, scores, strict=True)
            ),
            key=lambda one: -one.score,
        )
    )
    served = None
    if threshold is not None:
        served = next((one for one in judged if one.score >= threshold and not one.vetoes), None)
    if served is not None and threshold is not None:
        reason = f"served: {scorer.name} {_short(served.score)} >= {_short(threshold)}"
    elif not judged:
        reason = "no candidate"
    elif missing:
        reason = f"calibration has no support with the veto {missing[0]} switched off"
    elif threshold is None:
        reason = f"calibration has no support for max_wrong={max_wrong:g}"
    else:
        reason = _refusal(judged, threshold)
    return Verdict(served, judged, threshold, scorer.name, reason)


def _judge(
    query: str,
    found: Found,
    score: Score,
    calibration: Calibration,
    enabled: frozenset[str],
) -> Judged:
    against = vetoes(query, found.entry.query, enabled)
    value = -math.inf if math.isnan(score.value) or found.cosine is None else score.value
    probability = 0.0 if against else calibration.probability(value)
    return Judged(found, value, probability, score.features, against)


def _refusal(judged: tuple[Judged, ...], threshold: float) -> str:
    best = judged[0]
    if best.score == -math.inf:
        return "no candidate with a vector"
    if best.score >= threshold and best.vetoes:
        return f"refused: {best.vetoes[0].name} differs ({best.vetoes[0].detail})"
    return f"below threshold {_short(best.score)} < {_short(threshold)}"


def _short(value: float) -> str:
    """Three decimals, without the zero in front: ".974"."""
    text = f"{value:.3f}"
    return text.removeprefix("0") if text.startswith("0.") else text
