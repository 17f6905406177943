"""Rare terms: which of a query's words can find an entry, and how entries found so are ranked.

A vector blurs identifiers and numbers ("E-4021"); a posting list does not. Only lists of rare terms
are followed: a word that occurs in hundreds of entries says nothing that the vector does not say
better, and its list would cost more than the whole search.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

# A term in more entries than this is not followed. At 10,000 entries that differ in one identifier,
# the identifier has a list of 1 and every other word one of 10,000; real questions fall between.
LIST_CAP = 256

# Nor is one followed that is in more than this share of the scope's entries, unless they are few:
# "reset" says little among 200 questions about passwords, and by meaning they are all found anyway.
RARE_SHARE = 1 / 32
RARE_ANYWHERE = 24

# Entries looked at in one search by terms, summed over lists; ~0.1 ms in CPython 3.11.
SCAN_CAP = 512

# The mean is taken anew after changes to one entry in 64, which is what ``CorpusStats`` promises.
# Below 64 entries it is thus always exact.
IDF_LAG = 64


def average_idf(documents: int, terms_by_df: Iterable[tuple[int, int]]) -> float:
    """Mean of ``log((documents - df + .5) / (df + .5))`` over a vocabulary; 0 where it is empty.

    Args:
        documents: number of entries, at least the largest ``df``.
        terms_by_df: pairs of a document frequency and how many terms have it.

    >>> average_idf(1, [(1, 3)]) == math.log(0.5 / 1.5)
    True
    """
    total = 0.0
    vocabulary = 0
    for df, terms in terms_by_df:
        total += terms * math.log((documents - df + 0.5) / (df + 0.5))
        vocabulary += terms
    return total / vocabulary if vocabulary else 0.0


def rare_first(
    terms: Iterable[str], frequencies: Mapping[str, int], documents: int
) -> list[tuple[str, int]]:
    """The distinct terms whose lists are worth following, rarest first, with their frequency.

    >>> rare_first(["reset", "e-4021"], {"reset": 40, "e-4021": 1}, documents=200)
    [('e-4021', 1)]
    """
    most = min(LIST_CAP, max(RARE_ANYWHERE, int(documents * RARE_SHARE)))
    known = [
        (df, term) for term in dict.fromkeys(terms) if 0 < (df := frequencies.get(term, 0)) <= most
    ]
    known.sort()
    chosen: list[tuple[str, int]] = []
    scanned = 0
    for df, term in known:
        scanned += df
        if chosen and scanned > SCAN_CAP:
            break
        chosen.append((term, df))
    return chosen


def by_rare_terms(
    terms: Sequence[tuple[str, int]],
    documents: int,
    listed: Callable[[str], Iterable[int]],
) -> list[int]:
    """Sequence numbers of entries that share rare terms, best first by summed IDF, then newest.

    Args:
        terms: what ``rare_first`` returned.
        documents: number of entries of the scope.
        listed: the posting list of a term.
    """
    scores: dict[int, float] = {}
    for term, df in terms:
        # The "+ 1" form is positive for every df, so sharing a word never counts against an entry.
        weight = math.log(1.0 + (documents - df + 0.5) / (df + 0.5)) if documents >= df else 0.0
        for seq in listed(term):
            scores[seq] = scores.get(seq, 0.0) + weight
    return sorted(scores, key=lambda seq: (-scores[seq], -seq))
