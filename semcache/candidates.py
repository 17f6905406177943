"""What a search brings back: value types between the stores and the decision core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from semcache.entry import Entry


@dataclass(frozen=True, slots=True)
class Found:
    """A candidate of a search.

    Attributes:
        entry: without its answer (``answer`` may be ``None``); fetch by ``get``.
        cosine: exact cosine similarity of the two float32 vectors, in [-1, 1]; ``None`` where the
            candidate was found by terms and has no vector of this fingerprint.
        terms: the entry's terms, as they were put.
        by: how it was found: ``"vector"``, ``"terms"`` or ``"both"``.
        logit: the verifier's word on the query and this entry; ``None`` where it was not asked.
    """

    entry: Entry
    cosine: float | None
    terms: tuple[str, ...]
    by: str
    logit: float | None = None


@dataclass(frozen=True, slots=True)
class CorpusStats:
    """Counts over all live entries of one scope, for BM25.

    Attributes:
        documents: number of entries.
        length: total number of terms in them.
        average_idf: mean of ``log((documents - df + .5) / (df + .5))`` over the scope's
            vocabulary, which BM25Okapi needs for terms that occur in most entries. May lag behind
            ``documents`` by one part in 64.
        frequencies: for each term asked for, in how many entries it occurs (0 where in none).
    """

    documents: int = 0
    length: int = 0
    average_idf: float = 0.0
    frequencies: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Candidates, best first (by cosine, those without one last), and the scope's statistics.

    ``corpus.frequencies`` covers the terms of the search and of every candidate.
    """

    candidates: tuple[Found, ...]
    corpus: CorpusStats
