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
from semcache.decision.scorers import Score, Scorer, known_cosine
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
    """The outcome: ``served`` or nothing, all candidates best first, and a plain sentence.

    Attributes:
        refused: whether a candidate that was near enough was refused by a veto.
    """

    served: Judged | None
    judged: tuple[Judged, ...]
    threshold: float | None
    scorer: str
    reason: str
    refused: bool = False


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

    A candidate found by terms alone has no cosine: it is listed and never served. The vetoes are
    those that were on when the calibration was made; with one of them switched off the evidence
    says nothing, and nothing is served.

    Only what may matter is worked out: the exact score of candidates that can reach the threshold
    (and of the nearest), and the vetoes of those above it until one is served. ``thorough`` works
    out everything (``explain``).

    Raises:
        ModelMismatch: the calibration belongs to another scorer.
        ConfigurationError: ``max_wrong`` is not within 0 and 1.
    """
    _same_scorer(calibration, scorer)
    missing, asked, threshold = _supported(calibration, enabled_vetoes, max_wrong)
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
    # What a veto refuses is not given to the verifier: the veto of the nearest says why not.
    nearest = max(result.candidates, key=known_cosine) if scorer.verifier and ranked else None
    judged: list[Judged] = []
    served: Judged | None = None
    refused: Judged | None = None
    for found, value, score in ranked:
        serving = threshold is not None and value >= threshold and served is None
        # Aligning two texts is what takes time, so it is done only where it can matter.
        against: tuple[Veto, ...] = ()
        if serving or thorough or found is nearest:
            against = vetoes(query, found.entry.query, asked)
        probability = 0.0 if against else calibration.probability(value)
        one = Judged(found, value, probability, score.features, against)
        judged.append(one)
        if against and refused is None and (serving or found is nearest):
            refused = one
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
    elif refused is not None:
        reason = f"refused: {refused.vetoes[0].name} differs ({refused.vetoes[0].detail})"
    else:
        reason = _short_of(judged[0], threshold)
    blocked = served is None and refused is not None and threshold is not None
    return Verdict(served, tuple(judged), threshold, scorer.name, reason, blocked)


def to_verify(
    query: str,
    result: SearchResult,
    *,
    scorer: Scorer,
    calibration: Calibration,
    max_wrong: float,
    enabled_vetoes: frozenset[str] = ALL,
    thorough: bool = False,
) -> list[int]:
    """Positions of the candidates that a verifier has to read before ``decide`` can serve them.

    Those without a veto that would reach the threshold if the verifier were sure, the nearest
    first; none where the scorer asks no verifier or nothing can be served. ``thorough``: all near
    ones.

    Raises:
        ModelMismatch, ConfigurationError: as ``decide``.
    """
    _same_scorer(calibration, scorer)
    if scorer.verifier is None:
        return []
    _, asked, threshold = _supported(calibration, enabled_vetoes, max_wrong)
    if threshold is None and not thorough:
        return []
    least = None if thorough else threshold
    wanted = scorer.shortlist(query, terms(query), result.candidates, result.corpus, least)
    if thorough:
        return wanted
    return [i for i in wanted if not vetoes(query, result.candidates[i].entry.query, asked)]


def _supported(
    calibration: Calibration, enabled_vetoes: frozenset[str], max_wrong: float
) -> tuple[list[str], frozenset[str], float | None]:
    """Vetoes of the evidence that are switched off, those that are on, and the threshold."""
    measured = frozenset(calibration.vetoes)
    missing = sorted(measured - enabled_vetoes)
    threshold = None if missing else calibration.threshold(max_wrong)
    return missing, measured & enabled_vetoes, threshold


def _same_scorer(calibration: Calibration, scorer: Scorer) -> None:
    if calibration.scorer != scorer.name:
        raise ModelMismatch(
            f"the calibration of {calibration.scorer!r} cannot judge scores of {scorer.name!r}; "
            f"pass shipped({scorer.name!r}) or a calibration made for it (semcache tune)"
        )


def _value(found: Found, score: Score) -> float:
    return -math.inf if math.isnan(score.value) or found.cosine is None else score.value


def _short_of(best: Judged, threshold: float) -> str:
    """Why the best candidate is not served, although no veto speaks against it."""
    if best.score > -math.inf:
        doubt = best.features.get("verifier")
        said = "" if doubt is None else f" (verifier {doubt:+.1f})"
        return f"below threshold {_short(best.score)} < {_short(threshold)}{said}"
    if "cosine" not in best.features:
        return "no candidate with a vector"
    return f"not near enough (cosine {_short(best.features['cosine'])}), or not verified"


def _short(value: float) -> str:
    """Three decimals, without the zero in front: ".974"."""
    text = f"{value:.3f}"
    return text.removeprefix("0") if text.startswith("0.") else text
