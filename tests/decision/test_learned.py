"""The learned scorer: its trees, which candidates it has read, and what it makes of them."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.candidates import CorpusStats, Found, SearchResult
from semcache.decision.builtin import NAMES, scorer_named
from semcache.decision.calibration import Calibration, Point, shipped
from semcache.decision.combiner import Combiner, shipped_combiner
from semcache.decision.decide import decide, to_verify
from semcache.decision.learned import VERIFIED, LearnedScorer
from semcache.decision.terms import terms
from semcache.entry import Entry
from semcache.errors import CalibrationError

CORPUS = CorpusStats(documents=100, length=700, average_idf=2.0, frequencies={"pin": 9})
QUERY = "how do I reset my pin"
# One tree: a logit above 0 gives .98, another .12.
DOCUMENT = {
    "format": 1,
    "verifier": "reader-1",
    "made_from": "a test",
    "features": ["verifier"],
    "start": 0.0,
    "weights": [0.0],
    "trees": [
        {
            "feature": [0, -1, -1],
            "threshold": [0.0, 0.0, 0.0],
            "left": [1, 0, 0],
            "right": [2, 0, 0],
            "value": [0.0, -2.0, 4.0],
        }
    ],
}
SCORER = LearnedScorer(Combiner.from_json(json.dumps(DOCUMENT)))
EVIDENCE = Calibration(
    SCORER.name, None, ("number",), 0.0, (Point(0.9, 1000, 0, 0.003, 0.99),), verifier="reader-1"
)


def found(query: str, cosine: float | None, logit: float | None = None) -> Found:
    entry = Entry(id="0" * 32, scope="0" * 32, query=query, answer=None, created=0.0)
    by = "vector" if cosine is not None else "terms"
    return Found(entry, cosine, terms(query), by, logit)


def wanted(*candidates: Found, thorough: bool = False, max_wrong: float = 0.01) -> list[int]:
    return to_verify(
        QUERY,
        SearchResult(candidates, CORPUS),
        scorer=SCORER,
        calibration=EVIDENCE,
        max_wrong=max_wrong,
        thorough=thorough,
    )


def reason(*candidates: Found) -> str:
    verdict = decide(
        QUERY,
        SearchResult(candidates, CORPUS),
        scorer=SCORER,
        calibration=EVIDENCE,
        max_wrong=0.01,
    )
    return verdict.reason


def test_only_near_candidates_without_a_veto_are_read_the_nearest_first() -> None:
    candidates = (
        found("resetting a pin", 0.8),
        found("reset my 2 pins", 0.95),
        found("pin reset", 0.9),
        found("weather in Rome", 0.2),
        found("reset my pin", None),
    )
    assert wanted(*candidates) == [2, 0]
    assert wanted(*candidates, thorough=True) == [1, 2, 0]


def test_no_more_are_read_than_there_is_time_for() -> None:
    assert len(wanted(*[found(f"pin {word}", 0.9) for word in "abcdefgh"])) == VERIFIED


def test_nothing_is_read_where_nothing_can_be_served() -> None:
    assert wanted(found("pin reset", 0.9), max_wrong=0.0001) == []


def test_what_was_read_is_not_read_again() -> None:
    assert wanted(found("pin reset", 0.9, logit=1.0)) == []


def test_the_verifiers_word_decides_and_the_reason_says_so() -> None:
    assert reason(found("pin reset", 0.9, logit=2.0)).startswith("served: learned-")
    assert reason(found("pin reset", 0.9, logit=-2.0)).endswith("(verifier -2.0)")


def test_an_unread_candidate_is_never_served() -> None:
    assert "not verified" in reason(found("pin reset", 0.99))


def test_a_veto_is_named_although_nobody_read_the_pair() -> None:
    assert reason(found("reset my 2 pins", 0.95)) == "refused: number differs (– / 2)"


def test_scores_of_another_revision_do_not_pass() -> None:
    other = Combiner.from_json(json.dumps(DOCUMENT | {"start": 0.1}))
    assert LearnedScorer(other).name != SCORER.name


def test_with_another_verifier_it_is_another_scorer() -> None:
    other = LearnedScorer(SCORER.combiner, read_by="reader-2")
    assert other.verifier == "reader-2"
    assert other.name == f"{SCORER.name}-reader-2"
    assert LearnedScorer(SCORER.combiner, read_by="reader-1").name == SCORER.name


@pytest.mark.parametrize(
    "broken",
    [
        {"format": 2},
        {"trees": [DOCUMENT["trees"][0] | {"left": [0, 0, 0]}]},  # type: ignore[index]
        {"trees": [DOCUMENT["trees"][0] | {"right": [9, 0, 0]}]},  # type: ignore[index]
        {"trees": [DOCUMENT["trees"][0] | {"value": [1.0]}]},  # type: ignore[index]
        {"features": []},
        {"weights": []},
        {"weights": [float("inf")]},
        {"start": "much"},
    ],
)
def test_a_broken_combiner_is_an_error(broken: dict[str, object]) -> None:
    with pytest.raises(CalibrationError):
        Combiner.from_json(json.dumps(DOCUMENT | broken))


@pytest.mark.parametrize("name", NAMES)
def test_what_ships_fits_together(name: str) -> None:
    scorer = scorer_named(name)
    assert shipped(scorer.name).verifier == scorer.verifier
    assert shipped(name).scorer == scorer.name


@given(st.floats(-10, 10), st.floats(0, 5), st.floats(-1, 1))
def test_a_better_match_never_scores_less(logit: float, more: float, cosine: float) -> None:
    combiner = shipped_combiner("learned")
    values = dict.fromkeys(combiner.features, 0.0) | {"cosine": cosine, "verifier": logit}
    better = values | {"verifier": logit + more, "cosine": min(1.0, cosine + more)}
    assert combiner.score(better) >= combiner.score(values)


def test_no_corpus_is_needed_to_score() -> None:
    empty = CorpusStats()
    one = replace(found("pin reset", 0.9), logit=3.0)
    score = LearnedScorer("learned").score(QUERY, terms(QUERY), [one], empty)[0]
    assert 0 <= score.value <= 1
