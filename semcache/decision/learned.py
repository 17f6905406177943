"""The learned scorer: features of the aligned difference, and a verifier that read both texts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import cached_property

from semcache.candidates import CorpusStats, Found
from semcache.decision.combiner import Combiner, shipped_combiner
from semcache.decision.features import features
from semcache.decision.scorers import CorpusWeights, Score, known_cosine, lexical_likeness

# Only these are worth a verifier's time: the nearest, and none that is far away. Of held-aside
# pairs with one answer all real ones have a cosine above the floor, and 91 % of the traps.
VERIFIED = 4
VERIFIED_COSINE = 0.5
# What the verifier says at best (9.8 was the most of 6,000 pairs): a candidate that would not pass
# with this is not worth reading.
BEST_LOGIT = 10.0


class LearnedScorer:
    """Score in [0, 1] from the features of a pair (``features.py``) through a ``Combiner``.

    With a verifier, a candidate without its logit is never served: its score is ``-inf``.

    Args:
        combiner: default: the shipped one of that name, ``"learned"`` or ``"lexical"`` (the same
            features without a verifier).
        read_by: fingerprint of another verifier than the one it was trained with. The scores then
            are of another kind, under another name, and need a calibration of their own.
    """

    def __init__(self, combiner: Combiner | str = "learned", *, read_by: str | None = None) -> None:
        self.family = combiner if isinstance(combiner, str) else "learned"
        self.combiner = shipped_combiner(combiner) if isinstance(combiner, str) else combiner
        self._read_by = read_by if read_by != self.combiner.verifier else None

    @cached_property
    def name(self) -> str:
        """``learned-`` and the combiner's revision: scores of two revisions do not compare."""
        other = "" if self._read_by is None else f"-{self._read_by}"
        return f"{self.family}-{self.combiner.revision}{other}"

    @property
    def verifier(self) -> str | None:
        """Fingerprint of the verifier whose logits the scores need."""
        return self._read_by or self.combiner.verifier

    def shortlist(
        self,
        query: str,
        query_terms: Sequence[str],
        candidates: Sequence[Found],
        corpus: CorpusStats,
        least: float | None = None,
    ) -> list[int]:
        """Positions of the candidates that a verifier should read, the nearest first.

        Those that could reach ``least`` if the verifier were sure; all near ones without it.
        """
        if self.verifier is None:
            return []
        near = [i for i, found in enumerate(candidates) if known_cosine(found) >= VERIFIED_COSINE]
        near.sort(key=lambda i: -known_cosine(candidates[i]))
        near = [i for i in near[:VERIFIED] if candidates[i].logit is None]
        if least is None:
            return near
        weights = CorpusWeights(corpus)
        return [
            i
            for i in near
            if self._score(query, query_terms, candidates[i], weights, BEST_LOGIT).value >= least
        ]

    def score(
        self,
        query: str,
        query_terms: Sequence[str],
        candidates: Sequence[Found],
        corpus: CorpusStats,
        least: float | None = None,
    ) -> list[Score]:
        weights = CorpusWeights(corpus)
        nearest = max(map(known_cosine, candidates), default=-math.inf)
        scores: list[Score] = []
        for found in candidates:
            cosine = known_cosine(found)
            unread = self.verifier is not None and found.logit is None
            if not math.isfinite(cosine):
                scores.append(Score(cosine))
            elif unread and least is not None and cosine < nearest:
                scores.append(Score(-math.inf, {"cosine": cosine}))
            elif unread:
                known = _features(query, query_terms, found, weights, None)
                scores.append(Score(-math.inf, known))
            else:
                scores.append(self._score(query, query_terms, found, weights, found.logit))
        return scores

    def _score(
        self,
        query: str,
        query_terms: Sequence[str],
        found: Found,
        weights: CorpusWeights,
        logit: float | None,
    ) -> Score:
        values = _features(query, query_terms, found, weights, logit)
        return Score(self.combiner.score(values), values)


def _features(
    query: str,
    query_terms: Sequence[str],
    found: Found,
    weights: CorpusWeights,
    logit: float | None,
) -> dict[str, float]:
    likeness = lexical_likeness(Counter(query_terms), Counter(found.terms), weights)
    return features(
        query,
        found.entry.query,
        cosine=known_cosine(found),
        bm25=likeness,
        weight=weights.steady,
        verifier=logit,
    )
