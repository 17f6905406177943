"""The decision: who is served, and the reason when nobody is."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.candidates import CorpusStats, Found, SearchResult
from semcache.decision.calibration import Calibration, Point
from semcache.decision.decide import Verdict, decide
from semcache.decision.scorers import CosineScorer, HybridScorer
from semcache.decision.terms import terms
from semcache.decision.vetoes import ALL
from semcache.entry import Entry
from semcache.errors import ModelMismatch

CORPUS = CorpusStats(documents=100, length=700, average_idf=2.0, frequencies={"pin": 9})
QUERY = "how do I reset my pin"


def evidence(scorer: str = "cosine", vetoes: frozenset[str] = ALL) -> Calibration:
    """Serves from .9 at 1 %."""
    points = (Point(0.9, 1000, 0, 0.003, 0.99), Point(0.5, 2000, 900, 0.5, 0.3))
    return Calibration(scorer, None, tuple(sorted(vetoes)), 0.0, points)


def found(query: str, cosine: float | None) -> Found:
    entry = Entry(id="0" * 32, scope="0" * 32, query=query, answer=None, created=0.0)
    return Found(entry, cosine, terms(query), "vector" if cosine is not None else "terms")


def judge(*candidates: Found, query: str = QUERY, max_wrong: float = 0.01) -> Verdict:
    return decide(
        query,
        SearchResult(candidates, CORPUS),
        scorer=CosineScorer(),
        calibration=evidence(),
        max_wrong=max_wrong,
    )


def test_the_best_is_served() -> None:
    verdict = judge(found("How to reset my PIN?", 0.95), found("reset my pin how?", 0.97))
    assert verdict.served is not None
    assert verdict.served.score == 0.97
    assert verdict.judged[0] is verdict.served
    assert verdict.served.probability == 0.99
    assert verdict.reason.startswith("served: cosine .970")


def test_a_vetoed_best_makes_room_for_the_next() -> None:
    verdict = judge(found("how do I reset my bank pin", 0.99), found("How to reset my PIN?", 0.95))
    assert verdict.served is not None
    assert verdict.served.score == 0.95
    assert verdict.judged[0].vetoes
    assert verdict.judged[0].probability == 0.0


@pytest.mark.parametrize(
    ("candidates", "reason"),
    [
        ([], "no candidate"),
        ([found("Roast for 30 minutes", 0.99)], "refused: number differs (15 / 30)"),
        ([found("Roast for 15 minutes", 0.83)], "below threshold .830 < .900"),
        ([found("Roast for 30 minutes", 0.83)], "below threshold .830 < .900"),
        ([found("Roast for 15 minutes", None)], "no candidate with a vector"),
    ],
)
def test_reasons(candidates: list[Found], reason: str) -> None:
    verdict = judge(*candidates, query="Roast for 15 minutes!")
    assert verdict.served is None
    assert verdict.reason == reason
    assert len(verdict.judged) == len(candidates)


def test_without_support_nothing_is_served() -> None:
    verdict = judge(found(QUERY, 1.0), max_wrong=0.001)
    assert (verdict.served, verdict.threshold) == (None, None)
    assert verdict.reason == "calibration has no support for max_wrong=0.001"


def test_a_veto_that_the_evidence_needs_cannot_go_silently() -> None:
    verdict = decide(
        QUERY,
        SearchResult((found(QUERY, 1.0),), CORPUS),
        scorer=CosineScorer(),
        calibration=evidence(),
        max_wrong=0.01,
        enabled_vetoes=ALL - {"number"},
    )
    assert verdict.served is None
    assert "number" in verdict.reason


def test_the_calibration_of_another_scorer_is_refused() -> None:
    with pytest.raises(ModelMismatch):
        decide(
            QUERY,
            SearchResult((), CORPUS),
            scorer=HybridScorer(),
            calibration=evidence(),
            max_wrong=0.01,
        )


anything = st.text(alphabet=st.characters(codec=None, exclude_categories=()))


@given(anything, st.lists(st.tuples(anything, st.none() | st.floats()), max_size=4))
def test_never_raises(query: str, candidates: list[tuple[str, float | None]]) -> None:
    verdict = decide(
        query,
        SearchResult(tuple(found(text, cosine) for text, cosine in candidates), CORPUS),
        scorer=HybridScorer(),
        calibration=evidence("hybrid"),
        max_wrong=0.01,
    )
    assert len(verdict.judged) == len(candidates)
    if verdict.served is not None:
        assert verdict.served.vetoes == ()
        assert verdict.served.score >= 0.9


def test_the_decision_needs_no_numpy() -> None:
    code = (
        "import sys; import semcache.decision.decide, semcache.decision.scorers; "
        "sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
