"""What ``decide`` leaves out to be quick changes nothing about what is served."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from semcache.candidates import CorpusStats, Found, SearchResult
from semcache.decision.calibration import shipped
from semcache.decision.decide import decide
from semcache.decision.scorers import HybridScorer
from semcache.decision.terms import terms
from semcache.entry import Entry

TEXTS = (
    "how do i reset my password",
    "how can I reset the password",
    "how do i reset my router",
    "can i return it within 30 days",
    "can i return it within 15 days",
)


def found(text: str, cosine: float | None) -> Found:
    entry = Entry(text[:32].ljust(32), "s" * 32, text, None, 0.0)
    return Found(entry, cosine, terms(text), "vector")


@given(
    query=st.sampled_from(TEXTS),
    candidates=st.lists(
        st.builds(found, st.sampled_from(TEXTS), st.none() | st.floats(-1, 1)), max_size=8
    ),
)
def test_the_quick_way_serves_what_the_thorough_way_serves(
    query: str, candidates: list[Found]
) -> None:
    frequencies = dict.fromkeys((term for text in TEXTS for term in terms(text)), 2)
    result = SearchResult(tuple(candidates), CorpusStats(20, 120, 1.5, frequencies))

    def verdict(thorough: bool) -> object:
        said = decide(
            query,
            result,
            scorer=HybridScorer(),
            calibration=shipped("hybrid"),
            max_wrong=0.01,
            thorough=thorough,
        )
        return said.served and (said.served.found.entry.query, said.served.score)

    assert verdict(thorough=False) == verdict(thorough=True)
