"""The grey zone: doubtful pairs are verified after the answer, and the next caller hits."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semcache import ConfigurationError, Event, SemanticCache
from semcache.online.grey import GreyPair, GreyZone
from tests.cache.online_cases import AngleEmbedder, Clock, by_angle, evidence
from tests.conftest import OpenCache

WAIT_S = 60.0


class Reader:
    """A verifier that says what it was told to, and remembers what it was asked."""

    def __init__(self, says: bool | None = True) -> None:
        self.says = says
        self.asked: list[GreyPair] = []

    def __call__(self, pair: GreyPair) -> bool | None:
        self.asked.append(pair)
        return self.says


def grey(reader: Any, **options: Any) -> dict[str, Any]:
    zone = {name: options.pop(name) for name in ("per_hour", "queue", "band") if name in options}
    return by_angle(grey_zone=GreyZone(reader, **zone), **options)


def test_a_confirmed_pair_hits_the_next_time(open_cache: OpenCache) -> None:
    reader, events = Reader(), list[Event]()
    cache = open_cache(**grey(reader, on_event=events.append))
    cache.record("at 0", "zero")
    assert cache.lookup("at 25") is None, "a little too far: .906"
    assert cache.drain(WAIT_S)
    hit = cache.lookup("at 25")
    assert hit is not None
    assert (hit.answer, hit.tier) == ("zero", "alias")
    (pair,) = reader.asked
    assert (pair.query, pair.candidate, pair.answer) == ("at 25", "at 0", "zero")
    assert pair.score == pytest.approx(0.906, abs=0.001)
    assert cache.stats().grey.confirmed == 1
    assert [event.reason for event in events if event.kind == "grey"] == ["confirmed"]


@pytest.mark.parametrize(("says", "count"), [(False, "refused"), (None, "undecided")])
def test_what_is_not_confirmed_stays_a_miss(
    open_cache: OpenCache, says: bool | None, count: str
) -> None:
    reader = Reader(says)
    cache = open_cache(**grey(reader))
    cache.record("at 0", "zero")
    for _ in range(3):
        assert cache.lookup("at 25") is None
        assert cache.drain(WAIT_S)
    assert len(reader.asked) == 1, "once is enough"
    assert getattr(cache.stats().grey, count) == 1


def test_what_is_sure_or_hopeless_is_not_asked(open_cache: OpenCache) -> None:
    reader = Reader()
    cache = open_cache(**grey(reader, band=0.1))
    cache.record("at 0", "zero")
    for query in ("at 0", "at 10", "at 35"):  # .85 is the last that is doubtful
        cache.lookup(query)
    assert cache.drain(WAIT_S)
    assert reader.asked == []


def test_a_call_whose_answer_is_recorded_needs_no_alias(open_cache: OpenCache) -> None:
    reader = Reader()
    cache = open_cache(**grey(reader))
    cache.record("at 0", "zero")
    assert cache.call("at 25", lambda: "twenty-five") == "twenty-five"
    assert cache.drain(WAIT_S)
    assert reader.asked == []
    with pytest.raises(OSError, match="down"):
        cache.call("at -25", down)
    assert cache.call("at 25/90", lambda: "private", no_store=True) == "private"
    assert cache.drain(WAIT_S)
    assert [pair.query for pair in reader.asked] == ["at -25", "at 25/90"]
    assert cache.call("at -25", down) == "zero"


def down() -> str:
    raise OSError("down")


def test_only_soft_vetoes_leave_a_doubt(open_cache: OpenCache) -> None:
    embedder = AngleEmbedder()
    embedder.angles = {
        "How do I delete my account?": 0,
        "How do I get rid of my account?": 5,
        "How do I delete my 2 accounts?": 6,
        "How do I not delete my account?": 7,
    }
    reader = Reader()
    vetoes = ("content", "number", "negation", "inflection")
    cache = open_cache(
        **grey(reader, embedder=embedder, calibration=evidence(vetoes), vetoes=list(vetoes))
    )
    first, soft, *hard = embedder.angles
    cache.record(first, "So.")
    for query in (soft, *hard):
        assert cache.lookup(query) is None
        assert cache.drain(WAIT_S)
    assert [pair.query for pair in reader.asked] == [soft]
    assert reader.asked[0].vetoes == ("content",)
    assert cache.lookup(soft) is not None
    assert all(cache.lookup(query) is None for query in hard)


def test_a_pair_that_was_reported_wrong_is_not_confirmed(open_cache: OpenCache) -> None:
    reader = Reader()
    cache = open_cache(**grey(reader))
    cache.record("at 0", "zero")
    cache.lookup("at 25")
    assert cache.drain(WAIT_S)
    hit = cache.lookup("at 25")
    assert hit is not None
    cache.report_wrong(hit)
    for query in ("at 25", "at 24"):
        assert cache.lookup(query) is None
        assert cache.drain(WAIT_S)
        assert cache.lookup(query) is None
    assert len(reader.asked) == 1


def test_a_report_while_the_verifier_thinks_wins(open_cache: OpenCache) -> None:
    thinking, go = threading.Event(), threading.Event()

    def slow(pair: GreyPair) -> bool:
        thinking.set()
        return go.wait(WAIT_S)

    cache = open_cache(**grey(slow))
    cache.record("at 0", "zero")
    near = cache.lookup("at 17")
    assert near is not None
    assert cache.lookup("at 19") is None
    assert thinking.wait(WAIT_S)
    cache.report_wrong(near)
    go.set()
    assert cache.drain(WAIT_S)
    assert cache.lookup("at 19") is None


def test_the_budget_is_by_the_hour(open_cache: OpenCache) -> None:
    reader, clock = Reader(), Clock()
    cache = open_cache(**grey(reader, per_hour=2, clock=clock, ttl=None))
    cache.record("at 0", "zero")
    for angle in (20, 21, 22, 23):
        cache.lookup(f"at {angle}")
        assert cache.drain(WAIT_S)
    assert [pair.query for pair in reader.asked] == ["at 20", "at 21"]
    assert cache.stats().grey.waiting == 2
    clock.now += 3600
    cache.lookup("at 24")
    assert cache.drain(WAIT_S)
    assert [pair.query for pair in reader.asked[2:]] == ["at 22", "at 23"]
    assert cache.stats().grey.waiting == 1


def test_the_queue_is_bounded(open_cache: OpenCache) -> None:
    clock = Clock()
    cache = open_cache(**grey(Reader(), per_hour=1, queue=3, clock=clock))
    cache.record("at 0", "zero")
    for angle in range(20, 30):
        cache.lookup(f"at {angle}")
        assert cache.drain(WAIT_S)
    counts = cache.stats().grey
    assert (counts.confirmed, counts.waiting, counts.dropped) == (1, 3, 6)


async def test_a_coroutine_runs_on_the_callers_loop(open_cache: OpenCache) -> None:
    where: list[object] = []

    async def reader(pair: GreyPair) -> bool:
        where.append(asyncio.get_running_loop())
        return True

    cache = open_cache(**grey(reader))
    await cache.arecord("at 0", "zero")
    assert await cache.alookup("at 25") is None
    assert await cache.adrain(WAIT_S)
    assert where == [asyncio.get_running_loop()]
    assert await cache.alookup("at 25") is not None
    await cache.aclose()


class Logits:
    """A verifier: sure of some pairs, and unable to read long ones."""

    fingerprint = "logits"

    def score(self, pairs: Sequence[tuple[str, str]]) -> Any:
        return np.array([5.0 if a.endswith("25") else 1.0 for a, _ in pairs], dtype=np.float32)

    async def ascore(self, pairs: Sequence[tuple[str, str]]) -> Any:
        return self.score(pairs)

    def fits(self, a: str, b: str) -> bool:
        return len(a) < 20


def test_a_stronger_verifier_does_too(open_cache: OpenCache) -> None:
    cache = open_cache(**grey(Logits()))
    cache.record("at 0", "zero")
    for query in ("at 25", "at 24", "a prompt that is too long at 23"):
        assert cache.lookup(query) is None
    assert cache.drain(WAIT_S)
    assert cache.lookup("at 25") is not None
    counts = cache.stats().grey
    assert (counts.confirmed, counts.refused, counts.undecided) == (1, 1, 1)


def test_a_verifier_that_fails_disturbs_nobody(open_cache: OpenCache) -> None:
    def broken(pair: GreyPair) -> bool:
        raise RuntimeError("no")

    cache = open_cache(**grey(broken))
    cache.record("at 0", "zero")
    assert cache.lookup("at 25") is None
    assert cache.drain(WAIT_S)
    assert cache.lookup("at 25") is None
    assert cache.stats().grey.errors == 1


def test_closing_lets_go_of_what_waits(tmp_path: Path) -> None:
    reader = Reader()
    cache = SemanticCache.open(f"sqlite:///{tmp_path}/c.db", **grey(reader, per_hour=1))
    cache.record("at 0", "zero")
    for angle in range(20, 30):
        cache.lookup(f"at {angle}")
    cache.close()
    cache.close()
    assert len(reader.asked) <= 1
    assert not any(thread.name == "semcache-online" for thread in threading.enumerate())


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_begins_afresh(open_cache: OpenCache) -> None:
    reader = Reader()
    cache = open_cache(**grey(reader, per_hour=1))
    cache.record("at 0", "zero")
    for angle in (20, 21):
        cache.lookup(f"at {angle}")
    assert cache.drain(WAIT_S)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert cache.stats().grey.waiting == 0
            cache.lookup("at 22")
            assert cache.drain(WAIT_S)
            assert cache.lookup("at 22") is not None
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert cache.stats().grey.waiting == 1


@pytest.mark.parametrize(
    "options", [{"per_hour": 0}, {"queue": 0}, {"band": 0.0}, {"band": 2.0}, {"verify": "me"}]
)
def test_what_cannot_be_is_said_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        GreyZone(**({"verify": Reader()} | options))
