"""Scorers: ranges, symmetry, names."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.candidates import CorpusStats, Found
from semcache.decision.builtin import scorer_named
from semcache.decision.scorers import (
    CosineScorer,
    HybridScorer,
    Scorer,
    normalised_bm25,
)
from semcache.decision.terms import terms
from semcache.entry import Entry
from semcache.errors import ConfigurationError
from semcache.evaluate import count_corpus

words = st.lists(st.sampled_from(["reset", "my", "card", "pin", "bank", "app", "fee"]), max_size=8)
CORPUS = CorpusStats(documents=20, length=100, average_idf=1.0, frequencies={"card": 15, "pin": 2})


def found(query: str, cosine: float | None) -> Found:
    entry = Entry(id="0" * 32, scope="0" * 32, query=query, answer=None, created=0.0)
    return Found(entry, cosine, terms(query), "vector")


@given(words, words, st.lists(words, max_size=6))
def test_normalised_bm25_is_symmetrical_and_within_its_range(
    one: list[str], two: list[str], others: list[list[str]]
) -> None:
    corpus = count_corpus([one, two, *others])
    value = normalised_bm25(one, two, corpus)
    assert 0.0 <= value <= 1.0
    assert value == pytest.approx(normalised_bm25(two, one, corpus))
    if one:
        assert normalised_bm25(one, one, corpus) == pytest.approx(1.0)


@given(st.floats(-1, 1), st.floats(0, 1))
def test_hybrid_blends(cosine: float, alpha: float) -> None:
    score = HybridScorer(alpha).score("my pin", terms("my pin"), [found("my card", cosine)], CORPUS)
    lexical = score[0].features["bm25"]
    assert score[0].value == pytest.approx(alpha * cosine + (1 - alpha) * lexical)


@pytest.mark.parametrize("scorer", [CosineScorer(), HybridScorer()])
@pytest.mark.parametrize("cosine", [None, math.nan, math.inf])
def test_without_a_usable_cosine_there_is_no_score(scorer: Scorer, cosine: float | None) -> None:
    assert scorer.score("a", terms("a"), [found("a", cosine)], CORPUS)[0].value == -math.inf


def test_names() -> None:
    assert scorer_named("cosine") == CosineScorer()
    assert scorer_named("hybrid") == HybridScorer()
    assert isinstance(HybridScorer(), Scorer)
    assert HybridScorer(0.5).name != HybridScorer().name
    with pytest.raises(ConfigurationError, match="hybrid, cosine"):
        scorer_named("magic")
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        HybridScorer(1.5)
