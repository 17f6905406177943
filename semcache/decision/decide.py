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
        vetoes: every reason against it; empty where nobody looked (see ``decide``).
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
    thorough: bool = False,
) -> Verdict:
    """Judge the candidates of a search; serve the best one without a veto above the threshold.

    A candidate found by terms alone has no cosine: it is listed and never served. With a veto
    switched off that was on when the calibration was made, the evidence says nothing, and nothing
    is served.

    Only what may matter is worked out: the exact score of candidates that can reach the threshold
    (and of the nearest), and the vetoes of those above it until one is served. ``thorough`` works
    out everything (``explain``).

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
    least = None if thorough else threshold
    scores = scorer.score(query, terms(query), result.candidates, result.corpus, least)
    ranked = sorted(
        zip(
            result.candidates,
            (_value(*pair) for pair in zip(result.candidates, scores, strict=True)),
            scores,
            strict=True,
        ),
        key=lambda one: -one[1],
    )
    judged: list[Judged] = []
    served: Judged | None = None
    for found, value, score in ranked:
        serving = threshold is not None and value >= threshold and served is None
        # Aligning two texts is what takes time, so it is done only where it can matter.
        against = vetoes(query, found.entry.query, enabled_vetoes) if serving or thorough else ()
        probability = 0.0 if against else calibration.probability(value)
        one = Judged(found, value, probability, score.features, against)
        judged.append(one)
        if serving and not against:
            served = one
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
    return Verdict(served, tuple(judged), threshold, scorer.name, reason)


def _value(found: Found, score: Score) -> float:
    return -math.inf if math.isnan(score.value) or found.cosine is None else score.value


def _refusal(judged: list[Judged], threshold: float) -> str:
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
