"""One call upstream, however many ask (promise 3)."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from semcache import Decision, SemanticCache, cached
from semcache.decision.calibration import Calibration, Point
from semcache.embedders.base import BaseEmbedder, Kind
from semcache.embedders.local import LocalEmbedder
from tests.conftest import OpenCache

QUESTION = "How do I reset my password?"


class Upstream:
    """A model that answers when the test lets it."""

    def __init__(self) -> None:
        self.calls = 0
        self.called = threading.Event()
        self.gate = threading.Event()
        self._lock = threading.Lock()

    def __call__(self) -> str:
        with self._lock:
            self.calls += 1
        self.called.set()
        assert self.gate.wait(60)
        return "the answer"


def waiting(cache: SemanticCache) -> int:
    """How many callers wait for flights of this cache."""
    flights = cache._shell._calls.flights
    with flights._lock:
        return sum(len(flight._wakers) for flight in flights._flights.values())


def until_waiting(cache: SemanticCache, count: int) -> None:
    deadline = time.monotonic() + 60
    while waiting(cache) < count:
        assert time.monotonic() < deadline, f"only {waiting(cache)} of {count} are waiting"
        time.sleep(0.001)


def test_a_thousand_threads_make_one_call(open_cache: OpenCache) -> None:
    cache, upstream = open_cache(), Upstream()
    answers: list[str] = []

    def ask() -> None:
        answers.append(cache.call(QUESTION, upstream))

    threads = [threading.Thread(target=ask) for _ in range(1000)]
    for thread in threads:
        thread.start()
    until_waiting(cache, 999)
    upstream.gate.set()
    for thread in threads:
        thread.join()
    assert upstream.calls == 1
    assert answers == ["the answer"] * 1000
    stats = cache.stats()
    assert (stats.hits["coalesced"], stats.misses, stats.stored) == (999, 1, 1)


async def test_a_thousand_tasks_make_one_call(open_cache: OpenCache) -> None:
    cache, calls = open_cache(), []
    gate = asyncio.Event()

    async def upstream() -> str:
        calls.append(1)
        await gate.wait()
        return "the answer"

    tasks = [asyncio.create_task(cache.acall(QUESTION, upstream)) for _ in range(1000)]
    while waiting(cache) < 999:
        await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*tasks) == ["the answer"] * 1000
    assert len(calls) == 1


def test_threads_and_tasks_of_several_loops_make_one_call(open_cache: OpenCache) -> None:
    cache, upstream = open_cache(), Upstream()

    async def in_loop() -> list[str]:
        async def call() -> str:
            return await asyncio.to_thread(upstream)

        return await asyncio.gather(*(cache.acall(QUESTION, call) for _ in range(20)))

    with ThreadPoolExecutor(24) as pool:
        loops = [pool.submit(lambda: asyncio.run(in_loop())) for _ in range(4)]
        threads = [pool.submit(cache.call, QUESTION, upstream) for _ in range(20)]
        until_waiting(cache, 99)
        upstream.gate.set()
        answers = [answer for loop in loops for answer in loop.result()]
        answers += [thread.result() for thread in threads]
    assert upstream.calls == 1
    assert answers == ["the answer"] * 100


def test_a_failing_leader_gives_its_error_to_those_who_made_the_same_call(
    open_cache: OpenCache,
) -> None:
    cache = open_cache()
    gate, calls = threading.Event(), []

    def failing() -> str:
        calls.append(1)
        gate.wait(60)
        raise ConnectionError("upstream is down")

    with ThreadPoolExecutor(10) as pool:
        asked = [pool.submit(cache.call, QUESTION, failing) for _ in range(10)]
        until_waiting(cache, 9)
        gate.set()
        errors = [future.exception() for future in asked]
    assert [str(error) for error in errors] == ["upstream is down"] * 10
    assert len(calls) == 1
    assert cache.call(QUESTION, lambda: "better") == "better"


async def test_a_cancelled_leader_lets_the_next_one_lead(open_cache: OpenCache) -> None:
    cache = open_cache()
    calls: list[str] = []

    async def hangs() -> str:
        calls.append("first")
        await asyncio.Event().wait()
        return "never"

    async def answers() -> str:
        calls.append("second")
        return "the answer"

    leader = asyncio.create_task(cache.acall(QUESTION, hangs))
    while not calls:
        await asyncio.sleep(0)
    followers = [asyncio.create_task(cache.acall(QUESTION, answers)) for _ in range(5)]
    while waiting(cache) < 5:
        await asyncio.sleep(0)
    leader.cancel()
    assert await asyncio.gather(*followers) == ["the answer"] * 5
    assert calls == ["first", "second"]


async def test_a_cancelled_follower_disturbs_nobody(open_cache: OpenCache) -> None:
    cache, gate = open_cache(), asyncio.Event()

    async def upstream() -> str:
        await gate.wait()
        return "the answer"

    tasks = [asyncio.create_task(cache.acall(QUESTION, upstream)) for _ in range(3)]
    while waiting(cache) < 2:
        await asyncio.sleep(0)
    tasks[1].cancel()
    gate.set()
    assert await tasks[0] == await tasks[2] == "the answer"


def test_followers_get_answers_of_their_own(open_cache: OpenCache) -> None:
    cache, gate = open_cache(), threading.Event()

    def upstream() -> list[int]:
        gate.wait(60)
        return [1]

    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(cache.call, QUESTION, upstream) for _ in range(3)]
        until_waiting(cache, 2)
        gate.set()
        answers = [future.result() for future in asked]
    answers[0].append(2)
    assert answers[1:] == [[1], [1]]


def test_an_unstorable_answer_is_still_shared_with_those_who_wait(open_cache: OpenCache) -> None:
    cache, gate, calls = open_cache(), threading.Event(), []

    def cut_off() -> dict[str, str]:
        calls.append(1)
        gate.wait(60)
        return {"finish_reason": "length", "text": "Once"}

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(cache.call, QUESTION, cut_off) for _ in range(4)]
        until_waiting(cache, 3)
        gate.set()
        assert {future.result()["text"] for future in asked} == {"Once"}
    assert len(calls) == 1
    assert cache.lookup(QUESTION) is None


def test_nearly_the_same_prompts_share_a_call_where_the_decision_would_serve(
    open_cache: OpenCache,
) -> None:
    cache, upstream = open_cache(embedder=LocalEmbedder()), Upstream()
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(cache.call, QUESTION, upstream)
        assert upstream.called.wait(60)
        near = pool.submit(cache.call, "how do i reset my password", upstream)
        until_waiting(cache, 1)
        other = pool.submit(cache.call, "How do I reset my router?", lambda: "press the button")
        assert other.result() == "press the button"
        upstream.gate.set()
        assert first.result() == near.result() == "the answer"
    assert upstream.calls == 1
    assert cache.stats().hits["coalesced"] == 1
    hit = cache.lookup("how do i reset my password")
    assert hit is not None
    assert hit.tier == "alias"


def test_a_near_follower_calls_for_itself_when_its_leader_fails(open_cache: OpenCache) -> None:
    cache = open_cache(embedder=LocalEmbedder())
    gate, called = threading.Event(), threading.Event()

    def failing() -> str:
        called.set()
        gate.wait(60)
        raise ConnectionError("down")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.call, QUESTION, failing)
        assert called.wait(60)
        near = pool.submit(cache.call, "how do i reset my password", lambda: "my own answer")
        until_waiting(cache, 1)
        gate.set()
        assert isinstance(first.exception(), ConnectionError)
        assert near.result() == "my own answer"


def test_followers_receive_a_stream_live(open_cache: OpenCache) -> None:
    cache, calls = open_cache(), []
    more = threading.Semaphore(0)

    def source() -> Iterator[int]:
        calls.append(1)
        for number in range(3):
            more.acquire()
            yield number

    leader = cache.stream(QUESTION, source)
    more.release()
    assert next(leader) == 0
    follower = cache.stream(QUESTION, source)
    assert next(follower) == 0
    more.release()
    assert next(follower) == 1  # the follower pulls on its own: a dawdling leader holds up nobody
    more.release()
    assert list(follower) == [2]
    assert list(leader) == [1, 2]
    assert len(calls) == 1
    assert list(cache.stream(QUESTION, source)) == [0, 1, 2]
    assert cache.stats().hits["coalesced"] == 1


def test_a_leader_that_stops_early_does_not_stop_its_followers(open_cache: OpenCache) -> None:
    cache, closed = open_cache(), []

    def source() -> Iterator[int]:
        try:
            yield from range(3)
        finally:
            closed.append(1)

    leader, follower = cache.stream(QUESTION, source), cache.stream(QUESTION, source)
    assert next(leader) == next(follower) == 0
    leader.close()
    assert closed == []
    assert list(follower) == [1, 2]
    hit = cache.lookup(QUESTION)
    assert hit is not None
    assert (hit.answer, hit.is_stream) == ([0, 1, 2], True)


def test_many_threads_share_one_stream(open_cache: OpenCache) -> None:
    cache, calls = open_cache(), []
    barrier = threading.Barrier(16)

    @cached(cache)
    def ask(prompt: str) -> Iterator[int]:
        calls.append(1)
        yield from range(200)

    def consume() -> list[int]:
        barrier.wait()
        return list(ask("hi"))

    with ThreadPoolExecutor(16) as pool:
        results = [pool.submit(consume) for _ in range(16)]
        assert all(result.result() == list(range(200)) for result in results)
    assert len(calls) == 1


async def test_tasks_receive_a_stream_live(open_cache: OpenCache) -> None:
    cache, calls = open_cache(), []
    more: asyncio.Queue[int] = asyncio.Queue()

    async def source() -> AsyncIterator[int]:
        calls.append(1)
        while (number := await more.get()) >= 0:
            yield number

    leader, follower = cache.astream(QUESTION, source), cache.astream(QUESTION, source)
    more.put_nowait(0)
    assert await anext(leader) == await anext(follower) == 0
    await leader.aclose()
    more.put_nowait(1)
    more.put_nowait(-1)
    assert [number async for number in follower] == [1]
    assert len(calls) == 1
    assert [number async for number in cache.astream(QUESTION, source)] == [0, 1]


async def test_a_failing_stream_fails_for_all_who_follow(open_cache: OpenCache) -> None:
    cache = open_cache()

    async def source() -> AsyncIterator[int]:
        yield 1
        raise ConnectionError("cut")

    async def consume() -> list[int]:
        return [number async for number in cache.astream(QUESTION, source)]

    results = await asyncio.gather(*(consume() for _ in range(5)), return_exceptions=True)
    assert [str(result) for result in results] == ["cut"] * 5
    assert cache.lookup(QUESTION) is None


def test_without_coalescing_everybody_calls(open_cache: OpenCache) -> None:
    cache = open_cache(coalesce=False)
    barrier = threading.Barrier(4)

    def upstream() -> str:
        barrier.wait(60)
        return "a"

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(cache.call, QUESTION, upstream) for _ in range(4)]:
            assert future.result() == "a"


@pytest.mark.parametrize("kind", ["value", "stream"])
def test_a_parked_caller_does_not_hold_others_up_for_ever(tmp_path: Path, kind: str) -> None:
    url = f"sqlite:///{tmp_path}/cache.db"
    with (
        SemanticCache.open(url, embedder=None, max_wait=0.2) as one,
        SemanticCache.open(url, embedder=None, max_wait=0.2) as two,
    ):
        parked = one.stream(QUESTION, lambda: iter("abc"))
        assert next(parked) == "a"
        if kind == "value":
            assert two.call(QUESTION, lambda: "mine") == "mine"
        else:
            assert list(two.stream(QUESTION, lambda: iter("xyz"))) == ["x", "y", "z"]
        parked.close()


def angled(degrees: float) -> list[float]:
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0.0, 0.0]


class AngleEmbedder(BaseEmbedder):
    """Prompts "at 15" and the like: how alike two are is what the test says."""

    fingerprint = "angles"
    dimension = 4

    def embed(self, texts: Sequence[str], kind: Kind = "query") -> NDArray[np.float32]:
        return np.array([angled(float(text.split()[-1])) for text in texts], dtype=np.float32)

    def fits(self, text: str) -> bool:
        return True


def cosine_only() -> dict[str, Any]:
    evidence = Calibration(
        scorer="cosine",
        encoder=None,
        vetoes=(),
        floor=0.95,
        points=(Point(threshold=0.95, served=1000, wrong=0, upper=0.003, probability=0.999),),
    )
    return {
        "embedder": AngleEmbedder(),
        "scorer": "cosine",
        "calibration": evidence,
        "vetoes": [],
    }


def test_likeness_is_no_chain(open_cache: OpenCache) -> None:
    """at 15 is like at 0, at 30 like at 15; at 30 is not like at 0 and must not get its answer."""
    cache = open_cache(**cosine_only())
    first, second = Upstream(), Upstream()
    with ThreadPoolExecutor(3) as pool:
        zero = pool.submit(cache.call, "at 0", first)
        assert first.called.wait(60)
        fifteen = pool.submit(cache.call, "at 15", second)
        until_waiting(cache, 1)
        thirty = pool.submit(cache.call, "at 30", lambda: "answer to 30")
        until_waiting(cache, 2)
        first.gate.set()
        assert zero.result() == fifteen.result() == "the answer"
        assert thirty.result() == "answer to 30"
    assert second.calls == 0
    hit = cache.lookup("at 30")
    assert hit is not None
    assert hit.answer == "answer to 30"


@pytest.mark.parametrize("controls", [{"no_store": True}, {"admit": lambda answer: False}])
def test_an_answer_that_is_not_stored_serves_nobody_by_meaning(
    open_cache: OpenCache, controls: dict[str, Any]
) -> None:
    cache, upstream = open_cache(**cosine_only()), Upstream()
    with ThreadPoolExecutor(2) as pool:
        private = pool.submit(lambda: cache.call("at 0", upstream, **controls))
        assert upstream.called.wait(60)
        near = pool.submit(cache.call, "at 15", lambda: "my own answer")
        until_waiting(cache, 1)
        upstream.gate.set()
        assert private.result() == "the answer"
        assert near.result() == "my own answer"


def test_what_a_consumer_does_to_its_chunks_reaches_nobody_else(open_cache: OpenCache) -> None:
    cache = open_cache()

    def source() -> Iterator[dict[str, str]]:
        yield {"delta": "one"}
        yield {"delta": "two"}

    leader, follower = cache.stream(QUESTION, source), cache.stream(QUESTION, source)
    mine = next(leader)
    mine["delta"] = "MINE"
    assert next(follower) == {"delta": "one"}
    next(leader).clear()
    assert list(leader) == []
    assert list(follower) == [{"delta": "two"}]
    assert list(cache.stream(QUESTION, source)) == [{"delta": "one"}, {"delta": "two"}]


def test_an_answer_that_cannot_be_shared_is_asked_for_by_everybody(open_cache: OpenCache) -> None:
    cache, gate = open_cache(), threading.Event()

    def upstream() -> Iterator[str]:
        gate.wait(60)
        return (chunk for chunk in "abc")

    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(cache.call, QUESTION, upstream) for _ in range(3)]
        until_waiting(cache, 2)
        gate.set()
        assert [list(future.result()) for future in asked] == [["a", "b", "c"]] * 3


def test_a_stream_never_answers_a_call_nor_a_call_a_stream(open_cache: OpenCache) -> None:
    cache = open_cache()
    assert list(cache.stream("one", lambda: iter(["He", "llo"]))) == ["He", "llo"]
    assert cache.call("one", lambda: "Hello") == "Hello"
    assert cache.call("two", lambda: "Hello") == "Hello"
    assert list(cache.stream("two", lambda: iter(["He", "llo"]))) == ["He", "llo"]


def test_whoever_comes_while_a_stream_is_left_leads_a_stream_of_its_own(
    open_cache: OpenCache,
) -> None:
    cache, closing, closed = open_cache(), threading.Event(), threading.Event()

    def slow_to_close() -> Iterator[str]:
        try:
            yield "old"
            yield "never"
        finally:
            closing.set()
            assert closed.wait(60)

    leader = cache.stream(QUESTION, slow_to_close)
    assert next(leader) == "old"
    with ThreadPoolExecutor(1) as pool:
        leaving = pool.submit(leader.close)
        assert closing.wait(60)
        assert list(cache.stream(QUESTION, lambda: iter(["new"]))) == ["new"]
        closed.set()
        leaving.result()


async def test_tasks_that_come_while_a_stream_is_left_lead_a_stream_of_their_own(
    open_cache: OpenCache,
) -> None:
    cache = open_cache()

    async def source() -> AsyncIterator[str]:
        yield "one"
        await asyncio.sleep(0)
        yield "two"

    async def all_of_it() -> list[str]:
        return [chunk async for chunk in cache.astream(QUESTION, source, no_store=True)]

    for _ in range(20):
        leader = cache.astream(QUESTION, source, no_store=True)
        assert await anext(leader) == "one"
        leaving = asyncio.create_task(leader.aclose())
        newcomers = [asyncio.create_task(all_of_it()) for _ in range(3)]
        assert await asyncio.gather(*newcomers) == [["one", "two"]] * 3
        await leaving


def test_on_decision_that_raises_disturbs_nobody(open_cache: OpenCache) -> None:
    cache = open_cache(max_wait=60)

    def broken(decision: Decision) -> None:
        raise RuntimeError("boom")

    assert cache.call(QUESTION, lambda: "a", on_decision=broken) == "a"
    assert cache.call(QUESTION, lambda: "b", on_decision=broken) == "a"


async def test_waiting_threads_of_the_loop_do_not_keep_the_leader_from_recording(
    open_cache: OpenCache,
) -> None:
    cache, gate = open_cache(), asyncio.Event()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))

    async def upstream() -> str:
        await gate.wait()
        return "the answer"

    leader = asyncio.create_task(cache.acall(QUESTION, upstream))
    while not cache.stats().misses:
        await asyncio.sleep(0)
    # These fill the loop's default pool, and wait there for the leader.
    others = [asyncio.create_task(asyncio.to_thread(cache.call, QUESTION, str)) for _ in range(2)]
    while waiting(cache) < 2:
        await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(leader, *others) == ["the answer"] * 3
