"""The index: exact while small, a graph beyond, derived from the store and never trusted."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_cases import FINGERPRINT, NOW, SCOPE, digest, entry, ids, vector

from semcache.stores import vector_index
from semcache.stores.base import Caps, Selection
from semcache.stores.memory import MemoryStore
from semcache.stores.sqlite import SqliteStore, vectors
from semcache.stores.vector_index import Partition

COUNT = 600
D = 32


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs at sizes that a test can afford."""
    monkeypatch.setattr(vector_index, "EXACT_LIMIT", 100)
    monkeypatch.setattr(vector_index, "TAIL_LIMIT", 30)
    monkeypatch.setattr(vectors, "INLINE_ROWS", 50)
    monkeypatch.setattr(vectors, "SAVE_ON_CLOSE", 10)
    monkeypatch.setattr(vectors, "WARM_WAIT_S", 30.0)
    monkeypatch.setattr(vectors, "NUDGE_EVERY", 10)


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, D)).astype(np.float32)


def filled(path: Path, count: int = COUNT) -> SqliteStore:
    store = SqliteStore(str(path))
    for number in range(count):
        store.put(entry(f"e{number}"), vector(number, D), [f"t{number}"])
    search_all(store, range(0, count, 50))
    assert store.settle()
    return store


def search_all(store: SqliteStore | MemoryStore, numbers: range) -> None:
    for number in numbers:
        result = store.search(SCOPE, FINGERPRINT, vector(number, D), (), 5, NOW)
        assert ids(result)[0] == digest(f"e{number}"), number
        assert result.candidates[0].cosine == pytest.approx(1, abs=1e-6)


def saved(path: Path) -> list[Path]:
    return sorted(path.with_name(path.name + ".index").glob("*"))


# A partition --------------------------------------------------------------------------------------


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(1, 40)),
            st.tuples(st.just("discard"), st.integers(0, 200)),
            st.tuples(st.just("build"), st.integers(1, 20)),
        ),
        max_size=30,
    )
)
@settings(max_examples=60, deadline=None)
def test_a_partition_finds_what_is_there_and_nothing_else(steps: list[tuple[str, int]]) -> None:
    everything = rows(2000)
    partition = Partition(D)
    alive: set[int] = set()
    added = 0
    for step, number in steps:
        if step == "add":
            keys = list(range(added + 1, added + number + 1))
            partition.add(keys, everything[keys])
            alive |= set(keys)
            added += number
        elif step == "discard":
            partition.discard([number])
            alive.discard(number)
        else:
            for _ in range(number):
                partition.build()
    assert partition.size == len(alive)
    if alive:
        found = partition.search(everything[1], len(alive) + 10)
        assert len(found) == len(set(found))
        assert set(found) <= alive
        # A graph may miss a few of everything it has; near ones it finds.
        assert len(found) >= 0.9 * len(alive)
        if 1 in alive:
            assert found[0] == 1


def test_keys_that_are_known_are_skipped() -> None:
    partition = Partition(D)
    partition.add([1, 2, 3], rows(3))
    partition.add([2, 3, 4], rows(3, seed=1))
    assert partition.size == 4
    assert partition.last == 4
    assert partition.search(rows(3)[1], 1) == [2]


def test_recall_of_the_graph() -> None:
    """Uniform directions are harder than any real text: no cluster tells the graph where to go."""
    data = rows(4000)
    unit = data / np.linalg.norm(data, axis=1, keepdims=True)
    partition = Partition(D)
    partition.add(list(range(1, 4001)), data)
    while partition.build():
        pass
    assert partition.has_graph
    hits = 0
    for query in rows(100, seed=9):
        best = set(np.argsort(-(unit @ query))[:10] + 1)
        found = partition.search(query, 26)
        exact = sorted(found, key=lambda key: -float(unit[key - 1] @ query))[:10]
        hits += len(best & set(exact))
    assert hits / 1000 >= 0.98


def test_searching_while_it_is_built_and_changed() -> None:
    data = rows(3000)
    partition = Partition(D)
    partition.add(list(range(1, 1501)), data[:1500])
    failures: list[BaseException] = []
    done = threading.Event()

    def search() -> None:
        try:
            while not done.is_set():
                assert partition.search(data[7], 5)[0] == 8
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for key in range(1501, 3001):
        partition.add([key], data[key - 1][None, :])
        partition.build()
        partition.discard([key - 1000] if key - 1000 != 8 else [])
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []


# Behind a store -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_limits")
def test_a_store_grows_from_exact_to_graph(tmp_path: Path) -> None:
    for store in (filled(tmp_path / "cache.db"), MemoryStore()):
        if isinstance(store, MemoryStore):
            for number in range(COUNT):
                store.put(entry(f"e{number}"), vector(number, D), ())
            assert store.settle()
        search_all(store, range(COUNT))
        store.invalidate(Selection(ids=tuple(digest(f"e{n}") for n in range(100))))
        found = ids(store.search(SCOPE, FINGERPRINT, vector(5, D), (), 10, NOW))
        assert len(found) == 10
        assert not {digest(f"e{n}") for n in range(100)} & set(found)
        search_all(store, range(100, COUNT))
        assert store.check() == []
        store.close()


@pytest.mark.usefixtures("small_limits")
def test_the_index_comes_back_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cache.db"
    filled(path).close()
    assert len(saved(path)) == 1
    assert saved(path)[0].stat().st_mode & 0o777 == 0o600
    store = SqliteStore(str(path))
    store.put(entry("late"), vector(9999, D), ())
    built: list[int] = []
    build = Partition.build
    monkeypatch.setattr(
        Partition,
        "build",
        lambda self: built.append(1) or build(self),  # type: ignore[func-returns-value]
    )
    search_all(store, range(COUNT))
    found = store.search(SCOPE, FINGERPRINT, vector(9999, D), (), 1, NOW)
    assert ids(found) == [digest("late")]
    assert len(built) < 30
    assert store.stats(NOW).detail["index_graphs"] == 1
    assert store.check() == []
    store.close()


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("damage", ["missing", "empty", "noise", "cut", "flipped", "other"])
def test_a_damaged_index_is_built_again(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cache.db"
    filled(path).close()
    (file,) = saved(path)
    content = bytearray(file.read_bytes())
    if damage == "missing":
        file.unlink()
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif damage == "other":
        filled(tmp_path / "other.db", 300).close()
        (other,) = saved(tmp_path / "other.db")
        file.write_bytes(other.read_bytes())
    else:
        length = len(content)
        file.write_bytes(
            {"empty": b"", "noise": os.urandom(length), "cut": content[: length // 2]}[damage]
        )
    store = SqliteStore(str(path))
    problems = store.check()
    assert len(problems) == 1
    assert "built again when needed" in problems[0]
    search_all(store, range(0, COUNT, 7))
    assert "building it again" in caplog.text
    assert store.settle()
    store.close()
    store = SqliteStore(str(path))
    assert store.check() == []
    search_all(store, range(0, COUNT, 7))
    assert store.settle()
    store.close()


@pytest.mark.usefixtures("small_limits")
def test_two_stores_on_one_file_both_save(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    first = filled(path)
    second = SqliteStore(str(path))
    search_all(second, range(0, COUNT, 50))
    for number in range(COUNT, COUNT + 200):
        second.put(entry(f"e{number}"), vector(number, D), ())
    search_all(second, range(COUNT, COUNT + 200, 20))
    assert second.settle()
    threads = [threading.Thread(target=store.close) for store in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = SqliteStore(str(path))
    assert store.check() == []
    search_all(store, range(COUNT + 200))
    assert store.settle()
    store.close()


@pytest.mark.usefixtures("small_limits")
def test_what_is_removed_leaves_no_file_behind(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    filled(path).close()
    assert len(saved(path)) == 1
    store = SqliteStore(str(path))
    assert store.invalidate(Selection(everything=True)) == COUNT
    assert saved(path) == []
    assert store.check() == []
    store.close()


@pytest.mark.usefixtures("small_limits")
def test_churn_leaves_no_garbage(tmp_path: Path) -> None:
    """Ten times as many entries come and go as may stay; the graph stays as small as they are."""
    path = tmp_path / "cache.db"
    store = SqliteStore(str(path), Caps(entries=300))
    for number in range(3000):
        store.put(entry(f"e{number}"), vector(number, D), ())
        if number % 20 == 0:
            search_all(store, range(number, number + 1))
    search_all(store, range(2700, 3000))
    assert store.settle()
    assert store.stats(NOW).detail["index_vectors"] <= 300 + vector_index.TAIL_LIMIT
    assert store.check() == []
    store.close()


@pytest.mark.usefixtures("small_limits")
def test_what_others_removed_is_cleaned_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cache.db"
    store = filled(path)
    monkeypatch.setattr(vectors, "SAVE_ON_CLOSE", 10)
    other = SqliteStore(str(path))
    other.invalidate(Selection(ids=tuple(digest(f"e{n}") for n in range(0, COUNT, 2))))
    for number in range(COUNT, COUNT + 100):
        other.put(entry(f"e{number}"), vector(number, D), ())
    other.close()
    search_all(store, range(1, COUNT, 2))
    search_all(store, range(COUNT, COUNT + 100))
    assert store.settle()
    assert store.stats(NOW).detail["index_vectors"] == COUNT // 2 + 100
    assert store.check() == []
    store.close()


def test_a_quarter_of_a_large_scope_expires(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "cache.db"))
    for number in range(400):
        expires = NOW + 1 if number % 4 == 0 else None
        store.put(entry(f"e{number}", expires=expires), vector(number, D), ())
    for number in range(0, 400, 4):
        result = store.search(SCOPE, FINGERPRINT, vector(number, D), (), 5, NOW + 1)
        assert len(result.candidates) == 5
        assert digest(f"e{number}") not in ids(result)
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.usefixtures("small_limits")
def test_a_fork_while_threads_search_and_the_graph_is_built(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    store = SqliteStore(str(path), timeout=1.0)
    for number in range(COUNT):
        store.put(entry(f"e{number}"), vector(number, D), ())
    failures: list[BaseException] = []
    done = threading.Event()

    def search() -> None:
        try:
            while not done.is_set():
                search_all(store, range(0, COUNT, 100))
                store.touch(digest("e1"), NOW)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    children = []
    for turn in range(5):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                store.put(entry(f"child{turn}"), vector(5000 + turn, D), ())
                search_all(store, range(0, COUNT, 60))
                store.close()
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    done.set()
    for thread in threads:
        thread.join()
    assert codes == [0] * 5
    assert failures == []
    for turn in range(5):
        assert store.get(digest(f"child{turn}"), NOW) is not None
    assert store.check() == []
    store.close()
