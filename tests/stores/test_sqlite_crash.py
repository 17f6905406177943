"""kill -9 at random moments of a writing process: what it acknowledged is there."""

from __future__ import annotations

import os
import random
import select
import signal
import struct
import time
from pathlib import Path

import pytest
from store_cases import FINGERPRINT, NOW, SCOPE, digest, entry, ids, vector

from semcache.stores import vector_index
from semcache.stores.base import Selection
from semcache.stores.sqlite import SqliteStore, vectors

# Fewer for a quick look: SEMCACHE_CRASH_ROUNDS=20.
ROUNDS = int(os.environ.get("SEMCACHE_CRASH_ROUNDS", "200"))
NAMES = 150
ACKNOWLEDGED = struct.Struct("<ii")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


@pytest.fixture(autouse=True)
def graphs_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build and save graphs at sizes that a crash test reaches."""
    monkeypatch.setattr(vector_index, "EXACT_LIMIT", 40)
    monkeypatch.setattr(vector_index, "TAIL_LIMIT", 10)
    monkeypatch.setattr(vectors, "INLINE_ROWS", 20)
    monkeypatch.setattr(vectors, "TINY", 4)
    monkeypatch.setattr(vectors, "SAVE_AFTER", 20)
    monkeypatch.setattr(vectors, "NUDGE_EVERY", 4)
    monkeypatch.setattr(vectors, "WARM_WAIT_S", 10.0)


def write_until_killed(path: Path, first: int, pipe: int) -> None:
    """Puts entries and says so, four bytes of name and four of value at a time."""
    store = SqliteStore(str(path))
    for value in range(first, first + 10_000):
        name = value % NAMES
        new = entry(f"e{name}", answer=str(value).encode() * 50, tags=(f"t{name}",))
        store.put(new, vector(name), ["word", f"own{name}", f"value{value % 7}"])
        os.write(pipe, ACKNOWLEDGED.pack(name, value))
        if value % 5 == 0:
            store.touch(digest(f"e{name}"), NOW)
            store.alias(digest(f"alias{value}"), digest(f"e{name}"), SCOPE)
        if value % 11 == 0:
            store.search(SCOPE, FINGERPRINT, vector(name), ["word", f"own{name}"], 3, NOW)
        if value % 17 == 0:
            store.lease(f"lease{value}", 1, NOW)
            store.invalidate(Selection(ids=(digest("never there"),)))


def killed_after(path: Path, first: int, seconds: float) -> dict[int, int]:
    """What a writer acknowledged before it was killed: name → value."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            write_until_killed(path, first, writing)
        finally:
            os._exit(1)
    os.close(writing)
    received = bytearray()
    deadline: float | None = None
    while deadline is None or time.monotonic() < deadline:
        wait = 60.0 if deadline is None else max(0.0, deadline - time.monotonic())
        if select.select([reading], [], [], wait)[0]:
            block = os.read(reading, 65536)
            assert block, "the writer ended by itself"
            received += block
            # Opening may take longer than the rest; the moment is counted from the first write.
            deadline = deadline or time.monotonic() + seconds
    os.kill(child, signal.SIGKILL)
    while block := os.read(reading, 65536):
        received += block
    os.close(reading)
    os.waitpid(child, 0)
    return dict(ACKNOWLEDGED.iter_unpack(received))


@pytest.mark.timeout(300)
def test_killed_at_random_moments_it_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    rng = random.Random(4021)
    acknowledged: dict[int, int] = {}
    total = restored = 0
    for round_ in range(ROUNDS):
        first = max(acknowledged.values(), default=0) + 2
        its = killed_after(path, first, rng.uniform(0, 0.06))
        total += len(its)
        acknowledged.update(its)
        store = SqliteStore(str(path))
        for name, value in acknowledged.items():
            found = store.get(digest(f"e{name}"), NOW)
            assert found is not None, (round_, name)
            assert found.answer is not None
            # The write that was under way may have been completed, never half of it.
            stored = int(found.answer[: len(found.answer) // 50])
            assert found.answer == str(stored).encode() * 50
            assert value <= stored
        for name in rng.sample(sorted(acknowledged), min(10, len(acknowledged))):
            wanted = vector(name), ("what", f"own{name}")
            result = store.search(SCOPE, FINGERPRINT, *wanted, 3, NOW)
            assert ids(result)[0] == digest(f"e{name}"), (round_, name)
            assert result.candidates[0].by == "both"
        assert store.check() == [], round_
        restored += store.stats(NOW).detail["index_graphs"]
        store.close()
    assert total > ROUNDS
    if ROUNDS >= 200:
        assert restored > ROUNDS // 2
