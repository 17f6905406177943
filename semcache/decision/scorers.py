"""Scorers: one number for (query, candidate), higher = more likely the same answer.

A scorer says nothing about whether its number is high enough; the calibration of that scorer does.
A new scorer implements ``Scorer``, is named in ``builtin.py`` and brings a calibration of its own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from semcache.candidates import CorpusStats, Found
from semcache.decision.bm25 import idf, length_penalty, saturated
from semcache.decision.lexicon import FILLER, FUNCTION, INTERJECTIONS
from semcache.errors import ConfigurationError

# The classic blend of dense and lexical scores.
DEFAULT_ALPHA = 0.7

# A scope begins with one entry, and IDF then says that every new word is rare and every known one
# common. The normalised BM25 therefore starts from what is true of English in general, as if this
# many entries had been seen before: grammar is in every other text, a content word in one of 150.
PRIOR_DOCUMENTS = 50
GRAMMAR_IDF = 0.5
CONTENT_IDF = 5.0
GRAMMAR = FUNCTION | FILLER | INTERJECTIONS
# A term that is in most entries still weighs this much: ratios of zeros mean nothing.
LEAST_WEIGHT = 0.1


@dataclass(frozen=True, slots=True)
class Score:
    """A scorer's value, and what it was made of (for ``explain``)."""

    value: float
    features: Mapping[str, float] = field(default_factory=dict)


@runtime_checkable
class Scorer(Protocol):
    """Scores all candidates of one search at once, so that a model can run them as one batch."""

    @property
    def name(self) -> str:
        """Identifies the scorer with all its parameters: a calibration is bound to it."""
        ...

    @property
    def verifier(self) -> str | None:
        """Fingerprint of the verifier whose logits it needs; ``None``: it needs none."""
        ...

    def shortlist(
        self,
        query: str,
        query_terms: Sequence[str],
        candidates: Sequence[Found],
        corpus: CorpusStats,
        least: float | None = None,
    ) -> list[int]:
        """Positions of the candidates whose logit is missing and may matter, in order of promise.

        Args:
            least: as for ``score``.
        """
        ...

    def score(
        self,
        query: str,
        query_terms: Sequence[str],
        candidates: Sequence[Found],
        corpus: CorpusStats,
        least: float | None = None,
    ) -> list[Score]:
        """One ``Score`` a candidate, in order; value ``-inf`` where there is no vector.

        Args:
            least: what is below it is of no interest. A candidate that cannot reach it, and is not
                the nearest, may be given any value below it that costs less to know.
        """
        ...


class _Unverified:
    """What a scorer is that asks no verifier."""

    __slots__ = ()

    @property
    def verifier(self) -> str | None:
        return None

    def shortlist(
        self,
        query: str,
        query_terms: Sequence[str],
        candidates: Sequence[Found],
        corpus: CorpusStats,
        least: float | None = None,
    ) -> list[int]:
        return []


@dataclass(frozen=True, slots=True)
class CosineScorer(_Unverified):
    """The cosine of the two vectors, in [-1, 1]."""

    name: str = field(default="cosine", init=False)

    def score(
        self,
        query: str,
        query_terms: Sequence[str],
        candidates: Sequence[Found],
        corpus: CorpusStats,
        least: float | None = None,
    ) -> list[Score]:
        return [
            Score(value, {"cosine": value} if math.isfinite(value) else {})
            for value in map(known_cosine, candidates)
        ]


@dataclass(frozen=True, slots=True)
class HybridScorer(_Unverified):
    """``alpha * cosine + (1 - alpha) * normalised_bm25``, in [-alpha, 1].

    Raises:
        ConfigurationError: ``alpha`` is not in [0, 1].
    """

    alpha: float = DEFAULT_ALPHA

    def __post_init__(self) -> None:
        if not 0.0 <= self.alpha <= 1.0:
            raise ConfigurationError(f"alpha must be between 0 and 1, not {self.alpha!r}")

    @property
    def name(self) -> str:
        return "hybrid" if self.alpha == DEFAULT_ALPHA else f"hybrid(alpha={self.alpha:g})"

    def score(
        self,
        query: str,
        query_terms: Sequence[str],
        candidates: Sequence[Found],
        corpus: CorpusStats,
        least: float | None = None,
    ) -> list[Score]:
        scores: list[Score] = []
        nearest = max(map(known_cosine, candidates), default=-math.inf)
        weights = CorpusWeights(corpus)
        ours = Counter(query_terms)
        for found in candidates:
            cosine = known_cosine(found)
            # Even with every word in common it would stay below.
            hopeless = least is not None and self.alpha * cosine + 1.0 - self.alpha < least
            if hopeless and cosine < nearest:
                features = {"cosine": cosine} if math.isfinite(cosine) else {}
                scores.append(Score(self.alpha * cosine, features))
                continue
            lexical, forward, backward = _lexical(ours, Counter(found.terms), weights)
            features = {"bm25": lexical, "bm25_query": forward, "bm25_candidate": backward}
            if not math.isfinite(cosine):
                scores.append(Score(cosine, features))
                continue
            value = self.alpha * cosine + (1.0 - self.alpha) * lexical
            scores.append(Score(value, {"cosine": cosine, **features}))
        return scores


def normalised_bm25(one: Sequence[str], two: Sequence[str], corpus: CorpusStats) -> float:
    """BM25 of both directions over what each text would score against itself, in [0, 1].

    ``(bm25(a, b) + bm25(b, a)) / (bm25(a, a) + bm25(b, b))``, with every IDF drawn towards that of
    general English while the scope is small (``PRIOR_DOCUMENTS``). Symmetrical; 1 for equal bags of
    terms, 0 for disjoint ones. Of two texts without any terms nothing is known: 0.

    >>> corpus = CorpusStats(documents=9, length=45, average_idf=1.5, frequencies={"pin": 3})
    >>> normalised_bm25(["reset", "pin"], ["pin", "reset"], corpus)
    1.0
    >>> 0 < normalised_bm25(["reset", "pin"], ["change", "pin"], corpus) < 0.5
    True
    """
    return lexical_likeness(Counter(one), Counter(two), CorpusWeights(corpus))


class CorpusWeights:
    """What each term weighs, computed once for all candidates of a search."""

    def __init__(self, corpus: CorpusStats) -> None:
        self.corpus = corpus
        self._known: dict[str, tuple[float, float]] = {}

    def __getitem__(self, term: str) -> tuple[float, float]:
        """The exact IDF, and the one that small scopes are given (see ``PRIOR_DOCUMENTS``)."""
        known = self._known.get(term)
        if known is None:
            exact = idf(term, self.corpus)
            prior = GRAMMAR_IDF if term in GRAMMAR else CONTENT_IDF
            seen = self.corpus.documents
            shrunk = (seen * exact + PRIOR_DOCUMENTS * prior) / (seen + PRIOR_DOCUMENTS)
            known = self._known[term] = (exact, max(shrunk, LEAST_WEIGHT))
        return known

    def steady(self, term: str) -> float:
        """IDF drawn towards that of English, in nats."""
        return self[term][1]


def lexical_likeness(
    one: Mapping[str, int], two: Mapping[str, int], weights: CorpusWeights
) -> float:
    """``normalised_bm25`` of counted terms."""
    return _lexical(one, two, weights)[0]


def _lexical(
    one: Mapping[str, int], two: Mapping[str, int], weights: CorpusWeights
) -> tuple[float, float, float]:
    """Normalised BM25, BM25 of ``two`` for the query ``one``, and the reverse; in one pass."""
    length_one, length_two = sum(one.values()), sum(two.values())
    if not length_one or not length_two:
        return 0.0, 0.0, 0.0
    penalty_one = length_penalty(length_one, weights.corpus)
    penalty_two = length_penalty(length_two, weights.corpus)
    across = within = forward = backward = 0.0
    for term, here in one.items():
        weight, steady = weights[term]
        full_here = saturated(here, penalty_one)
        within += steady * here * full_here
        there = two.get(term)
        if there is not None:
            full_there = saturated(there, penalty_two)
            forward += weight * here * full_there
            backward += weight * there * full_here
            across += steady * (here * full_there + there * full_here)
    for term, there in two.items():
        steady = weights[term][1]
        within += steady * there * saturated(there, penalty_two)
    return min(across / within, 1.0), forward, backward


def known_cosine(found: Found) -> float:
    """The cosine within its range; ``-inf`` where there is none or it is not a number."""
    if found.cosine is None or not math.isfinite(found.cosine):
        return -math.inf
    return min(1.0, max(-1.0, found.cosine))
