"""A verifier in the data path: what it reads, what happens when it fails."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from semcache import Event, ModelMismatch, SemanticCache
from semcache.decision.calibration import Calibration, Point
from semcache.decision.combiner import Combiner
from semcache.decision.learned import LearnedScorer
from semcache.embedders.local import LocalEmbedder
from semcache.verifiers.base import BaseVerifier, Pair
from tests.conftest import OpenCache
from tests.decision.test_learned import DOCUMENT

STORED = "How do I reset my password?"
ASKED = "how can I get a new password"


class Reader(BaseVerifier):
    """Says what it is told to say, and remembers what it was asked."""

    fingerprint = "reader-1"

    def __init__(self) -> None:
        self.says = 3.0
        self.broken = False
        self.asked: list[Pair] = []

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        self.asked += pairs
        if self.broken:
            raise RuntimeError("out of memory")
        return np.full(len(pairs), self.says, dtype=np.float32)

    def fits(self, a: str, b: str) -> bool:
        return len(a) + len(b) < 200


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def judged(open_cache: OpenCache, reader: Reader) -> SemanticCache:
    """A cache in which the verifier's word decides."""
    embedder = LocalEmbedder()
    scorer = LearnedScorer(Combiner.from_json(json.dumps(DOCUMENT)))
    points = (Point(0.9, 1000, 0, 0.003, 0.99),)
    evidence = Calibration(
        scorer.name, embedder.fingerprint, ("number",), 0.0, points, verifier="reader-1"
    )
    cache = open_cache(embedder=embedder, verifier=reader, scorer=scorer, calibration=evidence)
    cache.record(STORED, "Use the link.")
    return cache


def test_a_pair_that_the_verifier_accepts_is_served(judged: SemanticCache, reader: Reader) -> None:
    hit = judged.lookup(ASKED)
    assert hit is not None
    assert hit.tier == "semantic"
    assert reader.asked == [(ASKED, STORED)]


def test_one_that_it_rejects_is_not_and_the_reason_says_so(
    judged: SemanticCache, reader: Reader
) -> None:
    reader.says = -3.0
    assert judged.lookup(ASKED) is None
    assert "(verifier -3.0)" in judged.explain(ASKED).reason


async def test_the_same_from_an_event_loop(judged: SemanticCache, reader: Reader) -> None:
    assert await judged.alookup(ASKED) is not None
    reader.says = -3.0
    assert await judged.alookup("what to do to get a new password") is None


def test_a_number_that_differs_is_refused_without_asking_it(
    judged: SemanticCache, reader: Reader
) -> None:
    assert judged.lookup("How do I reset 2 passwords?") is None
    assert judged.stats().refused == 1
    assert reader.asked == []


def test_a_pair_too_long_for_it_is_a_miss(judged: SemanticCache, reader: Reader) -> None:
    assert judged.lookup("How do I reset my password? " * 8) is None
    assert reader.asked == []


def test_a_failing_verifier_costs_a_miss_and_then_a_pause(
    judged: SemanticCache, reader: Reader
) -> None:
    events: list[Event] = []
    judged.subscribe(events.append)
    reader.broken = True
    for _ in range(3):
        assert judged.call(ASKED, lambda: "from the model", no_store=True) == "from the model"
    assert "verifier-error" in {event.kind for event in events}
    assert len(reader.asked) == 1, "it was asked again at once"
    assert judged.stats().verifier_errors == 1
    assert "paused" in judged.stats().semantic


def test_a_calibration_made_with_another_verifier_is_an_error(
    open_cache: OpenCache, judged: SemanticCache
) -> None:
    class Other(Reader):
        fingerprint = "reader-2"

    scorer = LearnedScorer(Combiner.from_json(json.dumps(DOCUMENT)))
    embedder = LocalEmbedder()
    evidence = Calibration(scorer.name, embedder.fingerprint, (), 0.0, (), verifier="reader-1")
    with pytest.raises(ModelMismatch, match="reader-2"):
        open_cache(embedder=embedder, verifier=Other(), scorer=scorer, calibration=evidence)


def test_a_verifier_of_ones_own_serves_with_a_calibration_made_with_it(
    open_cache: OpenCache, reader: Reader
) -> None:
    embedder = LocalEmbedder()
    without = open_cache(embedder=embedder, verifier=reader)
    assert "reader-1" in without.stats().semantic, "served without evidence"
    scorer = LearnedScorer(read_by="reader-1")
    points = (Point(0.2, 1000, 0, 0.003, 0.99),)
    evidence = Calibration(
        scorer.name, embedder.fingerprint, (), 0.0, points, verifier=reader.fingerprint
    )
    cache = open_cache(embedder=embedder, verifier=reader, calibration=evidence, policy=None)
    cache.record(STORED, "Use the link.")
    hit = cache.lookup(ASKED)
    assert hit is not None
    assert reader.asked
