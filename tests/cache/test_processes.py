"""Several processes on one file, killed processes, forked processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Any

import pytest

from semcache import Request, SemanticCache
from semcache.embedders.local import LocalEmbedder

QUESTION = "How do I reset my password?"
spawn = multiprocessing.get_context("spawn")
LEASE_S = 2.0


def ask_once(url: str, calls: str, barrier: Barrier, answers: Any) -> None:
    with SemanticCache.open(url, embedder=None) as cache:
        barrier.wait(60)

        def upstream() -> str:
            with Path(calls).open("a") as file:
                file.write("x")
            time.sleep(0.2)  # a model takes its time; the others arrive meanwhile
            return "the answer"

        answers.put(cache.call(QUESTION, upstream))


def test_eight_processes_make_one_call(tmp_path: Path) -> None:
    url, calls = f"sqlite:///{tmp_path}/cache.db", tmp_path / "calls"
    barrier, answers = spawn.Barrier(8), spawn.Queue()
    workers = [
        spawn.Process(target=ask_once, args=(url, str(calls), barrier, answers)) for _ in range(8)
    ]
    for worker in workers:
        worker.start()
    received = [answers.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert received == ["the answer"] * 8
    assert calls.read_text() == "x"


def lead_for_ever(url: str, called: Event) -> None:
    with SemanticCache.open(url, embedder=None, lease=LEASE_S) as cache:

        def upstream() -> str:
            called.set()
            time.sleep(600)
            return "never"

        cache.call(QUESTION, upstream)


def test_a_killed_leader_delays_the_others_by_no_more_than_its_lease(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/cache.db"
    called = spawn.Event()
    leader = spawn.Process(target=lead_for_ever, args=(url, called))
    with SemanticCache.open(url, embedder=None, lease=LEASE_S) as cache:
        leader.start()
        assert called.wait(60)
        # While the leader lives its lease is renewed: nobody else gets it, however long it takes.
        id = cache._engine.prepare(Request(QUESTION)).id
        until = time.monotonic() + 2 * LEASE_S
        while time.monotonic() < until:
            assert cache.store.lease(id, LEASE_S, time.time()) is None
            time.sleep(0.05)  # as often as a waiting process looks, not so often as to crowd it out
        assert leader.pid is not None
        os.kill(leader.pid, signal.SIGKILL)
        leader.join(60)
        killed = time.monotonic()
        assert cache.call(QUESTION, lambda: "mine") == "mine"
        assert time.monotonic() - killed < LEASE_S + 0.5


def test_processes_see_each_others_answers_by_meaning(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/cache.db"
    program = (
        "import sys; from semcache import SemanticCache\n"
        "with SemanticCache.open(sys.argv[1]) as cache: cache.record(sys.argv[2], 'from afar')"
    )
    with SemanticCache.open(url) as cache:
        cache.record("What is the capital of France?", "Paris")
        assert cache.lookup("how do i reset my password") is None
        subprocess.run([sys.executable, "-c", program, url, QUESTION], check=True, timeout=60)
        hit = cache.lookup("how do i reset my password")
        assert hit is not None
        assert (hit.answer, hit.tier) == ("from afar", "semantic")


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_a_forked_child_goes_on_working(tmp_path: Path, store: str) -> None:
    url = "memory://" if store == "memory" else f"sqlite:///{tmp_path}/cache.db"
    cache = SemanticCache.open(url, embedder=LocalEmbedder(), policy=None)
    cache.record(QUESTION, "the answer")
    assert cache.lookup("how do i reset my password") is not None
    parked = cache.stream("a stream that the parent leads", lambda: iter("ab"))
    assert next(parked) == "a"
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert cache.lookup("how do i reset my password please") is not None
            assert cache.call("asked in the child", lambda: "by the child") == "by the child"
            assert cache.stats().hits["semantic"] == 1
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert list(parked) == ["b"]
    assert cache.lookup(QUESTION) is not None
    if store == "sqlite":
        assert cache.lookup("asked in the child") is not None
    cache.close()
