"""BM25 agrees with rank_bm25 on the same corpus."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rank_bm25 import BM25Okapi

from semcache.candidates import CorpusStats
from semcache.decision.bm25 import bm25, idf
from semcache.evaluate import corpus_of, count_corpus

words = st.sampled_from(
    ["reset", "my", "card", "pin", "bank", "app", "fee", "top", "up", "e-4021", "the", "a"]
)
documents = st.lists(st.lists(words, min_size=1, max_size=8), min_size=1, max_size=12)


@given(documents, st.lists(words, max_size=6))
def test_equals_rank_bm25(corpus: list[list[str]], query: list[str]) -> None:
    expected = BM25Okapi(corpus).get_scores(query)
    stats = count_corpus(corpus)
    for document, score in zip(corpus, expected, strict=True):
        assert bm25(query, document, stats) == pytest.approx(score, abs=1e-9)


@given(documents)
def test_statistics_equal_those_counted_by_rank_bm25(corpus: list[list[str]]) -> None:
    counted = count_corpus([list(document) for document in corpus])
    theirs = corpus_of(" ".join(document) for document in corpus)
    assert (counted.documents, counted.length) == (theirs.documents, theirs.length)
    assert counted.average_idf == pytest.approx(theirs.average_idf)
    assert dict(counted.frequencies) == dict(theirs.frequencies)


def test_an_empty_corpus_and_empty_texts_score_nothing() -> None:
    assert bm25(["a"], ["a"], CorpusStats()) >= 0
    assert bm25([], ["a"], CorpusStats()) == bm25(["a"], [], CorpusStats()) == 0


def test_an_unseen_term_is_the_rarest() -> None:
    stats = CorpusStats(documents=10, length=50, average_idf=1, frequencies={"seen": 1})
    assert idf("unseen", stats) > idf("seen", stats)
