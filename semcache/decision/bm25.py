"""BM25 with the statistics of a live corpus.

The formulas are those of ``rank_bm25.BM25Okapi`` (Robertson and Zaragoza, "The Probabilistic
Relevance Framework: BM25 and Beyond", 2009, with the floor for negative IDF that rank_bm25 adds),
computed from the counts that a store keeps instead of from a frozen list of documents. On the same
corpus the values agree; the tests compare them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from semcache.candidates import CorpusStats

# rank_bm25's defaults.
K1 = 1.5
B = 0.75
EPSILON = 0.25


def idf(term: str, corpus: CorpusStats) -> float:
    """Inverse document frequency as BM25Okapi has it: ``log((N - df + .5) / (df + .5))``.

    A term in more than half of the documents would be negative; it gets ``EPSILON`` times the mean
    over the vocabulary instead. A term in no document is the rarest of all (rank_bm25 says 0 there,
    which never matters for a score, since no document contains it).

    >>> round(idf("e-4021", CorpusStats(documents=100, frequencies={"e-4021": 1})), 3)
    4.195
    """
    frequency = corpus.frequencies.get(term, 0)
    value = math.log(corpus.documents - frequency + 0.5) - math.log(frequency + 0.5)
    return value if value >= 0 else EPSILON * corpus.average_idf


def bm25(query_terms: Sequence[str], document_terms: Sequence[str], corpus: CorpusStats) -> float:
    """BM25Okapi score of one document for a query; 0 where they share no term.

    A term that occurs twice in the query counts twice, as in rank_bm25. Usually >= 0; negative
    only where the corpus is so small that the mean IDF itself is negative.
    """
    if not document_terms or not query_terms:
        return 0.0
    counts = Counter(document_terms)
    penalty = length_penalty(len(document_terms), corpus)
    return sum(
        idf(term, corpus) * saturated(counts[term], penalty)
        for term in query_terms
        if term in counts
    )


def length_penalty(length: int, corpus: CorpusStats) -> float:
    """What a document of ``length`` terms needs to exceed: K1 for one of the mean length."""
    mean = corpus.length / corpus.documents if corpus.documents and corpus.length else length
    return K1 * (1 - B + B * length / mean)


def saturated(count: int, penalty: float) -> float:
    """How much ``count`` occurrences weigh, in [0, K1 + 1)."""
    return count * (K1 + 1) / (count + penalty)


def idf_mean(documents: int, frequencies: Mapping[str, int]) -> float:
    """Mean of the raw IDF over a vocabulary, what ``CorpusStats.average_idf`` holds; 0 if empty."""
    if not frequencies:
        return 0.0
    return sum(
        math.log(documents - frequency + 0.5) - math.log(frequency + 0.5)
        for frequency in frequencies.values()
    ) / len(frequencies)
